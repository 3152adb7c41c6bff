"""The sweep of signal handlers: every call of the public API, interrupted at every point, by every handler.

    python -m tests.signals.sweep [--quick] [--tls] [--deflate] [--seed N] [names ...]
    python -m tests.signals.sweep --replay send:conn_close:12
    tox -e signals

A name is that of a call, of a handler, or of both: "send", "conn_close", "send:conn_close".

The promise: any call may be made from a signal handler or a finalizer, whatever it has interrupted; a handler
that raises leaves every call at once; no message is lost or doubled.

**Points.** CPython runs a signal handler on the main thread when a function starts, after calls, and at jumps
backwards. `points.py` has the interpreter call a function of ours at each of those places in the package's
own code, and makes the handler's call right there. That is what a real handler does at that place, to the
instruction (`test_points.py` compares the two), but it comes where we choose: a run is made for point 0, one
for point 1, and so on, until a run ends before its point. Points below 0 are real signals, 0.8, 1.6 and
5 ms after the call began: they come while a C function waits. Each point is struck twice, at once and after a
pause in which other threads run into what the interrupted one holds. On PyPy, where handlers run between any
two steps, each line is a point as well.

**Handlers.** They return after one call of the API (a send, a close, a receive, of the same connection, of
another, of a `WebSocket`), or they raise (`raise`, `close_and_raise`), or a finalizer makes the same call
(``del_…``), also on the package's own threads (`threads`). Some calls may not wait there: they may raise
`RuntimeError`, where `calls.py` says so under `refuses`; closing begins and returns.

**What must hold** (`stage.py`). The call returns, or leaves by the handler's exception. Then the connection
is used once more, where nobody closed it, and is closed: what `send()` returned from has arrived once, what
was interrupted at most once, numbers from the server have no gap, `bufferedAmount` falls to 0, the server
gets a Close frame, a thread that sits in `recv()` is released, no thread and no connection is left, nothing
was logged as an error. A call of over 6 s is a hang: it ends its process (`batch.py`) and no other, and all
stacks are shown. Of each pair of call and handler the sweep stops at the third failure.

``--tls`` and ``--deflate`` sweep the other ways through the engine. ``--quick`` chooses points at random, by
a seed that it prints; ``storm.py`` does the real thing, Ctrl-C and alarms at random moments.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.signals.calls import pairs

ROOT = Path(__file__).resolve().parents[2]
ENOUGH_FAILURES = 3
QUICK_POINTS = 24


@dataclass
class Failure:
    point: int
    place: str
    text: str
    stacks: str


@dataclass
class Result:
    """The result of one pair."""

    call: str
    handler: str
    total: int = 0
    points: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.call}:{self.handler}"


class Child:
    """A process of `batch`, which is started again after each failure."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        ways = {"--tls": arguments.tls, "--deflate": arguments.deflate}
        self._flags = [flag for flag, is_given in ways.items() if is_given]
        self._process: subprocess.Popen[str] | None = None
        self._errors: Any = None

    def start(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._errors = tempfile.TemporaryFile(  # noqa: SIM115 - closed with the process
                "w+", encoding="utf-8", errors="replace"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.signals.batch", *self._flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                cwd=ROOT,
            )
        return self._process

    def run(self, result: Result, words: dict[str, Any]) -> int | None:
        """Run one pair from one point on. Returns the point of a failure, None when all went well."""
        process = self.start()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()
        point, place, failure = -100, "", None
        for line in process.stdout:
            said = json.loads(line)
            if "begin" in said:
                point, place = said["begin"], ""
            elif "struck" in said:
                place = said["struck"]
            elif "total" in said:
                result.total = said["total"]
            elif "point" in said:
                result.points += said["reached"]
                if said["faults"]:
                    text = "; ".join(said["faults"])
                    failure = Failure(point, said["place"], text, said["traceback"])
            elif "done" in said:
                return None
        process.wait()
        stacks = self._read_errors()
        if failure is None:
            failure = Failure(point, place, f"hang (exit status {process.returncode})", "")
        failure.stacks = f"{failure.stacks}\n{stacks}".strip()
        result.failures.append(failure)
        return failure.point

    def _read_errors(self) -> str:
        self._errors.seek(0)
        return str(self._errors.read())

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


class Sweep:
    """All pairs, by some processes at a time."""

    def __init__(self, chosen: list[tuple[str, str]], arguments: argparse.Namespace) -> None:
        self.results: list[Result] = []
        self._arguments = arguments
        self._pairs: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for pair in chosen:
            self._pairs.put(pair)
        self._until = time.monotonic() + arguments.minutes * 60

    def run(self) -> None:
        threads = [threading.Thread(target=self._work) for _ in range(self._arguments.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        child = Child(self._arguments)
        try:
            while time.monotonic() < self._until:
                call, handler = self._pairs.get_nowait()
                self.results.append(self._sweep(child, call, handler))
        except queue.Empty:
            pass
        finally:
            child.end()

    def _sweep(self, child: Child, call: str, handler: str) -> Result:
        arguments, result = self._arguments, Result(call, handler)
        began, first = time.monotonic(), -50
        while True:
            words = {"call": call, "handler": handler, "first": first, "seed": arguments.seed}
            failed = child.run(result, {**words, "points": QUICK_POINTS if arguments.quick else 0})
            if failed is None or failed == -100 or len(result.failures) >= arguments.failures:
                break
            first = failed + 1
        result.seconds = time.monotonic() - began
        return result


def replay(arguments: argparse.Namespace) -> int:
    call, handler, point = arguments.replay.split(":")
    result, child = Result(call, handler), Child(arguments)
    child.run(result, {"call": call, "handler": handler, "replay": int(point)})
    child.end()
    show(result)
    return bool(result.failures)


def show(result: Result) -> None:
    """The failures of one pair, to be replayed."""
    for failure in result.failures:
        print(f"\n--replay {result.name}:{failure.point}  at {failure.place or 'an unknown place'}")
        print(f"  {failure.text}")
        for line in failure.stacks.splitlines():
            print(f"    {line}")


def report(results: list[Result], missing: int) -> None:
    """All failures, then the table."""
    results.sort(key=lambda result: result.name)
    for result in results:
        show(result)
    print(f"\n{'call':<18}{'handler':<24}{'points':>7}{'of':>6}{'s':>7}{'failed':>8}  first")
    for result in results:
        first = result.failures[0] if result.failures else None
        place = f"{first.point} {first.place} {first.text[:60]}" if first else ""
        failed = f"{len(result.failures)}" if first else ""
        line = f"{result.call:<18}{result.handler:<24}{result.points:>7}{result.total:>6}"
        print(f"{line}{result.seconds:>7.1f}{failed:>8}  {place}".rstrip())
    bad = sum(1 for result in results if result.failures)
    points = sum(result.points for result in results)
    print(f"\n{points} interruptions, {bad} of {len(results)} pairs failed, {missing} were not reached")
    kinds = collections.Counter(f.text.split(";")[0][:70] for r in results for f in r.failures)
    for text, count in kinds.most_common(12):
        print(f"{count:>5}  {text}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.signals.sweep", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", help='a call ("send"), or a call and a handler ("send:raise")')
    parser.add_argument("--quick", action="store_true", help="some points of each pair, at random")
    parser.add_argument("--tls", action="store_true", help="over wss")
    parser.add_argument("--deflate", action="store_true", help="with compressed messages")
    parser.add_argument("--seed", type=int, default=None, help="for --quick; printed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--minutes", type=float, default=15.0, help="start no pair after that")
    parser.add_argument("--failures", type=int, default=ENOUGH_FAILURES, help="failures of a pair to stop at")
    parser.add_argument("--replay", metavar="CALL:HANDLER:POINT")
    parser.add_argument("--list", action="store_true", help="print the pairs, run nothing")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = int.from_bytes(os.urandom(3), "big")
    if arguments.replay:
        return replay(arguments)
    wanted = set(arguments.names)
    every = [(c, h) for c, h in pairs() if not wanted or {c, h, f"{c}:{h}"} & wanted]
    if arguments.list:
        print("\n".join(f"{call}:{handler}" for call, handler in every))
        return 0
    print(f"{sys.version.split()[0]}, {len(every)} pairs, seed {arguments.seed}", flush=True)
    sweep = Sweep(every, arguments)
    sweep.run()
    report(sweep.results, len(every) - len(sweep.results))
    return bool(not every or len(sweep.results) < len(every) or any(r.failures for r in sweep.results))


if __name__ == "__main__":
    sys.exit(main())
