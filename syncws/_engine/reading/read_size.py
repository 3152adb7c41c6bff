"""How many bytes one read from the network asks for.

Owns: that number, for one kind of reads of one connection. Runs on: the thread that reads. Must not import:
anything with I/O.
"""

from __future__ import annotations

from ..._freed_memory import keep_freed_memory

SMALLEST_READ = 64 * 1024
LARGEST_READ = 512 * 1024


class ReadSize:
    """The size of the next read. It doubles while the network fills it; nothing is held between reads.

    Attributes:
        bytes: that number.
        drained: whether the last read, or an attempt, left nothing behind.
    """

    __slots__ = ("bytes", "drained")

    def __init__(self) -> None:
        self.bytes = SMALLEST_READ
        self.drained = True

    def adapt(self, received: int, drained: bool) -> None:
        """A read has brought `received` bytes; `drained` says whether nothing was left behind them."""
        self.drained = drained
        if not drained:
            if self.bytes < LARGEST_READ:
                self.bytes *= 2
                keep_freed_memory()
        elif received < self.bytes // 8:
            self.bytes = max(self.bytes // 2, SMALLEST_READ)
