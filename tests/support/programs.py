"""Python programs that run in a process of their own, from the root of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# How long a program may take. This is longer than a test waits otherwise, since programs wait themselves and
# then say where, and shorter than the time after which pytest ends a test that hangs.
PROGRAM_SECONDS = 120.0

# How many seconds may pass from the end of a main program to the end of its process, with its goodbyes to
# servers, on a busy machine.
EXIT_SECONDS = 30.0


def spawn(
    *arguments: str,
    warnings: str = "error",
    stderr: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start `python *arguments`, its three streams in our hands; `warnings` is an action for ``-W``."""
    return subprocess.Popen(
        [sys.executable, "-W", warnings, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})},
    )


def communicate(process: subprocess.Popen[str], given: str = "", status: int = 0) -> tuple[str, str]:
    """Wait for the end of a process, which must have this status; what it wrote to stdout and to stderr."""
    with process:
        try:
            out, err = process.communicate(given, PROGRAM_SECONDS)
        finally:
            process.kill()
    assert process.returncode == status, out + err
    return out, err


def run(
    *arguments: str,
    given: str = "",
    status: int = 0,
    warnings: str = "error",
    environment: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """What `python *arguments` wrote to stdout and to stderr, having ended with `status`."""
    return communicate(spawn(*arguments, warnings=warnings, environment=environment), given, status)


def run_silently(
    *arguments: str, warnings: str = "error", environment: Mapping[str, str] | None = None
) -> str:
    """What `python *arguments` wrote to stdout; to stderr it must write nothing."""
    out, err = run(*arguments, warnings=warnings, environment=environment)
    assert err == "", err
    return out
