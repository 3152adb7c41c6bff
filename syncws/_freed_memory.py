"""Memory of the C library that is used again instead of being returned to the system.

Owns: one setting of the process. Runs on: any thread. Must not import: anything of the package.

glibc returns the free memory at the end of a heap to the system as soon as that is twice the largest block
that it has mapped and freed so far. Where large messages or large reads follow each other, it does so after
nearly every one, and the system then makes each page anew: for a message of 1 MiB that takes as long as
receiving it. glibc has a setting for this, `mallopt`, which Python cannot reach without `ctypes`; but freeing
one larger block has the same effect.
"""

from __future__ import annotations

import contextlib
import functools
import sys

# The size of that block in bytes. Each of the C library's heaps keeps up to twice as much from then on.
_BLOCK = 4 * 1024 * 1024


@functools.cache
def keep_freed_memory() -> None:
    """Call this before the first large message or read. It costs some microseconds once, and no memory."""
    if sys.implementation.name == "cpython":
        # The system gives the pages of a mapped block when they are used, and none is.
        with contextlib.suppress(MemoryError):  # The message itself may fit all the same.
            bytes(_BLOCK)
