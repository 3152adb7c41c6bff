"""Runs the Python blocks of a documentation page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_blocks(page: str) -> list[str]:
    """The Python of a page of ``docs``, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / page).read_text("utf-8"), re.M | re.S)


def run_as_tests(blocks: Sequence[str], folder: Path) -> str:
    """Run each block as a file of tests, with the fixtures of an installed package. Returns pytest's
    output."""
    for number, block in enumerate(blocks, 1):
        (folder / f"test_block_{number}.py").write_text(block, "utf-8")
    plugins = ["-p", "syncws.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-q", "."],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
