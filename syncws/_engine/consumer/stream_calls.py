"""Calls that take one message in parts, as it arrives (`Connection.recv_streaming`).

Owns: the turn at streaming a message, and the claim on it. Runs on: the threads that receive; the reader
thread uses `Streaming`, too. Must not import: sockets, the protocol. The inbox says what can happen at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import collections

    from ..._protocol.closing import Outcome
    from ..._protocol.messages import Message
    from ..primitives import Leaf, Waiters
    from .receive_bound import ReceiveBound
    from .streamed_message import StreamedMessage

# A streaming call gets a whole message in parts, too, each of at most this many bytes.
MAX_PART = 256 * 1024

# `fast_above` while a message is streamed: no consumer may pop one.
NEVER = sys.maxsize


class InboxEnded(Exception):  # noqa: N818 - it says that something is over, as StopIteration does
    """The connection is over and the last message was received."""


class StreamCall:
    """A call of `recv_streaming` that has begun.

    Attributes:
        thread: its thread.
        message: the message that it has claimed or is about to claim; None before.
        whole: a message that had arrived whole, which it takes instead.
    """

    __slots__ = ("message", "thread", "whole")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.message: StreamedMessage | None = None
        self.whole: Message = b""


class Streaming:
    """The turn at streaming, and the message that arrives in parts.

    Attributes:
        call: the call that has the turn; None when nobody streams. It changes in the leaf of the messages.
        incoming: the message of which parts have come, but not the last; None without. The reader sets it.
        claimed: the claimed message that was completed last, for the reader alone.
    """

    __slots__ = ("call", "claimed", "incoming")

    def __init__(self) -> None:
        self.call: StreamCall | None = None
        self.incoming: StreamedMessage | None = None
        self.claimed: StreamedMessage | None = None

    def has_unclaimed(self) -> bool:
        """Whether there is a message in parts that a call can claim."""
        message = self.incoming
        return message is not None and message.claimer is None

    def waiting_bytes(self) -> tuple[int, int]:
        """How many bytes of messages in parts wait, as the reader counts them: those that a call can take,
        and those that nobody can take yet."""
        claimed, incoming = self.claimed, self.incoming
        size = 0 if claimed is None else claimed.waiting_bytes()
        if incoming is None:
            return size, 0
        if incoming.claimer is None and self.call is None:
            return size, incoming.waiting_bytes()
        return size + incoming.waiting_bytes(), 0

    def check_other_thread(self) -> None:
        """Raise `RuntimeError` in a thread that is inside a message that it streams: it would wait for
        itself."""
        call = self.call
        if call is not None and call.thread == threading.get_ident():
            raise RuntimeError("this thread is streaming a message, and must go on with that to its end")


class StreamCalls:
    """The part of the inbox that these calls need; see there."""

    messages: collections.deque[Message]
    source: Any
    fast_above: int
    on_room: Callable[[], None]
    ending: Outcome | None
    waiters: Waiters
    leaf: Leaf
    _put_count: int
    _reader_waits: bool
    _bound: ReceiveBound
    _streaming: Streaming
    _come_back: Callable[[collections.deque[Any]], None]

    def stream(self, timeout: float | None) -> Generator[Message, None, None]:
        """The next message in parts; see `Connection.recv_streaming`."""
        self._streaming.check_other_thread()
        call = StreamCall()
        try:
            if not self.waiters.wait_until(lambda: self._begin(call), timeout):
                raise TimeoutError(f"no message came within {timeout:g} s")
            self.on_room()  # The reader hands out the bytes that it holds of an incomplete message.
            message = self._claim(call, timeout)
            if message is not None:
                yield from self._take_parts(message, timeout)
                return
            whole = call.whole
            for start in range(0, len(whole) or 1, MAX_PART):
                yield whole[start : start + MAX_PART]
        finally:
            try:
                self._end(call)
            except BaseException:  # A handler has raised here, but other threads wait for this step.
                self._end(call)
                raise

    def _begin(self, call: StreamCall) -> bool:
        streaming = self._streaming
        calls: list[StreamCall | None] = [call, call]
        with self.leaf:
            calls[0] = streaming.call
            streaming.call = calls[streaming.call is None]
            self.fast_above += (NEVER - self.fast_above) * (streaming.call is call)
        return streaming.call is call

    def _claim(self, call: StreamCall, timeout: float | None) -> StreamedMessage | None:
        """Claim the message that arrives in parts. Returns None if a whole one comes first; `call.whole` has
        it."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            # This is read first: messages before this one are in `source` by then.
            message = self._streaming.incoming
            if self._take_whole(call):
                return None
            if message is not None:
                call.message = message
                claimers: list[object] = [call, call]
                with self.leaf:
                    claimers[0] = message.claimer
                    message.claimer = claimers[message.claimer is None]
                    self._put_count += message.claimer is call  # Its parts can be taken now.
                if message.claimer is call:
                    return message
            self._come_back(self.messages)
            left = None if until is None else until - time.monotonic()
            self.waiters.wait_until(self._has_something_to_stream, left)
            if self.messages or self._streaming.has_unclaimed():
                continue
            if self.ending is not None:
                raise InboxEnded
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout:g} s")

    def _take_whole(self, call: StreamCall) -> bool:
        if self.messages and len(self.messages) <= self._bound.wake_below:
            self.on_room()
        try:
            for call.whole in self.source:
                return True
        except IndexError:
            pass
        return False

    def _has_something_to_stream(self) -> bool:
        return bool(self.messages) or self._streaming.has_unclaimed() or self.ending is not None

    def _take_parts(self, message: StreamedMessage, timeout: float | None) -> Iterator[Message]:
        while True:
            while message.parts:
                part = message.parts.popleft()
                if self._reader_waits:
                    self.on_room()
                if part.data:
                    yield part.data
                if part.final:
                    return
            self._come_back(message.parts)
            if not self.waiters.wait_until(lambda: message.parts or self.ending is not None, timeout):
                raise TimeoutError(f"no part of the message came within {timeout:g} s")
            if not message.parts:
                raise InboxEnded

    def _end(self, call: StreamCall) -> None:
        """The call is over: drop the parts of its message that it has not taken."""
        message = call.message
        if message is not None and message.claimer is call:
            message.skipped = True
            message.parts.clear()
        streaming, bound = self._streaming, self._bound
        calls: list[StreamCall | None] = [None, None]
        with self.leaf:
            mine = streaming.call is call
            calls[0] = streaming.call
            streaming.call = calls[mine]
            self.fast_above += (bound.wake_below - self.fast_above) * mine
        self.waiters.notify()
        self.on_room()
