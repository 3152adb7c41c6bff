"""The way of a connection that a caller has opened on its own thread to the reader, which runs it from then
on.

Owns: what the caller leaves, and the wait for it. Runs on: the caller's thread leaves, the reader's waits.
Must not import: sockets, what programs call.

A signal handler may raise at any step of the caller. So what the caller leaves is one store and one call of a
C function, in an ``except`` and a ``finally``, and the reader also looks by itself. Whichever thread is in
the opening owns it: while the caller is, the reader only waits.
"""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import Callable

from .._exceptions import WebSocketError
from .._handler_errors import find_interrupt
from .primitives import make_mailbox

# How long the reader waits before it looks at the opening by itself, in seconds: for a caller whose word a
# handler has cut off, and for one whose handler waits for the reader.
LOOK_SECONDS = 0.25


class Handover:
    """One opening.

    Attributes:
        failure: what the caller's thread has left it with; None while it has not.
        rest: what came behind the answer to the opening handshake.
        tell: have the reader look; one C function.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.rest = b""
        self._notices = make_mailbox()
        self.tell: Callable[[], object] = functools.partial(self._notices.put, None)

    def wait(self, is_open: Callable[[], bool]) -> bytes:
        """Wait until the connection is open; returns `rest`. Raises what the opening has failed with."""
        while not is_open():
            failure = self.failure
            if failure is not None:
                raise told_of(failure)
            with contextlib.suppress(queue.Empty):
                self._notices.get(timeout=LOOK_SECONDS)
        rest, self.rest = self.rest, b""
        return rest


def told_of(failure: BaseException, handled: BaseException | None = None) -> Exception:
    """What to tell of it. An interrupt is the caller's own, and is not kept."""
    if isinstance(failure, Exception) and find_interrupt(failure, handled) is None:
        return failure
    return WebSocketError("connect() was interrupted")
