"""A scriptable WebSocket server on loopback, for tests."""

from .loopback import (
    Frame,
    Headers,
    LoopbackServer,
    Pairs,
    Peer,
    PeerClosed,
    Request,
    accept_key,
    echo,
    frame_bytes,
)

__all__ = [
    "Frame",
    "Headers",
    "LoopbackServer",
    "Pairs",
    "Peer",
    "PeerClosed",
    "Request",
    "accept_key",
    "echo",
    "frame_bytes",
]
