"""Signals in the middle of a call, whose handler raises."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from tests.support.waiting import AT_ONCE

needs_timer_signals = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="the system has no setitimer"
)


class Interrupted(BaseException):
    """What the signal handler of a test raises, as the one of Ctrl-C raises KeyboardInterrupt."""


@contextlib.contextmanager
def alarms(first: float, again: float, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """A signal after `first` seconds, and then each `again` seconds."""
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, first, again)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(call: Callable[[], object]) -> None:
    """Interrupt a call of the main thread that does not end by itself; it must return at once."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    began = time.monotonic()
    with pytest.raises(Interrupted), alarms(0.05, 0, handler):
        call()
    assert time.monotonic() - began < AT_ONCE
