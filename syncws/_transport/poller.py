"""The one place where a connection waits: for its socket, for a deadline, or for a thread that wakes it.

Owns: a selector and the descriptor that wakes it. Runs on: `wait` and `close` on one thread at a time, `wake`
on any thread. Must not import: anything of the package but `_handler_errors`.

On Linux, `close()` of a socket does not wake a thread that waits for it, and on Windows `shutdown()` does
not. A second descriptor in the same selector wakes the thread on every system.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import operator
import os
import select
import selectors
import socket
import sys
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Protocol

from .._handler_errors import pass_on

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# The longest wait; a longer one ends early, since poll() takes at most 2^31 ms, and each caller looks at the
# clock again.
LONGEST_WAIT = 24 * 3600.0

# PyPy frees unreachable objects only when it needs memory, which may be after the last descriptor is used up.
# There the wake-up is a pair of sockets, and a socket object that is closed refuses to send.
_COUNTS_REFERENCES = sys.implementation.name == "cpython"


class ForkedError(BaseException):
    """The process was forked while this greenlet waited, and the connection is its parent's.

    Only a greenlet meets this: gevent copies running greenlets into a forked child, where threads end. gevent
    prints a traceback when a greenlet that was started before the fork ends in the child, so the outermost
    function of each thread catches this error and blocks for ever.
    """


class OpenTimeoutError(TimeoutError):
    """The time for the whole opening is over."""


class OpeningDeadline(Protocol):
    """The deadline of an opening, and how the thread that opens the connection waits.

    Attributes:
        at: when the time is over, on the clock of `time.monotonic`; None for never.
    """

    at: float | None

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait until `sock` is ready (True) or `limit` seconds are over (False).

        With None for the socket it also returns, False, after `wake`. Raises `OpenTimeoutError` when the
        whole time is over, and another error when the opening was given up.
        """

    def wait_any(
        self, socks: list[socket.socket], events: int, limit: float | None = None
    ) -> list[socket.socket]:
        """Wait until any of `socks` is ready, or `limit` seconds are over; returns those that are ready.

        Raises as `wait` does.
        """

    def wake(self) -> None:
        """Make `wait` return; from any thread."""


# The closers of the descriptors of each wake-up, and those that have run and can be dropped. A closer must
# live until its callback has returned: CPython before 3.13 holds no reference to it meanwhile, and crashes if
# another thread drops it while `os.close` runs. The callback notes its key as its last step.
_closers: dict[object, weakref.ref[WakeUp]] = {}
_done: collections.deque[object] = collections.deque()


class WakeUp:
    """Wakes a wait: one descriptor on Linux, two connected sockets on other systems.

    It is closed when its last reference goes, on any thread, and by C code alone: in a `__del__` a signal
    handler could run, and its exception would be lost there.
    """

    __slots__ = ("__weakref__", "_ends", "_key", "_number")

    def __init__(self) -> None:
        self._ends: list[socket.socket] = []
        self._number = -1
        self._key = key = object()
        numbers: list[int] = []
        closing = itertools.chain(map(os.close, numbers), map(operator.methodcaller("close"), self._ends))
        # A call of this with the reference, which `next` takes as its default, makes all these calls.
        calls = itertools.chain(closing, map(_done.append, (key,)))
        _closers[key] = weakref.ref(self, functools.partial(next, filter(None, calls)))
        # From here on the descriptors will be closed, even if a signal handler raises in the very next step.
        if hasattr(os, "eventfd"):
            flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
            numbers += map(os.eventfd, (0,), (flags,))  # The call and the append are one step of C.
            self._number = numbers[0]
        else:
            self._ends += socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
            self._number = self._ends[0].fileno()
        while _done:  # The order matters, since a handler that raises may end the loop at any step.
            try:
                done = _done[0]
                _closers.pop(done, None)
                _done.remove(done)
            except (IndexError, ValueError) as error:
                pass_on(error)
                break  # Another thread is dropping them, too.

    def fileno(self) -> int:
        return self._number

    def make_put(self) -> Callable[[], object]:
        """A C function that does the same as `put`, as long as this object lives and is read now and then."""
        if self._ends:
            return functools.partial(self._ends[1].send, b"\0")
        return functools.partial(os.eventfd_write, self._number, 1)

    def put(self) -> None:
        """Make the descriptor readable."""
        try:
            if self._ends:
                self._ends[1].send(b"\0")
            else:
                os.eventfd_write(self._number, 1)
        except BlockingIOError as error:  # The descriptor is full, so one more changes nothing.
            pass_on(error)
        except (OSError, ValueError) as error:
            pass_on(error)
            if self._number >= 0:
                raise

    def clear(self) -> None:
        """Make the descriptor unreadable."""
        try:
            if self._ends:
                while self._ends[0].recv(4096):
                    continue
            else:
                os.eventfd_read(self._number)
        except BlockingIOError as error:  # Everything was read.
            pass_on(error)
        except (OSError, ValueError) as error:
            pass_on(error)
            if self._number >= 0:
                raise

    def close(self) -> None:
        """Close it now, though references remain; the other methods do nothing after this."""
        number, self._number = self._number, -1
        if number >= 0 and _closers.pop(self._key, None) is not None:
            for end in self._ends:
                end.close()
            if not self._ends:
                os.close(number)


