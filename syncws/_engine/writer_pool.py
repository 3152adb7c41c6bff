"""The writer threads, which the connections share: at any moment most of these have nothing to send.

Owns: the threads that write, and which of them are free. Runs on: `_run` on those threads; the methods under
*any thread* never wait, but for `wait_left`. Must not import: sockets, the protocol.

A thread serves one connection until that has nothing left to send, however long its network makes it wait,
so there are as many as there are busy connections, and one to spare: the last that is free starts the next
before it serves. `submit` starts none, and takes no lock: it runs in signal handlers and finalizers, and
under the locks of the connections. Where the system gives no more threads, those that are there serve all.
"""

from __future__ import annotations

import collections
import logging
import os
import sys
import threading
from typing import Protocol

from .._log import log, log_exception
from .primitives import Condition, stay

# How many stay when nobody has anything to send, unless there are fewer connections: one to serve and one to
# spare. These versions of CPython start no thread once the main thread has ended (python/cpython#113964), and
# then a server that does not read must not hold up the others: there each connection brings a thread.
_STARTS_NONE_AT_THE_END = (3, 12) <= sys.version_info < (3, 12, 3)
KEPT = sys.maxsize if _STARTS_NONE_AT_THE_END else 2

# How long the others stay.
IDLE_SECONDS = 1.0


class Member(Protocol):
    """What is known here of a `Writer`.

    Attributes:
        thread_name: what a thread is called while it serves this.
    """

    thread_name: str

    def serve(self) -> None:
        """Do all that there is to do, unless another thread is at it."""


class Pool:
    """Threads for those members that have something to do."""

    def __init__(self) -> None:
        # Each use of these is one operation, which is whole on every build.
        self._members: set[Member] = set()
        self._jobs: collections.deque[Member] = collections.deque()
        self._free: list[threading.Lock] = []  # one for each thread that waits, which it waits to acquire
        # These change under the lock of this; notified is what `wait_left` waits for.
        self._changes = Condition()
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._alive: set[threading.Thread] = set()  # also those that do not count any more
        self._forked = False

    # Any thread.

    def enlist(self, member: Member) -> None:
        """Make sure of a thread for a new connection. Raises `RuntimeError` when the system gives none."""
        with self._changes.lock:
            self._members.add(member)
            self._changes.notify()
        self._add_thread(member.thread_name)

    def submit(self, member: Member) -> None:
        """Have `member` served soon; to say so twice does no harm."""
        self._jobs.append(member)  # first: a thread that is not called yet looks after it is in `_free`
        self._call_one()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits to be served."""
        return bool(self._jobs)

    def leave(self, member: Member) -> None:
        """`member` will have nothing to do any more."""
        self._members.discard(member)
        self._call_one()

    def wait_left(self, timeout: float | None) -> bool:
        """Wait until there are no more threads than members; False when `timeout` seconds were over first."""
        if not self._changes.wait_until(lambda: len(self._threads) <= len(self._members), timeout):
            return False
        with self._changes.lock:
            ending = self._alive - self._threads
        for thread in ending:
            thread.join()
        return True

    def is_own_thread(self) -> bool:
        return threading.current_thread() in self._alive

    def after_fork(self) -> None:
        """In a forked child: this pool is the parent's, and none of its threads is here."""
        self._forked = True
        self._threads, self._busy, self._alive = set(), set(), set()
        self._changes.after_fork()

    def _call_one(self) -> None:
        """Let a free thread look at what there is to do: the one that was busy last."""
        for waiting in reversed(self._free.copy()):
            try:
                waiting.release()
            except RuntimeError:
                continue  # called already
            return

    def _count_needed(self) -> int:
        return min(len(self._members), max(KEPT, len(self._busy) + 1))

    def _add_thread(self, name: str) -> None:
        """Start a thread, if there are too few."""
        thread = None
        try:
            with self._changes.lock:
                if len(self._threads) >= self._count_needed():
                    return
                # A daemon: a connection that nobody closes must not keep the process from ending.
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.add(thread)
            thread.start()
        except BaseException:  # also Ctrl-C, or the time-out of a greenlet
            with self._changes.lock:
                if thread is not None and thread.ident is None:
                    self._threads.discard(thread)
                    self._changes.notify()
            raise

    # The writer threads.

    def _run(self) -> None:
        """The body of a thread."""
        thread = threading.current_thread()
        with self._changes.lock:
            self._alive = {thread, *(other for other in self._alive if other.is_alive())}
            self._threads.add(thread)  # again, where Ctrl-C cut its start short
        try:
            while (job := self._next_job(thread)) is not None:
                self._serve(job, thread)
        finally:
            with self._changes.lock:
                self._threads.discard(thread)
                self._changes.notify()
            if self._forked:
                stay()

    def _next_job(self, thread: threading.Thread) -> Member | None:
        """Who is to be served next; waits until somebody is. None when the thread is to end."""
        called = True
        while True:
            waiting = threading.Lock()
            waiting.acquire()
            self._free.append(waiting)
            try:
                job = self._take_job()
                if job is None and not self._may_end(thread, tired=not called):
                    called = waiting.acquire(timeout=IDLE_SECONDS if len(self._threads) > KEPT else -1)
                    continue
            finally:
                self._free.remove(waiting)
            if self._jobs or len(self._threads) > len(self._members):
                self._call_one()  # the call for that may have come to this thread, which is not free now
            return job

    def _take_job(self) -> Member | None:
        try:
            # Not bool(): popleft() comes after append() for all threads, on free-threaded builds too.
            return self._jobs.popleft()
        except IndexError:
            return None

    def _may_end(self, thread: threading.Thread, tired: bool) -> bool:
        """Whether there are enough without this thread, which is not counted from then on. `tired`: it had
        nothing to do for `IDLE_SECONDS`."""
        with self._changes.lock:
            self._threads.discard(thread)  # first, for a finalizer that makes a connection just here
            if len(self._threads) < (self._count_needed() if tired else len(self._members)):
                self._threads.add(thread)
                return False
            return True

    def _serve(self, job: Member, thread: threading.Thread) -> None:
        with self._changes.lock:
            self._busy.add(thread)
            last_free = len(self._threads) < self._count_needed()
        if last_free:
            try:
                self._add_thread(job.thread_name)
            except Exception as error:
                log(logging.DEBUG, {}, "%s: no further thread: %r", job.thread_name, error)
        try:
            if thread.name != job.thread_name:
                thread.name = job.thread_name
            job.serve()
        except Exception:
            log_exception({}, "%s: a fault of syncws itself", job.thread_name)
        finally:
            with self._changes.lock:
                self._busy.discard(thread)


_shared = Pool()


def shared_pool() -> Pool:
    """The pool of this process."""
    return _shared


def _after_fork() -> None:
    global _shared
    _shared.after_fork()
    _shared = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
