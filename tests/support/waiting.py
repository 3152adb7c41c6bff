"""How long a test waits, and how it waits where there is no event to wait for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

# How long a test waits for what must come. It is generous, since only a failing test waits that long: a
# machine with more to do than processors may let a process stand still for many seconds. Three of these are
# less than the time after which pytest ends a test that hangs. Where a test is expected to fail, as in
# tests/mutants, the environment asks for less.
SECONDS = float(os.environ.get("SYNCWS_TEST_SECONDS", "90"))

# What counts as "at once" on a busy machine: far below `SECONDS`, with which a test sets every option that
# could end a wait instead.
AT_ONCE = SECONDS / 3


def wait_until(condition: Callable[[], bool], what: str = "") -> None:
    """Ask again and again, where no event says that the condition holds."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"did not become true: {what or condition}"
        threading.Event().wait(0.002)


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS), "what was waited for did not happen"
