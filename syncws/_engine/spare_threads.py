"""Threads whose work is done, and that stay for a moment to take the next.

Owns: the work that waits for such a thread. Runs on: `start_thread` on the thread that wants a thread, `stay`
is the whole of one. Must not import: what the threads do.

To start a thread takes longer than to open a connection on this machine, and it is the caller who waits for
that. Programs that have one connection after the other, as HTTP clients do, begin the next at once.

Each thread that waits has a locked lock in a list. A caller that takes a lock out of the list has a thread:
it leaves the work where all threads look for it, and releases the lock. A thread whose time is over takes its
own lock out, and ends; if the lock is gone, a caller has taken it, and work is on its way. So work is never
left where no thread will take it, whichever thread comes first. A signal handler that raised between the
steps of `give` would leave a thread waiting for ever: so these are one step of C, as the interpreter sees it.

What was tried and rejected: one mailbox for all of them. A thread that waits in `queue.SimpleQueue.get` for
some time, and is woken for what another one takes just when that time is over, waits for ever up to CPython
3.12, since what is left of the time is negative.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections import deque
from collections.abc import Callable

from .._handler_errors import start_daemon
from .primitives import is_patched

# How many seconds a thread stays.
STAY_SECONDS = 0.05

# At most so many threads stay, or a few more where several come at the same time.
MOST = 8

# The name of a thread, and what it is to do.
Work = tuple[str, Callable[[], object]]

_first = operator.itemgetter(0)
_release = operator.methodcaller("release")


class SpareThreads:
    """The spare threads of one process."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()
        self._works: deque[Work] = deque()

    def give(self, work: Work) -> bool:
        """Have a thread that waits take `work`; False where none waits."""
        # A waiting thread's lock is taken first. A generator would have steps between which a handler runs.
        taken = zip(map(deque.pop, (self._waiting,)), map(self._works.append, (work,)), strict=False)
        gives = map(_release, map(_first, taken))
        try:  # It encloses one step, so that no handler's error is taken for the lack of a thread.
            for _ in gives:
                return True
        except IndexError:
            pass
        return False

    def stay(self, first: list[Work]) -> None:
        """The body of a thread, which `threading` calls by the name of its work. `first` is emptied: what
        `threading` holds until the thread ends must hold no connection."""
        try:
            work: Work | None = first.pop()
        except IndexError:
            return  # A signal handler has cut the start off.
        while work is not None:
            threading.current_thread().name, call = work
            work = None
            call()
            del call
            work = self._next()

    def _next(self) -> Work | None:
        if len(self._waiting) >= MOST:
            return None
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        if not lock.acquire(timeout=STAY_SECONDS):
            try:
                self._waiting.remove(lock)
            except ValueError:
                lock.acquire()
            else:
                return None
        return self._works.popleft()


_shared: dict[str, SpareThreads] = {}


def shared_spares() -> SpareThreads | None:
    """The spare threads of this process, or None where none are kept. A greenlet starts in no time, and one
    that waits would keep its program's loop. PyPy looks for signals between the steps of `give`."""
    if sys.implementation.name != "cpython" or is_patched():
        return None
    return _shared.get("spares") or _shared.setdefault("spares", SpareThreads())


def forget_shared_spares() -> None:
    """In a forked child: the threads are the parent's."""
    _shared.clear()


def start_thread(name: str, call: Callable[[], object]) -> None:
    """Have a thread run `call`: one that waits, or a new one. That is a daemon: a connection that is never
    closed must not keep the process from ending.

    Raises `RuntimeError` when the system gives no more threads.
    """
    spares = shared_spares()
    if spares is None:
        threading.Thread(target=call, name=name, daemon=True).start()
    elif not spares.give((name, call)):
        start_daemon(name, spares.stay, [(name, call)])
