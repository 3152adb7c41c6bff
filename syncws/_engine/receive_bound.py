"""How much waits to be received, counted by the batches in which it came.

Owns: these counts. Runs on: the reader thread. Must not import: anything with threads.

The consumer says nothing of what it takes: the reader knows how many messages it has put and how many are
left, and so which batches are gone. So no consumer that an exception meets between taking a message and
counting it can make the count wrong.
"""

from __future__ import annotations

import collections
import math


class ReceiveBound:
    """How much waits, as the reader counts it: by the batches that it put.

    Attributes:
        max_bytes, max_messages: the bound; infinite without one.
    """

    __slots__ = ("_batches", "_put_count", "_size", "max_bytes", "max_messages")

    def __init__(self, max_bytes: int | None, max_messages: int | None) -> None:
        self.max_bytes = math.inf if max_bytes is None else max_bytes
        self.max_messages = math.inf if max_messages is None else max_messages
        self._batches: collections.deque[tuple[int, int]] = (
            collections.deque()
        )  # (_put_count after it, bytes)
        self._put_count = 0
        self._size = 0  # the sum over these batches

    def put(self, count: int, size: int) -> None:
        """`count` messages of `size` bytes in all were put."""
        self._put_count += count
        self._batches.append((self._put_count, size))
        self._size += size

    def waiting_bytes(self, waiting: int) -> int:
        """The bytes of the batches of which any of `waiting` messages is left."""
        taken = self._put_count - waiting
        batches = self._batches
        while batches and batches[0][0] <= taken:
            self._size -= batches.popleft()[1]
        return self._size

    def seen_bytes(self, waiting: int) -> int:
        """The same as `waiting_bytes` for any thread, which may see it a moment late."""
        try:
            batches = self._batches.copy()
        except RuntimeError:  # without the interpreter's lock the reader may change it meanwhile
            return self._size
        taken = (batches[-1][0] if batches else 0) - waiting
        return sum(size for last, size in batches if last > taken)

    def room_at(self, waiting: int) -> int:
        """How many messages may be left when reading is to go on: half of the bound that `waiting` messages
        have reached. Where it is a message that is not whole that makes them too much, one batch less."""
        half = math.inf if self.max_messages == math.inf else self.max_messages // 2
        size = 0
        for last, bytes_of_batch in reversed(self._batches):
            size += bytes_of_batch
            if size > self.max_bytes / 2:
                return int(min(self._put_count - last, half))
        if waiting >= self.max_messages:
            return int(half)
        return self._put_count - self._batches[0][0] if self._batches else 0
