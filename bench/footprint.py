"""What a client costs a program: its import, and its idle connections.

As in `drivers`, a function measures one metric, in a process of its own, and returns one figure.
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from bench.clients import SECONDS, Link, Raw
from bench.drivers import Sample, UnmeasuredError

IDLE = 200
BROADCASTS = 5


def _import(
    sample: Sample, flags: tuple[str, ...], code: str, runs: int = 5
) -> list[subprocess.CompletedProcess[str]]:
    """Import the client in so many fresh processes, with cached byte code."""
    if not sample.client.modules:
        raise UnmeasuredError
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, *flags, "-c", code.format(modules=sample.client.modules)]
        done = [
            subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            for _ in range(1 + runs)  # the first one writes the byte code
        ]
    return done[1:]


def import_time(sample: Sample) -> float:
    """The sum of `-X importtime` for everything after `site`, in milliseconds."""
    totals = []
    for run in _import(sample, ("-X", "importtime"), "import {modules}"):
        entries = [line.split("|") for line in run.stderr.splitlines() if line.startswith("import time:")]
        outer = [(name.strip(), int(us)) for _, us, name in entries[1:] if not name.startswith("  ")]
        names = [name for name, _ in outer]
        totals.append(sum(us for _, us in outer[names.index("site") + 1 :]))
    return statistics.median(totals) / 1000


def import_modules(sample: Sample) -> float:
    """How many entries of `sys.modules` the import adds."""
    code = "import sys; before = len(sys.modules)\nimport {modules}\nprint(len(sys.modules) - before)"
    return float(_import(sample, (), code, runs=1)[0].stdout)


def import_memory(sample: Sample) -> float:
    """The growth of the resident memory in MiB."""
    code = (
        "import resource\nfrom pathlib import Path\n"
        "def pages(): return int(Path('/proc/self/statm').read_text().split()[1])\n"
        "before = pages()\nimport {modules}\nprint((pages() - before) * resource.getpagesize() / 2**20)"
    )
    return statistics.median(float(run.stdout) for run in _import(sample, (), code))


def _idle(sample: Sample, count: Callable[[], float]) -> float:
    server = sample.server("/idle")
    first = sample.client.open(server, lambda data: None)  # The first connection makes what all share.
    gc.collect()
    before = count()
    links = [sample.client.open(server, lambda data: None) for _ in range(IDLE)]
    time.sleep(0.3)
    gc.collect()
    figure = (count() - before) / IDLE
    assert first and links
    return figure


def idle_open(sample: Sample) -> float:
    """The time for opening many connections one after the other, in milliseconds."""
    begun = time.perf_counter()
    links = [sample.client.open(sample.server("/idle"), lambda data: None) for _ in range(IDLE)]
    took = time.perf_counter() - begun
    assert links
    return took * 1000


def broadcast(sample: Sample) -> float:
    """The time until each of as many connections has got one message, in milliseconds."""
    if isinstance(sample.client, Raw):
        raise UnmeasuredError
    heard = threading.Semaphore(0)
    open_one = sample.client.open
    links = [open_one(sample.server("/listen"), lambda data: heard.release()) for _ in range(IDLE)]
    cause = open_one(sample.server("/broadcast"), lambda data: None)
    took = []
    for _ in range(BROADCASTS):
        begun = time.perf_counter()
        cause.send_text(str(IDLE))
        _take_one_each(links, heard)
        took.append(time.perf_counter() - begun)
    return statistics.median(took[1:]) * 1000


def _take_one_each(links: list[Link], heard: threading.Semaphore) -> None:
    for link in links:
        if link.receive is not None:
            link.receive()
        elif not heard.acquire(timeout=SECONDS):
            raise TimeoutError("not all have heard it")


def idle_memory(sample: Sample) -> float:
    """The growth of the resident memory in KiB for each connection."""
    page = resource.getpagesize() / 1024
    return _idle(sample, lambda: int(open("/proc/self/statm").read().split()[1]) * page)


def idle_threads(sample: Sample) -> float:
    """The threads for each connection."""
    return _idle(sample, lambda: float(len(os.listdir("/proc/self/task"))))
