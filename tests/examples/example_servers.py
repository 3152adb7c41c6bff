"""The examples that serve, for the tests of those that connect."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.support.programs import PROGRAM_SECONDS, spawn


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """Run an example that serves, on a free port, until Ctrl-C ends it; the URL that it prints."""
    if sys.platform == "win32":
        pytest.skip("one process cannot press Ctrl-C for another one alone on Windows")
    with spawn("-m", *arguments, "0") as process:
        try:
            assert process.stdout is not None
            found = re.search(r"ws://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert found is not None
            yield found[0]
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PROGRAM_SECONDS)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
