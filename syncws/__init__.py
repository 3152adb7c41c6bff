"""The browser's WebSocket object for Python code that does not use asyncio.

The public names, and nothing else. See `WebSocket` for the start.
"""

from ._connection import Connection, connect
from ._engine.options import Options
from ._events import CloseEvent, ErrorEvent, Event, EventTarget, MessageEvent
from ._exceptions import (
    BufferFull,
    ConnectionClosed,
    ConnectionLost,
    DOMException,
    HandshakeError,
    InvalidAccessErr,
    InvalidStateErr,
    ProtocolError,
    SecurityErr,
    SyntaxErr,
    WebSocketError,
)
from ._protocol.http11 import Response
from ._reconnecting_websocket import LossEvent, ReconnectingWebSocket
from ._reconnector import Reconnecting, reconnect
from ._retry import Loss, default_policy
from ._version import __version__
from ._websocket import WebSocket

__all__ = [
    "BufferFull",
    "CloseEvent",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "DOMException",
    "ErrorEvent",
    "Event",
    "EventTarget",
    "HandshakeError",
    "InvalidAccessErr",
    "InvalidStateErr",
    "Loss",
    "LossEvent",
    "MessageEvent",
    "Options",
    "ProtocolError",
    "Reconnecting",
    "ReconnectingWebSocket",
    "Response",
    "SecurityErr",
    "SyntaxErr",
    "WebSocket",
    "WebSocketError",
    "__version__",
    "connect",
    "default_policy",
    "reconnect",
]

for _name in __all__:
    if isinstance(_public := globals()[_name], type):
        _public.__module__ = __name__  # so that tracebacks and help() name the public door
del _name, _public
