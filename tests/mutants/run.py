"""Puts small faults into a copy of the package, one at a time, and says which of them no test notices.

    python -m tests.mutants.run                   all of them
    python -m tests.mutants.run transport         those of one list
    python -m tests.mutants.run -k "max_size"     those whose name has this in it
    python -m tests.mutants.run --jobs 4          so many at the same time

A list is a module of this folder with `FOLDER`, the folder of syncws/ that it is about, and `MUTANTS`; to add
a list, add a module. A mutant names the tests that must notice it. The whole suite is not asked: the tests
for the mutated lines take a second where the suite takes minutes, and a fault that only a distant test
notices, by luck, counts as unnoticed.

Exit status 1 when a mutant survives, cannot be put in, or does not even import. In each ordinary run,
tests/repository/test_mutants.py checks that every mutant still fits the source.
"""

from __future__ import annotations

import argparse
import importlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]

# How long the tests of one mutant may take, and those of all mutants together without one. The first take
# seconds; a fault that makes them hang is noticed.
SECONDS = 120
SECONDS_FOR_ALL = 1800

# How long a test of a mutant waits for what must come: most faults of threads show in that it does not.
SECONDS_TO_WAIT = 15

# What a run of the tests needs of the checkout. A compiled module would take the place of the mutated source.
COPIED = ("syncws", "tests", "examples", "docs", "pyproject.toml", "setup.cfg", "tox.ini", "README.md")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", ".hypothesis", "node_modules")


def lists() -> dict[str, tuple[Path, tuple[Mutant, ...]]]:
    """Each list's folder in the checkout and its mutants, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in ("mutant", "run"):
            module = importlib.import_module(f"tests.mutants.{path.stem}")
            found[path.stem] = ROOT / "syncws" / module.FOLDER, module.MUTANTS
    return found


def place(mutant: Mutant, folder: Path) -> Path:
    """The module that the mutant changes; ValueError if its text is not in the folder exactly once."""
    counts = {path: path.read_text("utf-8").count(mutant.old) for path in sorted(folder.rglob("*.py"))}
    places = [path for path, count in counts.items() if count]
    if len(places) != 1 or counts[places[0]] != 1:
        raise ValueError(f"{mutant.breaks!r}: its text stands {sum(counts.values())} times in {folder.name}")
    return places[0]


def run_tests(
    checkout: Path, tests: tuple[str, ...], seconds: float = SECONDS, **variables: str
) -> tuple[int | None, str]:
    """The exit status of the tests, and what they print; None for the status when they do not end."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "SYNCWS_SPEEDUPS": "0", "SYNCWS_STRESS": "1"} | variables
    try:
        done = subprocess.run(
            [*command, *(f"tests/{name}" for name in tests)],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def judge(mutant: Mutant, path: Path, checkout: Path) -> str:
    """What becomes of a mutant: "" when its tests notice it, else the fault of the mutant or of the tests."""
    target = checkout / path.relative_to(ROOT)
    source = target.read_text("utf-8")
    target.write_text(source.replace(mutant.old, mutant.new), "utf-8")
    try:
        status, output = run_tests(checkout, mutant.tests, SYNCWS_TEST_SECONDS=str(SECONDS_TO_WAIT))
    finally:
        target.write_text(source, "utf-8")
    if status == 0:
        return "SURVIVES"
    # Pytest's status for errors while tests are collected, and for bad arguments. Anything else is a failed
    # test, a hang, or a crash of the interpreter: all of these are noticed.
    return f"is no mutant:\n{output}" if status in (2, 3, 4, 5) else ""


def copy_checkout(to: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, to / name)


class Runs:
    """Takes mutants off a queue on several threads, each with a copy of the checkout."""

    def __init__(self, mutants: list[tuple[Mutant, Path]]) -> None:
        self.failed = 0
        self._waiting: queue.SimpleQueue[tuple[Mutant, Path]] = queue.SimpleQueue()
        for entry in mutants:
            self._waiting.put(entry)
        self._printing = threading.Lock()

    def run(self, checkout: Path) -> None:
        while True:
            try:
                mutant, path = self._waiting.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            fault = judge(mutant, path, checkout)
            seconds = time.monotonic() - began
            with self._printing:
                self.failed += bool(fault)
                print(f"{seconds:5.1f} s  {path.relative_to(ROOT / 'syncws')}: {mutant.breaks}", flush=True)
                if fault:
                    print(f"         ^ {fault}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lists", nargs="*", choices=[*lists(), []], metavar="LIST")
    parser.add_argument("-k", dest="having", default="", help="only mutants whose name has this in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [
        (mutant, place(mutant, folder))
        for name, (folder, mutants) in lists().items()
        if not arguments.lists or name in arguments.lists
        for mutant in mutants
        if arguments.having in mutant.breaks
    ]
    with tempfile.TemporaryDirectory(prefix="syncws-mutants-") as name:
        checkouts = [Path(name, str(number)) for number in range(max(1, min(arguments.jobs, len(chosen))))]
        for checkout in checkouts:
            checkout.mkdir()
            copy_checkout(checkout)
        # A test that fails without a mutant would notice every one.
        files = tuple(sorted({test for mutant, _ in chosen for test in mutant.tests}))
        status, output = run_tests(checkouts[0], files, SECONDS_FOR_ALL) if files else (0, "")
        if status != 0:
            print(f"the tests fail, or do not end, without a mutant:\n{output}")
            return 1
        runs = Runs(chosen)
        threads = [threading.Thread(target=runs.run, args=(checkout,)) for checkout in checkouts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{len(chosen)} mutants, {runs.failed} of them not noticed")
    return 1 if runs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
