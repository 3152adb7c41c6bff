"""The event queue between the reader and the worker, which dispatches the events.

Owns: the events that wait, and their bounds. Runs on: the `put_` methods on the reader thread, `take` on the
worker. Must not import: frames, sockets.

An entry is a list of all messages of one read from the network, or control frames for listeners, or a record.
The worker takes all entries that wait at once: one leaf and one wake-up for each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..._protocol.messages import Message, MessagePart
from ..primitives import Leaf, Waiters
from ..reading.control_events import ControlBatch
from ..reading.read_lease import LEASE_SECONDS, LeasedInput, LeasedRead, ReadLease
from ..reading.records import Closed, Record

if TYPE_CHECKING:
    from ..._transport.stream import Stream

Entry = list[Message | MessagePart] | ControlBatch | Record


class EventQueue:
    """A bounded queue with one producer and one consumer; see `records.Consumer`."""

    wants_parts = False

    def __init__(self, limit: tuple[int | None, int | None]) -> None:
        """`limit` is (bytes, messages)."""
        self.on_room: Callable[[], None] = _do_nothing
        self.on_fork: Callable[[], None] = _do_nothing
        self.ask_wanted: Callable[[], tuple[int, ...]] = tuple
        self._max_bytes, self._max_messages = limit
        self.lease: ReadLease | None = None  # The worker may read by this lease.
        self.leaf = Leaf()
        self.waiters = Waiters()
        self._entries: list[Entry] = []
        self._idle = False
        self._reader_waits = False
        # The messages that wait, and those that the worker is dispatching, which count until it comes back.
        self._messages = self._in_progress_messages = 0
        self._bytes = self._in_progress_bytes = 0

    # The reader thread.

    @property
    def wanted_controls(self) -> tuple[int, ...]:
        return self.ask_wanted()

    def put_controls(self, batch: ControlBatch, count: int, size: int) -> None:
        self._put([batch], count, size)

    def put_messages(self, messages: list[Message | MessagePart], size: int) -> None:
        self._put([messages], len(messages), size)

    def _put(self, entry: Sequence[Entry], count: int, size: int) -> None:
        with self.leaf:
            self._entries += entry
            self._messages += count
            self._bytes += size
        self.waiters.notify()

    def put_record(self, record: Record) -> None:
        entry = [record]
        with self.leaf:
            self._entries += entry
        self.waiters.notify()

    def is_full(self, collected: int) -> bool:
        # The note is set before the counts are read, and the worker changes the counts before it looks for
        # the note. So at least one of the two threads sees what the other has done.
        self._reader_waits = True
        with self.leaf:  # Without the leaf the worker could take entries between the two looks.
            size = self._in_progress_bytes + self._bytes
            count = self._in_progress_messages + self._messages
        full = _reaches(size, self._max_bytes) or _reaches(count, self._max_messages)
        self._reader_waits = full
        return full

    def is_caught_up(self) -> bool:
        self._reader_waits = True
        with self.leaf:
            caught_up = self._idle & (not self._entries)
        self._reader_waits = not caught_up
        return caught_up

    # Any thread.

    def waiting(self) -> tuple[int, int]:
        with self.leaf:
            count = self._messages + self._in_progress_messages
            size = self._bytes + self._in_progress_bytes
        return count, size

    # The worker.

    def take(self) -> list[Entry]:
        """Take all entries that wait, and wait for the first. The entries of the call before are done."""
        with self.leaf:
            self._in_progress_messages = self._in_progress_bytes = 0
            self._idle = not self._entries
        if self._reader_waits:
            self.on_room()
        lease = self.lease
        while lease is not None and not self._entries and lease.read(self, LEASE_SECONDS):
            pass
        self.waiters.wait_until(lambda: self._entries)
        fresh: list[Entry] = []
        with self.leaf:
            entries = self._entries
            self._entries = fresh
            self._idle = False
            self._in_progress_messages = self._messages
            self._in_progress_bytes = self._bytes
            self._messages = self._bytes = 0
        return entries

    def put_by_lease(self, leased: LeasedInput, stream: Stream, read: LeasedRead) -> None:
        """See `read_lease.Taker`."""
        entries: tuple[list[Entry], list[Entry]] = ([], [read.messages] if read.messages else [])
        counters: tuple[LeasedRead | Stream, ...] = (read, stream)
        with self.leaf:
            mine = read.token.held
            self._entries += entries[mine]
            self._messages += read.count * mine
            self._bytes += read.size * mine
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

    def after_fork(self, closed: Closed) -> None:
        """In a forked child: the messages are the parent's, so only the end is left here."""
        self._entries = [closed]
        self.on_fork()


def _reaches(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit


def _do_nothing() -> None:
    pass
