"""The browser's WebSocket object for Python code that does not use asyncio.

The public names, and nothing else. See `WebSocket` for the start.
"""

import inspect

from ._connect import connect
from ._connection import Connection
from ._engine.dispatcher import Dispatch
from ._engine.options import HeadersLike
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
from ._reconnector import Reconnector, reconnect
from ._retry import Loss, RetryPolicy, default_policy
from ._version import __version__
from ._websocket import WebSocket

__all__ = [
    "BufferFull",
    "CloseEvent",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "DOMException",
    "Dispatch",
    "ErrorEvent",
    "Event",
    "EventTarget",
    "HandshakeError",
    "HeadersLike",
    "InvalidAccessErr",
    "InvalidStateErr",
    "Loss",
    "LossEvent",
    "MessageEvent",
    "ProtocolError",
    "ReconnectingWebSocket",
    "Reconnector",
    "Response",
    "RetryPolicy",
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
    _public = globals()[_name]
    if issubclass(type(_public), type):  # not isinstance(), which takes the alias of a type for one
        # What annotates the class names what its own module imports, so it is read before the class moves.
        if "__annotations__" in vars(_public):
            _public.__annotations__ = inspect.get_annotations(_public, locals=globals(), eval_str=True)
        _public.__module__ = __name__  # so that tracebacks and help() name the public door
del _name, _public
