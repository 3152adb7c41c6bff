"""What was received and not yet taken, for calls of `recv` (the blocking API).

Owns: the messages, and the one that arrives in parts. Runs on: the `put_` and `is_` methods on the reader thread,
the others on any thread that receives. Must not import: sockets, the protocol.

Who owns what, and why nothing is lost or doubled. The reader unpacks each batch and appends to `messages`; it
counts and bounds them alone. A consumer takes with one step of C, ``message, = map(deque.popleft, source)``,
and returns it in the next: between the two CPython looks for no signal (3.11 and later), so a handler
that raises leaves the message either in the deque or with the caller; and the step is whole between several
consumers, on free-threaded builds too. So a consumer holds no lock and transfers nothing in several steps.

A message is collected whole by the decoder unless somebody streams: `wants_parts` tells the reader so. A message in
parts is one object, `StreamedMessage`: the reader appends, one streaming call claims it and takes. Where nobody
has claimed it by its end, the reader joins it, and it is a message like any other.

The bound counts what can be taken. While the reader is paused, `wake_below` says from which number of messages on
taking one must wake it; a consumer that looked at that before the pause and takes after it wakes nobody, so
a paused reader also looks by itself, at growing intervals of at most a second. A message that is not whole
counts too, but alone it pauses the reader only past 16 MiB, or max_queue where that is more: to take
what is there must suffice for reading to go on.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator

from .._protocol.closing import Outcome
from .._protocol.messages import Message, MessagePart
from .primitives import Leaf, Waiters
from .records import Closed, CloseReceived, Opened, Record

popleft = collections.deque.popleft

# A message that arrived whole is given to a call that streams in parts of this size, as others are.
MAX_PART = 256 * 1024

# How much of a message that is not whole is read while nobody asks for it, where max_queue is not more.
LARGEST_UNASKED = 16 * 2**20

# What a part costs besides its bytes, near enough for a bound.
_PART_OVERHEAD = 64


class StreamedMessage:
    """A message in parts.

    Attributes:
        parts: those that arrived and were not taken; the reader appends, the claimer takes from the left.
        claimer: the call that streams it, or the inbox once nobody can claim it any more; None before.
        complete: whether the last part has arrived.
        skipped: whether its claimer has left it: what still comes is dropped.
    """

    __slots__ = ("claimer", "complete", "parts", "skipped")

    def __init__(self) -> None:
        self.parts: collections.deque[MessagePart] = collections.deque()
        self.claimer: object = None
        self.complete = False
        self.skipped = False


class _StreamCall:
    """A call of `recv_streaming` that has begun, its thread, and a message that it takes whole."""

    __slots__ = ("thread", "whole")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.whole: Message = b""


class _Bound:
    """How much waits, as the reader counts it: by the batches that it put."""

    __slots__ = ("batches", "max_bytes", "max_messages", "parts_put", "parts_taken", "put_count")

    def __init__(self, max_bytes: int | None, max_messages: int | None) -> None:
        self.max_bytes = float("inf") if max_bytes is None else max_bytes
        self.max_messages = float("inf") if max_messages is None else max_messages
        self.batches: collections.deque[tuple[int, int]] = collections.deque()  # (put_count after it, bytes)
        self.put_count = 0
        self.parts_put = 0  # bytes, overheads counted
        self.parts_taken = 0  # the one counter that the consumer changes

    def waiting_bytes(self, waiting: int) -> int:
        """The bytes of the batches of which any of `waiting` messages is left."""
        taken = self.put_count - waiting
        batches = self.batches
        while batches and batches[0][0] <= taken:
            batches.popleft()
        return sum([size for _, size in batches])

    def room_at(self) -> int:
        """How many messages may be left when reading is to go on: half of the bound."""
        size = 0
        room = 0
        for last, bytes_of_batch in reversed(self.batches):
            size += bytes_of_batch
            if size > self.max_bytes / 2:
                return int(min(self.put_count - last, self.max_messages // 2))
            room = self.put_count - last
        return int(min(room, self.max_messages // 2))


class Inbox:
    """See the head of the module, and `records.Consumer`.

    Attributes:
        messages: the whole messages.
        source: what `map` takes to pop one of them.
        wake_below: a consumer that takes one while at most so many are there calls `on_room` first.
        opened: the record of the beginning; None before it.
        ending: how the connection ends, as soon as the messages before that may be followed by it.
        closed: the record of the end; None before it.
        waiters: who waits for any of these.
    """

    def __init__(
        self, limit: tuple[int | None, int | None], closed_error: Callable[[], Exception]
    ) -> None:
        """`limit` is (bytes, messages); `closed_error` makes what is raised after the last message."""
        self.messages: collections.deque[Message] = collections.deque()
        self.source = (self.messages,)
        self.wake_below = 0
        self.on_room: Callable[[], None] = _do_nothing
        self.opened: Opened | None = None
        self.ending: Outcome | None = None
        self.closed: Closed | None = None
        self.waiters = Waiters()
        self._closed_error = closed_error
        self._bound = _Bound(*limit)
        self._back_at = -1  # put_count when a consumer last found nothing
        self._reader_waits = False
        self._leaf = Leaf()
        self._stream_call: _StreamCall | None = None
        self._incoming: StreamedMessage | None = None

    # The reader thread.

    @property
    def wants_parts(self) -> bool:
        return self._stream_call is not None

    def put_messages(self, messages: list[Message | MessagePart], size: int) -> None:
        bound = self._bound
        if isinstance(messages[0], MessagePart):
            self._put_part(messages.pop(0))  # type: ignore[arg-type]
        part = messages.pop() if messages and isinstance(messages[-1], MessagePart) else None
        if messages:
            bound.put_count += len(messages)
            bound.batches.append((bound.put_count, size))
            self.messages += messages  # type: ignore[arg-type]
        if part is not None:
            self._put_part(part)  # type: ignore[arg-type]
        self.waiters.notify()

    def _put_part(self, part: MessagePart) -> None:
        bound = self._bound
        message = self._incoming
        if message is None:
            message = self._incoming = StreamedMessage()
        size = len(part.data)
        if not message.skipped:
            bound.parts_put += size + _PART_OVERHEAD
            message.parts.append(part)
        if not part.final:
            return
        self._incoming = None
        unclaimed = False
        with self._leaf:
            message.complete = True
            if message.claimer is None:
                message.claimer = self
                unclaimed = True
        if unclaimed:
            parts = message.parts
            whole = "" if isinstance(parts[0].data, str) else b""
            data = whole.join([part.data for part in parts])  # type: ignore[arg-type]
            bound.parts_put -= sum([len(part.data) + _PART_OVERHEAD for part in parts])
            bound.put_count += 1
            bound.batches.append((bound.put_count, len(data)))
            self.messages.append(data)

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
        self._reader_waits = True  # first the note, then the look
        waiting = len(self.messages)
        full = self._passes_bound(waiting, collected)
        if full:
            self.wake_below = self._bound.room_at() + 1
            full = self._passes_bound(len(self.messages), collected)
        if not full:
            self.wake_below = 0
        self._reader_waits = full
        return full

    def _passes_bound(self, waiting: int, collected: int) -> bool:
        bound = self._bound
        in_parts = bound.parts_put - bound.parts_taken
        size = bound.waiting_bytes(waiting)
        if self.wake_below and waiting:  # paused: until half of it is taken
            return waiting >= self.wake_below
        if not waiting and not in_parts:
            asked = self._back_at == bound.put_count
            return collected >= max(bound.max_bytes, LARGEST_UNASKED) and not asked
        return waiting >= bound.max_messages or size + in_parts + collected >= bound.max_bytes

    def is_caught_up(self) -> bool:
        self._reader_waits = True
        caught_up = not self.messages and self._back_at == self._bound.put_count
        self._reader_waits = not caught_up
        return caught_up

    def after_fork(self, closed: Closed) -> None:
        """In a forked child: what had come is the parent's to receive; here there is only the end."""
        self.messages.clear()
        self._incoming = None
        self._stream_call = None
        self.closed = closed
        self.ending = closed.outcome

    # The threads that receive.

    def receive(self, timeout: float | None) -> Message:
        """The next message, waiting for it.

        Raises `TimeoutError`, or what `closed_error` makes when the connection is over.
        """
        self.check_not_streaming()
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            count = len(self.messages)
            if count:
                if count <= self.wake_below:
                    self.on_room()
                try:
                    (message,) = map(popleft, self.source)
                    return message
                except IndexError:
                    continue  # another thread was quicker
            self._come_back()
            left = None if until is None else until - time.monotonic()
            self.waiters.wait_until(lambda: self.messages or self.ending is not None, left)
            if self.messages:
                continue
            if self.ending is not None:
                self._come_back()
                if not self.messages:  # the end is set after the last message
                    raise self._closed_error()
            elif until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout} s")

    def _come_back(self) -> None:
        """The application has dealt with all that there was, and is back for more."""
        count = self._bound.put_count
        if not self.messages:
            self._back_at = count
            if self._reader_waits:
                self.on_room()

    def check_not_streaming(self) -> None:
        """Raise `RuntimeError` in a thread that is inside a message that it streams: it would wait for itself."""
        call = self._stream_call
        if call is not None and call.thread == threading.get_ident():
            raise RuntimeError("this thread is streaming a message, and must go on with that to its end")

    def stream(self, timeout: float | None) -> Iterator[Message]:
        """The next message in parts; see `Connection.recv_streaming`."""
        self.check_not_streaming()
        call = _StreamCall()
        message: StreamedMessage | None = None
        try:
            if not self.waiters.wait_until(lambda: self._begin(call), timeout):
                raise TimeoutError(f"no message came within {timeout} s")
            self.on_room()  # the reader is to hand out what it has of a message that is not whole
            message = self._claim(call, timeout)
            if message is not None:
                yield from self._take_parts(message, timeout)
                return
            whole = call.whole
            for start in range(0, len(whole) or 1, MAX_PART):
                yield whole[start : start + MAX_PART]
        finally:
            try:
                self._end(call, message)
            except BaseException:  # a handler's; but others wait for this
                self._end(call, message)
                raise

    def _begin(self, call: _StreamCall) -> bool:
        with self._leaf:
            if self._stream_call is None:
                self._stream_call = call
        return self._stream_call is call

    def _claim(self, call: _StreamCall, timeout: float | None) -> StreamedMessage | None:
        """Claim the message that arrives in parts; None where a whole one comes before it, with `call.whole`."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._take_whole(call):
                return None
            message = self._incoming
            if message is not None:
                with self._leaf:
                    if message.claimer is None:
                        message.claimer = call
                if message.claimer is call:
                    return message
            self._come_back()
            left = None if until is None else until - time.monotonic()
            self.waiters.wait_until(self._has_something_to_stream, left)
            if self.messages or self._has_unclaimed():
                continue
            if self.ending is not None:
                raise self._closed_error()
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout} s")

    def _take_whole(self, call: _StreamCall) -> bool:
        if self.messages and len(self.messages) <= self.wake_below:
            self.on_room()
        try:
            (call.whole,) = map(popleft, self.source)
        except IndexError:
            return False
        return True

    def _has_unclaimed(self) -> bool:
        message = self._incoming
        return message is not None and message.claimer is None

    def _has_something_to_stream(self) -> bool:
        return bool(self.messages) or self._has_unclaimed() or self.ending is not None

    def _take_parts(self, message: StreamedMessage, timeout: float | None) -> Iterator[Message]:
        bound = self._bound
        while True:
            while message.parts:
                part = message.parts.popleft()
                bound.parts_taken += len(part.data) + _PART_OVERHEAD
                if self._reader_waits:
                    self.on_room()
                if part.data:
                    yield part.data
                if part.final:
                    return
            self._come_back()
            if not self.waiters.wait_until(lambda: message.parts or self.ending is not None, timeout):
                raise TimeoutError(f"no part of the message came within {timeout} s")
            if not message.parts:
                raise self._closed_error()

    def _end(self, call: _StreamCall, message: StreamedMessage | None) -> None:
        """The call is over; what it has not taken of its message is dropped."""
        if message is not None:
            message.skipped = True
            parts = message.parts
            while parts:
                self._bound.parts_taken += len(parts.popleft().data) + _PART_OVERHEAD
        with self._leaf:
            if self._stream_call is call:
                self._stream_call = None
        self.waiters.notify()
        self.on_room()


def _do_nothing() -> None:
    pass
