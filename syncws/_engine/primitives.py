"""Locks, waits and wake-ups that stay right whatever a signal handler, finalizer, fork or greenlet does.

Owns: every primitive of the package, and the list of those that a fork must renew. Runs on: any thread. Must
not import: anything of the package.

What can happen. CPython runs signal handlers on the main thread, between two steps of whatever Python code it
is in: at the start of a Python function, after a call (of a C function too) and at a backward jump; never
after an operator or a store. A handler may raise, as Ctrl-C does, or call any method of a connection, and
wait there for our other threads. The garbage collector runs finalizers on any thread, which may do the same;
up to CPython 3.11 it runs when a container is made, later where signals are looked for.

Why it is right.

1. A lock is a *leaf*. Inside it there are only operators and assignments on built-in types: no call, no
   loop, no `raise`, no container display, no property. Branches stand only in leaves that no caller's thread
   takes, since CPython 3.10 looks for signals where a jump is taken, too; the others pick a value from a
   tuple, or multiply it with a condition. So no handler and no finalizer runs on a thread that holds a leaf,
   no two leaves are held together, and no thread can wait for a lock whose holder waits for it. One test
   reads the source for this rule, another one traces it.
2. A leaf is taken so that no handler runs between the acquire and the block, and given back so that none runs
   before the release: ``__enter__`` and ``__exit__`` are the lock's own C methods. But CPython 3.14 looks for
   signals between an ``__enter__`` in C and the block, and leaves the lock locked when a handler raises there
   (3.15: a profiler). From 3.14 on `Leaf` acquires in ``for _ in acquires: return``: nothing runs between.
3. A note in a leaf is followed by the wake-up of its owner, in a ``finally`` around it, and that wake-up is
   one call of a C function: `put` of a mailbox. Some wake-ups take more steps, which a handler can cut off:
   each later call and each wait then makes up for that.
4. Nothing is held while a thread waits. A waiter first enters its name, then looks at the condition, and
   sleeps last; a thread that changes something first changes it, then looks for names. So one of the two
   sees the other.
5. A thread that does the work of one of our threads holds a *token*, not a lock: a handler or a finalizer may
   interrupt the holder and wait. So at every call the holder's work is complete, and a wait first gives back
   every token that its own thread holds; the interrupted call then sees that it holds nothing.

What was tried and rejected: reentrant locks (they cure re-entry, but a handler still waits for ever if it
waits for another thread that needs the lock which its own thread holds), `threading.Condition` (an exception
inside its wait leaves its lock released or held, by luck), context managers written in Python, a flag that
remembers the acquire, `acquire(False)`: each of them loses the lock where an interrupt comes at one step.
`queue.SimpleQueue.get` with a timeout: up to CPython 3.12 it waits for ever where its time is over once a
handler has run, or once another thread has taken what woke it. So it has one only where a thread of ours is
the only one that waits at the mailbox.

On PyPy handlers run between any two steps, so that a leaf may be held by a thread that is in one: there a
handler should only set a flag.
"""

from __future__ import annotations

import collections
import itertools
import operator
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

T = TypeVar("T")

_release = operator.methodcaller("release")

# A signal that comes between CPython's last look for one and the system call of a wait is noticed only after
# the wait. So on the thread that runs signal handlers none is longer, in seconds. On Windows Ctrl-C does not
# end a wait for a lock at all before CPython 3.14 (python/cpython#125541).
_LONGEST_ON_MAIN = 0.1 if sys.platform == "win32" and sys.version_info < (3, 14) else 15.0


def next_wait(until: float | None) -> float:
    """How many seconds the next wait of this thread may take."""
    on_main = threading.get_ident() == threading.main_thread().ident
    longest = _LONGEST_ON_MAIN if on_main else threading.TIMEOUT_MAX
    return longest if until is None else min(until - time.monotonic(), longest)


class Token:
    """The right to read or write in the place of one of our threads; one object for each call.

    Attributes:
        thread: the identifier of the thread that makes the call.
        held: whether the call still has the right.
        in_call: whether its system call is under way; the token is not taken away meanwhile.
    """

    __slots__ = ("_wake", "held", "in_call", "thread")

    def __init__(self, wake: Callable[[], object]) -> None:
        """Make a token for a call of this thread. `wake`: a C function that wakes the thread that goes on."""
        self.thread = threading.get_ident()
        self.held = False
        self.in_call = False
        self._wake = wake

    def give_back(self) -> None:
        """Let our thread go on; any code may do this in the name of the call that holds the token."""
        try:
            self.in_call = self.held = False
        finally:
            self._wake()


# The tokens that calls hold or are about to hold. Each use is one operation of a dict and needs no lock.
tokens: dict[Token, None] = {}


