"""Runs pytest, and the failed tests of a large run once more, by themselves.

    python -m tests.support.run_tests [arguments of pytest]

Ten thousand tests use real sockets, threads and signals, on machines that others use too: a pause of the
whole machine can make one of them late. So where a few fail, these run again, one after the other, with
nothing beside them. What passes only then is named at the end: it is a fault of the test, or a race of the
package's, and is to be looked into. More than `FEW` failures are no such thing, and neither is a run that was
cut off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEW = 5
FAILED = 1  # pytest's status when it ran to its end and tests failed


def main(arguments: list[str]) -> int:
    """Run the tests; the exit status."""
    # A program that a test left may still write byte code there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}"]
        status = subprocess.run([*pytest, *arguments], check=False).returncode
        if status != FAILED:
            return status
        failed = names_of_failed(cache)
        if not 0 < len(failed) <= FEW:
            return status
        print(f"{len(failed)} failed; these run once more, by themselves", flush=True)
        status = subprocess.run([*pytest, *arguments, "--last-failed", "-n0"], check=False).returncode
        again = names_of_failed(cache) if status else []
        for name in failed:
            print(f"{'FAILED TWICE' if name in again else 'PASSED ONLY ALONE'}: {name}", flush=True)
        return status


def names_of_failed(cache: str) -> list[str]:
    """The tests that failed in the last run."""
    return list(json.loads((Path(cache) / "v" / "cache" / "lastfailed").read_text("utf-8")))


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    sys.exit(main(sys.argv[1:]))
