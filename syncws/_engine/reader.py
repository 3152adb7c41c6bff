"""The reader thread: opens the connection, feeds the decoder, tells the consumer, keeps the clock.

Owns: the opening, the read side of the stream, the `Decoder`, the `Closing` machine and every deadline. Runs on:
`run` on the reader thread. Must not import: the writer, the consumers, what programs call.

How it works. One loop goes on until the machine is CLOSED. Each turn of it looks at the notes that others have
left, then at the clock, then waits for the socket, for a wake-up or for the next deadline, and reads once. The
machine alone decides: whatever happened is an input to it, and what it returns is done here. So there is
no path of its own for a failure, a closing handshake or an abort.

What can happen at once. Callers and the writer change a note or an attribute first and wake the reader then; the
reader looks at all of them after each wake-up, so it misses none. It never writes: a pong or a Close is queued for
the writer. It publishes the outcome before it logs, frees its wake-up or ends: who waits for the end waits
for that alone, and may hold, in a frame that a signal handler interrupted, the locks of logging or of the wake-up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from .._exceptions import ConnectionLost, WebSocketError
from .._log import Fields, log, log_exception
from .._protocol.closing import Closing, Do, Outcome, State
from .._protocol.decoder import Decoder
from .._protocol.encoder import Encoder
from .._protocol.frames import CloseCode, CloseFrame, Opcode
from .._protocol.handshake import HandshakeRequest
from .._protocol.keepalive import Keepalive
from .._protocol.permessage_deflate import Deflater, Inflater
from .._transport.poller import READ, ForkedError, Poller
from .._transport.progress import SendProgress
from .._transport.stream import Stream
from .opening import Connector
from .options import Options
from .pending_pings import PendingPings
from .primitives import own_thread
from .reader_notes import ReaderNotes
from .records import Closed, CloseReceived, Consumer, Opened

# A read begins small, so that an idle connection costs little, and doubles while the network fills it.
SMALLEST_READ = 4 * 1024
LARGEST_READ = 256 * 1024

# Once a deadline has passed, the socket is read for at most this long before the verdict: what lies in it may
# have come in time, as when the process was stopped for a while.
LAST_LOOK_SECONDS = 0.25

# How often progress of the output is looked for while a deadline waits for it: four times in what is left.
SHORTEST_SAMPLE = 0.02
LONGEST_SAMPLE = 0.25

# How long a paused reader waits before it looks at the consumer again by itself: at first, and at most.
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 1.0


class Output(Protocol):
    """What the reader knows of the writer; see there."""

    ping_sent_at: float
    close_sent_at: float | None
    error: BaseException | None

    @property
    def unsent(self) -> int: ...
    @property
    def is_finished(self) -> bool: ...
    def open(self, stream: Stream, encoder: Encoder, on_change: Callable[[], None]) -> None: ...
    def send_pong(self, payload: bytes) -> None: ...
    def send_ping(self, payload: bytes) -> None: ...
    def server_closed(self) -> None: ...
    def close(self, close: CloseFrame, last: bool = False) -> None: ...
    def flush_pending(self) -> None: ...
    def stop(self) -> None: ...


class Reader:
    """The receiving half of one connection, and its life from beginning to end.

    Attributes:
        closing: where the connection is; other threads may look at its `state` and `outcome`.
        closed: the record of the end; None before it.
    """

    def __init__(
        self,
        request: HandshakeRequest,
        options: Options,
        consumer: Consumer,
        output: Output,
        pings: PendingPings,
        notes: ReaderNotes,
        name: str,
        log_fields: Fields,
    ) -> None:
        self.closing = Closing(request.url.public, options.close_timeout)
        self.closed: Closed | None = None
        self._request = request
        self._options = options
        self._consumer = consumer
        self._output = output
        self._pings = pings
        self._notes = notes
        self._name = name
        self._log_fields = log_fields
        self._link: _OpenLink | None = None

    def run(self) -> None:
        """The body of the reader thread. Whatever happens, one `Closed` record goes out, last."""
        fault: BaseException | None = None
        with own_thread():
            try:
                self._notes.poller = poller = Poller()
                connector = Connector(self._request, self._options, poller, self._notes.check_open, self._name)
                self._notes.connector = connector
                opened = connector.run()
                log(logging.DEBUG, self._log_fields, "%s: open: %s", self._name, self._request.url.public)
                deflate = opened.result.deflate
                decoder = Decoder(self._options.max_size, Inflater(deflate) if deflate else None)
                self._link = _OpenLink(self, poller, opened.stream, decoder, self._options)
                self.closing.opened()
                result = opened.result
                self._consumer.put_record(Opened(result.protocol, result.extensions, result.response))
                self._output.open(
                    opened.stream, Encoder(Deflater(deflate) if deflate else None), self._notes.wake
                )
                self._link.run(opened.rest)
            except ForkedError:
                raise
            except (OSError, WebSocketError) as error:
                self.closing.lost(error)
            except BaseException as error:
                fault = error
                self.closing.lost(error)
            self._publish()
            self._notes.close_poller()
            if fault is not None:
                log_exception(self._log_fields, "%s: a fault of syncws itself: %r", self._name, fault)
            self._log_end()

    def after_fork(self) -> Closed:
        """In a forked child: the connection is over here, and the parent's link is left alone."""
        if self.closed is None:
            error = WebSocketError("the process was forked; the connection is its parent's")
            self.closed = Closed(Outcome(CloseCode.ABNORMAL, error=error))
        return self.closed

    def _publish(self) -> None:
        """End the writer, free the socket, and tell the outcome. Only this thread frees the descriptor, and only
        now: a number that is freed earlier could be another file's by the time the writer uses it."""
        self._output.stop()
        link = self._link
        if link is not None:
            link.close()
        outcome = self.closing.outcome or Outcome(CloseCode.ABNORMAL, error=WebSocketError("the reader ended"))
        seconds = 0.0 if link is None else time.monotonic() - link.opened_at
        self.closed = closed = Closed(outcome, self._output.unsent, seconds)
        self._pings.end()
        self._consumer.put_record(closed)
        self._notes.closed()

    def _log_end(self) -> None:
        closed = self.closed
        assert closed is not None
        outcome = closed.outcome
        fields = {"code": outcome.code, "reason": outcome.reason, "was_clean": outcome.was_clean}
        log(logging.DEBUG, {**self._log_fields, **fields}, "%s: closed: %r", self._name, outcome)


