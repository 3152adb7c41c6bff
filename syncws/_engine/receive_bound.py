"""How much waits to be received, counted by the batches in which it came.

Owns: these counts. Runs on: the reader thread; `parts_taken` is the consumer's. Must not import: anything
with threads.

The consumer says nothing of what it takes: the reader knows how many messages it has put and how many are
left, and so which batches are gone.
"""

from __future__ import annotations

import collections

# What a part costs besides its bytes, near enough for a bound.
PART_OVERHEAD = 64


class ReceiveBound:
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