def give_back_tokens() -> None:
    """Before this thread waits: give back the tokens of the calls of this thread that are interrupted."""
    here = threading.get_ident()
    for token in list(tokens):
        if token.thread == here:
            token.give_back()
            tokens.pop(token, None)


class _Renewable(Protocol):
    def renew(self) -> None:
        """In a forked child: forget the parent's threads."""


class Sleeper(Protocol):
    """An entry of `Waiters`: a lock, or another object whose `release`, a C method, wakes its owner."""

    @property
    def release(self) -> Callable[[], object]: ...


# Without the interpreter's lock a processor may read one value before other processors see what it stored
# elsewhere. So a thread that changes something and then looks for names also looks within a leaf. This goes
# by the build, since the lock may be on only for the moment.
LOOKS_IN_ORDER: bool = "free-threading build" not in sys.version
# This is about rule 2 above.
LOOKS_AFTER_ENTER = sys.version_info >= (3, 14) or sys.implementation.name == "pypy"

# The objects that a fork must renew. No lock: each use is one operation of a set, which is atomic on every
# build, and a finalizer, which discards, may interrupt a thread that held one.
_renewables: set[weakref.ref[Any]] = set()
# The objects that must be renewed before anything else wakes a waiter in the child.
_renewed_first: set[weakref.ref[Any]] = set()

# Our threads that must never wait for a connection: readers, writers, look-ups.
own_threads: set[int] = set()


def renew_after_fork() -> None:
    """In a forked child: renew each primitive in place."""
    own_threads.clear()
    for token in list(tokens):
        token.held = False
    tokens.clear()
    for reference in [*_renewed_first, *_renewables]:
        primitive = reference()
        if primitive is not None:
            primitive.renew()


def _remember(primitive: _Renewable) -> None:
    _renewables.add(weakref.ref(primitive, _renewables.discard))


def remember_first(primitive: _Renewable) -> None:
    """Renew it in a forked child, before anything there is woken."""
    _renewed_first.add(weakref.ref(primitive, _renewed_first.discard))


class Leaf:
    """A lock for a few assignments; see the theory above for what may stand in its block."""

    __slots__ = ("__enter__", "__exit__", "__weakref__", "renew")

    renew: Callable[[], None]

    if TYPE_CHECKING:  # The slots hold methods of the lock in C.

        def __enter__(self) -> object: ...
        def __exit__(self, *exc_info: Any) -> None: ...

    def __init__(self) -> None:
        lock = threading.Lock()
        acquires = map(lock.acquire, itertools.repeat(True))

        def enter() -> None:
            for _ in acquires:
                return

        self.__enter__ = enter if LOOKS_AFTER_ENTER else lock.__enter__  # type: ignore[method-assign]
        self.__exit__ = lock.__exit__  # type: ignore[method-assign]
        self.renew = lock._at_fork_reinit  # type: ignore[attr-defined]
        _remember(self)


