"""`_freed_memory`: what large messages have used is used again, not made anew by the system for each."""

from __future__ import annotations

import pytest

from tests.support.heap import IS_GLIBC, WHY_NOT, share_made_anew
from tests.support.programs import run_silently

# Three messages live at once, since one alone is not returned to the system.
LARGE_MESSAGES = """
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from syncws.testing.wire import frame_bytes

MIB = 1024 * 1024
frame = frame_bytes(Opcode.BINARY, bytes(MIB))
decoder = Decoder()

def once():
    for _ in range(50):
        messages = []
        while len(messages) < 3:
            decoder.feed(frame[:100])
            room = decoder.get_buffer()
            size = len(room)
            room[:] = frame[100:100 + size]
            room.release()
            messages += decoder.buffer_updated(size)
    return 150 * MIB
"""


@pytest.mark.skipif(not IS_GLIBC, reason=WHY_NOT)
def test_the_memory_of_large_messages_is_used_again() -> None:
    assert share_made_anew(LARGE_MESSAGES) < 0.05


@pytest.mark.skipif(not IS_GLIBC, reason=WHY_NOT)
def test_where_memory_is_limited_nothing_is_kept_and_nothing_fails() -> None:
    program = """
import resource
from pathlib import Path
from syncws import _freed_memory

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**21,) * 2)
_freed_memory.keep_freed_memory()
"""
    run_silently("-c", program)
