"""SIGTERM and SIGHUP end the run as Ctrl-C does: with a Close, and quietly.

Owns: the two handlers, while the command line runs. Runs on: the main thread. Must not import: anything of
the package.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from .statuses import Status

_NAMES = ("SIGTERM", "SIGHUP")


class Stopped(BaseException):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = Status.SIGNAL + number


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Let the signals raise `Stopped` in the block; those that the caller ignores (nohup) stay ignored."""
    former = {}
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            former[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
