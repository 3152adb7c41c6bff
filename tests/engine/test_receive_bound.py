"""`consumer.receive_bound`: what waits, told from what was put and from how many messages are left."""

from __future__ import annotations

import math
import random
import time

import pytest

from syncws._engine.consumer.receive_bound import ReceiveBound


def bound_of(
    *batches: tuple[int, int], max_bytes: int | None = 100, max_messages: int | None = 10
) -> ReceiveBound:
    bound = ReceiveBound(max_bytes, max_messages)
    for count, size in batches:
        bound.put(count, size)
    return bound


def test_none_is_no_bound() -> None:
    bound = ReceiveBound(None, None)
    assert (bound.max_bytes, bound.max_messages) == (math.inf, math.inf)
    assert (ReceiveBound(5, None).max_bytes, ReceiveBound(None, 6).max_messages) == (5, 6)


def test_a_batch_counts_until_its_last_message_is_taken() -> None:
    bound = bound_of((3, 30), (1, 5), (2, 7))
    counted = [bound.waiting_bytes(waiting) for waiting in (6, 5, 4, 3, 2, 1, 0)]
    assert counted == [42, 42, 42, 12, 7, 7, 0]


def test_what_comes_later_counts_by_itself() -> None:
    bound = bound_of((2, 20))
    assert bound.waiting_bytes(0) == 0
    bound.put(1, 9)
    assert bound.waiting_bytes(1) == 9
    bound.put(1, 1)
    assert bound.waiting_bytes(2) == 10
    assert bound.waiting_bytes(1) == 1


def test_a_batch_of_empty_messages_is_no_bytes() -> None:
    bound = bound_of((4, 0), (1, 0))
    assert [bound.waiting_bytes(waiting) for waiting in (5, 1, 0)] == [0, 0, 0]


# Batches, the bound, and how many messages may be left.
ROOMS: dict[str, tuple[ReceiveBound, int, int]] = {
    "half of the messages": (bound_of((6, 0), (4, 0)), 10, 5),
    "half of an odd number of them": (bound_of((1, 0), (6, 0), max_messages=7), 7, 3),
    "of one batch, too": (bound_of((12, 0)), 12, 5),
    "of one message nothing": (bound_of((1, 0), max_messages=1), 1, 0),
    "half of the bytes": (bound_of((1, 20), (1, 30), (1, 30), (1, 20)), 4, 2),
    "exactly half of them": (bound_of((1, 50), (1, 20), (1, 30)), 3, 2),
    "a batch that is more than half": (bound_of((1, 20), (2, 80)), 3, 0),
    "a batch before what is half": (bound_of((2, 80), (3, 20)), 5, 3),
    "both, and the messages are fewer": (bound_of((3, 60), (7, 40)), 10, 5),
    "both, and the bytes are fewer": (bound_of((6, 60), (1, 10), (3, 45)), 10, 3),
    "bytes without a bound of messages": (bound_of((3, 60), (7, 40), max_messages=None), 10, 7),
    "messages without a bound of bytes": (bound_of((3, 10**9), (7, 10**9), max_bytes=None), 10, 5),
    "one batch less for a message that is not whole": (bound_of((2, 20), (3, 20)), 5, 3),
    "the only batch for one that is not whole": (bound_of((2, 20)), 2, 0),
    "nothing is there": (bound_of(), 0, 0),
}


@pytest.mark.parametrize("case", ROOMS)
def test_reading_goes_on_when_half_of_the_bound_is_taken(case: str) -> None:
    bound, waiting, room = ROOMS[case]
    assert bound.room_at(waiting) == room


def test_room_is_never_more_than_half_of_what_waits_by_bytes() -> None:
    source = random.Random(4)
    for _ in range(300):
        batches = [(source.randint(1, 4), source.randint(0, 60)) for _ in range(source.randint(1, 12))]
        bound = bound_of(*batches, max_messages=None)
        waiting = sum(count for count, _ in batches)
        if bound.waiting_bytes(waiting) >= 100:
            assert bound.waiting_bytes(bound.room_at(waiting)) <= 50


def test_it_costs_the_same_however_many_batches_wait() -> None:
    def seconds(count: int) -> float:
        bound = ReceiveBound(None, None)
        for _ in range(count):
            bound.put(1, 1)
        began = time.perf_counter()
        for _ in range(100):
            bound.waiting_bytes(count)
        return time.perf_counter() - began

    assert min(seconds(20_000) for _ in range(3)) < 50 * min(seconds(20) for _ in range(3))
