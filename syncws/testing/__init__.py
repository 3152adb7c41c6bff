"""A scriptable WebSocket server on loopback, for the tests of programs that use a WebSocket client.

`LoopbackServer` serves ``ws`` or ``wss``, echoes or plays a script, and keeps what it received.
"""

from .peer import Peer, PeerClosed
from .recording import RecordedConnection
from .replay import Replay, ReplayError
from .scripts import Script, echo, in_turn
from .server import LoopbackServer
from .wire import Frame, Pairs, Request, accept_key, frame_bytes

__all__ = [
    "Frame",
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
    "in_turn",
]
