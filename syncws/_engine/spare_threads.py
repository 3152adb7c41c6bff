"""Threads whose work is done, and that stay for a moment to take the next.

Owns: the work that waits for such a thread. Runs on: `give` on the thread that wants a thread, `stay` is the
whole of one. Must not import: what the threads do.

To start a thread takes longer than to open a connection on this machine, and it is the caller who waits for
that. Programs that have one connection after the other, as HTTP clients do, begin the next at once.

A token stands for each thread that waits. Who takes one has a thread, and puts the work into the mailbox that
all of them wait at. A thread whose time is over takes a token itself, and ends; where there is none, it was
taken, and its work is on the way. So work is never put where no thread will take it, whichever thread comes
first. A signal handler that raised between the two steps of `give` would leave a thread waiting for ever: so
these are one step of C, as the interpreter sees it.
"""

from __future__ import annotations

import operator
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable

from .primitives import is_patched, make_mailbox

# How long a thread stays.
STAY_SECONDS = 0.05

# As many stay at most, or a few more where several come at a time.
MOST = 4

# The name of a thread, and what it is to do.
Work = tuple[str, Callable[[], object]]

_second = operator.itemgetter(1)


class SpareThreads:
    """Those of one process."""

    def __init__(self) -> None:
        self._tokens: deque[None] = deque()
        self._mailbox = make_mailbox()

    def give(self, work: Work) -> bool:
        """Have a thread that waits take `work`; False where none waits."""
        # The token is taken first. A generator would have steps of its own.
        gifts = map(_second, zip(map(deque.pop, (self._tokens,)), (work,), strict=False))
        puts = map(self._mailbox.put, gifts)
        try:  # around one step, so that no handler's error is taken for the lack of a token
            for _ in puts:
                return True
        except IndexError:
            pass
        return False

    def stay(self, first: list[Work]) -> None:
        """The body of a thread, which `threading` calls by the name of its work. `first` is emptied: what
        `threading` holds until the thread ends must hold no connection."""
        work: Work | None = first.pop()
        while work is not None:
            threading.current_thread().name, call = work
            work = None
            call()
            del call
            work = self._next()

    def _next(self) -> Work | None:
        if len(self._tokens) >= MOST:
            return None
        self._tokens.append(None)
        try:
            work: Work = self._mailbox.get(timeout=STAY_SECONDS)
        except queue.Empty:
            try:
                self._tokens.pop()
            except IndexError:
                work = self._mailbox.get()
            else:
                return None
        return work


_shared: dict[str, SpareThreads] = {}


def shared_spares() -> SpareThreads | None:
    """Those of this process; None where there are none: to start a greenlet takes no time, and one that waits
    would keep its program's loop; PyPy looks for signals between the steps of `give`."""
    if sys.implementation.name != "cpython" or is_patched():
        return None
    return _shared.get("spares") or _shared.setdefault("spares", SpareThreads())


def forget_shared_spares() -> None:
    """In a forked child: the threads are the parent's."""
    _shared.clear()
