"""The command line as a process of its own, as a shell runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.programs import PROGRAM_SECONDS, ROOT


@dataclass(frozen=True)
class Done:
    """What a run left."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


def start(
    *arguments: str,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = ("-W", "error"),
) -> subprocess.Popen[bytes]:
    """Start `python -m syncws *arguments`."""
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "syncws", *arguments],
        cwd=ROOT,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, "NO_COLOR": "", **(environment or {})},
        bufsize=0,
    )


def finish(process: subprocess.Popen[bytes], given: bytes = b"") -> Done:
    """Give it its stdin, and wait for its end."""
    with process:
        try:
            out, err = process.communicate(given if process.stdin else None, PROGRAM_SECONDS)
        finally:
            process.kill()
    return Done(process.returncode, out or b"", (err or b"").decode())


def finish_all(*processes: subprocess.Popen[bytes], given: bytes = b"") -> list[Done]:
    """As `finish`, for several that run at the same time."""
    return [finish(process, given) for process in processes]


def syncws(*arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
    """One run from beginning to end."""
    return finish(start(*arguments, environment=environment), given)
