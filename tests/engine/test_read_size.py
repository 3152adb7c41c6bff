"""`reading.read_size`: reads grow while the network fills them, and shrink when it does not."""

from __future__ import annotations

import pytest

from syncws._engine.reading.read_size import LARGEST_READ, SMALLEST_READ, ReadSize
from tests.support.heap import IS_GLIBC, WHY_NOT, share_made_anew


def grown(steps: int) -> ReadSize:
    size = ReadSize()
    for _ in range(steps):
        size.adapt(size.bytes, drained=False)
    return size


def test_it_doubles_while_something_is_left_behind_a_read() -> None:
    size = ReadSize()
    seen = [size.bytes]
    for _ in range(5):
        size.adapt(size.bytes, drained=False)
        seen.append(size.bytes)
    assert seen == [SMALLEST_READ * 2**step for step in range(4)] + [LARGEST_READ] * 2
    assert SMALLEST_READ * 8 == LARGEST_READ


@pytest.mark.parametrize(("share", "shrinks"), [(8, False), (9, True)])
def test_it_halves_when_less_than_an_eighth_came(share: int, shrinks: bool) -> None:
    size = grown(2)
    before = size.bytes
    size.adapt(before // share, drained=True)
    assert size.bytes == (before // 2 if shrinks else before)


def test_it_never_passes_its_bounds() -> None:
    size = grown(10)
    assert size.bytes == LARGEST_READ
    for _ in range(10):
        size.adapt(1, drained=True)
    assert size.bytes == SMALLEST_READ


READS = """
from syncws._engine.reading.read_size import ReadSize

size = ReadSize()

def once():
    total = 0
    for _ in range(200):
        kept = []
        while len(kept) < 3:
            kept.append(bytearray(size.bytes))  # as a read that is filled
            size.adapt(size.bytes, drained=False)
        total += sum(map(len, kept))
    return total
"""


@pytest.mark.skipif(not IS_GLIBC, reason=WHY_NOT)
def test_the_memory_of_large_reads_is_used_again() -> None:
    assert share_made_anew(READS) < 0.05
