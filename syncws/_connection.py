"""`connect` and `Connection`: the pull face, for code that waits rather than is called.

Owns: the messages taken off the queue and not yet received. Runs on: any thread. Must not import: sockets,
frames' layout, the reader, the worker.

It is the same engine as `WebSocket`'s; the caller's thread takes the events off the queue.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from ._engine import Engine
from ._errors import ConnectionClosed, WebSocketError
from ._frames import Buffer, Close, CloseCode, Opcode
from ._handshake import check_protocols
from ._http import Response
from ._messages import check_close, encode_message
from ._options import Options
from ._queue import Closed, Closing, Opening
from ._url import URL, check_port, parse_url

CONNECTING, OPEN, CLOSING, CLOSED = range(4)

# Iteration ends quietly on these: the server was done, went away, or gave no code.
_QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})

# How long leaving a with-block by Ctrl-C or SystemExit waits for the server's Close.
_HURRIED_SECONDS = 1.0

Self = TypeVar("Self", bound="Connection")


def connect(url: str, protocols: str | Iterable[str] = (), **options: Any) -> Connection:
    """Open a connection, and wait until it is open.

    May be used with ``with``, which closes it at the end of the block, or without.

    Args:
        url: an absolute ``ws:`` or ``wss:`` URL (``http:`` and ``https:`` are taken as these).
        protocols: the subprotocols to ask for, a str or several; the server must select one of them.
        options: see `syncws.Options`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`.
        OSError: DNS, TCP or TLS failed; `TimeoutError` when `open_timeout` is over.
        HandshakeError: the server refused, or its answer is not valid.
        ConnectionLost: the server ended TCP before it answered.
    """
    parsed = parse_url(url)
    checked = check_protocols(protocols)
    check_port(parsed)
    engine = Engine(parsed, checked, Options.from_keywords(**options))
    connection = Connection(parsed, engine)
    engine.start(connection)
    connection._wait_open()
    return connection


class Connection:
    """An open WebSocket connection; made by `syncws.connect`.

    Every method may be called from any thread; one thread may send while another receives, and of several
    threads in `recv` each gets whole messages.
    """

    CONNECTING = CONNECTING
    OPEN = OPEN
    CLOSING = CLOSING
    CLOSED = CLOSED

    def __init__(self, url: URL, engine: Engine) -> None:
        self._url = url
        self._engine = engine
        self._writer = engine.writer
        self._opening: Opening | None = None
        self._closed: Closed | None = None
        self._close_called = False
        # One thread at a time takes a batch off the queue; all take messages from what it leaves here.
        self._taking = threading.Lock()
        self._messages: collections.deque[str | bytes] = collections.deque()

    def __repr__(self) -> str:
        return f"<Connection {self._url.public} {_STATE_NAMES[self.readyState]}>"

    # Attributes.

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return str(self._url)

    @property
    def protocol(self) -> str:
        """The subprotocol that the server selected; ``""`` when none."""
        return self._opening.protocol if self._opening else ""

    @property
    def extensions(self) -> str:
        """The extensions that the server selected, as its header has them."""
        return self._opening.extensions if self._opening else ""

    @property
    def response(self) -> Response:
        """The head of the server's answer to the opening handshake: status, reason, headers."""
        assert self._opening is not None  # connect() gives no connection away before it is open
        return self._opening.response

    @property
    def readyState(self) -> int:
        """`OPEN` 1, `CLOSING` 2 or `CLOSED` 3: the state of the link; messages may be left to receive."""
        if self._engine.closed is not None:
            return CLOSED
        if self._opening is None:
            return CONNECTING
        return OPEN if self._writer.accepting else CLOSING

    @property
    def bufferedAmount(self) -> int:
        """Bytes given to `send` and not yet handed to the network, without framing, before compression."""
        return self._writer.buffered

    # Methods.

    def recv(self, timeout: float | None = None) -> str | bytes:
        """The next message: `str` for text, `bytes` for binary.

        Args:
            timeout: seconds to wait; None waits until there is a message or the connection is over.

        Raises:
            TimeoutError: none came in time; nothing is lost by that.
            ConnectionClosed: the connection is over and all messages were received; at every call.
        """
        try:
            return self._messages.popleft()
        except IndexError:
            return self._recv_next(timeout)

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

    def send(self, data: str | Buffer) -> None:
        """Queue a message: text for a `str`, binary for an object with the buffer protocol.

        Returns at once; a mutable buffer is copied before that. See `flush` and `bufferedAmount`.

        Raises:
            ConnectionClosed: the connection is closing or over; the message is not sent.
            SyntaxErr: the text holds a lone surrogate.
            TypeError: neither text nor a buffer.
            BufferFull: `max_buffered` would be passed.
        """
        opcode, payload = encode_message(data)
        if not self._writer.send(opcode, payload):
            raise self._end()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until `bufferedAmount` is 0: all that was sent is with the network.

        Raises:
            TimeoutError: not within `timeout` seconds.
            ConnectionClosed: the connection ended first; `bufferedAmount` tells what was not sent.
        """
        if not self._writer.wait_sent(timeout):
            raise TimeoutError(f"{self.bufferedAmount} bytes are still waiting after {timeout} s")
        if self.bufferedAmount:
            raise self._end()

    def ping(self, timeout: float | None = None) -> float:
        """Send a ping, wait for its pong, and return the round-trip time in seconds.

        The pong comes behind what the server sent before it: while `max_queue` holds reading up, it waits
        for `recv` like all else.

        Raises:
            TimeoutError: it did not come within `timeout` seconds.
            ConnectionClosed: the connection ended first.
        """
        if not self._writer.accepting:
            raise self._end()
        payload = self._engine.pongs.ask()
        asked_at = time.monotonic()
        self._writer.send_control(Opcode.PING, payload)
        came_at = self._engine.pongs.wait(payload, timeout)
        if came_at is None:
            raise self._end()
        return came_at - asked_at

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection, and wait for its end, at most `close_timeout`.

        What was queued is sent first, then a Close frame. Messages that arrived before the call can still
        be received; later ones are not kept. A second call does nothing.

        Raises:
            InvalidAccessErr: the code is neither 1000, nor 3000 to 4999, nor None.
            SyntaxErr: the reason is over 123 bytes of UTF-8 or holds a lone surrogate, or has no code.
        """
        close = check_close(code, reason)
        if not self._close_called:
            self._close_called = True
            self._engine.close(close)
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
        self._close_called = True
        self._engine.close(Close(CloseCode.GOING_AWAY))
        if not self._engine.join_threads(_HURRIED_SECONDS):
            self._engine.abandon("the with-block was left")

    def _after_fork(self) -> None:
        self._taking = threading.Lock()
        self._closed = self._engine.closed

    # The queue.

    def _wait_open(self) -> None:
        try:
            while self._opening is None and self._closed is None:
                self._take(None)
        except BaseException:
            self._engine.abandon("connect() was interrupted")
            raise
        if self._opening is None:
            assert self._closed is not None
            self._engine.join_threads(None)
            raise self._closed.error or WebSocketError("the connection ended before it was open")

    def _recv_next(self, timeout: float | None) -> str | bytes:
        until = None if timeout is None else time.monotonic() + timeout
        if not self._taking.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError(f"no message came within {timeout} s")
        try:
            while True:
                if self._messages:
                    return self._messages.popleft()
                if self._closed is not None:
                    raise self._end()
                left = None if until is None else until - time.monotonic()
                if not self._take(left) and left is not None and left <= 0:
                    raise TimeoutError(f"no message came within {timeout} s")
        finally:
            self._taking.release()

    def _take(self, timeout: float | None) -> bool:
        """Take a batch off the queue; False when there was none in time."""
        batch = self._engine.queue.take(timeout)
        for entry in batch:
            if isinstance(entry, list):
                self._messages.extend(entry)
            elif isinstance(entry, Opening):
                self._opening = entry
            elif isinstance(entry, Closed):
                self._closed = entry
            else:
                assert isinstance(entry, Closing)  # what it announces is told by the Closed that follows
        return bool(batch)

    def _end(self) -> ConnectionClosed:
        """The exception that says that the connection is over, or about to be."""
        closed = self._engine.closed or Closed(CloseCode.NO_STATUS, "closing", True)
        error = ConnectionClosed(closed.code, closed.reason, closed.was_clean)
        error.__cause__ = closed.error
        return error


_STATE_NAMES = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
