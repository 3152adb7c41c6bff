"""The writer: takes what `send` queued, frames it, hands it to the network.

Owns: the outbox, the write side of the stream, the `Encoder`, and the fall of `bufferedAmount`. Runs on:
`serve` on a writer thread, one at a time; the methods under *any thread* take one short lock and never wait
for the network. Must not import: the reading side.

Two lanes: control frames go ahead of data, between frames; a Close goes behind all data, and ends the
writer. What could not be sent stays counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .._exceptions import BufferFull
from .._protocol.encoder import MAX_WRITE, Encoder
from .._protocol.frames import FIN, CloseFrame, Opcode
from .._transport.poller import ForkedError
from .._transport.stream import Stream
from .primitives import Condition, stay
from .writer_pool import shared_pool

# Pongs that wait for a peer that does not read. RFC 6455 5.5.3: to answer the newest pings is enough.
MAX_CONTROLS = 4096

# How much of a message that is sent in fragments may be unsent, where `max_buffered` is not less.
STREAM_WINDOW = 2**20

# What a step of the writer sends: the messages, their bytes, and the Close frame behind them.
_Work = tuple[list[tuple[int, bytes]], int, "CloseFrame | None"]


class Writer:
    """The sending half of one connection.

    Attributes:
        pool: where the writer thread comes from when there is something to send.
        thread_name: what it is called then.
        sent: bytes of application data handed to the network so far; only the writer thread changes it.
        ping_left_at: when the last Ping was handed to the network; 0 before.
        finished: True when nothing more will be sent.
        window: how many bytes of a message in fragments may be queued.
    """

    def __init__(self, max_buffered: int | None, on_finish: Callable[[], None], name: str) -> None:
        self.pool = shared_pool()
        self.thread_name = f"{name}-writer"
        self.sent = 0
        self.ping_left_at = 0.0
        self.finished = False
        self.error: OSError | None = None
        self._max_buffered = max_buffered
        self.window = STREAM_WINDOW if max_buffered is None else max(1, min(STREAM_WINDOW, max_buffered))
        self._on_finish = on_finish
        self._condition = Condition()
        self._lock = self._condition.lock
        self._idle = False  # nothing is queued, and a thread must be asked for when something is
        self._serving = False
        self._stopped = False
        self._accepting = True
        self._queued = 0
        self._dropped = 0  # of these, the bytes that will not be sent
        self._flushers = 0
        self._items: list[tuple[int, bytes]] = []
        self._waiting = 0  # bytes in _items
        # While one message goes out in fragments, the others wait here: RFC 6455 5.4 forbids to mix them.
        self._fragmenter: object = None  # the turn of the call that sends it
        self._fragmenting_thread = 0
        self._unfinished = False  # it has begun, and its last fragment is not queued
        self._deferred: list[tuple[int, bytes]] = []
        self._deferred_bytes = 0
        self._controls: list[tuple[int, bytes]] = []
        self._close: CloseFrame | None = None
        self._finishing = False  # the Close waits for the end of the message in fragments
        self._half_close = False
        self._stream: Stream | None = None
        self._encoder = Encoder()

    # Any thread.

    @property
    def queued(self) -> int:
        """Bytes of application data given to `send` so far, also those that were dropped."""
        return self._queued

    @property
    def buffered(self) -> int:
        """Bytes given to `send` and not handed to the network."""
        sent = self.sent  # read first: else what is queued and sent in between would make it negative
        return self._queued - sent

    def send(self, opcode: int, payload: bytes, accept: bool = True) -> bool:
        """Queue a whole message; False when it was only counted, since the connection is closing.

        Raises `BufferFull` when `max_buffered` would be passed; nothing is queued or counted then.
        """
        size = len(payload)
        with self._lock:
            if not (accept and self._accepting):
                self._drop(size)
                return False
            if self._max_buffered is not None and self.buffered + size > self._max_buffered:
                raise BufferFull(
                    f"{size} bytes do not fit: {self.buffered} bytes are waiting already, "
                    f"and max_buffered={self._max_buffered}"
                )
            # Ctrl-C comes after a call or a jump, never after an operator: it finds all done or nothing.
            item = [(FIN | opcode, payload)]
            if self._fragmenter is not None:
                self._queued += size
                self._deferred_bytes += size
                self._deferred += item
                return True
            self._queued += size
            self._waiting += size
            self._items += item
            if self._idle:
                self._wake()
        return True

    def begin_fragments(self, turn: object) -> bool:
        """Let the caller send one message in fragments; waits while another call does. `turn` is the caller's
        alone.

        False when the connection is closing. Raises `RuntimeError` when the thread would wait for itself.
        """
        return self._condition.wait_until(lambda: self._try_to_begin(turn)) is turn

    def _try_to_begin(self, turn: object) -> object:
        if not self._accepting:
            return "closing"
        if self._fragmenter is None:
            self._fragmenting_thread = threading.get_ident()
            self._fragmenter = turn
            return turn
        if self._fragmenting_thread == threading.get_ident():
            raise RuntimeError("send() of an iterable from inside one, on the same connection (RFC 6455 5.4)")
        return None

    def send_fragment(self, first: int, payload: bytes) -> bool:
        """Queue a fragment, given as its frame's first byte and its payload.

        False when it was only counted, since the connection is closing.
        """
        size = len(payload)
        with self._lock:
            if not (self._accepting or self._finishing):
                self._drop(size)
                return False
            self._queued += size
            self._waiting += size
            self._items += [(first, payload)]
            self._unfinished = not first & FIN
            if self._idle:
                self._wake()
        return True

    def end_fragments(self, turn: object) -> None:
        """No fragment comes any more: what waited for that goes next. Where the message is not whole, nothing
        may follow it but a Close (RFC 6455 5.4). Does nothing when it is not the caller's `turn`."""
        with self._lock:
            if self._fragmenter is not turn:
                return
            if self._unfinished:
                self._accepting = self._finishing = False
            else:
                self._items += self._deferred
                self._waiting += self._deferred_bytes
                self._deferred, self._deferred_bytes = [], 0
                self._finishing = False
            self._fragmenter = None
            self._condition.notify()
            self._wake()

    def _drop(self, size: int) -> None:
        self._queued += size
        self._dropped += size

    def send_control(self, opcode: int, payload: bytes) -> None:
        """Queue a Ping or Pong ahead of the data."""
        with self._lock:
            self._controls.append((FIN | opcode, payload))
            del self._controls[:-MAX_CONTROLS]
            if self._idle:
                self._wake()

    def close(self, close: CloseFrame, half_close: bool = False, finish: bool = False) -> None:
        """Queue a Close frame behind the data, unless there is one already; nothing is accepted after it.

        `half_close` ends the output right after it, as a failing connection does. With `finish`, messages
        that wait for the end of another thread's in fragments go out first, and that end before them.
        """
        with self._lock:
            self._accepting = False
            if self._close is None:
                self._close = close
            # Their senders have been told that they are queued; who sends in fragments can still be told.
            mine = self._fragmenting_thread == threading.get_ident()
            self._finishing = finish and bool(self._deferred) and not mine
            self._half_close = self._half_close or half_close
            self._condition.notify()
            self._wake()

    def wait_sent(self, timeout: float | None) -> bool:
        """Wait until all that was queued is with the network, or the writer has ended.

        False when `timeout` seconds were over first.
        """
        return self._wait_flushed(lambda: self.finished or self.buffered <= 0, timeout)

    def wait_for_room(self, size: int) -> None:
        """Wait until `size` more bytes of a message in fragments fit the window, or the writer has ended.

        Without the messages that wait for the end of that one: it could be waiting here. And without what
        was dropped, which stays counted.
        """
        self._wait_flushed(lambda: self.finished or self._undelivered() + size <= self.window, None)

    def _undelivered(self) -> int:
        return self.buffered - self._dropped - self._deferred_bytes

    def _wait_flushed(self, done: Callable[[], bool], timeout: float | None) -> bool:
        with self._lock:
            if self._idle:
                self._wake()  # a send() that Ctrl-C cut short may not have come to that
            self._flushers += 1
        try:
            return self._condition.wait_until(done, timeout)
        finally:
            with self._lock:
                self._flushers -= 1

    @property
    def accepting(self) -> bool:
        """Whether a message given to `send` would be queued."""
        return self._accepting

    def nudge(self) -> None:
        """Let the writer flush what the stream's lower layer has pending."""
        with self._lock:
            self._wake()

    def stop(self) -> None:
        """End the writer; a send under way ends when the stream is shut down."""
        with self._lock:
            self._stopped = True
            if not self._serving:
                self._finish()

    def after_fork(self) -> None:
        """In a forked child: an end without a word to the network."""
        self._accepting = self._finishing = False
        self.finished = True
        self.pool = shared_pool()  # of this process: nothing is left of the parent's to wait for
        self._condition.after_fork()
        self._lock = self._condition.lock

    # The reader thread.

    def open(self, stream: Stream, encoder: Encoder) -> None:
        """Hand the stream's write side over to the writer thread."""
        with self._lock:
            self._encoder = encoder
            self._stream = stream
            self._idle = not self._has_work(stream)
            if not self._idle:
                self._wake()

    def wait_finished(self, timeout: float | None = None) -> bool:
        """Wait until no writer thread is in the stream; False when `timeout` seconds were over first."""
        return self._condition.wait_until(lambda: self.finished, timeout)

    # The writer thread.

    def serve(self) -> None:
        """Send what is queued, until nothing is; returns at once while another thread does that."""
        with self._lock:
            stream = self._stream
            if self._serving or stream is None or self.finished:
                return
            self._serving = True
            self._idle = False
        try:
            while (work := self._take_work(stream)) is not None:
                self._send(stream, *work)
                if self.pool.crowded and not self._stopped:  # the others' turn
                    with self._lock:
                        self._serving = False
                    self.pool.submit(self)
                    return
        except ForkedError:
            stay()
        except OSError as error:
            self.error = error  # the reader learns of the loss by itself, and tells it
            self._finish()
        except BaseException:
            self._finish()
            raise

    def _wake(self) -> None:
        """Have a writer thread serve this connection; the caller holds the lock."""
        if not (self._serving or self.finished):
            self.pool.submit(self)
        self._idle = False  # last: who comes after a Ctrl-C in here wakes the writer again

    def _finish(self) -> None:
        """Nothing more will be sent."""
        with self._lock:
            if self.finished:
                return
            self._accepting = self._finishing = False
            self.finished = True
            self._condition.notify()
        self.pool.leave(self)
        self._on_finish()

    def _take_work(self, stream: Stream) -> _Work | None:
        """All that is queued now; None when the thread is to serve others."""
        with self._lock:
            if self._stopped:
                self._finish()
                return None
            if not self._has_work(stream):
                self._idle = True
                self._serving = False
                return None
            items, self._items = self._items, []
            waiting, self._waiting = self._waiting, 0
            return items, waiting, None if self._finishing else self._close

    def _has_work(self, stream: Stream) -> bool:
        close = self._close is not None and not self._finishing
        return bool(self._items or self._controls or close or stream.output_pending)

    def _send(
        self, stream: Stream, items: list[tuple[int, bytes]], waiting: int, close: CloseFrame | None
    ) -> None:
        """Send in as few calls as that takes."""
        stream.flush()
        self._send_controls(stream)
        if waiting < MAX_WRITE and not self._encoder.compresses:
            if items:
                stream.send(self._encoder.frames(items))
                self._count_sent(waiting)
        else:
            self._send_items(stream, items)
        if close is not None:
            stream.send(self._encoder.frames([(FIN | Opcode.CLOSE, close.payload)]))
            if self._half_close:
                stream.end_output()
            self._stopped = True

    def _count_sent(self, size: int) -> None:
        self.sent += size
        if self._flushers:
            with self._lock:
                self._condition.notify()

    def _send_controls(self, stream: Stream) -> None:
        if not self._controls:
            return
        with self._lock:
            controls, self._controls = self._controls, []
        stream.send(self._encoder.frames(controls))
        if any(first == FIN | Opcode.PING for first, _ in controls):
            self.ping_left_at = time.monotonic()

    def _send_items(self, stream: Stream, items: list[tuple[int, bytes]]) -> None:
        """Send messages in calls of about `MAX_WRITE` bytes, with control frames in between."""
        batch: list[tuple[int, bytes]] = []
        batched = on_wire = 0
        for item in items:
            first, payload = self._encoder.compress(*item)
            if on_wire + len(payload) >= MAX_WRITE and batch:
                stream.send(self._encoder.frames(batch))
                self._count_sent(batched)
                batch, batched, on_wire = [], 0, 0
                self._send_controls(stream)
            if len(payload) >= MAX_WRITE:
                compressed = payload is not item[1]
                for piece, size in self._encoder.pieces(first, payload):
                    stream.send(piece)
                    # The pieces of a compressed payload do not correspond to bytes of the message.
                    self._count_sent(0 if compressed else size)
                self._count_sent(len(item[1]) if compressed else 0)
                self._send_controls(stream)
            else:
                batch.append((first, payload))
                batched += len(item[1])
                on_wire += len(payload)
        if batch:
            stream.send(self._encoder.frames(batch))
            self._count_sent(batched)
