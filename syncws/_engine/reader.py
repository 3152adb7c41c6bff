"""The reader thread: opens the connection, feeds the decoder, fills the event queue, keeps the clock.

Owns: the opening, the read side of the stream, the `Decoder`, every deadline, and the record of how the
connection ended. Runs on: `run` on the reader thread; the methods under *any thread* only leave a note and
wake it. Must not import: either face, the worker.

The reader never writes once the connection is open: a pong or a Close is queued for the writer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .._exceptions import ConnectionLost, WebSocketError
from .._log import Fields, log, log_exception
from .._protocol.decoder import Decoder
from .._protocol.encoder import Encoder
from .._protocol.frames import CloseCode, CloseFrame, Opcode
from .._protocol.handshake import HandshakeRequest
from .._protocol.keepalive import Keepalive
from .._protocol.permessage_deflate import Deflater, Inflater
from .._transport.poller import READ, ForkedError, Poller
from .._transport.stream import Stream
from .event_queue import Closed, EventQueue
from .event_queue import Closing as ClosingRecord
from .event_queue import Opening as OpeningRecord
from .opening import Connector, OpenStream
from .options import Options
from .pending_pings import Pongs
from .primitives import stay
from .writer import Writer

# A read begins small, so that an idle connection costs little, and doubles while the network fills it.
SMALLEST_READ = 4 * 1024
LARGEST_READ = 256 * 1024

# How long a Close frame of ours waits for the application to have done with the messages that came before
# the reason for it: answers to those still go out ahead of it.
CATCH_UP_SECONDS = 0.5

# How long a failed connection is kept, within close_timeout, to get its Close frame through: ending TCP
# with unread data in the socket would reset it, and the reset overtakes the frame.
LINGER_SECONDS = 1.0


class Reader:
    """The receiving half of one connection, and its life from beginning to end.

    Attributes:
        closed: how it ended; None before that.
        open_seconds: how long it was open, once it has ended.
        ending: how it will end, as soon as that is known; None before that.
    """

    def __init__(
        self,
        asked: HandshakeRequest,
        options: Options,
        queue: EventQueue,
        writer: Writer,
        pongs: Pongs,
        name: str,
        log_fields: Fields,
        in_parts: bool,
    ) -> None:
        """`in_parts`: what has come of a message that is not whole is put on the queue as well."""
        self._asked = asked
        self._options = options
        self._queue = queue
        self._writer = writer
        self._pongs = pongs
        self._name = name
        self._log_fields = log_fields
        self._in_parts = in_parts
        self._waiter: Poller | None = None
        self._attempt: Connector | None = None
        self._abandoned: str | None = None
        self._abandon_code: int = CloseCode.GOING_AWAY
        self._opened_at: float | None = None
        self.closed: Closed | None = None
        self.ending: Closed | None = None
        self.open_seconds = 0.0
        self._close_asked_at: float | None = None
        self._released = False
        self._read_size = SMALLEST_READ

    # Any thread. Each is a note that is left once and never taken back; the reader looks at them after
    # every wake-up, so that no lock is needed.

    def wake(self) -> None:
        """Let the reader look again at what the other threads left for it."""
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def note_close(self) -> None:
        """The application closes: its Close frame is with the writer, and close_timeout runs."""
        if self._close_asked_at is None:
            self._close_asked_at = time.monotonic()
        self.wake()

    def abandon(self, why: str, close_code: int = CloseCode.GOING_AWAY) -> None:
        """Fail the connection in whatever state it is."""
        self._abandon_code = close_code
        self._abandoned = why
        self.wake()

    def release(self) -> None:
        """Close the connection, which nobody holds any more; as `note_close`, but with nothing queued yet.

        Takes no lock but the waiter's, which the same thread may hold: the garbage collector runs anywhere.
        """
        self._released = True
        self.note_close()

    def after_fork(self) -> Closed:
        """In a forked child: the connection is over here, and the parent's link is left alone.

        Returns how it ended. The descriptors are only closed: a shutdown or a close_notify would reach the
        parent's peer.
        """
        if self.closed is None:
            self.closed = _failed(WebSocketError("the process was forked; the connection is its parent's"))
        if self._attempt is not None and self._attempt.stream is not None:
            self._attempt.stream.socket.close()
        if self._waiter is not None:
            self._waiter.after_fork()
        return self.closed

    @property
    def is_open(self) -> bool:
        """Whether the opening handshake is done."""
        return self._opened_at is not None

    # The reader thread.

    def run(self) -> None:
        """The body of the reader thread. Whatever happens, one `Closed` record goes out, last."""
        stream = None
        closed = _failed(WebSocketError("the reader ended"))
        try:
            self._waiter = Poller()
            self._attempt = Connector(
                self._asked, self._options, self._waiter, self._check_abandoned, self._name
            )
            opened = self._attempt.run()
            stream = opened.stream
            closed = self._converse(opened)
        except ForkedError:
            stay()
        except (OSError, WebSocketError) as error:
            closed = _failed(error)
        except BaseException as error:
            log_exception(self._log_fields, "%s: a fault of syncws itself", self._name)
            closed = _failed(error)
        finally:
            if self._opened_at is not None:
                self.open_seconds = time.monotonic() - self._opened_at
            self.closed = closed  # first: who finds the writer stopped must find the reason too
            self._release(stream)
            self._pongs.end()
            self._queue.put(closed)
            fields = {"code": closed.code, "reason": closed.reason, "was_clean": closed.was_clean}
            log(logging.DEBUG, {**self._log_fields, **fields}, "%s: closed: %r", self._name, closed)

    def _release(self, stream: Stream | None) -> None:
        """End the writer and free the descriptors. Only this thread does so, and only now: a number that
        is freed earlier could be another file's by the time the writer uses it."""
        self._writer.stop()
        if stream is not None:
            if not self._writer.finished:
                stream.shutdown()
            self._writer.wait_finished()
            stream.close()
        if self._waiter is not None:
            self._waiter.close()

    def _check_abandoned(self) -> None:
        if self._abandoned is not None:
            raise WebSocketError(self._abandoned)
        if self._released:
            raise WebSocketError("nobody held the connection any more")

    def _converse(self, opened: OpenStream) -> Closed:
        """Everything from the answer to the opening handshake to the end of TCP."""
        stream, agreed = opened.stream, opened.result
        log(logging.DEBUG, self._log_fields, "%s: open: %s", self._name, self._asked.url.public)
        self._opened_at = time.monotonic()
        deflate = agreed.deflate
        decoder = Decoder(self._options.max_size, Inflater(deflate) if deflate else None, self._in_parts)
        self._queue.put(OpeningRecord(agreed.protocol, agreed.extensions, agreed.response))
        self._writer.open(stream, Encoder(Deflater(deflate) if deflate else None))
        keepalive = Keepalive(self._options.ping_interval, self._options.ping_timeout, time.monotonic())
        try:
            # Nothing here holds what was read while it waits for more: idle connections cost little.
            if opened.rest:
                self._handle(decoder, opened.rest)
            while decoder.ended is None:
                self._handle(decoder, self._receive(stream, keepalive, decoder))
            if isinstance(decoder.ended, CloseFrame):
                return self._answer_close(stream, decoder.ended)
            raise _FailError(decoder.ended, decoder.ended.close_code)
        except _FailError as failure:
            return self._fail(stream, failure.error, failure.close_code)

    def _lost(self) -> ConnectionLost:
        error = ConnectionLost(f"{self._asked.url.public} ended TCP without a Close frame")
        error.__cause__ = self._writer.error
        return error

    def _handle(self, decoder: Decoder, data: bytes) -> None:
        messages = decoder.feed(data)
        # After close() no message is dispatched, so none is kept, and nothing holds up the server's Close.
        if messages and self._close_asked_at is None:
            self._queue.put(messages, decoder.size)
        if decoder.controls:
            for opcode, payload in decoder.controls:
                if opcode == Opcode.PING:
                    self._writer.send_control(Opcode.PONG, payload)
                else:
                    self._pongs.arrived(payload)
            decoder.controls.clear()

    def _receive(self, stream: Stream, keepalive: Keepalive, decoder: Decoder) -> bytes:
        """The next bytes from the network; none when the decoder has more. Pauses while the queue is full.

        Raises `ConnectionLost` at the end of TCP.
        """
        assert self._waiter is not None
        while True:
            now = time.monotonic()
            timeout = self._look_at_clock(stream, keepalive, now)
            has_more = decoder.has_more
            # One message is inflated to its end or to max_size: a fault in it cannot wait for the consumer.
            inflating = has_more and decoder.is_inside_message
            paused = self._close_asked_at is None and not inflating and self._queue.is_full()
            if paused:
                # Our own pause must not count against the pong, which may lie unread behind it.
                keepalive.activity()
            if paused or (stream.drained and not has_more):
                self._waiter.wait(None if paused else stream.socket, READ, timeout)
            if paused:
                continue
            if has_more:
                return b""
            try:
                data = stream.recv(self._read_size)
            except OSError as error:
                raise ConnectionLost(
                    f"the connection with {self._asked.url.public} was lost: {error}"
                ) from error
            if stream.output_pending:
                self._writer.nudge()
            if data:
                keepalive.activity()
                self._adapt_read_size(stream, len(data))
                return data
            if data is not None:
                raise self._lost()

    def _adapt_read_size(self, stream: Stream, received: int) -> None:
        if not stream.drained:
            self._read_size = min(self._read_size * 2, LARGEST_READ)
        elif received < self._read_size // 8:
            self._read_size = max(self._read_size // 2, SMALLEST_READ)

    def _look_at_clock(self, stream: Stream, keepalive: Keepalive, now: float) -> float | None:
        """Do what is due; return the seconds until there is something to do again, None for never."""
        if self._abandoned is not None:
            raise _FailError(WebSocketError(self._abandoned), self._abandon_code)
        writer = self._writer
        if self._released:
            # WHATWG 5 wants no code in this Close; browsers say 1001, as at the end of a page, and so do we.
            writer.close(CloseFrame(CloseCode.GOING_AWAY))
        expires = keepalive.deadline(writer.ping_left_at, stream.progress_at)
        if expires is not None and now >= expires:
            silence = f"nothing came within ping_timeout={self._options.ping_timeout} s of a ping"
            raise _FailError(TimeoutError(f"{self._asked.url.public}: {silence}"), CloseCode.INTERNAL_ERROR)
        if keepalive.ping_due(now):
            writer.send_control(Opcode.PING, b"%d" % (now * 1000))
        close_at = self._close_deadline()
        if close_at is not None and now >= close_at:
            raise TimeoutError(
                f"{self._asked.url.public} did not answer the Close frame within "
                f"close_timeout={self._options.close_timeout} s"
            )
        times = (keepalive.next_at(writer.ping_left_at, stream.progress_at), close_at)
        return min((max(0.0, at - now) for at in times if at is not None), default=None)

    def _close_deadline(self) -> float | None:
        """When the closing handshake, with all that was queued ahead of it, has taken too long."""
        if self._close_asked_at is None or self._options.close_timeout is None:
            return None
        return self._close_asked_at + self._options.close_timeout

    def _answer_close(self, stream: Stream, close: CloseFrame) -> Closed:
        """The server's Close has come: answer it if need be, and let the server end TCP (RFC 6455 7.1.1)."""
        code = CloseCode.NO_STATUS if close.code is None else close.code
        self.ending = Closed(code, close.reason, was_clean=True)
        self._queue.put(ClosingRecord())
        if self._close_asked_at is None:
            self._let_catch_up()
            self._close_asked_at = time.monotonic()
        self._writer.close(CloseFrame(close.code))
        self._await_end(stream, self._close_deadline(), lambda: self._abandoned is not None)
        return self.ending

    def _fail(self, stream: Stream, error: Exception, code: int) -> Closed:
        """Fail the connection (RFC 6455 7.1.7): send a Close frame, then take nothing more in."""
        self.ending = _failed(error)
        self._let_catch_up()
        self._writer.close(CloseFrame(code, _shorten(str(error))), half_close=True)
        until = time.monotonic() + min(LINGER_SECONDS, self._options.close_timeout or LINGER_SECONDS)
        deadline = self._close_deadline()
        if self._abandoned is not None and self._close_asked_at is not None:
            deadline = 0.0  # the server had its time for the Close frame that close() sent
        self._await_end(stream, until if deadline is None else min(until, deadline), lambda: False)
        return self.ending

    def _let_catch_up(self) -> None:
        assert self._waiter is not None
        until = time.monotonic() + CATCH_UP_SECONDS
        # Not once the application closes: what it has not sent by then, it will not send.
        while self._close_asked_at is None and self._abandoned is None and not self._queue.is_caught_up():
            left = until - time.monotonic()
            if left <= 0:
                return
            self._waiter.wait(None, READ, left)

    def _await_end(self, stream: Stream, until: float | None, give_up: Callable[[], bool]) -> None:
        """Discard what still comes until the server ended TCP and the writer is done, or time is over."""
        assert self._waiter is not None
        ended = False
        while not (ended and self._writer.finished) and not give_up():
            now = time.monotonic()
            if until is not None and now >= until:
                return
            if not ended:
                try:
                    data = stream.recv(LARGEST_READ)
                except OSError:
                    data = b""  # reset: an end as good as any, now that the outcome is known
                if data is not None:
                    ended = not data
                    continue
            self._waiter.wait(None if ended else stream.socket, READ, None if until is None else until - now)


class _FailError(Exception):
    """The connection is to be failed for `error`, telling the server `close_code`."""

    def __init__(self, error: Exception, close_code: int) -> None:
        super().__init__(error)
        self.error = error
        self.close_code = close_code


def _failed(error: BaseException) -> Closed:
    return Closed(CloseCode.ABNORMAL, error=error)


def _shorten(text: str) -> str:
    """As much of `text` as fits a Close frame (RFC 6455 5.5: 125 bytes with the code)."""
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
