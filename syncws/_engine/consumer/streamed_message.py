"""A message that is received in parts, as they arrive (`recv_streaming`).

Owns: its parts. Runs on: `count` and `waiting_bytes` on the reader thread; each attribute says which threads
use it. Must not import: anything with threads.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._protocol.messages import MessagePart

# The memory of a part besides its bytes, roughly.
PART_OVERHEAD = 64


class StreamedMessage:
    """A message in parts.

    Attributes:
        parts: the parts that arrived and were not taken; the reader appends, the claimer takes from the left.
        claimer: the call that streams it, or the inbox once no call can claim it; None before.
        skipped: whether its claimer has stopped early: later parts are dropped.
    """

    __slots__ = ("_size", "_sizes", "claimer", "parts", "skipped")

    def __init__(self) -> None:
        self.parts: collections.deque[MessagePart] = collections.deque()
        self.claimer: object = None
        self.skipped = False
        # The sizes of the parts that the reader has put, minus those that it has seen to be taken.
        self._sizes: collections.deque[int] = collections.deque()
        self._size = 0

    def count(self, part: MessagePart) -> None:
        """The reader is about to append `part`."""
        size = len(part.data) + PART_OVERHEAD
        self._sizes.append(size)
        self._size += size

    def waiting_bytes(self) -> int:
        """How many of its bytes wait, as the reader counts them; see `receive_bound`."""
        sizes = self._sizes
        while len(sizes) > len(self.parts):
            self._size -= sizes.popleft()
        return self._size
