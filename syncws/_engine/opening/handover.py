"""A connection that a caller has opened on its own thread is handed to the reader, which runs it from then
on.

Owns: the caller's result, and the wait for it. Runs on: the caller's thread leaves it, the reader waits.
Must not import: sockets, what programs call.

A signal handler may raise at any step of the caller. So the caller hands over by one store and one call of a
C function, in an ``except`` and a ``finally``, and the reader also looks by itself. One thread at a time owns
the opening: while the caller is inside, the reader only waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..._exceptions import WebSocketError
from ..._handler_errors import find_interrupt

# How many seconds the reader waits before it looks at the opening by itself: a handler may have cut off the
# caller's notice, or may wait for the reader inside the caller.
LOOK_SECONDS = 0.25


class Handover:
    """One opening.

    Attributes:
        failure: the error that the caller's thread has raised; None without one.
        rest: the bytes that came after the answer to the opening handshake.
        tell: a C function that makes the reader look; for one call, by the caller's thread.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.rest = b""
        self._notice = threading.Lock()  # It is free while the reader has a notice to take.
        self._notice.acquire()
        self.tell: Callable[[], object] = self._notice.release

    def wait(self, is_open: Callable[[], bool]) -> bytes:
        """Wait until the connection is open, and return `rest`. Raises `failure` if there is one."""
        while not is_open():
            failure = self.failure
            if failure is not None:
                raise told_of(failure)
            self._notice.acquire(timeout=LOOK_SECONDS)
        rest, self.rest = self.rest, b""
        return rest


def told_of(failure: BaseException, handled: BaseException | None = None) -> Exception:
    """The error to report for the connection. An interrupt is the caller's own, and is not kept."""
    if isinstance(failure, Exception) and find_interrupt(failure, handled) is None:
        return failure
    return WebSocketError("connect() was interrupted")
