"""What was received and not yet taken, for calls of `recv` (the blocking API).

Owns: the messages, and the one that arrives in parts. Runs on: the `put_` and `is_` methods on the reader
thread, the others on any thread that receives. Must not import: sockets, the protocol.

Who owns what, and why nothing is lost or doubled. The reader unpacks each batch and appends to `messages`; it
counts and bounds them alone. A consumer takes with one step of C, ``message, = map(deque.popleft, source)``,
and returns it in the next: between the two CPython looks for no signal (3.11 and later), so a handler
that raises leaves the message either in the deque or with the caller; and the step is whole between several
consumers, on free-threaded builds too. So a consumer holds no lock and transfers nothing in several steps.

A message is collected whole by the decoder unless somebody streams: `wants_parts` tells the reader so. A
message in parts is one object, `StreamedMessage`: the reader appends, one streaming call claims it and takes.
Where nobody has claimed it by its end, the reader joins it, and it is a message like any other.

The bound counts what can be taken. While the reader is paused, `fast_above` says from which number of
messages on taking one must wake it; a consumer that looked at that before the pause and takes after it wakes
nobody, so a paused reader also looks by itself, at growing intervals of at most a second. A message that is
not whole counts too, but alone it pauses the reader only past 16 MiB, or max_queue where that is more: to
take what is there must suffice for reading to go on.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from .._protocol.closing import Outcome
from .._protocol.messages import Message, MessagePart
from .primitives import Leaf, Waiters
from .receive_bound import PART_OVERHEAD, ReceiveBound
from .records import Closed, CloseReceived, Opened, Record

popleft = collections.deque.popleft

# A message that arrived whole is given to a call that streams in parts of this size, as others are.
MAX_PART = 256 * 1024

# How much of a message that is not whole is read while nobody asks for it, where max_queue is not more.
LARGEST_UNASKED = 16 * 2**20

# `fast_above` while a message is streamed: no consumer may pop one.
_NEVER = sys.maxsize


class InboxEnded(Exception):  # noqa: N818 - it says that something is over, as StopIteration does
    """The last message was received."""


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


class Inbox:
    """See the head of the module, and `records.Consumer`.

    Attributes:
        messages: the whole messages.
        source: what `map` takes to pop one of them.
        fast_above: while more are there, a consumer may pop one and do nothing else; see `receive`.
        opened: the record of the beginning; None before it.
        ending: how the connection ends, as soon as the messages before that may be followed by it.
        closed: the record of the end; None before it.
        waiters: who waits for any of these.
    """

    def __init__(self, limit: tuple[int | None, int | None]) -> None:
        """`limit` is (bytes, messages)."""
        self.messages: collections.deque[Message] = collections.deque()
        self.source = (self.messages,)
        self.fast_above = 0
        self.on_room: Callable[[], None] = _do_nothing
        self.opened: Opened | None = None
        self.ending: Outcome | None = None
        self.closed: Closed | None = None
        self.waiters = Waiters()
        self._wake_below = 0  # while the reader is paused: it wants to be woken when fewer are left
        self._bound = ReceiveBound(*limit)
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
        if MessagePart in map(type, messages):
            self._put_mixed(messages)
        else:
            self._put_whole(messages, size)  # type: ignore[arg-type]
        self.waiters.notify()

    def _put_whole(self, messages: list[Message], size: int) -> None:
        bound = self._bound
        bound.put_count += len(messages)
        bound.batches.append((bound.put_count, size))
        self.messages += messages

    def _put_mixed(self, messages: list[Message | MessagePart]) -> None:
        """Parts may stand anywhere, since one read can end a message, bring others, and begin the next."""
        for message in messages:
            if isinstance(message, MessagePart):
                self._put_part(message)
            else:
                self._put_whole([message], len(message))

    def _put_part(self, part: MessagePart) -> None:
        bound = self._bound
        self._back_at = -1  # the application has not seen this
        message = self._incoming
        if message is None:
            message = self._incoming = StreamedMessage()
        size = len(part.data)
        if not message.skipped:
            bound.parts_put += size + PART_OVERHEAD
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
            pieces: list[Any] = [part.data for part in parts]
            data: Message = type(pieces[0])().join(pieces)
            bound.parts_put -= sum([len(piece) + PART_OVERHEAD for piece in pieces])
            self._put_whole([data], len(data))

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
            self._set_wake_below(self._bound.room_at() + 1)
            full = self._passes_bound(len(self.messages), collected)
        if not full and self._wake_below:
            self._set_wake_below(0)
        self._reader_waits = full
        return full

    def _set_wake_below(self, count: int) -> None:
        with self._leaf:
            self._wake_below = count
            self.fast_above = count if self._stream_call is None else _NEVER

    def _passes_bound(self, waiting: int, collected: int) -> bool:
        bound = self._bound
        in_parts = bound.parts_put - bound.parts_taken
        size = bound.waiting_bytes(waiting)
        if self._wake_below and waiting:  # paused: until half of it is taken
            return waiting >= self._wake_below
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
        self.fast_above = self._wake_below = 0
        self.closed = closed
        self.ending = closed.outcome
        self.waiters.notify()

    # The threads that receive.

    def receive(self, timeout: float | None) -> Message:
        """The next message, waiting for it.

        Raises `TimeoutError`, or `InboxEnded` when the connection is over.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._wait_stream_over(until)
            count = len(self.messages)
            if count:
                if count <= self._wake_below:
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
                    raise InboxEnded
            elif until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout:g} s")

    def _wait_stream_over(self, until: float | None) -> None:
        """Wait while another thread streams a message: what follows that is behind it."""
        if self._stream_call is not None:
            self.check_not_streaming()
            left = None if until is None else until - time.monotonic()
            if not self.waiters.wait_until(lambda: self._stream_call is None, left):
                raise TimeoutError("no message came in time: another thread streams one")

    def _come_back(self) -> None:
        """The application has dealt with all that there was, and is back for more."""
        count = self._bound.put_count
        if not self.messages:
            self._back_at = count
            if self._reader_waits:
                self.on_room()

    def check_not_streaming(self) -> None:
        """Raise `RuntimeError` in a thread that is inside a message that it streams: it would wait for
        itself."""
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
                raise TimeoutError(f"no message came within {timeout:g} s")
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
                self.fast_above = _NEVER
        return self._stream_call is call

    def _claim(self, call: _StreamCall, timeout: float | None) -> StreamedMessage | None:
        """Claim the message that arrives in parts; None where a whole one comes first, in `call.whole`."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            message = self._incoming  # first: what came before it is among the whole ones then
            if self._take_whole(call):
                return None
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
                raise InboxEnded
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout:g} s")

    def _take_whole(self, call: _StreamCall) -> bool:
        if self.messages and len(self.messages) <= self._wake_below:
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
                bound.parts_taken += len(part.data) + PART_OVERHEAD
                if self._reader_waits:
                    self.on_room()
                if part.data:
                    yield part.data
                if part.final:
                    return
            self._come_back()
            if not self.waiters.wait_until(lambda: message.parts or self.ending is not None, timeout):
                raise TimeoutError(f"no part of the message came within {timeout:g} s")
            if not message.parts:
                raise InboxEnded

    def _end(self, call: _StreamCall, message: StreamedMessage | None) -> None:
        """The call is over; what it has not taken of its message is dropped."""
        if message is not None:
            message.skipped = True
            parts = message.parts
            while parts:
                self._bound.parts_taken += len(parts.popleft().data) + PART_OVERHEAD
        with self._leaf:
            if self._stream_call is call:
                self._stream_call = None
                self.fast_above = self._wake_below
        self.waiters.notify()
        self.on_room()


def _do_nothing() -> None:
    pass