class _PollSelector:
    """Like `selectors.PollSelector`, but an `InterruptedError` goes through, since only a signal handler
    raises one. That class takes it for an early end of the wait."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._numbers: dict[socket.socket | WakeUp, int] = {}

    def register(self, file: socket.socket | WakeUp, events: int) -> None:
        number = file.fileno()
        if number < 0:
            raise ValueError("the socket is closed")
        self._numbers[file] = number
        self._keys[number] = selectors.SelectorKey(file, number, events, None)
        self._poll.register(number, select.POLLIN if events == READ else select.POLLOUT)

    def unregister(self, file: socket.socket | WakeUp) -> None:
        """Raises `KeyError` for a socket that is not registered."""
        number = self._numbers.pop(file)
        self._keys.pop(number, None)
        self._poll.unregister(number)

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        milliseconds = None if timeout is None else math.ceil(timeout * 1000)
        return [(self._keys[number], events) for number, events in self._poll.poll(milliseconds)]

    def close(self) -> None:
        self._keys.clear()
        self._numbers.clear()


def _make_selector() -> _PollSelector | selectors.PollSelector | selectors.SelectSelector:
    # This uses poll(): unlike select() it takes descriptors of any number, and unlike epoll it needs no
    # descriptor of its own.
    if not hasattr(selectors, "PollSelector"):
        return selectors.SelectSelector()
    # gevent has its own poll, for greenlets.
    return _PollSelector() if isinstance(select.poll, BuiltinFunctionType) else selectors.PollSelector()


class Poller:
    """Waits for one socket at a time, or for several while a connection is being opened.

    `wake` may come on any thread, in a signal handler too, while `close` frees the descriptor that it writes
    to, whose number another file may get at once. So nothing closes that descriptor but the last reference to
    the object that owns it, and `wake` holds one while it writes. There is no lock that a handler could leave
    locked, or find locked by what it interrupted.
    """

    def __init__(self) -> None:
        self._selector = _make_selector()
        self._watched: tuple[socket.socket, int] | None = None
        self._several: list[socket.socket] = []
        self._wake_up: WakeUp | None = WakeUp()
        self._selector.register(self._wake_up, READ)

    def wait(self, sock: socket.socket | None, events: int, timeout: float | None) -> bool:
        """Wait until `sock` is ready, `wake()` is called or `timeout` seconds are over.

        `sock` None waits without a socket. True when the socket is ready.
        """
        wake_up = self._wake_up
        if wake_up is not None:
            self._watch(None if sock is None else (sock, events))
        ready = False
        for key, _ in self._selector.select(None if timeout is None else min(timeout, LONGEST_WAIT)):
            if key.fileobj is sock:
                ready = True
            elif wake_up is not None:
                wake_up.clear()
        if self._wake_up is None:
            # Only `after_fork` closes the poller under a wait.
            raise ForkedError
        return ready

    def wait_any(self, socks: list[socket.socket], events: int, timeout: float | None) -> list[socket.socket]:
        """Wait until any of `socks` is ready, `wake()` is called or `timeout` seconds are over.

        Returns those that are ready. For the few waits of an opening: it registers them anew each time.
        """
        wake_up = self._wake_up
        if wake_up is not None:
            self._watch(None)
        self._several = socks
        ready = []
        try:
            for sock in socks:
                self._selector.register(sock, events)
            for key, _ in self._selector.select(None if timeout is None else min(timeout, LONGEST_WAIT)):
                if key.fileobj in socks:
                    ready.append(key.fileobj)
                elif wake_up is not None:
                    wake_up.clear()
        finally:
            if self._wake_up is None:
                raise ForkedError
            for sock in socks:
                try:
                    self._selector.unregister(sock)
                except KeyError as error:  # A signal handler came before it was registered.
                    pass_on(error)
            self._several = []
        return ready

    def wake(self) -> None:
        """Make the present or the next `wait` return; does nothing after `close`."""
        wake_up = self._wake_up
        if wake_up is not None:
            wake_up.put()

    def after_fork(self) -> None:
        """In a forked child: free this process's copies of the descriptors, the watched socket's too."""
        wake_up = self._wake_up
        if wake_up is not None:
            if self._watched is not None:
                self._watched[0].close()
            for sock in self._several:
                sock.close()
            self.close()
            wake_up.close()  # A thread that does not exist here may have held a reference.

    def close(self) -> None:
        """Free the descriptors."""
        wake_up = self._wake_up
        if wake_up is None:
            return
        self._wake_up = None
        self._selector.close()
        if not _COUNTS_REFERENCES:
            wake_up.close()

    def _watch(self, wanted: tuple[socket.socket, int] | None) -> None:
        if wanted == self._watched:
            return
        if self._watched is not None:
            self._selector.unregister(self._watched[0])
        if wanted is not None:
            self._selector.register(*wanted)
        self._watched = wanted
