"""Runs the tests of the codec over the extension under gcc's address and undefined-behaviour sanitizers.

    python -m tests.fuzz.sanitized FOLDER [pytest's arguments]

The extension is built in a copy of the checkout in FOLDER, since no other interpreter could load it. Python's
objects come from malloc(), where the sanitizer sees each by itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("syncws", "tests", "pyproject.toml", "setup.cfg", "setup.py", "README.md", "LICENSE")
TESTS = ["tests/fuzz", "tests/property/test_speedups.py", "tests/protocol"]
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"


def main(folder: Path, arguments: list[str]) -> int:
    if shutil.which("gcc") is None or sys.platform != "linux":
        print("skipped: the sanitizers are those of gcc on Linux")
        return 0
    named = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    library = named.stdout.strip()
    if not os.path.isabs(library):
        print("skipped: gcc has no libasan")
        return 0
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(source, copy / part)
    flags = {"CC": "gcc", "CFLAGS": f"{FLAGS} -fno-omit-frame-pointer -g -O1", "LDFLAGS": FLAGS}
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environment = {**os.environ, "SYNCWS_SPEEDUPS": "c"}
    subprocess.run(build, check=True, cwd=copy, env=environment | flags)
    sanitized = {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython leaves much to the end of the process
        "PYTHONMALLOC": "malloc",
    }
    # What a sanitizer says goes to a descriptor, of which pytest would else keep what it captured to itself.
    tests = [sys.executable, "-m", "pytest", "-q", "--capture=sys", "-p", "no:cacheprovider"]
    return subprocess.run([*tests, *(arguments or TESTS)], cwd=copy, env=environment | sanitized).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
