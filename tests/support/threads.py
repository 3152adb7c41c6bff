"""Calls in threads of their own, and a Python that changes from thread to thread as often as it can."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import pytest

from syncws import ConnectionClosed
from tests.support.waiting import SECONDS

Key = TypeVar("Key")
Result = TypeVar("Result")

# How many seconds a thread must stand at one place to count as waiting.
STANDSTILL = 0.05

needs_spares = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="elsewhere each connection has threads of its own"
)


class Task(Generic[Result]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        return self.thread.is_alive()

    def wait_blocked(self) -> None:
        """Wait until the call waits for something, which shows in its thread standing at one place."""
        place: object = None
        since = 0.0
        until = time.monotonic() + SECONDS
        while True:
            assert self.running, f"{self._call} did not wait: {self._error!r}, {self._results!r}"
            assert time.monotonic() < until, f"{self._call} does not come to a standstill"
            frame = sys._current_frames().get(self.thread.ident or 0)
            now = frame and (frame.f_code, frame.f_lasti)
            del frame  # The frame would keep the objects of the call alive.
            # A standstill is two looks that find the same, however long a busy machine lets pass between two.
            if now is None or now != place:
                place, since = now, time.monotonic()
            elif time.monotonic() - since > STANDSTILL:
                return
            threading.Event().wait(0.002)

    def wait(self, seconds: float = SECONDS) -> BaseException | None:
        """Wait for the end of the call, and return its exception."""
        self.thread.join(seconds)
        assert not self.running, f"{self._call} did not end"
        return self._error

    def result(self, seconds: float = SECONDS) -> Result:
        if (error := self.wait(seconds)) is not None:
            raise error
        return self._results[0]

    def closed(self, seconds: float = SECONDS) -> ConnectionClosed:
        """The `ConnectionClosed` that the call must raise."""
        error = self.wait(seconds)
        assert isinstance(error, ConnectionClosed), f"{error!r}, {self._results!r}"
        return error


def all_at_once(
    calls: Mapping[Key, Callable[[], Result]], at_most: int | None = None
) -> dict[Key, Future[Result]]:
    """Make calls that wait more than they work, each in a thread of its own, and wait for the ends of all.

    It is for the fixture of a file whose tests would wait one after the other for the same length of time.
    Each test asks for the result of its call, which raises what the call has raised.
    """
    with ThreadPoolExecutor(at_most or len(calls)) as threads:
        return {key: threads.submit(call) for key, call in calls.items()}


@contextlib.contextmanager
def switching_all_the_time(interval: float = 1e-6) -> Iterator[None]:
    """Let Python change from thread to thread as often as it can, or at another interval."""
    before = sys.getswitchinterval()
    if sys.gettrace() is None:  # Under coverage's tracer each switch takes so long that nothing gets done.
        sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
