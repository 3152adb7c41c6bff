"""The one place where a connection waits: for its socket, for a moment in time, or to be woken.

Owns: a selector and the descriptor that wakes it. Runs on: `wait` and `close` on one thread at a time, `wake`
on any thread. Must not import: anything of the package.

On Linux, `close()` of a socket does not wake a thread that waits for it, and on Windows `shutdown()` does
not. A second descriptor in the same selector wakes the thread on every system.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from typing import Protocol

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# A longer wait ends early: poll() takes at most 2^31 ms, and each caller looks at the clock again.
LONGEST_WAIT = 24 * 3600.0

# PyPy finds what nobody holds only when it needs memory, which may be after the last descriptor is used up.
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
    """How long the opening of a connection may take, and how the thread that opens it waits.

    Attributes:
        at: when the time is over, on the clock of `time.monotonic`; None for never.
    """

    at: float | None

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait until `sock` is ready (True) or `limit` seconds are over (False).

        With None for the socket it also returns, False, after `wake`. Raises `OpenTimeoutError` when the
        whole time is over, and another error when the opening was given up.
        """

    def wake(self) -> None:
        """Make `wait` return; from any thread."""


class _EventFd:
    """What wakes a wait on Linux: one descriptor."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._number

    def put(self) -> None:
        try:
            os.eventfd_write(self._number, 1)
        except BlockingIOError:
            pass  # it is full: one more changes nothing
        except ValueError:
            pass  # a signal handler has forked, and this is the child

    def clear(self) -> None:
        try:
            os.eventfd_read(self._number)
        except (BlockingIOError, ValueError):
            pass

    def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    __del__ = close


class _SocketPair:
    """What wakes a wait on other systems: two connected sockets."""

    __slots__ = ("_far", "_near")

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def fileno(self) -> int:
        return self._near.fileno()

    def put(self) -> None:
        try:
            self._far.send(b"\0")
        except OSError:
            pass  # as above

    def clear(self) -> None:
        try:
            while self._near.recv(4096):
                continue
        except OSError:
            pass

    def close(self) -> None:
        self._near.close()
        self._far.close()

    __del__ = close


class Poller:
    """Waits for one socket at a time.

    `wake` may come on any thread, in a signal handler too, while `close` frees the descriptor that it writes
    to, whose number another file may get at once. So nothing closes that descriptor but the last reference to
    the object that owns it, and `wake` holds one while it writes. There is no lock that a handler could leave
    locked, or find locked by what it interrupted.
    """

    def __init__(self) -> None:
        # poll() has no bound on descriptor numbers, as select() has, and needs no descriptor, as epoll does.
        self._selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self._watched: tuple[socket.socket, int] | None = None
        self._wake_up: _EventFd | _SocketPair | None
        self._wake_up = _EventFd() if hasattr(os, "eventfd") else _SocketPair()
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
            self.close()
            wake_up.close()  # a thread that is not here may have held a reference

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
