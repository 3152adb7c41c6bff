"""The writer: takes the notes of callers, makes frames of them, and hands these to the network.

Owns: the outbox, the write side of the stream, the `Encoder`, and the fall of `bufferedAmount`. Runs on:
`run` on a writer thread, one at a time; the methods under *the reader thread* on that. Must not import: the
reading side.

The writer acts by the turn (`writer_turn`): the thread that has the turn owns the outbox and the stream.
Bytes that could not be sent stay counted.
"""

from __future__ import annotations

import collections
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._log import Fields, log_exception
from ..._protocol.encoder import MAX_WRITE, Encoder
from ..._protocol.frames import FIN, CloseFrame, Opcode
from ..._protocol.permessage_deflate import MIN_COMPRESSED
from ..._transport.poller import ForkedError
from ..primitives import LOOKS_IN_ORDER
from ..stats import SentMessages
from .inline_send import LARGEST, is_allowed
from .outbox import CloseNote, Frame, Outbox
from .pending_pings import PendingPing, PendingPings
from .writer_turn import FINISHED, WRITING

if TYPE_CHECKING:
    from ..._transport.stream import Stream
    from .send_queue import SendQueue
    from .writer_pool import WriterPool

# How many pongs may wait for a peer that does not read. RFC 6455 5.5.3: answering the newest pings is enough.
MAX_PONGS = 4096

# How many seconds the writer waits for a caller that sends inline before it looks again; that call does not
# wait.
STEP_SECONDS = 0.0005

# How many seconds a burst may collect between two batches. Without the interpreter's lock the writer would
# otherwise take each message by itself, and get in its sender's way; with the lock, a burst collects while
# the writer waits for it.
COLLECT_SECONDS = 0.0 if LOOKS_IN_ORDER else 50e-6

PING = FIN | Opcode.PING


