"""The one place where a connection waits: for its socket, for a deadline, or for a thread that wakes it.

Owns: a selector and the descriptor that wakes it. Runs on: `wait` and `close` on one thread at a time, `wake`
on any thread. Must not import: anything of the package.

On Linux, `close()` of a socket does not wake a thread that waits for it, and on Windows `shutdown()` does
not. A second descriptor in the same selector wakes the thread on every system.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from typing import Protocol

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# A longer wait ends early: poll() takes at most 2^31 ms, and each caller looks at the clock again.
LONGEST_WAIT = 24 * 3600.0


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

    def wait_any(
        self, socks: list[socket.socket], events: int, limit: float | None = None
    ) -> list[socket.socket]:
        """Wait until any of `socks` is ready, or `limit` seconds are over; returns those that are ready.

        Raises as `wait` does.
        """

    def wake(self) -> None:
        """Make `wait` return; from any thread."""


class Poller:
    """Waits for one socket at a time, or while a connection is being opened for several."""

    def __init__(self) -> None:
        # poll(): unlike select() it takes descriptors of any number, and unlike epoll it needs none of its
        # own.
        self._selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        # Reentrant: the garbage collector may run inside `wake`, close a forgotten connection, and call
        # `wake`.
        self._lock = threading.RLock()
        self._closed = False
        self._watched: tuple[socket.socket, int] | None = None
        self._several: list[socket.socket] = []
        self._eventfd = -1
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if hasattr(os, "eventfd"):
            self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._selector.register(self._eventfd, READ)
        else:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self._selector.register(self._pair[0], READ)

    def wait(self, sock: socket.socket | None, events: int, timeout: float | None) -> bool:
        """Wait until `sock` is ready, `wake()` is called or `timeout` seconds are over.

        `sock` None waits without a socket. True when the socket is ready.
        """
        if not self._closed:
            self._watch(None if sock is None else (sock, events))
        ready = False
        for key, _ in self._selector.select(None if timeout is None else min(timeout, LONGEST_WAIT)):
            if key.fileobj is sock:
                ready = True
            else:
                self._consume()
        if self._closed:
            # Only `after_fork` closes the poller while somebody waits.
            raise ForkedError
        return ready

    def wait_any(self, socks: list[socket.socket], events: int, timeout: float | None) -> list[socket.socket]:
        """Wait until any of `socks` is ready, `wake()` is called or `timeout` seconds are over.

        Returns those that are ready. For the few waits of an opening: it registers them anew each time.
        """
        if not self._closed:
            self._watch(None)
        self._several = socks
        ready = []
        try:
            for sock in socks:
                self._selector.register(sock, events)
            for key, _ in self._selector.select(None if timeout is None else min(timeout, LONGEST_WAIT)):
                if key.fileobj in socks:
                    ready.append(key.fileobj)
                else:
                    self._consume()
        finally:
            if self._closed:
                raise ForkedError
            for sock in socks:
                self._selector.unregister(sock)
            self._several = []
        return ready

    def wake(self) -> None:
        """Make the present or the next `wait` return; does nothing after `close`."""
        # The lock is held for the write. Otherwise `close` could free the descriptor in between, and the
        # write would go to another file that has its number.
        with self._lock:
            if self._closed:
                return
            try:
                if self._pair is None:
                    os.eventfd_write(self._eventfd, 1)
                else:
                    self._pair[1].send(b"\0")
            except BlockingIOError:
                pass  # the buffer is full of wake-ups that were not consumed yet: one more changes nothing

    def after_fork(self) -> None:
        """In a forked child: free this process's copies of the descriptors, the watched socket's too."""
        self._lock = threading.RLock()
        if not self._closed:
            if self._watched is not None:
                self._watched[0].close()
            for sock in self._several:
                sock.close()
            self.close()

    def close(self) -> None:
        """Free the descriptors."""
        with self._lock:
            if self._closed:
                return  # in a forked child the numbers may belong to other files by now
            self._closed = True
            self._selector.close()
            if self._pair is None:
                os.close(self._eventfd)
            else:
                for end in self._pair:
                    end.close()

    def _watch(self, wanted: tuple[socket.socket, int] | None) -> None:
        if wanted == self._watched:
            return
        if self._watched is not None:
            self._selector.unregister(self._watched[0])
        if wanted is not None:
            self._selector.register(*wanted)
        self._watched = wanted

    def _consume(self) -> None:
        try:
            if self._pair is None:
                os.eventfd_read(self._eventfd)
            else:
                while self._pair[0].recv(4096):
                    continue
        except BlockingIOError:
            pass  # everything was consumed
