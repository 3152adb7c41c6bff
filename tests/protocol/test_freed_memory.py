"""`_freed_memory`: what large messages have used is used again, not made anew by the system for each."""

from __future__ import annotations

import pytest

from tests.support.heap import IS_GLIBC, WHY_NOT, share_made_anew

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
