"""A scriptable WebSocket server on loopback, for the tests of programs that use a WebSocket client.

`LoopbackServer` serves ``ws`` or ``wss``, echoes or plays a script, and keeps what it received.
"""

from .peer import Peer, PeerClosed, echo
from .recording import RecordedConnection
from .replay import Replay, ReplayError
from .server import LoopbackServer, Script
from .wire import Frame, Headers, Pairs, Request, accept_key, frame_bytes

__all__ = [
    "Frame",
    "Headers",
    "LoopbackServer",
    "Pairs",
    "Peer",
    "PeerClosed",
    "RecordedConnection",
    "Replay",
    "ReplayError",
    "Request",
    "Script",
    "accept_key",
    "echo",
    "frame_bytes",
]
