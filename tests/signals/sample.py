"""Code that does a bit of everything, one thing on each line, to see where signals are met in it."""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any


def helper(number: int) -> int:
    return number + 1


def numbers(count: int) -> Iterator[int]:
    for number in range(count):  # noqa: UP028 - a generator that is gone on with is the point
        yield number


class Thing:
    def __init__(self) -> None:
        self.size = 1

    @property
    def doubled(self) -> int:
        return self.size * 2


class SafeLock:
    """Acquired where nothing is looked for before the block, given back by the lock's own C method."""

    __slots__ = ("__exit__", "lock")

    __exit__: Any

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.__exit__ = self.lock.__exit__

    def __enter__(self) -> None:
        for _ in map(self.lock.acquire, (True,)):
            return


lock = threading.Lock()
reentrant = threading.RLock()
safe = SafeLock()
items = collections.deque([1, 2, 3])


def a_bit_of_everything() -> bytes:
    number = 0
    with lock:
        number = number + 1
    with reentrant:
        items.rotate(1)
    items.append(items.popleft())
    number = helper(number)
    for _ in range(3):
        items.rotate(1)
    number = Thing().doubled
    collections.deque((1, 2), 0)
    for number in numbers(2):  # noqa: B007
        pass
    while number < 3:
        number += 1
    with safe:
        number = 4
    listed = [each for each in items]  # noqa: C416
    try:
        listed.remove(9)
    except ValueError:
        text = str(number)
    text = f"{number}"  # noqa: F841
    (taken,) = map(collections.deque.popleft, (items,))
    items.append(taken)
    threading.Lock()
    return bytes(number)


# An exception leaves each of these at every point in turn. The harm that it may leave behind is known.


def with_lock() -> None:
    with lock:
        pass


def acquire_then_try() -> None:
    lock.acquire()
    try:
        pass
    finally:
        lock.release()


def with_safe_lock() -> None:
    with safe:
        pass


def append_of_popleft(source: collections.deque[int], target: collections.deque[int]) -> None:
    target.append(source.popleft())


def peek_append_del(source: list[int], target: list[int]) -> None:
    target += source[:1]
    del source[:1]


def return_popleft(source: collections.deque[int]) -> int:
    return source.popleft()


def return_unpacked(source: collections.deque[int]) -> int:
    (first,) = map(collections.deque.popleft, (source,))
    return first


def return_from_loop(source: collections.deque[int]) -> int:
    for first in map(collections.deque.popleft, itertools.repeat(source)):
        return first
    raise AssertionError("these never end")


def append_result(
    call: Callable[[collections.deque[int]], int],
    source: collections.deque[int],
    target: collections.deque[int],
) -> None:
    target.append(call(source))
