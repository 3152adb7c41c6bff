"""`connect` and `Connection`: the blocking API, for code that waits rather than is called.

Owns: nothing of its own; what was received waits in `_inbox`. Runs on: any thread. Must not import: sockets,
the reader, the worker.

It is the same engine as `WebSocket`'s; the caller's thread takes the events off the queue.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from ._engine.engine import Engine
from ._engine.inbox import Inbox
from ._engine.options import (
    DEFAULT_QUEUE,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    check_arguments,
    check_timeout,
    chosen,
    cookiejar,
    explain_unknown,
    socket,
    ssl,
)
from ._exceptions import ConnectionClosed, WebSocketError
from ._protocol.frames import FIN, Buffer, CloseCode, CloseFrame, Opcode
from ._protocol.http11 import Response
from ._protocol.messages import encode_message, validate_close
from ._protocol.url import URL
from ._ready_state import CLOSED, CLOSING, CONNECTING, OPEN, STATE_NAMES, ReadyStates

# Iteration ends quietly on these: the server was done, went away, or gave no code.
_QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})

# How long leaving a with-block by Ctrl-C or SystemExit waits for the server's Close.
_HURRIED_SECONDS = 1.0

# How long `flush` waits, once the writer has ended, for the record of how the connection ended. It comes at
# once, unless the reader is held up by messages that nobody receives.
_RECORD_SECONDS = 1.0

Self = TypeVar("Self", bound="Connection")


@explain_unknown
def connect(
    url: str,
    protocols: str | Iterable[str] = (),
    *,
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
    # the way
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
) -> Connection:
    """Open a connection, and wait until it is open.

    May be used with ``with``, which closes it at the end of the block, or without.

    Args:
        url: an absolute ``ws:`` or ``wss:`` URL (``http:`` and ``https:`` are taken as these).
        protocols: the subprotocols to ask for, a str or several; the server must select one of them.
        headers, origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca,
            cert, server_hostname, proxy, sock, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression: as
            for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`.
        OSError: DNS, TCP or TLS failed; `TimeoutError` when `open_timeout` is over.
        HandshakeError: the server refused, or its answer is not valid.
        ConnectionLost: the server ended TCP before it answered.
    """
    options = chosen(locals())
    connection = begin(url, protocols, options)
    connection._wait_open()
    return connection


def begin(url: str, protocols: str | Iterable[str], options: dict[str, Any]) -> Connection:
    """A connection that is being opened; `Connection._wait_open` waits until it is."""
    parsed, checked, checked_options = check_arguments(url, protocols, options)
    engine = Engine(parsed, checked, checked_options, in_parts=True)
    connection = Connection(parsed, engine)
    engine.start(connection)
    return connection


class Connection(ReadyStates):
    """An open WebSocket connection; made by `syncws.connect`.

    Every method may be called from any thread; one thread may send while another receives, and of several
    threads in `recv` each gets whole messages. One that is collected while it is open is closed, with a
    `ResourceWarning`.
    """

    # Any for an Engine: what a public signature names counts as public to those that check types.
    def __init__(self, url: URL, engine: Any) -> None:
        self._url = url
        self._engine = cast(Engine, engine)
        self._writer = self._engine.writer
        self._inbox = Inbox(self._engine.queue, self._engine.connection_closed)
        self._messages = self._inbox.messages
        self._close_called = False

    def __repr__(self) -> str:
        return f"<Connection {self._url.public} {STATE_NAMES[self.readyState]}>"

    # Attributes.

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return str(self._url)

    @property
    def protocol(self) -> str:
        """The subprotocol that the server selected; ``""`` when none."""
        return self._inbox.opening.protocol if self._inbox.opening else ""

    @property
    def extensions(self) -> str:
        """The extensions that the server selected, as its header has them."""
        return self._inbox.opening.extensions if self._inbox.opening else ""

    @property
    def response(self) -> Response:
        """The head of the server's answer to the opening handshake: status, reason, headers."""
        assert self._inbox.opening is not None  # connect() gives no connection away before it is open
        return self._inbox.opening.response

    @property
    def readyState(self) -> int:
        """`OPEN` 1, `CLOSING` 2 or `CLOSED` 3: the state of the link; messages may be left to receive."""
        if self._engine.closed is not None:
            return CLOSED
        if self._inbox.opening is None:
            return CONNECTING
        return OPEN if self._writer.accepting else CLOSING

    @property
    def bufferedAmount(self) -> int:
        """Bytes given to `send` and not yet handed to the network, without framing, before compression."""
        return int(self._writer.buffered)

    # Methods.

    def recv(self, timeout: float | None = None) -> str | bytes:
        """The next message: `str` for text, `bytes` for binary.

        Args:
            timeout: seconds to wait; None waits until there is a message or the connection is over.

        Raises:
            TimeoutError: none came in time; nothing is lost by that.
            ConnectionClosed: the connection is over and all messages were received; at every call.
            TypeError: `timeout` is no number.
        """
        if timeout is not None:  # looked at here, since to call for nothing would cost a tenth of a message
            check_timeout("timeout", timeout)
        try:
            return self._messages.popleft()
        except IndexError:
            pass  # and what is raised below has no cause in this
        return self._inbox.receive(timeout)

    def recv_streaming(self, timeout: float | None = None) -> Iterator[str | bytes]:
        """The next message in parts, as they arrive: `str` for text, `bytes` for binary.

        A message of any size passes in little memory; raise `max_size` for one of over 16 MiB. While a
        message is being streamed, other threads that receive wait for its end. Leaving the iteration
        early skips the rest of the message.

        Args:
            timeout: seconds to wait for each part; None waits until there is one or the connection is over.

        Raises:
            TimeoutError: no part came in time; the rest of the message is skipped.
            ConnectionClosed: the connection is over; also when it ended inside the message.
            TypeError: `timeout` is no number; at the first step of the iteration.
        """
        check_timeout("timeout", timeout)
        # Not a plain return: the connection must not be collected while only this is held.
        yield from self._inbox.stream(timeout)

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the close; ends quietly on 1000, 1001 and 1005.

        Raises `ConnectionClosed` on any other end.
        """
        while True:
            try:
                message = self.recv()
            except ConnectionClosed as closed:
                if closed.code in _QUIET_CODES:
                    return
                raise
            yield message

    def send(self, data: str | Buffer | Iterable[str] | Iterable[Buffer]) -> None:
        """Queue a message: text for a `str`, binary for an object with the buffer protocol.

        Returns at once; a mutable buffer is copied before that. See `flush` and `bufferedAmount`.

        An iterable of either kind is sent as one message, in fragments, as its chunks come: a message of any
        size passes in little memory, since this waits while 1 MiB, or `max_buffered` where that is less, is
        unsent. What other threads send meanwhile goes after it. `close()` cuts it short, and this raises
        `ConnectionClosed`, unless such messages wait for its end. When the iterable raises, the message
        cannot be ended: the connection is failed with 1011, and the exception goes on.

        Raises:
            ConnectionClosed: the connection is closing or over; the message is not sent.
            SyntaxErr: the text holds a lone surrogate.
            TypeError: neither text nor a buffer, nor an iterable of one of them; also a mapping, whose keys
                are hardly meant.
            ValueError: an iterable without a chunk.
            RuntimeError: an iterable, from inside one that is being sent: it would wait for itself.
            BufferFull: `max_buffered` would be passed.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) and isinstance(data, Iterable):
            try:
                memoryview(data)  # type: ignore[arg-type]
            except TypeError:
                self._send_chunks(iter(data))
                return
        opcode, payload = encode_message(data)  # type: ignore[arg-type]
        if not self._writer.send(opcode, payload):
            raise self._engine.connection_closed()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until `bufferedAmount` is 0: all that was sent is with the network.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: not within `timeout` seconds.
            ConnectionClosed: the connection ended first; `bufferedAmount` tells what was not sent.
            TypeError: `timeout` is no number.
        """
        check_timeout("timeout", timeout)
        if not self._writer.wait_sent(timeout):
            raise TimeoutError(f"{self.bufferedAmount} bytes are still waiting after {timeout} s")
        if self._writer.finished and self.bufferedAmount:
            # The writer may be the first to notice; how the connection ended is for the reader to say.
            self._engine.wait_closed(time.monotonic() + _RECORD_SECONDS)
            raise self._engine.connection_closed()

    def ping(self, timeout: float | None = None) -> float:
        """Send a ping, wait for its pong, and return the round-trip time in seconds.

        The pong comes behind what the server sent before it: while `max_queue` holds reading up, it waits
        for `recv` like all else.

        Raises:
            TimeoutError: it did not come within `timeout` seconds.
            ConnectionClosed: the connection ended first.
            TypeError: `timeout` is no number.
        """
        check_timeout("timeout", timeout)
        if not self._writer.accepting:
            raise self._engine.connection_closed()
        asked_at = time.monotonic()
        payload = self._engine.pongs.ask(lambda payload: self._writer.send_control(Opcode.PING, payload))
        came_at = self._engine.pongs.wait(payload, timeout)
        if came_at is None:
            raise self._engine.connection_closed()
        return came_at - asked_at

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection, and wait for its end, at most `close_timeout`.

        What was queued is sent first, then a Close frame. Messages that arrived before the call can still
        be received; later ones are not kept. A second call does nothing.

        Raises:
            InvalidAccessErr: the code is neither 1000, nor 3000 to 4999, nor None.
            SyntaxErr: the reason is over 123 bytes of UTF-8 or holds a lone surrogate, or has no code.
        """
        close = validate_close(code, reason)
        if not self._close_called:
            self._close_called = True
            try:
                self._engine.close(close, finish=True)
            except BaseException:  # Ctrl-C: the call can be made again
                self._close_called = False
                raise
            if not self._engine.is_own_thread():  # a finalizer of the program's may run on any
                self._engine.join_threads(None)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, and wait for the end; in a hurry when the block was left by Ctrl-C or `SystemExit`."""
        if error is None or isinstance(error, Exception):
            self.close()
            return
        self._close_in_a_hurry("the with-block was left")

    def __del__(self) -> None:
        if not self._close_called and self._engine.closed is None and self._writer.accepting:
            self._engine.release(self)

    def _after_fork(self) -> None:
        self._inbox.after_fork(self._engine.closed)

    # Inside.

    def _close_in_a_hurry(self, why: str) -> None:
        if self._inbox.opening is not None:
            self._engine.close(CloseFrame(CloseCode.GOING_AWAY))
            self._close_called = True
            if self._engine.join_threads(_HURRIED_SECONDS):
                return
        self._engine.abandon(why)
        self._close_called = True

    def _wait_open(self) -> None:
        try:
            closed = self._inbox.wait_open()
        except BaseException:
            self._close_called = True
            self._engine.abandon("connect() was interrupted")
            raise
        if closed is not None:
            self._engine.join_threads(None)
            raise closed.error or WebSocketError("the connection ended before it was open")

    def _send_chunks(self, chunks: Iterator[str | Buffer]) -> None:
        for chunk in chunks:
            opcode, payload = encode_message(chunk)
            break
        else:
            raise ValueError("data is an iterable without a chunk: nothing to send")
        turn = object()
        try:
            if not self._writer.begin_fragments(turn):
                raise self._engine.connection_closed()
            self._send_fragments(opcode, payload, chunks)
        finally:
            try:
                self._writer.end_fragments(turn)
            except BaseException:  # Ctrl-C; but who comes next must not wait for this for ever
                self._writer.end_fragments(turn)
                raise

    def _send_fragments(self, opcode: int, payload: bytes, chunks: Iterator[str | Buffer]) -> None:
        try:
            self._send_fragment(opcode, payload)
            for chunk in chunks:
                kind, payload = encode_message(chunk)
                if kind != opcode:
                    raise TypeError("data: the iterable mixes str and bytes-like chunks")
                self._send_fragment(Opcode.CONTINUATION, payload)
            # The end is a fragment of its own, so that no chunk has to wait for the next one.
            self._send_fragment(FIN | Opcode.CONTINUATION, b"")
        except ConnectionClosed:
            raise
        except BaseException as error:
            why = f"the iterable given to send() raised {error!r} inside a message"
            self._engine.abandon(why, CloseCode.INTERNAL_ERROR)
            raise

    def _send_fragment(self, first: int, payload: bytes) -> None:
        window = self._writer.window
        for start in range(0, len(payload) or 1, window):
            piece = payload[start : start + window]
            self._writer.wait_for_room(len(piece))
            if not self._writer.send_fragment(first, piece):
                raise self._engine.connection_closed()
            first = Opcode.CONTINUATION
