"""The points of the sweep are the places where real signals are met, and an exception there does the same."""

from __future__ import annotations

import collections
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.signals import sample
from tests.signals.points import PYPY, Place, Points

FILE = str(Path(sample.__file__))
SECONDS = 4.0
RIGHT_AFTER_ENTER = (3, 14) <= sys.version_info < (3, 15) and not PYPY

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")


class Hit(BaseException):
    pass


@pytest.fixture(scope="module")
def points() -> Iterator[Points]:
    points = Points(FILE)
    yield points
    points.leave()


def nothing(frame: FrameType) -> None:
    pass


def strike(frame: FrameType) -> None:
    raise Hit


def places(points: Points, call: Callable[[], object]) -> set[tuple[str, int]]:
    with points.watching(-1, nothing):
        call()
    found = set()
    for number in range(points.count):
        with points.watching(number, nothing):
            call()
        assert points.struck is not None
        found.add((points.struck.function, points.struck.line))
    return found


@pytest.mark.skipif(PYPY, reason="there signals are met between any two steps")
def test_real_signals_are_met_at_the_points_and_nowhere_else(points: Points) -> None:
    met: set[tuple[str, int]] = set()

    def handler(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename == FILE:
            place = Place.of(frame)
            met.add((place.function, place.line))

    expected = places(points, sample.a_bit_of_everything)
    before = signal.signal(signal.SIGALRM, handler)
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(2e-5, 8e-5))
            for _ in range(6):
                sample.a_bit_of_everything()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert met - expected == set()
    # The newer versions' special instructions make some calls without looking for signals, and on a busy
    # machine real signals may miss some more places.
    assert len(expected - met) <= len(expected) // 3, sorted(expected - met)


def harm(points: Points, call: Callable[[], object], check: Callable[[], bool]) -> int:
    """The number of points at which an exception leaves harm behind."""
    done = number = 0
    while True:
        try:
            with points.watching(number, strike):
                call()
        except Hit:
            pass
        if points.struck is None:
            return done
        done += check()
        number += 1


def is_left_locked() -> bool:
    locks = (sample.lock, sample.safe.lock)
    found = any(lock.locked() for lock in locks)
    for lock in locks:
        if lock.locked():
            lock.release()
    return found


@pytest.mark.skipif(PYPY, reason="there an exception can come between any two steps")
@pytest.mark.parametrize(
    ("call", "harmful"),
    [(sample.with_lock, RIGHT_AFTER_ENTER), (sample.acquire_then_try, True), (sample.with_safe_lock, False)],
)
def test_exceptions_leave_a_lock_held_where_real_ones_do(
    points: Points, call: Callable[[], None], harmful: bool
) -> None:
    assert (harm(points, call, is_left_locked) > 0) == harmful


@pytest.mark.skipif(PYPY, reason="there an exception can come between any two steps")
@pytest.mark.parametrize(("name", "harmful"), [("append_of_popleft", True), ("peek_append_del", False)])
def test_exceptions_lose_an_item_on_its_way_where_real_ones_do(
    points: Points, name: str, harmful: bool
) -> None:
    kind = list if name == "peek_append_del" else collections.deque
    source: Any = kind([0])
    target: Any = kind()

    def call() -> None:
        getattr(sample, name)(source, target)

    def check() -> bool:
        lost = len(source) + len(target) == 0
        source.clear()
        target.clear()
        source.append(0)
        return lost

    assert (harm(points, call, check) > 0) == harmful


@pytest.mark.skipif(PYPY, reason="there an exception can come between any two steps")
@pytest.mark.parametrize(
    ("call", "harmful"),
    [
        (sample.return_popleft, True),
        (sample.return_unpacked, sys.version_info < (3, 11)),
        (sample.return_from_loop, sys.version_info < (3, 11)),
    ],
)
def test_exceptions_lose_an_item_on_its_return_where_real_ones_do(
    points: Points, call: Callable[[collections.deque[int]], int], harmful: bool
) -> None:
    source, got = collections.deque([0]), collections.deque[int]()

    def run() -> None:
        sample.append_result(call, source, got)

    def check() -> bool:
        lost = not source and not got
        source.clear()
        got.clear()
        source.append(0)
        return lost

    assert (harm(points, run, check) > 0) == harmful
