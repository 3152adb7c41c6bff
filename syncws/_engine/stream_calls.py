"""Calls that take one message in parts, as it arrives (`Connection.recv_streaming`).

Owns: the turn at streaming a message, and the claim on it. Runs on: the threads that receive. Must not
import: sockets, the protocol. The inbox says what can happen at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import collections

    from .._protocol.closing import Outcome
    from .._protocol.messages import Message
    from .primitives import Leaf, Waiters
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
    _wake_below: int
    _stream_call: StreamCall | None
    _incoming: StreamedMessage | None
    _come_back: Callable[[collections.deque[Any]], None]
    check_not_streaming: Callable[[], None]

    def stream(self, timeout: float | None) -> Generator[Message, None, None]:
        """The next message in parts; see `Connection.recv_streaming`."""
        self.check_not_streaming()
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
        calls: list[StreamCall | None] = [call, call]
        with self.leaf:
            calls[0] = self._stream_call
            self._stream_call = calls[self._stream_call is None]
            self.fast_above += (NEVER - self.fast_above) * (self._stream_call is call)
        return self._stream_call is call

    def _claim(self, call: StreamCall, timeout: float | None) -> StreamedMessage | None:
        """Claim the message that arrives in parts. Returns None if a whole one comes first; `call.whole` has
        it."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            message = self._incoming  # This is read first: messages before this one are in `source` by then.
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
            if self.messages or self._has_unclaimed():
                continue
            if self.ending is not None:
                raise InboxEnded
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no message came within {timeout:g} s")

    def _take_whole(self, call: StreamCall) -> bool:
        if self.messages and len(self.messages) <= self._wake_below:
            self.on_room()
        try:
            for call.whole in self.source:
                return True
        except IndexError:
            pass
        return False

    def _has_unclaimed(self) -> bool:
        message = self._incoming
        return message is not None and message.claimer is None

    def _has_something_to_stream(self) -> bool:
        return bool(self.messages) or self._has_unclaimed() or self.ending is not None

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
        calls: list[StreamCall | None] = [None, None]
        with self.leaf:
            mine = self._stream_call is call
            calls[0] = self._stream_call
            self._stream_call = calls[mine]
            self.fast_above += (self._wake_below - self.fast_above) * mine
        self.waiters.notify()
        self.on_room()
