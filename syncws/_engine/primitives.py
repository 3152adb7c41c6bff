"""A lock, and the wait for what it guards, that signal handlers leave whole at any moment.

Owns: who waits. Runs on: any thread. Must not import: anything of the package.

A signal handler may raise, as Ctrl-C's does, or call any method of a connection, and does so between any two
steps of the main thread. `threading.Condition.wait` gives its lock back while it waits: an exception just
then can leave it so, and the with-statement around it raises "release unlocked lock" in the place of
`KeyboardInterrupt`. Here nothing is held while a thread waits. And the lock is reentrant, so that a handler
that closes a connection does not wait for the `send` that it interrupted.
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

    __slots__ = ("_notified", "_waiters", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._waiters: list[threading.Lock] = []
        self._notified = 0

    def wait_until(self, attempt: Callable[[], T], timeout: float | None = None) -> T:
        """Call `attempt` now and after each `notify`, until what it returns is true; returns that.

        It is called with the lock held. When `timeout` seconds are over first, what it returned last is
        returned.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self.lock:
                notified = self._notified
                result = attempt()
                left = None if until is None else until - time.monotonic()
                if result or (left is not None and left <= 0):
                    return result
                waiter = threading.Lock()
                waiter.acquire()
                if notified != self._notified:
                    continue  # by a signal handler, since the attempt
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
        self._notified += 1
        for waiter in self._waiters:  # who an exception keeps from being told stays on the list
            try:
                waiter.release()
            except RuntimeError:
                continue  # told already, by a signal handler that came in between
        self._waiters = []

    def after_fork(self) -> None:
        """In a forked child: a fresh lock, since the old one may be held by a thread that is not here. A
        wait that a signal handler forked out of looks again."""
        self.lock = threading.RLock()
        self.notify()


class Flag:
    """What `threading.Event` is, but whole as a `Condition` is."""

    __slots__ = ("_condition", "_set")

    def __init__(self) -> None:
        self._condition = Condition()
        self._set = False

    def set(self) -> None:
        with self._condition.lock:
            self._set = True
            self._condition.notify()

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False when `timeout` seconds were over first."""
        return self._condition.wait_until(self.is_set, timeout)


def stay() -> None:
    """Wait for good, as a greenlet does that a fork took along into the child: gevent prints a traceback when
    a thread that was started before the fork ends there."""
    threading.Event().wait()