class Waiters:
    """The threads that wait until something becomes true."""

    __slots__ = ("__weakref__", "_leaf", "_sleeping")

    def __init__(self) -> None:
        self._leaf = Leaf()
        self._sleeping: dict[Sleeper, None] = {}
        _remember(self)

    def __bool__(self) -> bool:
        """Whether any thread waits."""
        return bool(self._sleeping)

    def wait_until(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Call `predicate` now and after each `notify`, until its result is true, and return that result.

        When `timeout` seconds pass first, the last result is returned. `predicate` runs without a lock held.
        """
        result = predicate()
        if result:
            return result
        give_back_tokens()
        until = None if timeout is None else time.monotonic() + timeout
        leaf = self._leaf
        while True:
            sleeper = threading.Lock()
            sleeper.acquire()
            try:
                with leaf:
                    self._sleeping[sleeper] = None
                result = predicate()
                if result or (left := next_wait(until)) <= 0:
                    return result
                sleeper.acquire(timeout=left)
            finally:
                # Otherwise each waiter whose time is over would leave an entry behind.
                with leaf:
                    self._sleeping[sleeper] = None  # A notify() may have removed it already.
                    del self._sleeping[sleeper]
            result = predicate()
            if result:
                return result

    def enter(self, sleeper: Sleeper) -> None:
        """Wake `sleeper` by the next `notify`, once. Its owner must check its condition after this call."""
        with self._leaf:
            self._sleeping[sleeper] = None

    def leave(self, sleeper: Sleeper) -> None:
        """Do not wake `sleeper` any more."""
        with self._leaf:
            self._sleeping[sleeper] = None  # A notify() may have removed it already.
            del self._sleeping[sleeper]

    def notify(self) -> None:
        """Let all waiting threads look again. The caller changes what they look at before this call."""
        if LOOKS_IN_ORDER and not self._sleeping:
            return
        sleeping: dict[Sleeper, None] = {}
        nobody = sleeping
        woken: list[Sleeper] = []
        # The iterator is made before the `try`, so that the `finally` is one step: an exception of a handler
        # leaves no waiter asleep.
        releases = map(_release, woken)
        try:
            with self._leaf:
                sleeping = self._sleeping
                self._sleeping = nobody
        finally:
            woken += sleeping
            collections.deque(releases, 0)

    def renew(self) -> None:
        """In a forked child: a wait that the signal handler with the fork had interrupted looks again."""
        self._leaf.renew()
        self.notify()


class Mailbox(Protocol):
    """A queue whose `put` is one call of a C function that never waits, so that no handler can cut it off; on
    PyPy and with eventlet it is one of Python."""

    def put(self, item: Any) -> None: ...
    def get(self, block: bool = ..., timeout: float | None = ...) -> Any: ...
    def qsize(self) -> int: ...


class _PythonMailbox:
    """A mailbox for where the one in C does not work. `put` takes no lock, so one can interrupt another."""

    def __init__(self) -> None:
        self._items: collections.deque[Any] = collections.deque()
        self._token = threading.Lock()  # The lock is free while a waiting thread should look.
        self._token.acquire()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._offer()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                if self._items:
                    return self._items.popleft()
                if not block or (left := next_wait(until)) <= 0:
                    raise queue.Empty
                self._token.acquire(timeout=left)
            except IndexError:
                continue  # Another thread was quicker.
            finally:
                # Two items may have come with one release, and an exception may have lost one.
                if self._items:
                    self._offer()

    def qsize(self) -> int:
        return len(self._items)

    def _offer(self) -> None:
        try:
            self._token.release()
        except RuntimeError:
            pass  # The lock is free already.


def make_mailbox() -> Mailbox:
    """A mailbox that works for threads, and for greenlets in a program that gevent or eventlet patched."""
    # gevent has a queue of its own. CPython's would block all of eventlet's greenlets. PyPy and eventlet have
    # one in Python, in which a finalizer that puts while its own thread puts waits for itself.
    maker = queue.SimpleQueue.__module__
    is_usable = maker.startswith("gevent") or (maker == "_queue" and not is_patched())
    return queue.SimpleQueue() if is_usable else _PythonMailbox()


def is_patched() -> bool:
    """Whether gevent or eventlet has put greenlets in the place of threads."""
    return getattr(threading.Lock, "__module__", "") not in ("_thread", "thread")


class Flag:
    """Like `threading.Event`, but set by one store and one call of a C function."""

    __slots__ = ("__weakref__", "_gate", "_opens", "_set")

    def __init__(self) -> None:
        self._set = False
        self._make_gate()
        _remember(self)

    def _make_gate(self) -> None:
        # The lock is free once the flag is set, except while a waiting thread passes it on.
        self._gate = threading.Lock()
        self._gate.acquire()
        # The operator `None in` on this iterator opens the gate: it is no call, so no handler's error is
        # taken for the lock's.
        self._opens = map(_release, itertools.repeat(self._gate))

    def set(self) -> None:
        """Let all waiting threads go on."""
        self._set = True
        try:
            _ = None in self._opens
        except RuntimeError:
            pass  # It is open already.

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False when `timeout` seconds were over first."""
        give_back_tokens()
        until = None if timeout is None else time.monotonic() + timeout
        while not self._set:
            if (left := next_wait(until)) <= 0:
                return self._set
            try:
                self._gate.acquire(timeout=left)
            finally:
                if self._set:
                    try:
                        _ = None in self._opens  # This opens the gate for the next thread that waits.
                    except RuntimeError:
                        pass  # It is open already.
        return True

    def renew(self) -> None:
        """In a forked child: make a new gate; a wait whose signal handler has forked goes on with that."""
        left_behind = self._opens
        self._make_gate()
        try:
            _ = None in left_behind
        except RuntimeError:
            pass  # This opens the new gate, since the flag is set.


class own_thread:  # noqa: N801 - reads as a statement
    """``with own_thread():`` around the body of a thread that must never wait for a connection."""

    def __enter__(self) -> None:
        own_threads.add(threading.get_ident())

    def __exit__(self, *exc_info: object) -> None:
        own_threads.discard(threading.get_ident())


def is_own_thread() -> bool:
    """Whether this thread is a reader, a writer or a look-up of ours. A finalizer of the program may run on
    it, and there a wait for a connection could be a wait for itself."""
    return threading.get_ident() in own_threads
