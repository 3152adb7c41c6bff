"""A lock, and the wait for what it guards, that Ctrl-C leaves whole at any moment.

Owns: who waits. Runs on: any thread. Must not import: anything of the package.

`threading.Condition.wait` gives its lock back while it waits. An exception from a signal handler just then
can leave it so, and the with-statement around it raises "release unlocked lock" in the place of
`KeyboardInterrupt`. Here nothing is held while a thread waits, so there is nothing to be put right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Condition:
    """Waiting for a change of what `lock` guards.

    Attributes:
        lock: to be taken by itself: a with-statement over a lock is the only one that Ctrl-C cannot leave
            locked.
    """

    __slots__ = ("_waiters", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waiters: list[threading.Lock] = []

    def wait_until(self, attempt: Callable[[], T], timeout: float | None = None) -> T:
        """Call `attempt` now and after each `notify`, until what it returns is true; returns that.

        It is called with the lock held. When `timeout` seconds are over first, what it returned last is
        returned.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self.lock:
                result = attempt()
                left = None if until is None else until - time.monotonic()
                if result or (left is not None and left <= 0):
                    return result
                waiter = threading.Lock()
                waiter.acquire()
                self._waiters += [waiter]
            try:
                waiter.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX))
            finally:
                # Who was not notified takes his name off the list; else one for each time-out would stay.
                if waiter in self._waiters:
                    with self.lock:
                        if waiter in self._waiters:
                            self._waiters.remove(waiter)

    def notify(self) -> None:
        """Let all who wait look again; the caller holds the lock."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.release()

    def after_fork(self) -> None:
        """In a forked child: a fresh lock, since the old one may be held by a thread that is not here. A
        wait that a signal handler forked out of looks again."""
        self.lock = threading.Lock()
        self.notify()
