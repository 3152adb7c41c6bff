"""The browser's WebSocket object for Python code that does not use asyncio.

The public names, and nothing else. See `WebSocket` for the start.
"""

import inspect

from ._connect import connect
from ._connection import Connection
from ._engine.dispatcher import Dispatch
from ._engine.open_stream import Timings, TLSInfo
from ._engine.options import HeadersLike
from ._engine.stats import Stats
from ._engine.trace_record import TraceRecord
from ._event_target import EventTarget
from ._events import CloseEvent, ErrorEvent, Event, MessageEvent
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
from ._headers import Headers
from ._protocol.codec import speedups
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
    "Headers",
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
    "Stats",
    "SyntaxErr",
    "TLSInfo",
    "Timings",
    "TraceRecord",
    "WebSocket",
    "WebSocketError",
    "__version__",
    "connect",
    "default_policy",
    "reconnect",
    "speedups",
]

for _name in __all__:
    _public = globals()[_name]
    if issubclass(type(_public), type):  # on CPython 3.10 isinstance() takes an alias of a type for a class
        # The annotations use names of the class's own module: they are evaluated before __module__ changes.
        if "__annotations__" in vars(_public):
            _public.__annotations__ = inspect.get_annotations(_public, locals=globals(), eval_str=True)
        _public.__module__ = __name__  # so that tracebacks and help() show the public name
del _name, _public