class Writer:
    """The sending half of one connection.

    Attributes:
        thread_name: the name of a thread while it writes for this connection.
        ping_sent_at: when the last Ping was handed to the network; 0 before.
        ping_position: how many bytes had been handed over then, including those of the Ping.
        close_sent_at: when the Close was handed to the network; None before.
        messages_sent: how many messages were handed to the network, whole.
        error: the exception that ended the writer before its time; None otherwise.
    """

    def __init__(
        self, queue: SendQueue, pings: PendingPings, pool: WriterPool, name: str, log_fields: Fields
    ) -> None:
        self.thread_name = f"{name}-writer"
        self.ping_sent_at = 0.0
        self.ping_position = 0
        self.close_sent_at: float | None = None
        self.messages_sent = 0
        self.error: BaseException | None = None
        self._queue = queue
        self._pings = pings
        self._pool = pool
        self._log_fields = log_fields
        self._outbox = Outbox()
        self._pongs: collections.deque[Frame] = collections.deque(maxlen=MAX_PONGS)
        self._stream: Stream | None = None
        self._encoder = Encoder()
        self._on_change: Callable[[], None] = _do_nothing

    # The reader thread.

    def open(self, stream: Stream, encoder: Encoder, on_change: Callable[[], None]) -> None:
        """Hand the stream's write side over. `on_change` is called when a Close has left, and at the end."""
        self._on_change = on_change
        self._encoder = encoder
        self._stream = stream
        if is_allowed() and stream.is_lendable and type(encoder) is Encoder:
            inline = self._queue.inline
            # A smaller message is sent as it is, and the compressor knows nothing of it.
            inline.largest = MIN_COMPRESSED - 1 if encoder.compresses else LARGEST
            inline.stream = stream
        self._queue.open()

    def send_pong(self, payload: bytes) -> None:
        """Answer a Ping. If thousands of answers wait, the oldest are dropped (RFC 6455 5.5.3)."""
        self._pongs.append((FIN | Opcode.PONG, payload))
        self._queue.schedule()

    def send_ping(self, payload: bytes) -> None:
        """Queue a Ping of the keepalive's ahead of the data."""
        self._queue.leave_note(PendingPing(payload), always=True)

    def server_closed(self) -> None:
        """After the server's Close or a fault: cut a message in fragments. Whole messages are still accepted,
        unless they would follow a message that was cut."""
        self._queue.cut_fragments()

    def close(self, close: CloseFrame, last: bool = False) -> None:
        """Accept nothing more, and queue a Close. `last`: it replaces one that waits, and the output ends."""
        self._queue.refuse(CloseNote(close, last=last))

    def flush_pending(self) -> None:
        """Let a writer thread send what the stream's lower layer has pending (TLS)."""
        self._queue.schedule()

    @property
    def close_called(self) -> bool:
        """Whether the application has closed."""
        return self._queue.close_called

    @property
    def close_queued(self) -> bool:
        """Whether the application's own Close is, or was, in the queue."""
        return self._queue.close_queued

    @property
    def unsent(self) -> int:
        """Bytes that `send` took and that are not handed to the network."""
        return self._queue.unsent

    @property
    def is_preparing(self) -> bool:
        """Whether a writer thread is at work, and does not wait for the network."""
        return self._queue.turn == WRITING and self._stream is not None and not self._stream.is_held_up

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be sent, and no writer thread is in the stream."""
        return self._queue.turn == FINISHED

    def stop(self) -> None:
        """End the writer, and wait until its thread has left the stream. A send under way is cut short."""
        while not self._queue.end_inline(self._stream):
            time.sleep(STEP_SECONDS)
        if self._queue.stop():
            self._tell_finished()
        elif not self.is_finished and self._stream is not None:
            self._stream.shutdown()
        self._queue.waiters.wait_until(lambda: self.is_finished)
        self._queue.end_inline(self._stream)  # A writer that had the turn may not have counted these bytes.

    # The writer's turn.

    def run(self) -> None:
        """Send everything that can be sent. Returns at once if another thread has the turn."""
        queue, stream = self._queue, self._stream
        if not queue.take_turn():
            return
        assert stream is not None  # The call `take_turn` gives no turn without a stream.
        try:
            while queue.turn == WRITING:
                if not self._send_all(stream):
                    queue.inline.sent_at = time.monotonic()  # A message right after this belongs to a burst.
                    if queue.rest():
                        return
                elif self.close_sent_at is not None:
                    break
                elif self._pool.has_waiting and queue.yield_turn():
                    return
                elif COLLECT_SECONDS and queue.has_notes:
                    time.sleep(COLLECT_SECONDS)
        except ForkedError:
            raise
        except OSError as error:
            # The frames of the traceback would keep the unsent data alive.
            traceback.clear_frames(error.__traceback__)
            self._finish(error)
        except BaseException as error:
            self._finish(error)
            log_exception(self._log_fields, "%s: a fault of syncws itself: %r", self.thread_name, error)
            traceback.clear_frames(error.__traceback__)
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        if self._queue.turn == WRITING:  # After `stop`, the error is only its result.
            self.error = error
        self._queue.finish()
        self._tell_finished()

    def _tell_finished(self) -> None:
        """Report the end, and free the unsent data: only its size is needed now."""
        try:
            self._queue.waiters.notify()
        finally:
            try:
                self._pool.unregister()
            finally:
                self._on_change()
        self._queue.take_notes()
        self._outbox = Outbox()

    def _take_notes(self) -> None:
        notes, mixed = self._queue.take_notes()
        if not mixed:
            self._outbox.put_messages(notes)  # type: ignore[arg-type]
            return
        for note in notes:
            if isinstance(note, PendingPing):
                self._pings.sent(note)
                self._outbox.put_control((PING, note.payload))
            else:
                self._outbox.put((note,))

    def _send_all(self, stream: Stream) -> bool:
        """Send everything that may go out now, in as few calls as possible. Returns False if there was
        nothing."""
        self._finish_inline(stream)
        self._take_notes()
        stream.flush()
        did = self._send_controls(stream)
        frames = self._outbox.take()
        if frames:
            self._send_data(stream, frames)
            did = True
        close = self._outbox.take_close()
        if close is not None:
            stream.send(self._encoder.frames([close]))
            self.close_sent_at = time.monotonic()
            if self._outbox.last:
                stream.end_output()
            did = True
        self._queue.waiters.notify()
        return did

    def _finish_inline(self, stream: Stream) -> None:
        """Send the rest of a message that a caller has sent inline in part."""
        inline = self._queue.inline.last
        if inline.settled:
            return
        if inline.frame:
            sent = sum(inline.sent)  # The list holds one number or none.
            stream.handed += sent
            if sent < len(inline.frame):
                stream.send_raw(inline.frame[sent:])
        else:
            stream.send(self._encoder.frames([inline.message]))
        self.messages_sent += 1
        self._queue.sent += inline.size
        inline.settled = True
        inline.let_go()

    def _send_controls(self, stream: Stream) -> bool:
        controls = self._outbox.take_controls()
        pongs = self._pongs
        while pongs:
            controls.append(pongs.popleft())
        if not controls:
            return False
        stream.send(self._encoder.frames(controls))
        if any(head_byte == PING for head_byte, _ in controls):
            self.ping_position = stream.handed
            self.ping_sent_at = time.monotonic()
            self._on_change()
        return True

    def _send_data(self, stream: Stream, frames: list[Frame]) -> None:
        queue, encoder = self._queue, self._encoder
        size = sum([len(payload) for _, payload in frames])
        if size < MAX_WRITE and not encoder.compresses:
            stream.send(encoder.frames(frames))
            self.messages_sent += len(frames) - self._outbox.fragments
            queue.sent += size
            return
        counting, done = SentMessages(frames), 0
        for wire, sent, is_boundary in encoder.encode(frames):
            if queue.turn != WRITING:
                raise BrokenPipeError("the connection was shut down")
            stream.send(wire)
            done += sent
            # This is counted first, since a thread that waits for the bytes may look at it then.
            self.messages_sent += counting.upto(done)
            queue.sent += sent
            queue.waiters.notify()
            if is_boundary:
                self._take_notes()
                self._send_controls(stream)


def _do_nothing() -> None:
    pass
