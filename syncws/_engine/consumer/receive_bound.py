"""How many messages and bytes wait to be received, counted by the batches in which they came.

Owns: these counts, and from how many messages on a paused reader must be woken. Runs on: the reader thread,
except where a method or an attribute says otherwise. Must not import: anything with threads.

Consumers count nothing: the reader knows how many messages it has put and how many are left, and so which
batches are gone. So the count stays right even if an exception meets a consumer right after it has taken a
message.
"""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..primitives import Leaf


class ReceiveBound:
    """Counts the messages and bytes that wait, by the batches that the reader has put.

    Attributes:
        max_bytes, max_messages: the bound; infinite without one.
        leased: the batches that were read by lease and are not counted yet, as (messages, bytes); a thread
            that receives appends to them in the leaf of the messages.
        wake_below: while the reader is paused, it must be woken when fewer messages than this are left;
            otherwise 0. Threads that receive read it.
    """

    __slots__ = ("_batches", "_put_count", "_size", "leased", "max_bytes", "max_messages", "wake_below")

    def __init__(self, max_bytes: int | None, max_messages: int | None) -> None:
        self.max_bytes = math.inf if max_bytes is None else max_bytes
        self.max_messages = math.inf if max_messages is None else max_messages
        self._batches: collections.deque[tuple[int, int]] = (
            collections.deque()
        )  # pairs: _put_count after the batch, and its bytes
        self._put_count = 0
        self._size = 0  # the bytes of all these batches
        self.leased: list[tuple[int, int]] = []
        self.wake_below = 0

    def put(self, count: int, size: int) -> None:
        """`count` messages of `size` bytes in all were put."""
        self._put_count += count
        self._batches.append((self._put_count, size))
        self._size += size

    def count_leased(self, leaf: Leaf) -> None:
        """Count what was read by lease. `leaf` is that of the messages."""
        fresh: list[tuple[int, int]] = []
        with leaf:
            leased = self.leased
            self.leased = fresh
        for count, size in leased:
            self.put(count, size)

    def waiting_bytes(self, waiting: int) -> int:
        """The bytes of the batches that hold any of the last `waiting` messages."""
        taken = self._put_count - waiting
        batches = self._batches
        while batches and batches[0][0] <= taken:
            self._size -= batches.popleft()[1]
        return self._size

    def seen_bytes(self, waiting: int) -> int:
        """The same as `waiting_bytes`, for any thread; the number may be a moment old."""
        try:
            batches = self._batches.copy()
        except RuntimeError:  # Without the interpreter's lock the reader may change the deque meanwhile.
            return self._size
        taken = (batches[-1][0] if batches else 0) - waiting
        return sum(size for last, size in batches if last > taken)

    def room_at(self, waiting: int) -> int:
        """How many messages may be left when reading goes on again: half of those that have reached the
        bound.

        If an incomplete message has passed the bound together with them, one batch less.
        """
        half = math.inf if self.max_messages == math.inf else self.max_messages // 2
        size = 0
        for last, bytes_of_batch in reversed(self._batches):
            size += bytes_of_batch
            if size > self.max_bytes / 2:
                return int(min(self._put_count - last, half))
        if waiting >= self.max_messages:
            return int(half)
        return self._put_count - self._batches[0][0] if self._batches else 0
