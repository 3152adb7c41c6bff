"""Signals in the middle of a call, whose handler raises."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

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


@contextlib.contextmanager
def start_cut_off(error: BaseException, strikes: Callable[[threading.Thread, Any], bool]) -> Iterator[None]:
    """Raise `error` in the next `Thread.start`, as a handler does: where it begins, or after a call of a
    function in C, once `strikes` says so, which gets the thread and that function or None."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code is not threading.Thread.start.__code__ or event not in ("call", "c_return"):
            return
        if strikes(frame.f_locals["self"], argument):
            sys.setprofile(None)
            raise error

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
