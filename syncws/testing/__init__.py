"""A scriptable WebSocket server on loopback, for tests."""

from .loopback import LoopbackServer, Peer, PeerClosed

__all__ = ["LoopbackServer", "Peer", "PeerClosed"]
