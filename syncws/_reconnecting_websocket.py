"""`ReconnectingWebSocket`: the callback API's connection that comes back after a loss.

Owns: one thread that makes a `WebSocket` after the other. Runs on: that thread, the callbacks of the present
`WebSocket`, and any caller's. Must not import: sockets, the reader.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, TypeVar

from ._engine.dispatcher import Dispatch, hand_over
from ._engine.engine import is_process_ending
from ._engine.options import (
    DEFAULT_QUEUE,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    check_timeout,
    chosen,
    cookiejar,
    explain_unknown,
    ssl,
)
from ._engine.primitives import Flag, stay
from ._events import CloseEvent, ErrorEvent, Event, EventHandler, EventTarget, MessageEvent, TargetT
from ._exceptions import ConnectionClosed, InvalidStateErr, WebSocketError
from ._log import log, log_exception
from ._protocol.frames import Buffer, CloseCode
from ._protocol.messages import validate_close
from ._ready_state import CLOSED, CLOSING, CONNECTING, STATE_NAMES, ReadyStates
from ._retry import History, RetryPolicy, default_policy
from ._websocket import WebSocket

_HANDLERS = ("open", "message", "error", "close")
_numbers = itertools.count(1)


class LossEvent(CloseEvent[TargetT]):
    """A `CloseEvent` that also says what comes next.

    Attributes:
        retry_in: seconds until the next attempt; None when there is none, and this event is the last.
        unsent: bytes that were given to `send` and not handed to the network: they are lost.
    """

    def __init__(self, close: CloseEvent[Any], retry_in: float | None, unsent: int) -> None:
        super().__init__(close.type, close.code, close.reason, close.wasClean)
        self.retry_in: float | None = retry_in
        self.unsent: int = unsent

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, retry_in={self.retry_in}, unsent={self.unsent})"


Self = TypeVar("Self", bound="ReconnectingWebSocket")


class ReconnectingWebSocket(ReadyStates, EventTarget):
    """A `WebSocket` that makes its connection anew after a loss.

    It has the events of `WebSocket`, over and over: open at each return, error and close at each loss and
    at each attempt that fails. Its close events are `LossEvent`s; after one whose ``retry_in`` is None
    nothing comes. Between a loss and the next open event `readyState` is `CONNECTING` and `send` raises
    `InvalidStateErr`: what would be lost is never taken.

    Args:
        url, protocols, onopen, onmessage, onerror, onclose, dispatch: as for `syncws.WebSocket`, but that
            `onclose` is given a `LossEvent`.
        policy: decides after each loss how long to wait, or to stop; see `syncws.default_policy`.
            It is given a `Loss` and returns seconds, or None.
        headers: as for `syncws.WebSocket`; may also be a callable, which is asked afresh before each attempt
            (for tokens that expire).
        origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca, cert,
            server_hostname, proxy, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression: as
            for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`; and what `headers` raises
            when it is asked for the first time.
    """

    @explain_unknown
    def __init__(
        self,
        url: str,
        protocols: str | Iterable[str] = (),
        *,
        # handlers
        onopen: Callable[[Event[ReconnectingWebSocket]], object] | None = None,
        onmessage: Callable[[MessageEvent[ReconnectingWebSocket]], object] | None = None,
        onerror: Callable[[ErrorEvent[ReconnectingWebSocket]], object] | None = None,
        onclose: Callable[[LossEvent[ReconnectingWebSocket]], object] | None = None,
        dispatch: Dispatch | None = None,
        # coming back
        policy: RetryPolicy = default_policy,
        # HTTP
        headers: HeadersLike | Callable[[], HeadersLike] | None = None,
        origin: str | None = None,
        auth: tuple[str, str] | None = None,
        cookies: cookiejar.CookieJar | None = None,
        max_redirects: int = 0,
        require_protocol: bool = True,
        allow_blocked_port: bool = False,
        # TLS
        ssl_context: ssl.SSLContext | None = None,
        ca: FilePath | None = None,
        cert: FilePath | tuple[FilePath, FilePath] | None = None,
        server_hostname: str | None = None,
        # the way
        proxy: str | None = "auto",
        unix: UnixPath | None = None,
        source_address: tuple[str, int] | None = None,
        family: Literal[4, 6] | None = None,
        socket_options: SocketOptions = (),
        # times
        open_timeout: float | None = 10,
        close_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        # limits
        max_size: int | None = 16 * 2**20,
        max_queue: QueueLimit = DEFAULT_QUEUE,
        max_buffered: int | None = None,
        # others
        compression: Literal["deflate"] | None = "deflate",
    ) -> None:
        options = chosen(locals())
        del options["headers"]  # asked for before each attempt
        super().__init__()
        self._history = History(policy)
        self._headers = headers
        self._arguments = (url, protocols if isinstance(protocols, str) else tuple(protocols))
        self._dispatch = dispatch
        self._options = options
        self._stopped = Flag()
        self._over = False
        self._ended = Flag()
        # What is sent is either reported as unsent at the loss, or refused after it.
        self._sending = threading.RLock()
        self._retry_in: float | None = None
        self._telling: int | None = None  # the thread in which events without a connection are told
        self._attempt: _Attempt | None = None
        handlers = (onopen, onmessage, onerror, onclose)
        for name, handler in zip(_HANDLERS, handlers, strict=True):
            self._set_handler(name, handler)
        # Here, not on the thread, so that a mistake of the caller's raises from the constructor.
        self._attempt = self._begin()
        name = f"syncws-reconnecting-{next(_numbers)}"
        self._log_fields = {"connection": name, "url": self._attempt._url.public}
        # Callbacks see the context variables of the constructor's caller, also after the first loss.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=name, daemon=True)
        self._thread.start()
        self._attempt._worker.constructed(any(handlers))

    def __repr__(self) -> str:
        return f"<ReconnectingWebSocket {self._present._url.public} {STATE_NAMES[self.readyState]}>"

    @property
    def _present(self) -> _Attempt:
        assert self._attempt is not None  # but for a moment in the constructor
        return self._attempt

    # Attributes.

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return self._present.url

    @property
    def readyState(self) -> int:
        """As `WebSocket.readyState`, but `CONNECTING` from a loss to the next open event."""
        if self._over:
            return CLOSED
        state = self._present.readyState
        if state == CLOSED:
            return CLOSING if self._stopped.is_set() else CONNECTING
        return state

    @property
    def bufferedAmount(self) -> int:
        """As `WebSocket.bufferedAmount`, of the present connection."""
        return self._present.bufferedAmount

    @property
    def extensions(self) -> str:
        """The extensions that the server selected for the present connection."""
        return self._present.extensions

    @property
    def protocol(self) -> str:
        """The subprotocol that the server selected for the present connection."""
        return self._present.protocol

    @property
    def binaryType(self) -> str:
        """As `WebSocket.binaryType`; kept from one connection to the next."""
        return self._present.binaryType

    @binaryType.setter
    def binaryType(self, value: str) -> None:
        self._present.binaryType = value

    onopen: EventHandler[Event[ReconnectingWebSocket]] = EventHandler(
        "Called with an `Event` at each return."
    )
    onmessage: EventHandler[MessageEvent[ReconnectingWebSocket]] = EventHandler(
        "Called with a `MessageEvent` for each message."
    )
    onerror: EventHandler[ErrorEvent[ReconnectingWebSocket]] = EventHandler(
        "Called with an `ErrorEvent` at each failure."
    )
    onclose: EventHandler[LossEvent[ReconnectingWebSocket]] = EventHandler(
        "Called with a `LossEvent` at each loss, and at the end."
    )

    # Methods.

    def send(self, data: str | Buffer) -> None:
        """As `WebSocket.send`; raises `InvalidStateErr` from a loss to the next open event."""
        with self._sending:
            if self.readyState == CONNECTING:
                raise InvalidStateErr("send() while there is no connection: readyState is CONNECTING")
            self._present.send(data)

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """As `WebSocket.close`, and for good: no connection is made after this. Returns at once."""
        validate_close(code, reason)
        self._stopped.set()
        self._present.close(code, reason)

    def join(self, timeout: float | None = None) -> None:
        """As `WebSocket.join`: waits until it is closed for good."""
        check_timeout("timeout", timeout)
        if threading.get_ident() in (self._present._worker.thread, self._telling):
            raise RuntimeError("join() was called from a callback, which it would wait for")
        # Not Thread.join() alone: until Python 3.13 one that Ctrl-C interrupts takes the thread for ended.
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self!r} did not close within {timeout} s")
        self._thread.join()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close for good, and wait for the end."""
        self.close()
        self.join()

    # Inside.

    def _listener_added(self) -> None:
        if self._attempt is not None:
            self._attempt._worker.open_gate()

    def _after_fork(self) -> None:
        """In a forked child, where the thread is not: closed, for good."""
        self._listener_lock = threading.RLock()
        self._sending = threading.RLock()
        self._stopped, self._ended = Flag(), Flag()
        self._stopped.set()
        self._ended.set()
        self._over = True

    def _begin(self) -> _Attempt:
        headers = self._headers() if callable(self._headers) else self._headers
        return _Attempt(self, *self._arguments, headers=headers, dispatch=self._dispatch, **self._options)

    def _run(self) -> None:
        """The body of the thread: one attempt after the other."""
        try:
            self._make_attempts()
        finally:
            self._over = True
            self._ended.set()

    def _make_attempts(self) -> None:
        while True:
            self._present._engine.join_threads(None)  # not join(), which would let the first events through
            if self._retry_in is None:
                return
            stopped = self._stopped.wait(self._retry_in)
            if self._over:
                stay()
            if stopped:
                self._lose(WebSocketError("close() was called before the connection was open"))
                continue
            try:
                attempt = self._begin()
            except BaseException as error:  # also SystemExit, as from a callback: others wait for this thread
                self._lose(error if isinstance(error, Exception) else WebSocketError(repr(error)))
                continue
            self._take_over(attempt)
            attempt._worker.open_gate()
            if self._stopped.is_set():  # close() came while it was being made, and has not seen it
                attempt.close()

    def _take_over(self, attempt: _Attempt) -> None:
        """`attempt` is the present one from now on; at the latest when its first event is told."""
        if self._attempt is not attempt:
            if self._attempt is not None:
                attempt.binaryType = self._attempt.binaryType
            self._attempt = attempt

    def _lose(self, error: Exception) -> None:
        """There was no attempt: tell of that as of one that failed."""
        self._settle(error, 0.0)
        # A copy, since this thread is inside its own context already.
        context = contextvars.copy_context()
        if self._dispatch is None:
            self._tell_of_none(error)
        else:
            hand_over(self._dispatch, lambda: context.run(self._tell_of_none, error), self._log_fields)

    def _tell_of_none(self, error: Exception) -> None:
        self._telling = threading.get_ident()
        self._tell(ErrorEvent("error", error))
        self._tell(LossEvent(CloseEvent("close", CloseCode.ABNORMAL), self._retry_in, 0))
        self._telling = None
        self._raise_interrupt()

    def _settle(self, error: Exception, open_seconds: float) -> None:
        """Decide what comes after a loss, before anybody is told of it."""
        retry_in = self._decide(error, open_seconds)
        with self._sending:
            self._retry_in = retry_in
            self._over = retry_in is None
        unheard = not (self._registrations.get("error") or self._registrations.get("close"))
        if unheard and not self._stopped.is_set() and not is_process_ending():
            then = "no further attempt" if retry_in is None else f"next attempt in {retry_in:.1f} s"
            log(logging.WARNING, self._log_fields, "%s; %s", error, then)

    def _decide(self, error: Exception, open_seconds: float) -> float | None:
        if self._stopped.is_set():
            return None
        try:
            return self._history.decide(error, open_seconds)
        except BaseException:
            log_exception(self._log_fields, "the policy raised; no further attempt is made")
            return None

    def _lost(self, attempt: _Attempt, close: CloseEvent[Any]) -> None:
        """An attempt is over: decide what comes next."""
        error = attempt.failure
        if attempt.was_open:
            error, cause = ConnectionClosed(close.code, close.reason, close.wasClean), error
            error.__cause__ = cause
        assert error is not None  # what was never open has failed
        self._settle(error, attempt._engine.open_seconds)

    def _loss_event(self, attempt: _Attempt, close: CloseEvent[Any]) -> LossEvent[Any]:
        with self._sending:
            return LossEvent(close, self._retry_in, attempt.bufferedAmount)

    def _tell(self, event: Event[Any]) -> None:
        event.target = self
        self._fire(event)


class _Attempt(WebSocket):
    """One connection, whose events go to its owner's listeners."""

    def __init__(self, owner: ReconnectingWebSocket, *arguments: Any, **options: Any) -> None:
        self._owner = owner
        self.was_open = False
        self.failure: Exception | None = None
        super().__init__(*arguments, **options)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._owner._after_fork()

    def _tell_console(self, error: BaseException) -> None:
        """The owner tells it, with what comes next."""

    def _raise_interrupt(self) -> None:
        self._owner._raise_interrupt()

    def _fire(self, event: Event[Any]) -> None:
        self._owner._take_over(self)
        if event.type == "open":
            self.was_open = True
        elif isinstance(event, ErrorEvent):
            error = event.error
            self.failure = error if isinstance(error, Exception) else WebSocketError(event.message)
            self._owner._lost(self, CloseEvent("close", CloseCode.ABNORMAL))
        elif isinstance(event, CloseEvent):
            if self.failure is None:
                self._owner._lost(self, event)
            event = self._owner._loss_event(self, event)
        self._owner._tell(event)
