"""The writer threads, which the connections share: at any moment most of these have nothing to send.

Owns: the threads that write, and how many there are. Runs on: `_run` on those threads; the methods under *any
thread* never wait, but for `wait_surplus_exited`. Must not import: sockets, the protocol.

A thread writes for one connection until nothing is left to send, however long its network makes it wait. So
there is one thread for each connection that is sending, and one spare: the last idle thread starts a
replacement before it begins. Four are kept when nobody sends, but no more than there are connections. One
more ends when its job is done; it stays for a moment as a spare thread (`spare_threads`), which the next
connection has at once. Where the system gives no more threads, those that are there serve all.

What can happen at once, and why it is right. `schedule` is the `put` of a mailbox, one call of a C function
that starts no thread and takes no lock of ours, because it runs in signal handlers, in finalizers and in
``finally`` blocks that a handler's exception passes through. A job that is put wakes one thread that waits in
`get`; a thread that is not waiting finds the job when it comes back to `get`, so none is missed. A thread
counts itself, as its first and last step, in a leaf, so the count never names a thread that does not run:
where `Thread.start` is cut short by Ctrl-C, the worst is one thread too many, which ends after its next job
like any other. A thread decides to end and stops counting in one leaf, the one in which connections and busy
threads are counted: a connection that comes before that keeps the thread, and one that comes after it starts
another.

What was tried and rejected: a writer thread for each connection (much of a connection's memory, and nearly
always asleep); a list of idle threads with a lock each (right, but it took a page to say why); to start
threads in `schedule` (it fails at interpreter exit, when the goodbyes must go out). Jobs that hold
their connection: one that is put after the last thread has ended lies in the mailbox until the next
connection has a thread, which may never be.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from ..._exceptions import ThreadStartError
from ..._handler_errors import pass_on
from ..._log import log, log_exception
from ..._transport.poller import ForkedError
from ..primitives import Leaf, Waiters, make_mailbox, own_thread
from ..spare_threads import start_thread
from ..threads import block_forever

# How many threads there are at least, never more than there are connections. CPython 3.12.0 to 3.12.2 cannot
# start threads once the main thread has ended (python/cpython#113964), and then one server that does not read
# must not hold up the others: there one thread is kept for each connection.
_STARTS_NONE_AT_THE_END = (3, 12) <= sys.version_info < (3, 12, 3)
MIN_THREADS = sys.maxsize if _STARTS_NONE_AT_THE_END else 2

# How many are kept when nobody sends. Where each job started a thread and ended one, a program with a few
# connections would pay for that at each message.
KEPT_THREADS = max(4, MIN_THREADS)


class PooledWriter(Protocol):
    """What is known here of a `Writer`.

    Attributes:
        thread_name: what a thread is called while it writes for this.
    """

    thread_name: str

    @property
    def run(self) -> Callable[[], object]:
        """Send all that there is to send, unless another thread is at it."""


class Enlisted(Protocol):
    """A connection as the pool counts it.

    Attributes:
        is_enlisted: whether the pool counts it.
    """

    is_enlisted: bool


class WriterPool:
    """Threads for those connections that have something to send."""

    def __init__(self) -> None:
        self._jobs = make_mailbox()
        #: Takes a callable, and lets the writer that it returns run soon. This is one C function.
        self.schedule: Callable[[Callable[[], PooledWriter | None] | None], object] = self._jobs.put
        self._leaf = Leaf()
        self._registered = 0
        self._threads = 0
        self._busy = 0
        self._changes = Waiters()
        self._forked = False

    # Any thread.

    def make_call(self, writer: PooledWriter) -> Callable[[], object]:
        """One C function that has `writer` run soon, if it is still there; to call it twice does no harm."""
        return functools.partial(self.schedule, weakref.ref(writer))

    def register(self, name: str) -> None:
        """Make sure of a thread for a new connection. Raises `ThreadStartError` when the system gives
        none."""
        registered = False
        try:
            with self._leaf:
                self._registered += 1
                registered = True
            self._changes.notify()
            self.provide(name)
        except BaseException:
            if registered:
                self.unregister()
            raise

    def enlist(self, connection: Enlisted) -> None:
        """Count a new connection, which notes that in the same step, and is to `unregister` from then on."""
        with self._leaf:
            self._registered += 1
            connection.is_enlisted = True
        self._changes.notify()  # A thread that was surplus may be needed now.

    def provide(self, name: str) -> None:
        """Make sure of a thread for a connection that is counted. Raises `ThreadStartError` when the system
        gives none."""
        self._add_missing_thread(name)

    def unregister(self) -> None:
        """A connection will have nothing to send any more."""
        try:
            with self._leaf:
                self._registered -= 1
        finally:
            if self._threads:
                self.schedule(None)  # An idle thread may be one too many now.

    @property
    def has_waiting(self) -> bool:
        """Whether a connection waits for a thread, since all of them are busy."""
        return self._jobs.qsize() > 0 and self._busy >= self._threads

    def wait_surplus_exited(self, timeout: float | None) -> bool:
        """Wait until there are no more threads than connections; False when `timeout` seconds were over
        first."""
        self.schedule(None)
        return self._changes.wait_until(lambda: self._threads <= self._registered, timeout)

    def after_fork(self) -> None:
        """In a forked child: this pool is the parent's, and none of its threads is here."""
        self._forked = True
        self._threads = self._busy = 0

    def _needed(self) -> int:
        return min(self._registered, max(MIN_THREADS, self._busy + 1))

    def _add_missing_thread(self, name: str) -> None:
        if self._threads >= self._needed():
            return
        try:
            start_thread(name, self._run)
        except RuntimeError as error:
            pass_on(error)
            raise ThreadStartError(f"the writer thread of {name} cannot be started: {error}") from error

    # The writer threads.

    def _run(self) -> None:
        """The body of a thread."""
        with self._leaf:
            self._threads += 1
        counted = True
        try:
            with own_thread():
                while not self._should_exit():
                    self._serve_one()
                counted = False
        except ForkedError:
            pass
        finally:
            if counted and not self._forked:
                with self._leaf:
                    self._threads -= 1
            self._changes.notify()
            if self._forked:
                block_forever()

    def _should_exit(self) -> bool:
        """Whether there are enough without this thread, which does not count from then on."""
        exits = False
        with self._leaf:
            enough = self._busy + 2
            if enough < KEPT_THREADS:
                enough = KEPT_THREADS
            if enough > self._registered:
                enough = self._registered
            if self._threads > enough:
                self._threads -= 1
                exits = True
        return exits

    def _serve_one(self) -> None:
        """Wait for a job and do it."""
        ask = self._jobs.get()
        job: PooledWriter | None = None if ask is None else ask()
        if job is None or self._forked:
            return
        with self._leaf:
            self._busy += 1
        try:
            self._spare(job.thread_name)
            thread = threading.current_thread()
            if thread.name != job.thread_name:
                thread.name = job.thread_name
            job.run()
        except ForkedError:
            raise
        except BaseException:  # The thread serves other connections, too: it must go on.
            log_exception({}, "%s: a fault of syncws itself", job.thread_name)
        finally:
            with self._leaf:
                self._busy -= 1

    def _spare(self, name: str) -> None:
        """Start a thread for the next connection, if this was the last idle one."""
        try:
            self._add_missing_thread(name)
        except Exception as error:
            log(logging.DEBUG, {}, "%s: no further thread: %r", name, error)


_shared: dict[str, WriterPool] = {}


def shared_pool() -> WriterPool:
    """The pool of this process; made when first needed, since gevent may patch the program until then."""
    return _shared.get("pool") or _shared.setdefault("pool", WriterPool())


def wait_shared_pool_exited(timeout: float) -> None:
    """Wait until no thread of it is left but those that connections need."""
    pool = _shared.get("pool")
    if pool is not None:
        pool.wait_surplus_exited(timeout)


def forget_shared_pool() -> None:
    """In a forked child: the pool is the parent's."""
    pool = _shared.pop("pool", None)
    if pool is not None:
        pool.after_fork()
