"""A task on the program's own thread, by `dispatch=`, and the wait for its end.

Owns: nothing. Runs on: the thread that waits, which is one of ours; the task runs where `dispatch` schedules
it. Must not import: the code of the tasks.

At the end of the process the loop that would run the task has usually ended, like that of a GUI whose window
is closed. So a task that does not begin soon then is given up, and the exit does not wait for it. But if the
loop ran earlier tasks on another thread, and that thread is still alive, the loop may only be slow: then the
task has as much time as the exit.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..._log import Fields, log_exception
from .. import process
from ..primitives import make_mailbox

if TYPE_CHECKING:
    from ..options.option_types import Dispatch

# How long a task may take to begin once the process ends, unless its loop is known to be alive.
BEGIN_SECONDS = 0.1


class _Run:
    """One task, known to `process` while it is waited for."""

    def __init__(self, task: Callable[[], None], ran_on: list[int]) -> None:
        self._task = task
        self._ran_on = ran_on
        self._begun = False
        self._notices = make_mailbox()  # True when the task is done, False when the process ends

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
        """Wait until the task is done or was cut short. Returns False when it is given up."""
        while True:
            is_last = process.is_process_exiting() and not self._begun and not _still_runs(self._ran_on)
            try:
                if self._notices.get(timeout=BEGIN_SECONDS if is_last else None):
                    return True
            except queue.Empty:
                if not self._begun:
                    return False

    # `process` calls these methods.

    def close_going_away(self) -> None:
        self._notices.put(False)

    def wait_over(self, timeout: float) -> None:
        """There is nothing to wait for: the waiting thread belongs to an engine, which `process` knows as
        well."""

    def after_fork(self) -> None:
        """There is nothing to do: the waiting thread does not exist in the child."""


def _still_runs(threads: list[int]) -> bool:
    """Whether one of the threads is alive, not counting the main thread, which ends with the process."""
    main = threading.main_thread()
    return any(thread.ident in threads and thread is not main for thread in threading.enumerate())


def dispatch_and_wait(
    dispatch: Dispatch, task: Callable[[], None], log_fields: Fields, ran_on: list[int] | None = None
) -> bool:
    """Let `dispatch` schedule `task`, and wait until it is done or a signal handler has cut it short.

    `ran_on` keeps the thread of the last task for the next call; it is empty while that is not known. Returns
    False when the process ends before the task has begun.

    A handler may raise before the first step of a function that is called on the user's thread. So `dispatch`
    gets a generator that stands inside its `try` already: however it goes on from there, it reports the end.
    """
    made = _Run(task, [] if ran_on is None else ran_on)
    process.remember(made)
    running = made.steps()
    next(running)
    run = functools.partial(next, running, None)
    try:
        dispatch(run)
    except BaseException:  # SystemExit, too, must not end the worker, since other threads wait for it.
        log_exception(log_fields, "dispatch raised: %r; events are dispatched on the worker", dispatch)
        # If dispatch called the task before it raised, nothing is left to run. If another thread is running
        # the task, this call raises ValueError, and `wait` waits for that thread.
        with contextlib.suppress(ValueError):
            run()
    return made.wait()
