"""The threads that belong to one connection: how they are started, and which of them run.

Owns: the names of those that run. Runs on: `start` on the caller's thread, `_run` is the whole of each
thread. Must not import: the code that the threads run.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._exceptions import ThreadStartError
from .._handler_errors import is_raised_by_handler
from .._protocol.frames import CloseCode
from .spare_threads import start_thread

if TYPE_CHECKING:
    from .primitives import Waiters


class Threads:
    """The threads of one connection.

    Attributes:
        running: the names of those that are started, and have not ended.
    """

    def __init__(self, prefix: str, waiters: Waiters) -> None:
        """`prefix`: the beginning of their names. `waiters` are notified when one has ended."""
        self.running: set[str] = set()
        self._prefix = prefix
        self._waiters = waiters
        self._forked = False

    def start(
        self, name: str, body: Callable[[], None], on_fault: Callable[[BaseException, int], None]
    ) -> None:
        """Start the thread `name`, which calls `body`. `on_fault` is called with an exception that ends
        the thread, and the close code for it.

        Raises `ThreadStartError` when the system has no thread left.
        """
        # A signal handler may raise before the thread has started, or after. The thread that takes the claim
        # first decides whether `body` runs.
        claims = [name]
        full_name = f"{self._prefix}-{name}"
        run = functools.partial(self._run, claims, name, body, on_fault)
        try:
            self.running.add(name)
            start_thread(full_name, run)
        except BaseException as error:
            if _took(claims):
                self.running.discard(name)
            if not isinstance(error, RuntimeError) or is_raised_by_handler(error):
                raise
            raise ThreadStartError(f"the thread {full_name} cannot be started: {error}") from error

    def _run(
        self,
        claims: list[str],
        name: str,
        body: Callable[[], None],
        on_fault: Callable[[BaseException, int], None],
    ) -> None:
        """The body of each thread. An exception that ends it also ends the connection."""
        if not _took(claims):
            return
        try:
            body()
        except BaseException as error:
            on_fault(error, CloseCode.INTERNAL_ERROR)
            raise
        finally:
            if self._forked:
                block_forever()
            self.running.discard(name)
            self._waiters.notify()

    def after_fork(self) -> None:
        """In a forked child: the threads do not exist here."""
        self._forked = True
        self.running.clear()


def _took(claims: list[str]) -> bool:
    """Take the claim, unless another thread has taken it."""
    try:
        claims.pop()
    except IndexError:
        return False
    return True


def block_forever() -> None:
    """Block for ever. gevent copies running greenlets into a forked child, and prints a traceback when one
    that was started before the fork ends there."""
    threading.Event().wait()
