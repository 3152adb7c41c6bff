"""The events: what listeners are given (DOM standard 2.2).

Owns: the event classes, and the clock of their time stamps. Runs on: any thread. Must not import: sockets,
the protocol, the engine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ._reconnecting_websocket import ReconnectingWebSocket
    from ._websocket import WebSocket

    TargetT = TypeVarWithDefault("TargetT", covariant=True, default="WebSocket | ReconnectingWebSocket")
else:
    TargetT = TypeVar("TargetT", covariant=True)

_TIME_ORIGIN = time.perf_counter()


def now() -> float:
    """Milliseconds since the package was imported: the clock of `Event.timeStamp`."""
    return (time.perf_counter() - _TIME_ORIGIN) * 1000


class Event(Generic[TargetT]):
    """Something that happened to its target.

    Attributes:
        type: the event's name, such as ``"open"``.
        target: the object that the event was dispatched to; None before its dispatch. It is typed as a
            listener sees it, so that ``event.target.send("hello")`` type-checks: a `WebSocket` or a
            `ReconnectingWebSocket`, or the class in the brackets of ``Event[Chat]``.
        currentTarget: the same object while listeners run, None before and after.
        timeStamp: when the event was made, in milliseconds on a clock that never goes back.
    """

    target: TargetT = None  # type: ignore[assignment]
    currentTarget: TargetT | None = None

    def __init__(self, type: str) -> None:
        self.type: str = type
        self.timeStamp: float = now()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type!r})"


class MessageEvent(Event[TargetT]):
    """A whole message has arrived.

    Attributes:
        data: `str` for text; for binary `bytes`, or `bytearray` where ``binaryType`` is ``"arraybuffer"``.
        origin: ``ws://host[:port]`` or ``wss://host[:port]`` of the connection's URL.
    """

    # Events of messages from the network are made without __init__ (see `_message_events`): their type is
    # this one.
    type: str = "message"
    data: str | bytes | bytearray

    def __init__(
        self, type: str, data: Any = None, origin: str = "", time_stamp: float | None = None
    ) -> None:
        self.type = type
        self.data = data
        self.origin: str = origin
        self.timeStamp: float = now() if time_stamp is None else time_stamp

    def __repr__(self) -> str:
        long = isinstance(self.data, (str, bytes, bytearray)) and len(self.data) > 60
        data = f"{self.data[:60]!r}…" if long else repr(self.data)
        return f"MessageEvent({self.type!r}, data={data}, origin={self.origin!r})"


class CloseEvent(Event[TargetT]):
    """The connection is over; nothing comes after it.

    Attributes:
        code: the server's close code, 1005 when its Close frame had none, 1006 after a failure.
        reason: the server's reason as it came, or ``""``.
        wasClean: True when the closing handshake was done.
    """

    # The reason for the repr, in case it holds a secret.
    _shown_reason: str | None = None

    def __init__(self, type: str, code: int = 0, reason: str = "", wasClean: bool = False) -> None:
        super().__init__(type)
        self.code: int = code
        self.reason: str = reason
        self.wasClean: bool = wasClean

    def __repr__(self) -> str:
        reason = self.reason if self._shown_reason is None else self._shown_reason
        return f"CloseEvent({self.type!r}, code={self.code}, reason={reason!r}, wasClean={self.wasClean})"


class ErrorEvent(Event[TargetT]):
    """The connection failed; a close event follows.

    Attributes:
        error: the exception, with its cause chained.
        message: the exception as text, never empty.
    """

    def __init__(self, type: str, error: BaseException | None = None, message: str = "") -> None:
        super().__init__(type)
        self.error: BaseException | None = error
        self.message: str = message or ("" if error is None else str(error) or error.__class__.__name__)

    def __repr__(self) -> str:
        return f"ErrorEvent({self.type!r}, message={self.message!r}, error={self.error!r})"
