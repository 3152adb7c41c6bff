"""What was received and not yet taken, for calls of `recv` (the blocking API).

Owns: the messages, and the one that arrives in parts. Runs on: the `put_` and `is_` methods on the reader
thread, the others on any thread that receives. Must not import: sockets, the protocol.

Why nothing is lost or doubled. The reader unpacks each batch and appends to `messages`; it
alone counts and bounds them. A consumer takes by ``for message in source: return message``, where `source`
pops one at each step: from that step of C to the return CPython looks for no signal (3.11 and later), so a
handler that raises leaves the message either in the deque or with the caller; and the step is whole between
several consumers, on free-threaded builds too. So a consumer holds no lock and transfers nothing in several
steps.

A message is collected whole by the decoder unless somebody streams: `wants_parts` tells the reader so. A
message in parts is one object, `StreamedMessage`: the reader appends, one streaming call claims it and takes.
Where nobody has claimed it by its end, the reader joins it, and it is a message like any other.

The bound counts the messages that can be taken. While the reader is paused, `fast_above` says from which
number of messages on taking one must wake it; a consumer that looked at that before the pause and takes after
it wakes nobody, so a paused reader also looks by itself, at growing intervals of at most a second. A message
that is not whole, and that no call streams, counts too; but by itself it pauses the reader only while no call
waits for it, and past 16 MiB, or max_queue if that is more: reading must go on once all messages are taken.

A consumer that finds nothing has handled everything before: it notes how many puts there were by then. It
looks and notes in one leaf, and the reader puts and counts in one leaf, so that no put comes in between:
otherwise a message that is just being put would seem to be handled already.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..._protocol.messages import Message, MessagePart
from ..primitives import Leaf, Waiters
from ..reading.read_lease import LEASE_SECONDS, ReadLease
from ..reading.records import Closed, CloseReceived, Opened, Record
from .receive_bound import ReceiveBound
from .stream_calls import NEVER, InboxEnded, StreamCalls, Streaming
from .streamed_message import StreamedMessage

if TYPE_CHECKING:
    from ..._protocol.closing import Outcome
    from ..._transport.stream import Stream
    from ..reading.control_events import ControlBatch
    from ..reading.read_lease import LeasedInput, LeasedRead

# How many bytes of an incomplete message are read while no call waits for a message, unless max_queue is
# more.
LARGEST_UNASKED = 16 * 2**20

_NOTHING = ()


class Inbox(StreamCalls):
    """See the head of the module, and `records.Consumer`.

    Attributes:
        messages: the whole messages.
        source: an iterator that pops one of them at each step, and raises `IndexError` when there is none.
            See also `readable`.
        fast_above: while more are there, a consumer may pop one and do nothing else; see `receive`.
        opened: the record of the beginning; None before it.
        ending: how the connection ends, set after the last message was put.
        closed: the record of the end; None before it.
        waiters: the threads that wait for any of these.
        lease: the lease by which calls of `receive` may read; None when they may not.
    """

    def __init__(self, limit: tuple[int | None, int | None]) -> None:
        """`limit` is (bytes, messages)."""
        self.messages: collections.deque[Message] = collections.deque()
        self.source: Iterable[Message] = map(collections.deque.popleft, itertools.repeat(self.messages))
        self.fast_above = 0
        self.on_room: Callable[[], None] = _do_nothing
        self.opened: Opened | None = None
        self.ending: Outcome | None = None
        self.closed: Closed | None = None
        self.waiters = Waiters()
        self._bound = ReceiveBound(*limit)
        self._put_count = 0  # how many puts there were of something that a consumer can take
        self._back_at = -1  # the value of _put_count when a consumer last found nothing
        self._reader_waits = False
        self.lease: ReadLease | None = None
        self.leaf = Leaf()
        self._streaming = Streaming()

    # The reader thread.

    wanted_controls = ()

    def put_controls(self, batch: ControlBatch, count: int, size: int) -> None:
        raise NotImplementedError  # The inbox wants no control frames.

    @property
    def wants_parts(self) -> bool:
        return self._streaming.call is not None

    def put_messages(self, messages: list[Message | MessagePart], size: int) -> None:
        if MessagePart in map(type, messages):
            self._put_mixed(messages)
        else:
            self._put_whole(messages, size)  # type: ignore[arg-type]
        self.waiters.notify()

    def _put_whole(self, messages: list[Message], size: int) -> None:
        bound, leaf = self._bound, self.leaf
        bound.count_leased(leaf)
        bound.put(len(messages), size)
        with leaf:
            self.messages += messages
            self._put_count += 1

    def _put_mixed(self, messages: list[Message | MessagePart]) -> None:
        """Parts may stand anywhere, since one read can end a message, bring others, and begin the next."""
        for message in messages:
            if isinstance(message, MessagePart):
                self._put_part(message)
            else:
                self._put_whole([message], len(message))

    def _put_part(self, part: MessagePart) -> None:
        streaming = self._streaming
        message = streaming.incoming
        if message is None:
            message = streaming.incoming = StreamedMessage()
        message.count(part)
        parts = [part]
        with self.leaf:
            message.parts += parts
            self._put_count += message.claimer is not None
        # This is read last: the claimer sets `skipped`, then drops the parts that it finds.
        if message.skipped:
            message.parts.clear()
        if not part.final:
            return
        streaming.incoming = None
        claimers: list[object] = [self, self]
        with self.leaf:
            claimers[0] = message.claimer
            message.claimer = claimers[message.claimer is None]
        if message.claimer is self:
            pieces: list[Any] = [part.data for part in message.parts]
            data: Message = type(pieces[0])().join(pieces)
            self._put_whole([data], len(data))
        else:
            streaming.claimed = message

    def put_record(self, record: Record) -> None:
        if isinstance(record, Opened):
            self.opened = record
        elif isinstance(record, CloseReceived):
            self.ending = record.outcome
        else:
            self.closed = record
            self.ending = record.outcome
        self.waiters.notify()

    def is_full(self, collected: int) -> bool:
        bound = self._bound
        bound.count_leased(self.leaf)
        self._reader_waits = True  # This is set before the counts are read; `event_queue` says why.
        waiting = len(self.messages)
        full = self._passes_bound(waiting, collected)
        if full and not bound.wake_below:
            self._set_wake_below(bound.room_at(waiting) + 1)
            # Some messages may have been taken meanwhile.
            full = self._passes_bound(len(self.messages), collected)
        if not full and bound.wake_below:
            self._set_wake_below(0)
        self._reader_waits = full
        return full

    def _set_wake_below(self, count: int) -> None:
        with self.leaf:
            self._bound.wake_below = count
            self.fast_above = count if self._streaming.call is None else NEVER

    def _passes_bound(self, waiting: int, collected: int) -> bool:
        bound = self._bound
        size = bound.waiting_bytes(waiting)
        if bound.wake_below and waiting:  # Reading is paused until half of the bound is taken.
            return waiting >= bound.wake_below
        streaming, in_parts = self._streaming, 0
        if streaming.incoming is not None or streaming.claimed is not None:
            in_parts, untakable = streaming.waiting_bytes()
            collected += untakable
        if not waiting and not in_parts:
            asked = self._back_at == self._put_count or bool(self.waiters)
            return collected >= max(bound.max_bytes, LARGEST_UNASKED) and not asked
        return waiting >= bound.max_messages or size + in_parts + collected >= bound.max_bytes

    def is_caught_up(self) -> bool:
        self._reader_waits = True
        # This looks first whether a stream is about to claim something, since a claim changes the count.
        is_claiming = self._streaming.call is not None and self._streaming.has_unclaimed()
        caught_up = not is_claiming and self._back_at == self._put_count and not self.messages
        self._reader_waits = not caught_up
        return caught_up

    def waiting(self) -> tuple[int, int]:
        count = len(self.messages)
        return count, self._bound.seen_bytes(count)

    def after_fork(self, closed: Closed) -> None:
        """In a forked child: the messages are the parent's, so only the end is left here."""
        self.messages.clear()
        self._streaming.incoming = None
        self._streaming.call = None
        self.fast_above = self._bound.wake_below = 0
        self.closed = closed
        self.ending = closed.outcome
        self.waiters.notify()

    # The threads that receive.

    def put_by_lease(self, leased: LeasedInput, stream: Stream, read: LeasedRead) -> None:
        """See `read_lease.Taker`."""
        some = bool(read.messages)
        puts: tuple[Any, Any] = (_NOTHING, read.messages)
        batches = _NOTHING, [(read.count, read.size)] * some
        counters: tuple[LeasedRead | Stream, ...] = (read, stream)
        bound = self._bound
        try:
            with self.leaf:
                mine = read.token.held
                self.messages += puts[mine]
                self._put_count += mine & some
                bound.leased += batches[mine]
                leased.messages_received += read.count * mine
                leased.bytes_received += read.payload * mine
                came = (read.wire + read.left - leased.counted) * (mine & (not stream.is_tls))
                counters[mine].received += came
                leased.counted += (read.left - leased.counted) * mine
                read.chunks[0] = leased.chunks
                leased.chunks = read.chunks[mine]
                read.holders[mine].zlib_stream = read.zlib_stream
                leased.unfed = (leased.unfed & (not mine)) | (mine & (read.left > 0))
                leased.needs_reader = (leased.needs_reader & (not mine)) | (mine & read.for_reader)
        finally:
            self.waiters.notify()

    def receive(self, timeout: float | None) -> Message:
        """Wait for the next message, and take it.

        Raises `TimeoutError`, or `InboxEnded` when the connection is over.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._streaming.call is not None:
                self._wait_stream_over(until)
            count = len(self.messages)
            if count:
                if count <= self._bound.wake_below:
                    self.on_room()
                try:
                    for message in self.source:
                        return message
                except IndexError:
                    continue  # Another thread has taken it.
            lease = self.lease
            if lease is not None and self.ending is None:
                left = LEASE_SECONDS if until is None else until - time.monotonic()
                if lease.read(self, max(0.0, left)):
                    continue
            self._come_back(self.messages)
            longest = None if until is None else until - time.monotonic()
            self.waiters.wait_until(lambda: self.messages or self.ending is not None, longest)
            if self.messages:
                continue
            if self.ending is not None:
                self._come_back(self.messages)
                if not self.messages:  # The end is set after the last message was put.
                    raise InboxEnded
            elif until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout:g} s")

    def _wait_stream_over(self, until: float | None) -> None:
        """Wait while another thread streams a message: later messages come after its end."""
        streaming = self._streaming
        streaming.check_other_thread()
        left = None if until is None else until - time.monotonic()
        if not self.waiters.wait_until(lambda: streaming.call is None, left):
            raise TimeoutError("no message came in time: another thread streams one")

    def _come_back(self, source: collections.deque[Any]) -> None:
        """If there is no message, note that the application has handled all that came so far."""
        with self.leaf:
            is_empty = not source
            self._back_at += (self._put_count - self._back_at) * is_empty
        if self._reader_waits:
            self.on_room()


def _do_nothing() -> None:
    pass
