"""`Connection`: the blocking API, for code that waits rather than is called.

Owns: nothing of its own; what was received waits in the inbox. Runs on: any thread. Must not import: sockets,
frame layout, the reader, the worker.

It is the same engine as `WebSocket`'s; the caller's thread takes the messages off the inbox.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from ._engine.engine import Engine
from ._engine.inbox import Inbox, InboxEnded, popleft
from ._engine.options import check_timeout
from ._engine.primitives import is_own_thread
from ._engine.records import Opened
from ._engine.send_queue import TAKEN
from ._exceptions import ConnectionClosed, WebSocketError
from ._log import log_warning
from ._opened_attributes import OpenedAttributes
from ._protocol.frames import Buffer, CloseCode, CloseFrame
from ._protocol.http11 import Response
from ._protocol.messages import encode_message, validate_close
from ._protocol.url import URL
from ._ready_state import CLOSED, CLOSING, CONNECTING, OPEN, STATE_NAMES, ReadyStates

# Iteration ends quietly on these: the server was done, went away, or gave no code.
_QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})

# How long a with-block that is left by Ctrl-C or SystemExit waits for the end.
_HURRIED_SECONDS = 1.0

# How long `flush` waits, once the writer has ended, for the record of how the connection ended. It comes at
# once, unless the reader is held up by messages that nobody receives.
_RECORD_SECONDS = 1.0

Self = TypeVar("Self", bound="Connection")


def close_going_away(connection: Connection) -> None:
    """Close as `Connection.close` does, but with 1001: the program wants no connection any more."""
    connection._close_for(CloseFrame(CloseCode.GOING_AWAY), None)


def check_may_wait(call: str) -> None:
    """Raise `RuntimeError` on a thread of ours, where a finalizer may run: it would wait for itself."""
    if is_own_thread():
        raise RuntimeError(f"{call} was called on a thread that syncws itself needs, as by a finalizer")


class Connection(ReadyStates, OpenedAttributes):
    """An open WebSocket connection; made by `syncws.connect`.

    Every method may be called from any thread; one thread may send while another receives, and of several
    threads in `recv` each gets whole messages. One that is collected while it is open is closed, with a
    `ResourceWarning`.
    """

    # Any for these two: what a public signature names counts as public to those that check types.
    def __init__(self, url: URL, engine: Any, inbox: Any) -> None:
        self._url = url
        self._engine = cast(Engine, engine)
        self._inbox = cast(Inbox, inbox)
        self._send_queue = self._engine.queue
        self._messages = self._inbox.messages
        self._told: set[int] = set()  # the threads that know that something was not sent

    def __repr__(self) -> str:
        return f"<Connection {self._url.public} {STATE_NAMES[self.readyState]}>"

    # Attributes.

    @property
    def url(self) -> str:
        """The absolute URL, serialised as the URL standard does it."""
        return str(self._url)

    @property
    def _opened(self) -> Opened | None:
        return self._inbox.opened

    @property
    def response(self) -> Response:
        """The head of the server's answer to the opening handshake: status, reason, headers."""
        assert self._inbox.opened is not None  # connect() gives no connection away before it is open
        return self._inbox.opened.response

    @property
    def readyState(self) -> int:
        """`OPEN` 1, `CLOSING` 2 or `CLOSED` 3: the state of the link; messages may be left to receive."""
        if self._engine.closed is not None:
            return CLOSED
        if self._inbox.opened is None:
            return CONNECTING
        return CLOSING if self._engine.is_closing else OPEN

    @property
    def bufferedAmount(self) -> int:
        """Bytes given to `send` and not yet handed to the network, without framing, before compression."""
        return self._send_queue.buffered

    @property
    def close_code(self) -> int | None:
        """The code of the end, from the moment at which `recv` can raise; None before.

        The server's, 1005 when its Close frame had none, 1006 after a failure.
        """
        ending = self._inbox.ending
        return None if ending is None else ending.code

    @property
    def close_reason(self) -> str | None:
        """The reason of the end, ``""`` when there was none; None as long as `close_code` is."""
        ending = self._inbox.ending
        return None if ending is None else ending.reason

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
        inbox = self._inbox
        if len(self._messages) > inbox.fast_above:
            try:
                # In this form a signal handler that raises loses no message; see the inbox.
                (message,) = map(popleft, inbox.source)
                return message
            except IndexError:
                pass  # another thread was quicker
        check_may_wait("recv()")
        try:
            return inbox.receive(timeout)
        except InboxEnded:
            pass  # and what is raised below has no cause in this
        raise self._received_all()

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
            TypeError: `timeout` is not a number; raised at the first step of the iteration.
        """
        check_timeout("timeout", timeout)
        check_may_wait("recv_streaming()")
        try:
            # Not a plain return: the connection must not be collected while only this is held.
            yield from self._inbox.stream(timeout)
            return
        except InboxEnded:
            pass
        raise self._received_all()

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the close; ends quietly on 1000, 1001 and 1005, once all that was sent has left.

        Raises `ConnectionClosed` on any other end, and where something was not sent.
        """
        while True:
            try:
                message = self.recv()
            except ConnectionClosed as closed:
                if closed.code not in _QUIET_CODES:
                    raise
                if self._all_was_sent():
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
        if self._send_queue.send(opcode, payload) != TAKEN:
            raise self._closed_error()

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
        self._check_may_wait("flush()")
        if not self._engine.wait_flushed(timeout):
            raise TimeoutError(f"{self.bufferedAmount} bytes are still waiting after {timeout:g} s")
        if self._engine.is_output_over and self.bufferedAmount:
            # The writer may be the first to notice; how the connection ended is for the reader to say.
            self._engine.wait_closed(_RECORD_SECONDS)
            raise self._closed_error()

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
        check_may_wait("ping()")
        round_trip = self._engine.ping(timeout)
        if round_trip is None:
            raise self._closed_error()
        return round_trip

    def close(
        self, code: int | None = CloseCode.NORMAL, reason: str = "", *, timeout: float | None = None
    ) -> None:
        """Close the connection, and wait for its end.

        What was queued is sent first, as long as the network takes it, then a Close frame. `close_timeout`
        bounds the standing still, not the work. Messages that arrived before the call can still be received;
        later ones are not kept. A second call waits for the same end. Inside `send()` of an iterable, and
        where a finalizer runs on a thread of the package, this begins the closing and returns.

        Args:
            code: 1000, or 3000 to 4999; None sends a Close frame without a code.
            reason: at most 123 bytes of UTF-8.
            timeout: seconds after which the connection is cut, as by `abort`; None waits as long as it takes.

        Raises:
            ConnectionClosed: something that `send` took was not sent; its `unsent` says how many bytes.
                Not when a call in the same thread has raised one that said so.
            InvalidAccessErr: the code is neither 1000, nor 3000 to 4999, nor None.
            SyntaxErr: the reason is over 123 bytes of UTF-8 or holds a lone surrogate, or has no code.
            TypeError: `timeout` is no number.
        """
        frame = validate_close(code, reason)
        check_timeout("timeout", timeout)
        self._close_for(frame, timeout)

    def abort(self, reason: str = "") -> None:
        """End the connection now, without waiting: no Close frame is sent, and TCP is reset.

        Returns at once; does nothing when the connection is closed. What the network has not taken is
        dropped.

        Args:
            reason: for the error that others of the connection's calls raise.
        """
        said = f": {reason}" if reason else ""
        self._engine.abort(WebSocketError(f"{self._url.public}: abort() was called{said}"))

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, and wait for the end; in a hurry when the block was left by Ctrl-C or `SystemExit`.

        Raises `ConnectionClosed` when something was not sent; where an exception is under way, that goes on,
        and the loss is logged.
        """
        if error is not None and not isinstance(error, Exception):
            self._leave_in_a_hurry()
            return
        try:
            unsent = self._close_and_wait(CloseFrame(CloseCode.NORMAL), None)
        except BaseException:
            self._leave_in_a_hurry()
            raise
        if not unsent or threading.get_ident() in self._told:
            return
        if error is None:
            raise self._closed_error()
        log_warning(self._engine.log_fields, "%s: %d bytes were not sent", self._url.public, unsent)

    def __del__(self) -> None:
        engine = self.__dict__.get("_engine")  # without one a signal handler has cut the constructor off
        if engine is not None and engine.closed is None and not engine.is_closing:
            engine.release(self)

    # Inside.

    def _received_all(self) -> ConnectionClosed:
        """The last message was received: after this is reported, nothing more can be sent."""
        self._send_queue.stop_accepting()
        return self._closed_error()

    def _closed_error(self) -> ConnectionClosed:
        error = self._engine.closed_error()
        if error.unsent:
            self._told.add(threading.get_ident())
        return error

    def _check_may_wait(self, call: str) -> None:
        check_may_wait(call)
        if self._engine.is_sending_fragments_here():
            raise RuntimeError(f"{call} was called inside send() of an iterable, for whose end it would wait")

    def _close_for(self, frame: CloseFrame, timeout: float | None) -> None:
        if self._close_and_wait(frame, timeout) and threading.get_ident() not in self._told:
            raise self._closed_error()

    def _close_and_wait(self, frame: CloseFrame, timeout: float | None) -> int:
        """Begin the closing, and wait for the end where this thread may; returns how much was not sent."""
        engine = self._engine
        engine.close(frame, timeout)
        if is_own_thread() or engine.is_sending_fragments_here():
            return 0
        engine.wait_closed(None)
        return 0 if engine.closed is None else engine.closed.unsent

    def _leave_in_a_hurry(self) -> None:
        """Tell the server that this end goes away, and give it a second."""
        engine = self._engine
        over = False
        try:
            engine.close(CloseFrame(CloseCode.GOING_AWAY), _HURRIED_SECONDS)
            over = is_own_thread() or engine.wait_closed(_HURRIED_SECONDS)
        finally:
            if not over:
                self.abort("the with-block was left")

    def _all_was_sent(self) -> bool:
        """Wait until all that `send` took is with the network, or will never be."""
        self._engine.wait_flushed(None)
        return self.bufferedAmount == 0

    def _send_chunks(self, chunks: Iterator[str | Buffer]) -> None:
        check_may_wait("send() of an iterable")
        try:
            self._engine.send_fragments(chunks)
        except ConnectionClosed as error:
            if error.unsent:
                self._told.add(threading.get_ident())
            raise
