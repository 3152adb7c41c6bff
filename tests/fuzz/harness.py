"""Runs a fuzz target under atheris, which is guided by what the input reaches in `syncws`.

    python -m tests.fuzz.harness          all targets, 60 s in all
    python -m tests.fuzz.harness 600      ten minutes

A target is a module with `check(data)`, which raises when something does not hold, and `seeds()`, the inputs
to begin with. `test_seeds.py` gives every seed to its target in each ordinary run, without atheris.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TARGETS = ("fuzz_decoder", "fuzz_handshake", "fuzz_speedups")
ROOT = Path(__file__).resolve().parents[2]


def instrumented(name: str) -> contextlib.AbstractContextManager[Any]:
    """Around the imports of a target: lets atheris see `syncws` where the target is the program."""
    if name != "__main__":
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[Any] = importlib.import_module("atheris").instrument_imports(
        include=["syncws"]
    )
    return context


def cut(data: bytes, seed: int) -> list[list[bytes]]:
    """Two ways to cut the input: byte by byte where it is short, and at random."""
    source = random.Random(seed)
    chunks: list[bytes] = []
    position = 0
    while position < len(data):
        size = source.choice((1, 1, 2, 3, 8, 60))
        chunks.append(data[position : position + size])
        position += size
    return [[data[at : at + 1] for at in range(len(data))], chunks] if len(data) <= 512 else [chunks]


def main(check: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """The program of a target: fuzz until something fails, with libFuzzer's options from the command line."""
    atheris = importlib.import_module("atheris")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        # -timeout: an input of 4 KiB that takes seconds is a fault, too.
        atheris.Setup([sys.argv[0], corpus, "-timeout=10", "-max_len=4096", *sys.argv[1:]], check)
        atheris.Fuzz()


def run(seconds: int) -> int:
    """Give each target its part of the time; the exit status of the first that fails."""
    if importlib.util.find_spec("atheris") is None:
        print(
            "skipped: atheris is not installed; it has wheels for CPython 3.10 to 3.14 on Linux x86-64 only"
        )
        return 0
    for target in TARGETS:
        print(f"--- {target}", flush=True)
        program = [sys.executable, "-m", f"tests.fuzz.{target}", "-print_final_stats=1"]
        with tempfile.TemporaryDirectory() as place:
            options = [f"-max_total_time={seconds // len(TARGETS)}", f"-artifact_prefix={place}/"]
            status = subprocess.run([*program, *options], cwd=ROOT).returncode
            for found in Path(place).iterdir():
                print(f"{target} fails for {found.read_bytes()!r}: add it to the seeds")
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
