"""The command line in a line of shell."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.programs import PROGRAM_SECONDS, ROOT


def shell(script: str, url: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell; `syncws` is the command line there, `$url` the server."""
    prelude = 'set -o pipefail; syncws() { "$python" -W error -m syncws "$@"; };'
    return subprocess.run(
        ["bash", "-c", prelude + script],
        cwd=ROOT,
        env={**os.environ, "python": sys.executable, "url": url},
        capture_output=True,
        check=False,
        timeout=PROGRAM_SECONDS,
    )
