"""`Connection`: the blocking API, for code that waits rather than is called.

Owns: nothing of its own; what was received waits in the inbox. Runs on: any thread. Must not import: sockets,
frame layout, the reader, the worker.

It is the same engine as `WebSocket`'s; the caller's thread takes the messages off the inbox.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from ._connection_attributes import ConnectionAttributes
from ._engine.consumer.inbox import Inbox
from ._engine.consumer.readable import Readable
from ._engine.consumer.stream_calls import InboxEnded
from ._engine.engine import Engine
from ._engine.options.options import check_timeout
from ._engine.primitives import is_own_thread
from ._engine.writing.send_queue import TAKEN
from ._exceptions import ConnectionClosed, WebSocketError
from ._handler_errors import is_raised_by_handler
from ._log import log_warning
from ._protocol.frames import Buffer, CloseCode, CloseFrame
from ._protocol.messages import encode_message, encode_message_as, validate_close
from ._protocol.url import URL
from ._ready_state import STATE_NAMES

# Iteration ends quietly on these codes: the server was done, went away, or gave no code.
_QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})

# How long the end of a with-block waits for the end of the connection when Ctrl-C or SystemExit has left the
# block.
QUICK_CLOSE_SECONDS = 1.0

# How long `flush` waits, once the writer has ended, for the record of how the connection ended. It comes at
# once, unless messages that nobody receives hold up the reader.
_RECORD_SECONDS = 1.0

Self = TypeVar("Self", bound="Connection")


def close_going_away(connection: Connection) -> None:
    """Close as `Connection.close` does, but with 1001: the program wants no connection any more."""
    connection._close_for(CloseFrame(CloseCode.GOING_AWAY), None)


def check_may_wait(call: str) -> None:
    """Raise `RuntimeError` on a thread of ours: a finalizer that runs there would wait for itself."""
    if is_own_thread():
        raise RuntimeError(f"{call} was called on a thread that syncws itself needs, as by a finalizer")


class Connection(ConnectionAttributes):
    """An open WebSocket connection; made by `syncws.connect`.

    Every method may be called from any thread; one thread may send while another receives, and of several
    threads in `recv` each gets whole messages. A connection that is collected while it is open is closed,
    with a `ResourceWarning`.
    """

    _readable: Readable | None = None  # The first call of fileno() makes it.

    # These two are Any, since type checkers count what a public signature names as public.
    def __init__(self, url: URL, engine: Any, inbox: Any) -> None:
        self._url = url
        self._engine = cast(Engine, engine)
        self._inbox = cast(Inbox, inbox)
        self._send_queue = self._engine.queue
        self._messages: Sequence[str | bytes] = self._inbox.messages
        self._told: set[int] = set()  # the threads that know that something was not sent

    def __repr__(self) -> str:
        return f"<Connection {self._url.public} {STATE_NAMES[self.readyState]}>"

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
        # This is checked here, since a needless call would cost a tenth of a message.
        if timeout is not None:
            check_timeout("timeout", timeout)
        inbox = self._inbox
        if len(self._messages) > inbox.fast_above:
            try:
                # In this form a signal handler that raises loses no message; see the inbox.
                for message in inbox.source:
                    return message
            except IndexError:
                pass  # Another thread was quicker.
        check_may_wait("recv()")
        try:
            return inbox.receive(timeout)
        except InboxEnded:
            pass  # The error below is raised outside this block, so that it is not chained to this one.
        except BaseException:
            if self._readable is not None:
                self._readable.look()
            raise
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
            TypeError: `timeout` is not a number; raised by the call, all else by the iteration.
        """
        check_timeout("timeout", timeout)
        return self._stream(timeout)

    def _stream(self, timeout: float | None) -> Iterator[str | bytes]:
        check_may_wait("recv_streaming()")
        try:
            # A plain return is not enough: the connection must not be collected while the program holds only
            # this.
            yield from self._inbox.stream(timeout)
            return
        except InboxEnded:
            pass
        except BaseException:
            if self._readable is not None:
                self._readable.look()
            raise
        raise self._received_all()

    def fileno(self) -> int:
        """A descriptor that is readable while `recv` would not wait: for `select`, `selectors` and GUI loops.

        It is made at the first call, is never to be read or closed, stays readable for good after the end,
        and is closed with this object. Receive until nothing is left, or wait again after each message; where
        other threads receive too, give `recv` a timeout, since one of them may have been quicker. In a forked
        child another descriptor has its number, and is readable at once.
        """
        readable = self._readable
        if readable is None:
            readable = self.__dict__.setdefault(
                "_readable", Readable(self._inbox)
            )  # Another thread may be doing the same.
        self._inbox.lease = None  # The reader reads here, and not the thread that selects.
        self._inbox.source = readable
        self._messages = ()  # With this, recv() leaves everything to the inbox.
        return readable.fileno()

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the close; ends quietly on 1000, 1001 and 1005, once all that was sent has left.

        Raises `ConnectionClosed` on any other end, and where something was not sent.
        """
        while True:
            try:
                message = self.recv()
            except ConnectionClosed as closed:
                if closed.code not in _QUIET_CODES or is_raised_by_handler(closed):
                    raise
                if self._all_was_sent():
                    return
                raise
            yield message

    def send(
        self, data: str | Buffer | Iterable[str] | Iterable[Buffer], *, text: bool | None = None
    ) -> None:
        """Queue a message: text for a `str`, binary for an object with the buffer protocol.

        With ``text=True`` bytes that are UTF-8 go out as text, with ``text=False`` a `str` as binary. Returns
        at once; a mutable buffer is copied before that. See `flush` and `bufferedAmount`.

        An iterable of either kind is sent as one message, in fragments, as its chunks come: a message of any
        size passes in little memory, since this waits while 1 MiB, or `max_buffered` where that is less, is
        unsent. What other threads send meanwhile goes after it. `close()` cuts it short, and this raises
        `ConnectionClosed`, unless such messages wait for its end. When the iterable raises, the message
        cannot be ended: the connection is failed with 1011, and the exception goes on.

        Raises:
            ConnectionClosed: the connection is closing or over; the message is not sent.
            SyntaxErr: the text holds a lone surrogate, or what is to be text is not UTF-8.
            TypeError: neither text nor a buffer, nor an iterable of one of them; also a mapping, whose keys
                are hardly meant; `text` is neither a bool nor None.
            ValueError: an iterable without a chunk.
            RuntimeError: an iterable, from inside one that is being sent: it would wait for itself.
            BufferFull: `max_buffered` would be passed.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview, Mapping)) and isinstance(data, Iterable):
            try:
                memoryview(data)  # type: ignore[arg-type]
            except TypeError:
                self._send_chunks(iter(data), text)
                return
        encoded = encode_message(data) if text is None else encode_message_as(data, text)  # type: ignore[arg-type]
        opcode, payload = encoded
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
            # The writer may be the first to notice the end, but only the reader knows how the connection
            # ended.
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
        """Close, and wait for the end; quickly, with 1001, when Ctrl-C or `SystemExit` left the block.

        Raises `ConnectionClosed` when something was not sent; where an exception is under way, that goes on,
        and the loss is logged.
        """
        if error is not None and not isinstance(error, Exception):
            self._close_quickly()
            return
        try:
            unsent = self._close_and_wait(CloseFrame(CloseCode.NORMAL), None)
        except BaseException:
            self._close_quickly()
            raise
        if not unsent or threading.get_ident() in self._told:
            return
        if error is None:
            raise self._closed_error()
        log_warning(self._engine.log_fields, "%s: %d bytes were not sent", self._url.public, unsent)

    def __del__(self) -> None:
        # Without an engine, a signal handler has cut the constructor off.
        engine = self.__dict__.get("_engine")
        if engine is not None and engine.is_running and not engine.is_closing:
            engine.close_collected(self)
        if self._readable is not None:
            self._readable.leave()

    # Inside.

    def _received_all(self) -> ConnectionClosed:
        """The last message was received, which `recv` reports: from then on nothing can be sent."""
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
        """Begin the closing, and wait for the end if this thread may. Returns the number of unsent bytes."""
        engine = self._engine
        engine.close(frame, timeout)
        if is_own_thread() or engine.is_sending_fragments_here():
            return 0
        engine.wait_closed(None)
        return 0 if engine.closed is None else engine.closed.unsent

    def _close_quickly(self) -> None:
        """Close with 1001, and abort if the server has not answered within a second."""
        engine = self._engine
        over = False
        try:
            engine.close(CloseFrame(CloseCode.GOING_AWAY), QUICK_CLOSE_SECONDS)
            over = is_own_thread() or engine.wait_closed(QUICK_CLOSE_SECONDS)
        finally:
            if not over:
                self.abort("the with-block was left")

    def _all_was_sent(self) -> bool:
        """Wait until all bytes that `send` took were handed to the network, or cannot be any more."""
        self._engine.wait_flushed(None)
        return self.bufferedAmount == 0

    def _send_chunks(self, chunks: Iterator[str | Buffer], text: bool | None) -> None:
        check_may_wait("send() of an iterable")
        try:
            self._engine.send_fragments(chunks, text)
        except ConnectionClosed as error:
            if error.unsent:
                self._told.add(threading.get_ident())
            raise
