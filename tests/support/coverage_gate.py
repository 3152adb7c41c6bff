"""Measures branch coverage over all tests, and fails where it is below `fail_under` of pyproject.toml.

    python -m tests.support.coverage_gate                    all folders of tests, and the gate
    python -m tests.support.coverage_gate tests/protocol     these only, and only the report

A tracer changes what it watches: a signal can meet the tracer itself, a fork can copy it half way through its
work, a thread that starts while another one does can escape it, and everything takes longer. So a run of the
tests can fail here for reasons that are not the package's. The other environments of tox decide whether the
tests pass; this one decides about coverage alone.

Each folder runs in a process of its own. What fails in it runs once more, alone. The figure comes from all
the data that there is. If it is high enough, that is true whatever has failed. If it is too low while a run
did not end well, nothing is judged: it may be too low by an accident.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# How many seconds the tests of one folder may take under the tracer.
TIME_LIMIT = 1200
# How many seconds one test may take before its run ends: more than without a tracer.
HANG = 400
ATTEMPTS = 2


def folders() -> list[str]:
    """The folders of tests that pytest runs by default."""
    chosen = re.search(r"^testpaths = \[(.*?)\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    assert chosen is not None
    return re.findall(r'"(.*?)"', chosen[1])


def size(folder: str) -> int:
    """About how much there is to run, as a negative number, so that the largest folder comes first."""
    return -sum(path.stat().st_size for path in (ROOT / folder).rglob("test_*.py"))


def coverage(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "coverage", arguments[0], f"--data-file={data}", *arguments[1:]]


def run(folder: str, place: Path) -> bool:
    """Run the tests of a folder, with the data of each attempt in `place`; False when none ended well."""
    # After a run that was cut off it is not known which tests failed, so all of them run again.
    failed_ones = ["--last-failed", "-o", f"cache_dir={place / 'cache'}"]
    for attempt in range(1, ATTEMPTS + 1):
        data = place / str(attempt) / "coverage"
        data.parent.mkdir(parents=True)
        pytest = ["-m", "pytest", "-q", *failed_ones, "-o", f"faulthandler_timeout={HANG}"]
        try:
            done = subprocess.run(
                coverage(data, "run", *pytest, folder),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=TIME_LIMIT,
            )
            status, output = str(done.returncode), done.stdout
        except subprocess.TimeoutExpired:
            status, output = f"none in {TIME_LIMIT} s", ""
        lines = output.strip().splitlines()
        if status == "0":
            print(f"{folder}: {lines[-1]}", flush=True)
            return True
        print(
            "\n".join(lines[-40:]),
            f"\n{folder}: attempt {attempt} ended with the status {status}",
            flush=True,
        )
    return False


def main() -> int:
    chosen = sys.argv[1:] or folders()
    with tempfile.TemporaryDirectory(prefix="syncws-coverage-") as name:
        places = {folder: Path(name, folder.replace("/", "-")) for folder in chosen}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The large ones come first, so that none of them is left for one processor at the end.
            tasks = {folder: pool.submit(run, folder, places[folder]) for folder in sorted(chosen, key=size)}
            ended_well = [tasks[folder].result() for folder in chosen]
        measured = sorted({str(path.parent) for path in Path(name).rglob("coverage.*")})
        if not measured:
            print("nothing was measured: no run ended well under the tracer")
            return 0
        data = Path(name, "coverage")
        subprocess.run(coverage(data, "combine", "--quiet", *measured), cwd=ROOT, check=True)
        report = coverage(data, "report", *(["--fail-under=0"] if sys.argv[1:] else []))
        status = subprocess.run(report, cwd=ROOT).returncode
    if status == 0 or all(ended_well):
        return status
    lost = [folder for folder, well in zip(chosen, ended_well, strict=True) if not well]
    print(f"not judged: no run of {', '.join(lost)} ended well under the tracer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
