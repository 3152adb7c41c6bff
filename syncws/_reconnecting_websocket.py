"""`ReconnectingWebSocket`: the callback API's connection that comes back after a loss.

Owns: one thread that makes one `CallbackLink` after the other. Runs on: that thread, the callbacks of the
present link, and any caller's. Must not import: sockets, frame layout, the reader.

No message is lost without a report: `send` refuses it, or the loss event reports its bytes as unsent. For
that the loss event seals the link's send queue, which then counts nothing more.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, TypeVar

from ._callback_link import CallbackLink
from ._engine.consumer.dispatching import dispatch_and_wait
from ._engine.engine import THREADS_SECONDS
from ._engine.options.fresh_arguments import FreshArguments
from ._engine.options.option_types import (
    DEFAULT_QUEUE,
    Dispatch,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    cookiejar,
    ssl,
    trace_record,
)
from ._engine.options.options import check_arguments, check_dispatch, check_timeout, chosen
from ._engine.options.unknown_options import explain_unknown
from ._engine.primitives import Flag
from ._engine.process import is_process_exiting
from ._engine.spare_threads import start_thread
from ._engine.threads import block_forever
from ._engine.writing.send_queue import REFUSED
from ._event_target import EventHandler
from ._events import CloseEvent, ErrorEvent, Event, MessageEvent, TargetT
from ._exceptions import ConnectionClosed, InvalidStateErr, WebSocketError
from ._link_attributes import LinkAttributes
from ._log import log_exception
from ._open_wait import OpenWait
from ._protocol.frames import Buffer, CloseCode
from ._protocol.messages import encode_message, encode_message_as, encode_ping, validate_close
from ._ready_state import CLOSED, CLOSING, CONNECTING, STATE_NAMES, ReadyStates
from ._retry import RetryPolicy, RetryState, default_policy, log_loss

_HANDLERS = ("open", "message", "error", "close")
_numbers = itertools.count(1)
_NO_CONNECTION = "while there is no connection: readyState is CONNECTING (wait for onopen, or wait_open())"


class LossEvent(CloseEvent[TargetT]):
    """A `CloseEvent` that also says what comes next.

    Attributes:
        retry_in: seconds until the next attempt; None when there is none, and this event is the last.
        unsent: bytes that were given to `send` and not handed to the network: they are lost.
    """

    def __init__(self, close: CloseEvent[Any], retry_in: float | None, unsent: int) -> None:
        super().__init__(close.type, close.code, close.reason, close.wasClean)
        self._shown_reason = close._shown_reason
        self.retry_in: float | None = retry_in
        self.unsent: int = unsent

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, retry_in={self.retry_in}, unsent={self.unsent})"


Self = TypeVar("Self", bound="ReconnectingWebSocket")


class ReconnectingWebSocket(ReadyStates, LinkAttributes):
    """A `WebSocket` that makes its connection anew after a loss.

    It has the events of `WebSocket`, over and over: open with each connection, close at each loss and each
    attempt that fails, and error before it, unless a Close frame ended the connection. A close event is a
    `LossEvent`; after one whose ``retry_in`` is None nothing comes. Between a loss and the next open event
    `readyState` is `CONNECTING` and `send` raises `InvalidStateErr`: what would be lost is never taken.

    Args:
        url, protocols, headers: as for `syncws.WebSocket`; each may also be a callable, which is asked before
            each attempt (for tokens that expire).
        onopen, onmessage, onerror, onclose, dispatch: as for `syncws.WebSocket`, but `onclose` is called with
            a `LossEvent`.
        policy: is given a `Loss`, returns the seconds to wait, or None to stop; see `syncws.default_policy`.
        origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca, cert,
            server_hostname, proxy, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression,
            trace: as for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`; or what a callable raises.
    """

    @explain_unknown
    def __init__(
        self,
        url: str | Callable[[], str],
        protocols: str | Iterable[str] | Callable[[], str | Iterable[str]] = (),
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
        # route
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
        trace: Callable[[trace_record.TraceRecord], object] | None = None,
    ) -> None:
        options = chosen(locals())
        super().__init__()
        check_dispatch(dispatch)
        self._retry_state = RetryState(policy)
        self._arguments = FreshArguments(url, protocols, options.pop("headers"), options)
        self._dispatch = dispatch
        self._stopped = Flag()
        self._ended = Flag()
        self._opening = OpenWait()
        self._over = False
        self._retry_in: float | None = None
        self._firing_thread: int | None = None  # the thread that dispatches events without a connection
        # The arguments are checked here, not on the thread, so that a mistake raises from the constructor.
        self._link = link = self._make_link()
        name = f"syncws-reconnecting-{next(_numbers)}"
        self._log_fields = {"connection": name, "url": link.url.public}
        handlers = (onopen, onmessage, onerror, onclose)
        for kind, handler in zip(_HANDLERS, handlers, strict=True):
            self._set_handler(kind, handler)
        link.start()
        self._start_thread(name)
        self._constructed = True
        link.dispatcher.constructor_returned(any(handlers))

    def _forsake(self) -> None:
        """The constructor has raised: end what it has begun, since nobody has this object."""
        if "_link" in vars(self):
            self._stopped.set()
            self._link.forsake("the constructor was interrupted")

    def __repr__(self) -> str:
        return f"<ReconnectingWebSocket {self._link.url.public} {STATE_NAMES[self.readyState]}>"

    # Attributes.

    @property
    def readyState(self) -> int:
        """As `WebSocket.readyState`, but `CONNECTING` from a loss to the next open event."""
        if self._over:
            return CLOSED
        state = self._link.ready_state
        if state == CLOSED:
            return CLOSING if self._stopped.is_set() else CONNECTING
        return state

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

    def send(self, data: str | Buffer, *, text: bool | None = None) -> None:
        """As `WebSocket.send`; raises `InvalidStateErr` from a loss to the next open event."""
        link = self._link
        if self.readyState == CONNECTING:
            raise InvalidStateErr(f"send() {_NO_CONNECTION}")
        opcode, payload = encode_message(data) if text is None else encode_message_as(data, text)
        if link.send(opcode, payload) == REFUSED:
            raise InvalidStateErr(f"send() {_NO_CONNECTION}")

    def ping(self, data: Buffer = b"") -> None:
        """As `WebSocket.ping`; raises `InvalidStateErr` from a loss to the next open event."""
        if self.readyState == CONNECTING:
            raise InvalidStateErr(f"ping() {_NO_CONNECTION}")
        self._link.ping(encode_ping(data))

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """As `WebSocket.close`, and for good: no connection is made after this. Returns at once."""
        frame = validate_close(code, reason)
        self._stopped.set()
        self._link.close(frame)

    def abort(self, reason: str = "") -> None:
        """As `WebSocket.abort`, and for good: no connection is made after this. Returns at once."""
        self._stopped.set()
        self._link.abort(reason)

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait through losses and pauses until there is a connection and its open event has been dispatched.

        Otherwise as `WebSocket.wait_open`; raises what ended the last attempt once it is closed for good.
        """
        check_timeout("timeout", timeout)
        self._check_may_wait("wait_open()")
        if not self._opening.wait(self._link.dispatcher.first_events, timeout):
            raise TimeoutError(f"{self!r} was not open within {timeout:g} s")

    def join(self, timeout: float | None = None) -> None:
        """As `WebSocket.join`: waits until it is closed for good."""
        check_timeout("timeout", timeout)
        self._check_may_wait("join()")
        self._link.dispatcher.first_events.pass_all()
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self!r} did not close within {timeout:g} s")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close for good, and wait for the end; quickly, when Ctrl-C or `SystemExit` left the block."""
        self._stopped.set()
        self._link.leave(error)
        if error is None or isinstance(error, Exception):
            self.join()

    # Its base and its links call these methods.

    _constructed = False

    def _check_may_wait(self, call: str) -> None:
        self._link.check_may_wait(call)
        if threading.get_ident() == self._firing_thread:
            raise RuntimeError(f"{call} was called from a callback, which it would wait for")

    def _listener_added(self) -> None:
        if self._constructed:
            self._link.dispatcher.first_events.listener_added()

    def _on_link_event(self, link: CallbackLink, event: Event[Any]) -> None:
        self._link = link  # The thread in `_run` may not have set it yet.
        if event.type == "open":
            self._reconnects += 1
            link.engine.reconnects = self._reconnects
        if isinstance(event, ErrorEvent):
            self._set_next_delay(self._lost_error(link, None), link.engine.open_seconds)
        elif isinstance(event, CloseEvent):
            if link.failure is None:
                self._set_next_delay(self._lost_error(link, event), link.engine.open_seconds)
            queue = link.engine.queue
            # After the final close, bufferedAmount counts what is dropped, as in a WebSocket.
            event = LossEvent(event, self._retry_in, queue.buffered if self._over else queue.seal())
        self._fire_own(event)
        if event.type == "open":
            self._opening.opened()

    def _on_fork(self) -> None:
        """In a forked child: this is closed for good, since its thread does not exist here."""
        self._over = True
        self._stopped.set()
        self._ended.set()

    _reconnects = -1  # Making the first connection is no reconnect.

    # The thread.

    def _start_thread(self, name: str) -> None:
        # Callbacks see the context variables of the constructor's caller, also after the first loss.
        run = contextvars.copy_context().run
        start_thread(name, lambda: run(self._run))

    def _make_link(self) -> CallbackLink:
        return CallbackLink(self, *check_arguments(*self._arguments.ask()), self._dispatch)

    def _run(self) -> None:
        """The body of the thread: one attempt after the other."""
        try:
            self._make_attempts()
        finally:
            self._over = True
            self._ended.set()
            self._opening.end()

    def _make_attempts(self) -> None:
        while True:
            # link.wait_over() is not used, since it would let the first events through.
            self._link.dispatcher.wait_over(None)
            self._link.engine.wait_over(THREADS_SECONDS)  # Threads could pile up if links end at once.
            if self._retry_in is None:
                return
            stopped = self._stopped.wait(self._retry_in)
            if self._over:
                block_forever()  # Only a greenlet gets here: a fork has copied it into the child.
            if stopped:
                self._attempt_failed(WebSocketError("close() was called before the connection was open"))
                continue
            try:
                self._link = link = self._make_link()
                link.engine.reconnects = max(0, self._reconnects)
                self._log_fields = {**self._log_fields, "url": link.url.public}
                link.start()
            except BaseException as error:  # SystemExit, too, must not end this thread: others wait for it.
                self._attempt_failed(error if isinstance(error, Exception) else WebSocketError(repr(error)))
                continue
            link.dispatcher.constructor_returned(True)
            if self._stopped.is_set():  # A close() during its making has not seen the link.
                link.close(validate_close(CloseCode.NORMAL, ""))

    def _attempt_failed(self, error: Exception) -> None:
        """The attempt could not begin: dispatch the events of one that failed."""
        self._set_next_delay(error, 0.0)
        # The context is copied, since this thread has entered its own already.
        context = contextvars.copy_context()
        if self._dispatch is None:
            self._fire_failed_attempt(error)
        else:
            run, fire = context.run, self._fire_failed_attempt
            dispatch_and_wait(self._dispatch, lambda: run(fire, error), self._log_fields)

    def _fire_failed_attempt(self, error: Exception) -> None:
        self._firing_thread = threading.get_ident()
        self._fire_own(ErrorEvent("error", error))
        self._fire_own(LossEvent(CloseEvent("close", CloseCode.ABNORMAL), self._retry_in, 0))
        self._firing_thread = None
        self._raise_interrupt()

    def _lost_error(self, link: CallbackLink, close: CloseEvent[Any] | None) -> Exception:
        """The error for the policy: the failure, or a `ConnectionClosed` for a connection that was open."""
        failure = link.failure
        if link.opened is None:
            return failure if isinstance(failure, Exception) else WebSocketError(repr(failure))
        if close is None:
            error = ConnectionClosed(CloseCode.ABNORMAL, "", False)
        else:
            error = ConnectionClosed(close.code, close.reason, close.wasClean, shown=close._shown_reason)
        error.__cause__ = failure
        return error

    def _set_next_delay(self, error: Exception, open_seconds: float) -> None:
        """Decide what comes after a loss, before its events are dispatched."""
        self._retry_in = retry_in = self._ask_policy(error, open_seconds)
        self._over = retry_in is None
        tracer = self._link.engine.tracer
        if retry_in is not None and tracer is not None:
            tracer.tell("retry", url=self._link.url.public, error=error, retry_in=retry_in)
        self._opening.lost(error)
        if not self._stopped.is_set() and not is_process_exiting():
            log_loss(self._log_fields, error, retry_in)

    def _ask_policy(self, error: Exception, open_seconds: float) -> float | None:
        if self._stopped.is_set():
            return None
        try:
            return self._retry_state.next_delay(error, open_seconds)
        except BaseException:
            log_exception(self._log_fields, "the policy raised; no further attempt is made")
            return None

    def _fire_own(self, event: Event[Any]) -> None:
        event.target = self
        self._fire(event)
