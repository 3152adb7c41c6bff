"""The browser's WebSocket object for Python code that does not use asyncio.

`connect` waits, for code that reads from top to bottom::

    with syncws.connect("ws://127.0.0.1:8765/") as connection:
        connection.send("hello")
        print(connection.recv(timeout=5))

`WebSocket` calls handlers, as in a browser::

    ws = syncws.WebSocket("ws://127.0.0.1:8765/", onmessage=lambda event: print(event.data),
                          onopen=lambda event: event.target.send("hello"))

`reconnect` and `ReconnectingWebSocket` come back after a loss. Both examples run against
``python -m syncws echo``. This module holds the public names, and nothing else.
"""

import sys
from typing import TYPE_CHECKING, Any

from ._connect import connect
from ._engine.options.option_types import Dispatch, HeadersLike
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
from ._later import Later
from ._protocol.codec import speedups
from ._version import __version__
from ._websocket import WebSocket

if TYPE_CHECKING:
    from ._connection import Connection
    from ._engine.opening.open_stream import Timings, TLSInfo
    from ._engine.stats import Stats
    from ._engine.trace_record import TraceRecord
    from ._protocol.http11 import Response
    from ._reconnecting_websocket import LossEvent, ReconnectingWebSocket
    from ._reconnector import Reconnector, reconnect
    from ._retry import Loss, RetryPolicy, default_policy

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

# The public names that come with the first connection, or when they are asked for; see `_later`.
_LATER = {
    "Connection": "_connection",
    "Loss": "_retry",
    "LossEvent": "_reconnecting_websocket",
    "ReconnectingWebSocket": "_reconnecting_websocket",
    "Reconnector": "_reconnector",
    "Response": "_protocol.http11",
    "RetryPolicy": "_retry",
    "Stats": "_engine.stats",
    "TLSInfo": "_engine.opening.open_stream",
    "Timings": "_engine.opening.open_stream",
    "TraceRecord": "_engine.trace_record",
    "default_policy": "_retry",
    "reconnect": "_reconnector",
}


def _publish(public: Any, module: str) -> Any:
    """Have tracebacks and `help` show the public name of a class, and `get_type_hints` find what it names."""
    # On CPython 3.10 isinstance() says that an alias of a type is a class.
    if issubclass(type(public), type):
        names = {**vars(sys.modules[module]), public.__name__: public}
        # These use names of the class's own module, so they are evaluated before __module__ changes.
        annotations = vars(public).get("__annotations__", {})
        if annotations:
            public.__annotations__ = {
                name: eval(annotation, names) if isinstance(annotation, str) else annotation
                for name, annotation in annotations.items()
            }
        public.__module__ = __name__
    return public


if not TYPE_CHECKING:  # With this, type checkers would accept every name of the module.

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = f"{__name__}.{_LATER[name]}"
        public = _publish(getattr(Later(module), name), module)
        globals()[name] = public
        return public


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


for _name in __all__:
    if _name not in _LATER:
        _public = globals()[_name]
        _publish(_public, getattr(_public, "__module__", __name__))
del _name, _public
