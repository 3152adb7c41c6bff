"""Compares `syncws` with other synchronous clients, on loopback.

    pip install --group bench
    python -m bench [--repeats 7] [--seconds 0.5] [--clients ...] [--metrics ...] [--json FILE] [--to FOLDER]

Each sample, one client and one metric, has a process of its own; the clients take turns in each repeat. A
page with the table and a chart are written to FOLDER (docs/measured.md, docs/measured.svg). bench/README.md
says how to read them. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from bench import drivers, footprint
from bench.chart import chart
from bench.clients import CLIENTS
from bench.drivers import Sample, UnmeasuredError
from bench.metrics import METRICS
from bench.report import Figures, page

FOLDER = Path(__file__).resolve().parent
SAMPLE_SECONDS = 90.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a timed run")
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS), choices=list(CLIENTS), metavar="NAME")
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=list(METRICS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="where to keep every sample")
    parser.add_argument(
        "--to", type=Path, default=FOLDER.parent / "docs", help="the folder for table and chart"
    )
    parser.add_argument("--sample", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(asked: dict[str, Any]) -> float | None:
    """The figure of one sample; None if the client has no such feature."""
    client, metric = CLIENTS[asked["client"]], METRICS[asked["metric"]]
    if metric.deflate and not client.deflate:
        return None
    sample = Sample(client, metric, asked["ports"], asked["ca"], asked["seconds"])
    try:
        figure: float = {**vars(drivers), **vars(footprint)}[metric.driver](sample)
    except UnmeasuredError:
        return None
    return figure


def run_sample(text: str) -> None:
    """In the process of one sample: measure it, print the figure, and end at once, without any cleanup."""
    asked = json.loads(text)
    figures: list[float | None] = []

    def work() -> None:
        figures.append(measure(asked))

    if METRICS[asked["metric"]].thread:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
    print(json.dumps(figures), flush=True)
    os._exit(0)


def take_sample(asked: dict[str, Any]) -> float | None:
    """Measure in another process; raises RuntimeError with what went wrong there."""
    command = [sys.executable, "-m", "bench", "--sample", json.dumps(asked)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SAMPLE_SECONDS, cwd=FOLDER.parent
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not over after {SAMPLE_SECONDS:g} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not json.loads(lines[-1]):
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(said[-1][:200])
    figure: float | None = json.loads(lines[-1])[0]
    return figure


def run(asked: argparse.Namespace, clients: list[str], server: dict[str, Any]) -> tuple[Figures, list[str]]:
    """All samples, and the failures."""
    figures: Figures = {metric: {} for metric in asked.metrics}
    failures = []
    ports = {"ws": server["ws"], "wss": server["wss"]}
    for repeat in range(asked.repeats):
        for metric in asked.metrics:
            for client in clients:
                sample = {"client": client, "metric": metric, "ports": ports, "ca": server["ca"]}
                try:
                    figure = take_sample({**sample, "seconds": asked.seconds})
                except RuntimeError as error:
                    failures.append(f"{client}, {METRICS[metric].text}: {error}")
                    print(failures[-1], file=sys.stderr)
                    continue
                if figure is not None:
                    figures[metric].setdefault(client, []).append(figure)
            print(f"repeat {repeat + 1} of {asked.repeats}: {METRICS[metric].text}", file=sys.stderr)
    return figures, failures


def main() -> None:
    asked = arguments()
    if asked.sample:
        run_sample(asked.sample)
    versions = {name: version for name in asked.clients if (version := CLIENTS[name].version()) is not None}
    for name in asked.clients:
        if name not in versions:
            print(f"{name} is not installed and left out", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.load_server", folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent
        ) as server:
            assert server.stdin is not None and server.stdout is not None
            figures, failures = run(asked, list(versions), json.loads(server.stdout.readline()))
            server.stdin.close()
    about = f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    if asked.json:
        asked.json.write_text(json.dumps({"versions": versions, "samples": figures}, indent=1))
    text = page(figures, versions, asked.repeats, failures, about)
    asked.to.mkdir(parents=True, exist_ok=True)
    (asked.to / "measured.md").write_text(text)
    (asked.to / "measured.svg").write_text(chart(figures, about))
    print(text)


if __name__ == "__main__":
    main()
