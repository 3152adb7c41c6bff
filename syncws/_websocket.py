"""`WebSocket`: the browser's interface (WHATWG WebSockets 3), over one link of the callback API.

Owns: its listeners. Runs on: every public method on any thread; `_on_link_event` where the callbacks run.
Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._engine.options.option_types import (
    DEFAULT_QUEUE,
    Dispatch,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    cookiejar,
    socket,
    ssl,
    trace_record,
)
from ._engine.options.unknown_options import explain_unknown
from ._event_target import EventHandler
from ._events import CloseEvent, ErrorEvent, Event, MessageEvent
from ._exceptions import InvalidStateErr, WebSocketError
from ._later import Later
from ._link_attributes import LinkAttributes
from ._protocol.frames import Buffer, CloseCode
from ._protocol.messages import encode_message, encode_message_as, encode_ping, validate_close
from ._ready_state import CONNECTING, OPEN, STATE_NAMES, ReadyStates

if TYPE_CHECKING:
    from . import _callback_link as callback_link
    from . import _log
    from ._engine import process
    from ._engine.options import options as engine_options
else:
    _log, callback_link = Later("syncws._log"), Later("syncws._callback_link")
    engine_options, process = Later("syncws._engine.options.options"), Later("syncws._engine.process")

Self = TypeVar("Self", bound="WebSocket")


class WebSocket(ReadyStates, LinkAttributes):
    """A WebSocket connection, as in a browser, for code that does not use asyncio.

    The constructor returns at once; the connection is made in the background, and events are dispatched
    one after the other on a thread of their own. Every method may be called from any thread, also from
    inside callbacks. None waits but `join` and `wait_open`.

    While it has listeners, it stays open even if the program keeps no reference to it. A `WebSocket` without
    listeners is closed when it is collected, as in browsers (WHATWG 5), with a `ResourceWarning` if it was
    open.

    Args:
        url: an absolute ``ws:`` or ``wss:`` URL (``http:`` and ``https:`` are taken as these).
        protocols: the subprotocols to ask for, a str or several; the server must select one of them.
        onopen, onmessage, onerror, onclose: handlers, set before the first event can come.
        dispatch: a callable that is given a callable of no arguments for each batch of callbacks, and
            schedules it on the thread of your choice (``loop.call_soon_threadsafe``, the ``put`` of a queue
            that Tk's main loop empties), instead of our worker.
        headers: further fields of the request head, a mapping or (name, value) pairs.
        origin: the Origin field; a browser's page has one, a program has none by default.
        auth: (user, password) for Basic authentication; ``user:password@`` in the URL does the same, and
            for a token there is ``headers={"Authorization": "Bearer ..."}``.
        cookies: an `http.cookiejar.CookieJar`: what it has for the URL is sent, and what the answer sets is
            stored in it. None by default: a jar that connections shared unasked would leak between them.
        max_redirects: how many redirects to follow. 0: as in browsers. Never from ``wss`` to ``ws``, and
            credentials and the caller's cookies do not go along to another origin.
        require_protocol: whether a server that selects none of the `protocols` fails the connection. True:
            as in browsers.
        allow_blocked_port: whether the ports that browsers block may be used. False: as in browsers.
        ssl_context: for ``wss``; None verifies against the system's trust store.
        ca: in the place of the system's trust store, a file of certificate authorities (PEM), or a folder
            as ``openssl rehash`` makes it.
        cert: the client's own certificate: a PEM file that also holds its key, or (certificate, key).
        server_hostname: the name to send (SNI) and to verify; None takes the URL's host.
        proxy: a proxy's URL (``http``, ``https``, ``socks5h``, ``socks5``, ``socks4a``, ``socks4``); None
            for none. ``"auto"``: by the environment's ``https_proxy``, ``http_proxy``, ``all_proxy`` and
            ``no_proxy``, as most programs do; never for this machine itself.
        sock: a connected socket to use, and to close. None: a new one is made.
        unix: the path of a Unix socket to connect to, in the place of the URL's host and port.
        source_address: (host, port) to connect from. None: the system chooses.
        family: 4 or 6 connects by IPv4 or IPv6 alone. None: by whichever answers first (RFC 8305).
        socket_options: (level, name, value) tuples, set on the new socket as by `socket.setsockopt`, after
            ours (``TCP_NODELAY``, keepalive).
        open_timeout: seconds for DNS, TCP, TLS and the handshake in all. 10 s: longer than a bad mobile
            link takes, shorter than a person waits.
        close_timeout: seconds that closing may stand still: the network takes nothing of what is queued, or
            the server's Close does not come. 10 s, as `open_timeout`.
        ping_interval: seconds between keepalive pings. 20 s: below the idle time-outs of common proxies
            and NATs (30 to 60 s).
        ping_timeout: seconds of silence after a ping before the link counts as dead. 20 s: a link that
            stalls for less often comes back.
        max_size: bytes of one message after decompression. 16 MiB: what fits a worker's memory several
            times over; a hostile server cannot make the process swell.
        max_queue: (bytes, messages) waiting to be dispatched before reading pauses; an int is bytes. 4 MiB
            and 16384: a burst is taken in large reads, and a consumer that stands still costs a few MiB.
        max_buffered: bytes that `send` may have waiting, else it raises `BufferFull`. None: `bufferedAmount`
            is for the caller to watch.
        compression: ``"deflate"`` offers permessage-deflate, as browsers do; None does not.
        trace: a callable that is given a `TraceRecord` of every step: look-up, TCP, TLS, heads, frames, the
            end. It is called on the thread on which the step happens. None: no step is reported.

    None turns a time-out, the pings or a limit off.

    Raises:
        SyntaxErr: the URL cannot be parsed, is relative, has a fragment or another scheme; a subprotocol
            is no token or is given twice.
        SecurityErr: the URL's port is blocked (Fetch, *port blocking*).
        TypeError: an option is unknown or has the wrong type; a handler cannot be called, or is an
            ``async def``.
        ValueError: an option has a bad value, such as a header with CR, LF or NUL.

    What goes wrong with the network or the server is not raised here: it comes as an error event.
    """

    _constructed = False

    @explain_unknown
    def __init__(
        self,
        url: str,
        protocols: str | Iterable[str] = (),
        *,
        # handlers
        onopen: Callable[[Event[WebSocket]], object] | None = None,
        onmessage: Callable[[MessageEvent[WebSocket]], object] | None = None,
        onerror: Callable[[ErrorEvent[WebSocket]], object] | None = None,
        onclose: Callable[[CloseEvent[WebSocket]], object] | None = None,
        dispatch: Dispatch | None = None,
        # HTTP
        headers: HeadersLike | None = None,
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
        sock: socket.socket | None = None,
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
        options = engine_options.chosen(locals())
        super().__init__()
        engine_options.check_dispatch(dispatch)
        self._link = link = callback_link.CallbackLink(
            self, *engine_options.check_arguments(url, protocols, options), dispatch
        )
        self._log_fields = link.engine.log_fields
        handlers = (onopen, onmessage, onerror, onclose)
        for name, handler in zip(_HANDLERS, handlers, strict=True):
            self._set_handler(name, handler)
        link.start()
        self._constructed = True
        link.dispatcher.constructor_returned(any(handlers))

    def _forsake(self) -> None:
        """The constructor has raised: end what it has begun, since nobody has this object."""
        if "_link" in vars(self):
            self._link.forsake("the constructor was interrupted")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._link.url.public} {STATE_NAMES[self._link.ready_state]}>"

    # Attributes.

    @property
    def readyState(self) -> int:
        """`CONNECTING` 0, `OPEN` 1, `CLOSING` 2 or `CLOSED` 3.

        It changes between callbacks, in step with the events; `close()` and `abort()` set `CLOSING` before
        they return.
        """
        return self._link.ready_state

    onopen: EventHandler[Event[WebSocket]] = EventHandler(
        "Called with an `Event` when the connection is open."
    )
    onmessage: EventHandler[MessageEvent[WebSocket]] = EventHandler(
        "Called with a `MessageEvent` for each message."
    )
    onerror: EventHandler[ErrorEvent[WebSocket]] = EventHandler(
        "Called with an `ErrorEvent` when the connection failed; a close event follows."
    )
    onclose: EventHandler[CloseEvent[WebSocket]] = EventHandler("Called with a `CloseEvent` once, last.")

    # Methods.

    def send(self, data: str | Buffer, *, text: bool | None = None) -> None:
        """Queue a message: text for a `str`, binary for an object with the buffer protocol.

        With ``text=True`` bytes that are UTF-8 (`orjson` makes such) go out as text, with ``text=False`` a
        `str` as binary. Returns at once. A mutable buffer is copied before that. While closing and after, the
        message is dropped, and counted in `bufferedAmount` (WHATWG, *send*).

        Raises:
            InvalidStateErr: the connection is not open yet.
            SyntaxErr: the text holds a lone surrogate, or what is to be text is not UTF-8; nothing is sent.
            TypeError: neither text nor a buffer; `text` is neither a bool nor None.
            BufferFull: `max_buffered` would be passed; nothing is sent.
        """
        link = self._link
        if link.ready_state == CONNECTING:
            raise InvalidStateErr(
                "send() before the open event: readyState is still CONNECTING "
                "(send in onopen, or use syncws.connect())"
            )
        opcode, payload = encode_message(data) if text is None else encode_message_as(data, text)
        link.send(opcode, payload)

    def ping(self, data: Buffer = b"") -> None:
        """Queue a Ping, ahead of the messages that wait. Returns at once; once closing, it is dropped.

        The server answers with a Pong that has the same data (RFC 6455 5.5.3). Listeners can be called with
        it, and with the server's pings, which are answered in any case:
        ``ws.addEventListener("pong", ...)`` and ``"ping"`` are given `MessageEvent`s whose `data` is `bytes`,
        in order with the messages. The pongs of the keepalive come there too.

        Args:
            data: at most 125 bytes.

        Raises:
            InvalidStateErr: the connection is not open yet.
            TypeError: no object with the buffer protocol.
            ValueError: more than 125 bytes.
        """
        if self._link.ready_state == CONNECTING:
            raise InvalidStateErr("ping() before the open event: readyState is still CONNECTING")
        self._link.ping(encode_ping(data))

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection: what was queued is sent first, then a Close frame. Returns at once.

        While connecting, the attempt is abandoned: an error event and a close event (1006) follow. While
        closing and after, this does nothing.

        Args:
            code: 1000, or 3000 to 4999; None sends a Close frame without a code.
            reason: at most 123 bytes of UTF-8.

        Raises:
            InvalidAccessErr: another code.
            SyntaxErr: the reason is too long or holds a lone surrogate, or comes without a code.
        """
        self._link.close(validate_close(code, reason))

    def abort(self, reason: str = "") -> None:
        """End the connection now, without waiting: no Close frame is sent, and TCP is reset.

        Returns at once; `readyState` is `CLOSING` then, and an error event and a close event (1006) follow.
        What the network has not taken is dropped, and stays counted in `bufferedAmount`. Does nothing when
        closed.

        Args:
            reason: for the text of the error event.
        """
        self._link.abort(reason)

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the open event has been dispatched.

        Open, error and close events need not wait for their listeners meanwhile. Messages do, until 100 ms
        after this has returned.

        Args:
            timeout: seconds to wait; None waits until it is open or has failed.

        Raises:
            TimeoutError: not within `timeout` seconds.
            TypeError: `timeout` is no number.
            RuntimeError: called from a callback, which would wait for itself.
            OSError, WebSocketError: what failed, as for `syncws.connect`.
        """
        engine_options.check_timeout("timeout", timeout)
        self._link.check_may_wait("wait_open()")
        if not self._link.wait_open(timeout):
            raise TimeoutError(f"{self!r} was not open within {timeout:g} s")
        if not self._link.is_open_told:
            raise self._link.failure or WebSocketError("the connection ended before it was open")

    def join(self, timeout: float | None = None) -> None:
        """Wait until the connection is closed and the close event has been dispatched.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: not within `timeout` seconds.
            TypeError: `timeout` is no number.
            RuntimeError: called from a callback, which would wait for itself.
        """
        engine_options.check_timeout("timeout", timeout)
        self._link.check_may_wait("join()")
        if not self._link.wait_over(timeout):
            raise TimeoutError(f"{self!r} did not close within {timeout:g} s")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, and wait for the end; quickly, with 1001, when Ctrl-C or `SystemExit` left the block."""
        self._link.leave(error)

    def __del__(self) -> None:
        if self._constructed and self._link.ready_state in (CONNECTING, OPEN):
            self._link.engine.close_collected(self)

    # Its base and its link call these methods.

    def _listener_added(self) -> None:
        if self._constructed:
            self._link.dispatcher.first_events.listener_added()

    def _listeners_changed(self) -> None:
        if self._constructed:
            self._link.hold_or_let_go()

    def _on_link_event(self, link: callback_link.CallbackLink, event: Event[Any]) -> None:
        event.target = self
        if isinstance(event, ErrorEvent) and event.error is not None:
            self._tell_console(event.error)
        self._fire(event)

    def _tell_console(self, error: BaseException) -> None:
        """Log a failure for which there is no listener, as browsers print it to their console."""
        if not (
            self._registrations.get("error")
            or self._link.is_closed_by_application
            or process.is_process_exiting()
        ):
            _log.log_warning(self._log_fields, "%s failed: %s", self._link.url.public, error)

    def _on_fork(self) -> None:
        """In a forked child there is nothing to do: the link says that it is closed."""


_HANDLERS = ("open", "message", "error", "close")