class _OpenLink:
    """The life of the connection while there is a stream: the loop of the reader."""

    def __init__(
        self, reader: Reader, poller: Poller, stream: Stream, decoder: Decoder, options: Options
    ) -> None:
        now = time.monotonic()
        self.opened_at = now
        self._closing = reader.closing
        self._consumer = reader._consumer
        self._output = reader._output
        self._pings = reader._pings
        self._notes = reader._notes
        self._url = reader._request.url.public
        self._poller = poller
        self._stream = stream
        self._decoder = decoder
        self._keepalive = Keepalive(options.ping_interval, options.ping_timeout, now)
        self._ping_timeout = options.ping_timeout
        self._input = _Input(stream, now)

    def run(self, data: bytes) -> None:
        """Go on until the machine is CLOSED. `data`: what came behind the answer to the opening handshake."""
        if data:
            self._decode(data)
        closing = self._closing
        # Nothing here holds what was read while it waits for more: idle connections cost little.
        while True:
            now = time.monotonic()
            self._follow_notes(now)
            timeout = self._check_clock(now)
            if closing.state is State.CLOSED:
                return
            self._receive(timeout)

    def close(self) -> None:
        """Free the socket: by a reset after an abort, else in order."""
        if self._input.reset:
            self._stream.reset()
        self._stream.close()

    # What others left.

    def _follow_notes(self, now: float) -> None:
        notes, output, closing = self._notes, self._output, self._closing
        if notes.abort_error is not None:
            self._do(closing.aborted(notes.abort_error))
        if notes.failure is not None:
            self._do(closing.failed(*notes.failure, now))
        if notes.released and closing.state in (State.OPEN, State.CLOSE_RECEIVED):
            # WHATWG 5 wants no code in this Close; browsers say 1001, as at the end of a page, and so do we.
            output.close(CloseFrame(CloseCode.GOING_AWAY))
            self._do(closing.close_called(now))
        if notes.close_called:
            self._do(closing.close_called(now, notes.cut_at, notes.cut_error))
        if closing.close_sent_at is None and output.close_sent_at is not None:
            self._do(closing.close_sent(output.close_sent_at))
        if output.error is not None and closing.close_sent_at is None:
            self._follow_output_error(output.error, now)
        if closing.is_catching_up and self._consumer.is_caught_up():
            self._do(closing.caught_up(now))

    def _follow_output_error(self, error: BaseException, now: float) -> None:
        if not isinstance(error, OSError):
            self._do(self._closing.failed(error, CloseCode.INTERNAL_ERROR, now))
            self._do(self._closing.lost(error))  # there is no writer that could say so
        elif not self._closing.decodes:
            self._do(self._closing.lost(error))
        # Else the input tells of the loss, behind what the server sent before it.

    def _do(self, action: Do) -> None:
        if action is Do.NOTHING:
            return
        if Do.QUEUE_CLOSE in action:
            self._output.close(self._closing.close_frame)
        if Do.QUEUE_LAST_CLOSE in action:
            self._output.close(self._closing.close_frame, last=True)
        if Do.RESET in action:
            self._input.reset = True

    # The clock.

    def _check_clock(self, now: float) -> float | None:
        """Do what is due; return the seconds until something is due again, None for never."""
        closing, keepalive, progress = self._closing, self._keepalive, self._input.progress
        is_open = closing.state is State.OPEN
        awaits_pong = is_open and keepalive.awaits_pong
        if closing.awaits_progress or awaits_pong:
            progress.look(now)
            self._do(closing.progressed(max(progress.at, progress.handed_at)))
        due = closing.deadline()
        ping_deadline = next_ping = None
        if is_open:
            if keepalive.ping_due(now):
                self._output.send_ping(b"%d" % (now * 1000))
            moments = self._output.ping_sent_at, progress.handed_at, progress.at
            ping_deadline = keepalive.deadline(*moments)
            next_ping = keepalive.next_at(*moments)
        times = [at for at in (due, ping_deadline) if at is not None]
        if times and now >= min(times):
            if not self._input.last_look(now):
                return 0.0
            self._decide(now, ping_deadline)
            return 0.0
        self._input.overdue_since = None
        if times and (progress.is_pending or self._output.unsent):
            left = min(times) - now
            times.append(now + max(SHORTEST_SAMPLE, min(LONGEST_SAMPLE, left / 4)))
        if next_ping is not None:
            times.append(next_ping)
        return max(0.0, min(times) - now) if times else None

    def _decide(self, now: float, ping_deadline: float | None) -> None:
        """A deadline has passed, and the socket was looked into once more."""
        self._input.overdue_since = None
        if ping_deadline is not None and now >= ping_deadline:
            text = f"{self._url}: nothing came within ping_timeout={self._ping_timeout} s of a ping"
            self._do(self._closing.failed(TimeoutError(text), CloseCode.INTERNAL_ERROR, now))
        self._do(self._closing.expired(now, self._output.unsent))

    # The network.

    def _receive(self, timeout: float | None) -> None:
        """Wait until there is something to do, and read once."""
        stream, closing, source = self._stream, self._closing, self._input
        has_more = closing.decodes and self._decoder.has_more
        keeps = closing.takes_messages and not self._notes.close_called
        if keeps and self._consumer.is_full(self._decoder.collected):
            source.exhausted = True
            if not source.progress.is_pending:
                # Our own pause must not count against the pong, which may lie unread behind it.
                self._keepalive.pause(self._output.ping_sent_at)
            pause = source.next_pause()
            self._poller.wait(None, READ, pause if timeout is None else min(pause, timeout))
            return
        source.pause = FIRST_PAUSE
        if has_more or self._wants_parts_now():
            self._decode(b"")
            return
        if source.ended:
            self._poller.wait(None, READ, timeout)
            return
        if stream.drained and timeout != 0:
            self._poller.wait(stream.socket, READ, timeout)
        try:
            data = stream.recv(source.read_size)
        except OSError as error:
            lost = ConnectionLost(f"the connection with {self._url} was lost: {error}")
            lost.__cause__ = error
            self._do(closing.lost(lost))
            return
        if stream.output_pending:
            self._output.flush_pending()
        if source.has_activity():
            self._keepalive.activity()
        if data:
            source.adapt(len(data))
            if closing.decodes:
                self._decode(data)
        elif data is None:
            source.exhausted = True
        else:
            self._input_ended()

    def _wants_parts_now(self) -> bool:
        """Whether somebody has begun to stream a message of which something is here."""
        decoder = self._decoder
        return self._consumer.wants_parts and not decoder.streaming and decoder.collected > 0

    def _input_ended(self) -> None:
        self._input.ended = True
        if not self._closing.decodes:
            self._do(self._closing.input_ended(time.monotonic()))
            return
        error = ConnectionLost(f"{self._url} ended TCP without a Close frame")
        error.__cause__ = self._output.error
        self._do(self._closing.lost(error))

    def _decode(self, data: bytes) -> None:
        decoder, closing = self._decoder, self._closing
        decoder.streaming = self._consumer.wants_parts
        messages = decoder.feed(data)
        # After close() no message is dispatched, so none is kept, and nothing holds up the server's Close.
        if messages and closing.takes_messages and not self._notes.close_called:
            self._consumer.put_messages(messages, decoder.size)
        if decoder.controls:
            for opcode, payload in decoder.controls:
                if opcode == Opcode.PING:
                    self._output.send_pong(payload)
                else:
                    self._pings.pong_received(payload)
            decoder.controls.clear()
        ended = decoder.ended
        if ended is None:
            return
        now = time.monotonic()
        if isinstance(ended, CloseFrame):
            self._output.server_closed()
            self._do(closing.close_received(ended, now))
            assert closing.outcome is not None
            self._consumer.put_record(CloseReceived(closing.outcome))
        else:
            self._do(closing.failed(ended, ended.close_code, now))


