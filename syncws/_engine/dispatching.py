"""A task on the program's own thread, by `dispatch=`, and the wait for its end.

Owns: nothing. Runs on: the thread that waits, which is one of ours; the task, wherever `dispatch` schedules
it. Must not import: what the tasks do.

At the end of the process the loop that would run the task has mostly ended: a GUI whose window is closed. So
a task that does not begin in a moment then is given up, and the exit does not wait for it. A loop that has
run tasks on another thread, which still runs, may only be slow: it has the time that the exit has.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .._log import Fields, log_exception
from . import process
from .primitives import make_mailbox

if TYPE_CHECKING:
    from .option_types import Dispatch

# How long a task may take to begin once the process ends, where nothing says that its loop still runs.
BEGIN_SECONDS = 0.1


class _Run:
    """One task, known to `process` while it is waited for."""

    def __init__(self, task: Callable[[], None], ran_on: list[int]) -> None:
        self._task = task
        self._ran_on = ran_on
        self._begun = False
        self._notices = make_mailbox()  # True: it is done; False: the process ends

    def steps(self) -> Iterator[None]:
        put = self._notices.put
        try:
            yield
            self._begun = True
            self._ran_on[:] = [threading.get_ident()]
            self._task()
        finally:
            put(True)

    def wait(self) -> bool:
        """Wait until it is done, or was cut short; False where it is given up."""
        while True:
            is_last = process.is_process_exiting() and not self._begun and not _still_runs(self._ran_on)
            try:
                if self._notices.get(timeout=BEGIN_SECONDS if is_last else None):
                    return True
            except queue.Empty:
                if not self._begun:
                    return False

    # Calls of `process`.

    def close_going_away(self) -> None:
        self._notices.put(False)

    def wait_over(self, timeout: float) -> None:
        """The thread that waits belongs to another one that `process` knows."""

    def after_fork(self) -> None:
        """The thread that waits is not here."""


def _still_runs(threads: list[int]) -> bool:
    """Whether one of them has not ended, and is not the main one, whose end that of the process is."""
    main = threading.main_thread()
    return any(thread.ident in threads and thread is not main for thread in threading.enumerate())


def dispatch_and_wait(
    dispatch: Dispatch, task: Callable[[], None], log_fields: Fields, ran_on: list[int] | None = None
) -> bool:
    """Have `dispatch` schedule `task`, and wait until it is done, or was cut short by a signal handler.

    `ran_on` has the thread of the last task, for the next call; none where that is not known.
    False where the process ends and the task has not begun. A handler may raise before the first step of what
    is called on the user's thread. So that is a generator which stands in its `try` already: wherever it goes
    on from there, it tells the end.
    """
    made = _Run(task, [] if ran_on is None else ran_on)
    process.remember(made)
    running = made.steps()
    next(running)
    run = functools.partial(next, running, None)
    try:
        dispatch(run)
    except BaseException:  # SystemExit too: it must not end the worker, which others wait for
        log_exception(log_fields, "dispatch raised: %r; events are dispatched on the worker", dispatch)
        # Nothing is left to run where dispatch called it before it raised. Where another thread runs it,
        # that raises ValueError here, and is waited for.
        with contextlib.suppress(ValueError):
            run()
    return made.wait()
