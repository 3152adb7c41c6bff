"""Installs the npm package `ws`, which one test file uses as a real server, where npm is there.

Runs before the tests in tox. Says what it did and never fails: without `ws` those tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT = 120  # seconds


def install() -> str:
    """Install `ws` into node_modules/ at the root unless it is there; return one line on what happened."""
    given = os.environ.get("SYNCWS_NODE_MODULES")
    if given:
        return f"using SYNCWS_NODE_MODULES={given}"
    if (ROOT / "node_modules" / "ws" / "package.json").is_file():
        return "ws is installed already"
    npm = shutil.which("npm")
    if npm is None:
        return "npm not found; the tests against Node's ws will be skipped"
    # No lock file: it would pin the address of one registry. One try: without a network npm waits long.
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            [npm, "install", *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIME_LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm install failed ({error}); the tests against Node's ws will be skipped"
    if done.returncode != 0:
        first = (done.stdout.strip().splitlines() or ["no output"])[0]
        return f"npm install failed ({first}); the tests against Node's ws will be skipped"
    return "npm installed ws"


if __name__ == "__main__":
    print("install_node:", install())
