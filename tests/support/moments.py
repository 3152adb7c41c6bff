"""A signal handler that runs at some moment of the package's own code, again and again."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType

import pytest

from tests.support.interrupts import Interrupted, alarms
from tests.support.stress import amount
from tests.support.waiting import SECONDS

# How many seconds one loop looks for moments.
_MILLISECONDS = amount(1000, 100)

# On PyPy a handler runs between any two steps, so that one that raises may leave a leaf locked.
needs_moments = pytest.mark.skipif(
    not hasattr(signal, "setitimer") or sys.implementation.name == "pypy",
    reason="the system has no setitimer, or handlers run between any two steps",
)


class Moments:
    """Runs a handler at moments of the loop over `each`, in the code of these modules alone.

    Attributes:
        runs: how often the handler has run.
    """

    def __init__(self, handler: Callable[[], object], *modules: ModuleType) -> None:
        self.runs = 0
        self._handler = handler
        self._files = {module.__file__ for module in modules}
        self._inside = False

    def each(self, least: int = 100) -> Iterator[float]:
        """For a while, and until the handler has run so often: times to the next signal, from almost none to
        longer than a short call takes."""
        began = time.monotonic()
        with alarms(10, 0, self._meet):
            for number in itertools.count():
                seconds = time.monotonic() - began
                if seconds > _MILLISECONDS / 1000 and self.runs >= least:
                    return
                assert seconds < SECONDS, f"the handler ran {self.runs} times"
                yield 0.000002 + number % 60 * 0.000001

    @contextlib.contextmanager
    def within(self, delay: float) -> Iterator[None]:
        """The handler may run once inside the block. Its exception ends the block, and nothing else."""
        self._inside = True
        signal.setitimer(signal.ITIMER_REAL, delay)
        try:
            yield
        except Interrupted:
            pass
        finally:
            self._inside = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _meet(self, number: int, frame: FrameType | None) -> None:
        if not self._inside:
            return
        if frame is not None and frame.f_code.co_filename in self._files:
            self._inside = False
            self.runs += 1
            self._handler()
        else:  # The signal has met the test itself or this very function, so another one must come later.
            nested = frame is not None and frame.f_code.co_filename == __file__
            signal.setitimer(signal.ITIMER_REAL, 0.001 if nested else 0.00001)


def interrupt() -> None:
    """A handler that raises."""
    raise Interrupted
