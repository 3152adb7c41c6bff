"""How long a test waits, and how it waits where there is no event to wait for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

# How many seconds a test waits for an event that must come. It is generous, since only a failing test waits
# that long: a busy machine may let a process stand still for many seconds. Three of these are less than the
# time after which pytest ends a test that hangs. If a test is expected to fail, as in tests/mutants, the
# environment asks for less.
SECONDS = float(os.environ.get("SYNCWS_TEST_SECONDS", "90"))

# How many seconds count as "at once" on a busy machine: far below `SECONDS`, with which a test sets every
# option that could end a wait instead.
AT_ONCE = SECONDS / 3


def wait_until(condition: Callable[[], bool], what: str = "") -> None:
    """Ask again and again, where no event says that the condition holds."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"did not become true: {what or condition}"
        threading.Event().wait(0.002)


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS), "what was waited for did not happen"
