"""An open connection: one loop, which reads, feeds the decoder and keeps the clock.

Owns: the read side of the stream, the `Decoder`, the inputs of the `Closing` machine, and every deadline
except that of the opening. Runs on: the reader thread. Must not import: the writer, the consumers, what
programs call.

How it works. One loop goes on until the machine is CLOSED. Each turn of it looks at the notes that others
have left, then at the clock, then waits for the socket, for a wake-up or for the next deadline, and reads
once. The machine alone decides: whatever happened is an input to it, and what it returns is done here. So
there is no path of its own for a failure, a closing handshake or an abort.

What can happen at once. Callers and the writer change a note or an attribute first and wake the reader then;
the reader looks at all of them after each wake-up, so it misses none. Where one follows from another (a Close
was queued, then it has left), it looks at the later one first, and so never sees the effect without the
cause. It never writes: a pong or a Close is queued for the writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._exceptions import ConnectionLost
from ..._protocol.closing import Closing, Do, State
from ..._protocol.decoder import Decoder
from ..._protocol.frames import CloseCode, CloseFrame, Opcode
from ..._protocol.keepalive import Keepalive
from ..._transport.poller import READ, Poller
from .control_events import put_in_order
from .input_state import FIRST_PAUSE, InputState
from .read_lease import LEASE_SECONDS, ReadLease, is_allowed
from .records import CloseReceived, Consumer

if TYPE_CHECKING:
    from ..._protocol.messages import Message, MessagePart
    from ..._transport.stream import Stream
    from ..options.options import Options
    from ..writing.pending_pings import PendingPings
    from .output import Output
    from .reader_notes import ReaderNotes

# How many seconds the reader waits before it looks again at a consumer that is inside the call that reads.
SHORTEST_LOOK = 0.0005

# How often progress of the output is looked for while a deadline waits for it: four times in what is left.
SHORTEST_SAMPLE = 0.02
LONGEST_SAMPLE = 0.25


class OpenLink:
    """The loop of the reader, from the opening handshake to the end of TCP.

    Attributes:
        opened_at: when it began, on the clock of `time.monotonic`.
    """

    def __init__(
        self,
        closing: Closing,
        consumer: Consumer,
        output: Output,
        pings: PendingPings,
        notes: ReaderNotes,
        poller: Poller,
        stream: Stream,
        decoder: Decoder,
        options: Options,
        lease: ReadLease,
        clock: Callable[[], float],
    ) -> None:
        """`clock` is `time.monotonic`; tests have their own, and their own `poller`."""
        self.opened_at = clock()
        self._clock = clock
        self._closing = closing
        self._consumer = consumer
        self._output = output
        self._pings = pings
        self._notes = notes
        self._poller = poller
        self._stream = stream
        self._decoder = decoder
        self._lease = lease
        self._lends = is_allowed() and stream.is_lendable and type(decoder) is Decoder
        self._has_turn = True
        self._keepalive = Keepalive(options.ping_interval, options.ping_timeout, self.opened_at)
        self._input = InputState(stream, self.opened_at)

    @property
    def counts(self) -> tuple[Decoder, Stream, InputState]:
        """The objects that count what is received."""
        return self._decoder, self._stream, self._input

    def run(self, data: bytes) -> None:
        """Go on until the machine is CLOSED. `data`: the bytes after the answer to the opening handshake."""
        self._lease.open(self._stream, self._decoder.plain_limit, self._decoder.inflater)
        if data:
            self._decode(data)
        # While this waits for more it holds no bytes of the last read: idle connections must cost little.
        while True:
            now = self._clock()
            self._follow_notes(now)
            timeout = self._check_clock(now)
            if self._closing.state is State.CLOSED:
                return
            self._receive(timeout)

    def cut(self) -> None:
        """If TCP is to end by a reset, keep the stream from sending anything before that."""
        if self._input.reset:
            self._stream.reset()

    def close(self) -> None:
        """Free the socket. No writer may be in a call of the stream."""
        while not self._lease.take():
            time.sleep(SHORTEST_LOOK)
        self._stream.close()

    # Notes of other threads.

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
        self._follow_close(now)
        for cut_at, cut_error in notes.cuts:
            self._do(closing.cut_wanted(cut_at, cut_error))
        error = output.error
        if error is not None and not isinstance(error, OSError):
            # The writer itself has failed, so no thread is left that could send the server a Close frame.
            self._do(closing.failed(error, CloseCode.INTERNAL_ERROR, now))
            self._do(closing.lost(error))
        elif error is not None and self._input.ended:
            self._do(closing.lost(error))  # Neither direction can be used any more.
        if closing.is_catching_up and self._consumer.is_caught_up():
            self._do(closing.caught_up(now))

    def _follow_close(self, now: float) -> None:
        """Tell the machine how far our Close has come, before newer inputs: those from the network."""
        output, closing = self._output, self._closing
        close_sent_at = output.close_sent_at  # This is read first; the head of the module says why.
        if output.close_called and closing.state is not State.CLOSED:
            if closing.is_catching_up and not output.close_queued:
                # The application has seen the server's Close.
                self._do(closing.caught_up(now))
            else:
                self._do(closing.close_called(now))
        if closing.close_sent_at is None and close_sent_at is not None:
            self._do(closing.close_sent(close_sent_at))

    def _do(self, action: Do) -> None:
        if action is Do.QUEUE_CLOSE:
            self._output.close(self._closing.close_frame)
        elif action is Do.QUEUE_LAST_CLOSE:
            self._output.close(self._closing.close_frame, last=True)
        elif action is Do.RESET:
            self._input.reset = True

    # The clock.

    def _check_clock(self, now: float) -> float | None:
        """Do everything that is due. Returns the seconds until something is due again, None for never."""
        closing, keepalive, progress = self._closing, self._keepalive, self._input.progress
        is_open = closing.state is State.OPEN
        if not (is_open and keepalive.has_ping_left(self._output.ping_sent_at)):
            progress.limit = None
        elif progress.limit is None:
            progress.limit = self._output.ping_position
        if closing.awaits_progress or (is_open and keepalive.awaits_pong):
            progress.look(now, self._output.is_preparing)
            self._do(closing.progressed(self._progress_at()))
        ping_deadline = next_ping = None
        if is_open:
            if keepalive.ping_due(now):
                self._output.send_ping(b"%d" % (now * 1000))
            moments = self._output.ping_sent_at, progress.handed_at, progress.at
            ping_deadline = keepalive.deadline(*moments)
            next_ping = keepalive.next_at(*moments)
        times = [at for at in (closing.deadline(), ping_deadline) if at is not None]
        if times and now >= min(times):
            if self._input.last_look(now):
                self._handle_deadline(now, ping_deadline)
            return 0.0
        self._input.overdue_since = None
        if times and (progress.is_pending or self._output.unsent):
            left = min(times) - now
            times.append(now + max(SHORTEST_SAMPLE, min(LONGEST_SAMPLE, left / 4)))
        if next_ping is not None:
            times.append(next_ping)
        return max(0.0, min(times) - now) if times else None

    def _progress_at(self) -> float:
        """When the output last moved. Bytes that the kernel takes after our Close do not count: it takes them
        also for a server that has stopped reading."""
        progress = self._input.progress
        if self._closing.close_sent_at is not None:
            return progress.at
        return max(progress.at, progress.handed_at)

    def _handle_deadline(self, now: float, ping_deadline: float | None) -> None:
        """Act on a deadline that has passed; the reader has looked into the socket once more."""
        self._input.overdue_since = None
        if ping_deadline is not None and now >= ping_deadline:
            within = f"ping_timeout={self._keepalive.timeout:g} s of a ping"
            text = f"{self._closing.url}: nothing came within {within}"
            self._do(self._closing.failed(TimeoutError(text), CloseCode.INTERNAL_ERROR, now))
        self._do(self._closing.expired(now, self._output.unsent))

    # The network.

    def _receive(self, timeout: float | None) -> None:
        """Wait until there is something to do, and read once."""
        source = self._input
        if self._keeps_messages and self._consumer.is_full(self._decoder.collected):
            source.exhausted = True
            source.pauses += not source.paused
            source.paused = True
            if self._keepalive.awaits_pong:
                source.progress.look(self._clock())
                if not source.progress.is_pending:
                    # The pong may lie unread in the socket, unless the network never took the ping.
                    self._keepalive.pause(self._output.ping_sent_at)
            pause = source.next_pause()
            until = self._clock() + pause
            self._poller.wait(None, READ, pause if timeout is None else min(pause, timeout))
            if self._clock() < until:
                source.pause = FIRST_PAUSE  # It was woken: a consumer may be about to take something.
            return
        source.pause = FIRST_PAUSE
        source.paused = False
        if not self._has_turn:
            if not self._get_turn(timeout):
                return
            timeout = 0.0
            self._has_turn = True
        self._input.put_last = False
        self._read(timeout)
        self._offer_turn()

    def _get_turn(self, timeout: float | None) -> bool:
        """Wait until there is something to read for this thread, and take the turn back."""
        lease = self._lease
        if timeout == 0 or lease.input.needs_reader or not self._may_lend:
            if lease.take():
                return True
            self._poller.wait(None, READ, SHORTEST_LOOK)
            return False
        lease.reader_looks = True  # This is set before the look at the lease.
        if lease.is_used():
            self._poller.wait(None, READ, LEASE_SECONDS if timeout is None else min(LEASE_SECONDS, timeout))
            if self._input.has_activity():
                self._keepalive.activity()
            return False
        lease.reader_looks = False
        if not lease.input.unfed and not self._poller.wait(self._stream.socket, READ, timeout):
            return False
        return lease.take_if_free()

    @property
    def _may_lend(self) -> bool:
        """Whether a consumer may read: messages are for the application, and none is wanted in parts."""
        return (
            self._lends
            and self._closing.state is State.OPEN
            and not self._output.close_called
            and self._output.error is None
            and not self._input.ended
            and not self._consumer.wants_parts
        )

    def _offer_turn(self) -> None:
        """Let consumers read, unless a message is under way that only the decoder can go on with."""
        lease, decoder = self._lease, self._decoder
        decoder.keeps_beginning = lease.wanted
        if not self._may_lend or decoder.has_more or (self._stream.is_tls and not lease.wanted):
            return
        rest = decoder.unread()
        if rest is not None:
            self._has_turn = False
            lease.lend(rest, lease.wanted and self._input.put_last)

    def _read(self, timeout: float | None) -> None:
        """Wait until there is something to read, and read once."""
        stream, closing, source, leased = self._stream, self._closing, self._input, self._lease.input
        if leased.chunks:
            is_new = leased.unfed or leased.needs_reader
            self._decode_leased()
            if is_new or not closing.decodes:
                return
        error = leased.error
        if error is not None:
            leased.error = None
            self._input_ended(f"the connection with {self._closing.url} was lost: {error}", error)
            return
        if closing.decodes and (self._decoder.has_more or self._wants_parts_now):
            self._decode(b"")
            return
        if source.ended:
            self._poller.wait(None, READ, timeout)
            return
        write_error = self._output.error
        if stream.drained and timeout != 0 and write_error is None:
            self._poller.wait(stream.socket, READ, timeout)
        try:
            count, data, messages = source.read(self._decoder if closing.decodes else None)
        except OSError as error:
            self._input_ended(f"the connection with {self._closing.url} was lost: {error}", error)
            return
        if stream.output_pending:
            self._output.flush_pending()
        if source.has_activity():
            self._keepalive.activity()
        if messages:
            self._take_messages(messages)
        if count:
            source.read_size.adapt(count, stream.drained)
            if data and closing.decodes:
                self._decode(data)
        elif count is None:
            source.exhausted = stream.drained
            if stream.drained and write_error is not None:
                # Everything that the server sent before the loss has been read by now.
                self._lose(f"the connection with {self._closing.url} was lost: {write_error}", write_error)
        else:
            self._input_ended(f"{self._closing.url} ended TCP without a Close frame", self._output.error)

    def _decode_leased(self) -> None:
        """Decode the bytes that consumers have read and left to the reader."""
        data = self._lease.take_chunks()
        if self._input.has_activity():
            self._keepalive.activity()
        if data and self._closing.decodes:
            self._decode(data)

    @property
    def _keeps_messages(self) -> bool:
        """Whether messages that arrive are kept: after close() none is dispatched."""
        return self._closing.takes_messages and not self._output.close_called

    @property
    def _wants_parts_now(self) -> bool:
        """Whether a call has begun to stream a message of which some bytes have arrived."""
        decoder = self._decoder
        return self._consumer.wants_parts and not decoder.streaming and decoder.collected > 0

    def _input_ended(self, text: str, cause: BaseException | None) -> None:
        """The server has ended its side of TCP. After its Close, our answer may still get through."""
        now = self._clock()
        self._input.ended = True
        self._follow_close(now)
        if self._closing.decodes:
            self._lose(text, cause)
        elif self._closing.state is not State.CLOSED:
            self._do(self._closing.input_ended(now))

    def _lose(self, text: str, cause: BaseException | None) -> None:
        error = ConnectionLost(text)
        error.__cause__ = cause
        self._do(self._closing.lost(error))

    def _decode(self, data: bytes) -> None:
        self._decoder.streaming = self._consumer.wants_parts
        self._take_messages(self._decoder.feed(data))

    def _take_messages(self, messages: list[Message | MessagePart]) -> None:
        """Give the consumer the messages of one `feed`, and handle a Close or a fault after them."""
        decoder, closing = self._decoder, self._closing
        if (messages or decoder.controls) and self._keeps_messages:
            self._input.put_last = bool(messages)
            wanted = self._consumer.wanted_controls if decoder.controls else ()
            if wanted:
                put_in_order(self._consumer, messages, decoder, wanted)
            elif messages:
                self._consumer.put_messages(messages, decoder.size)
        if decoder.controls:
            for opcode, payload in decoder.controls:
                if opcode == Opcode.PING:
                    self._output.send_pong(payload)
                else:
                    self._pings.pong_received(payload)
            decoder.clear_controls()
        ended = decoder.ended
        if ended is None:
            return
        now = self._clock()
        self._follow_close(now)
        if isinstance(ended, CloseFrame):
            self._output.server_closed()
            self._do(closing.close_received(ended, now))
            assert closing.outcome is not None
            self._consumer.put_record(CloseReceived(closing.outcome))
        else:
            self._do(closing.failed(self._notes.masked(ended), ended.close_code, now))