class _Input:
    """How reading goes: its sizes, its pauses, its last looks, its end."""

    def __init__(self, stream: Stream, now: float) -> None:
        self.progress = SendProgress(stream, now)
        self.read_size = SMALLEST_READ
        self.pause = FIRST_PAUSE
        self.overdue_since: float | None = None
        self.exhausted = False
        self.ended = False
        self.reset = False
        self._stream = stream
        self._received = stream.received

    def adapt(self, received: int) -> None:
        """Read more at once while the network fills it, and less again when it does not."""
        if not self._stream.drained:
            self.read_size = min(self.read_size * 2, LARGEST_READ)
        elif received < self.read_size // 8:
            self.read_size = max(self.read_size // 2, SMALLEST_READ)

    def has_activity(self) -> bool:
        """Whether any byte has come since the last call, be it part of a TLS record that is not whole."""
        received, self._received = self._received, self._stream.received
        return received != self._received

    def next_pause(self) -> float:
        """How long to wait for the consumer before looking again: ever longer."""
        pause = self.pause
        self.pause = min(pause * 2, LONGEST_PAUSE)
        return pause

    def last_look(self, now: float) -> bool:
        """Whether the socket was looked into since a deadline has passed, and nothing is left in it."""
        if self.overdue_since is None:
            self.overdue_since = now
            self.exhausted = self.ended
        return self.exhausted or now - self.overdue_since >= LAST_LOOK_SECONDS
