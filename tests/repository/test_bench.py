"""`python -m bench`: one command measures, and writes the table and the chart."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.stress import STRESS
from tests.support.threads import all_at_once

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bench reads /proc")


def bench(folder: Path, *metrics: str) -> str:
    """The page of a short run of both APIs."""
    pytest.importorskip("trustme")
    command = [sys.executable, "-m", "bench", "--repeats", "1", "--seconds", "0.01", "--to", str(folder)]
    clients = ["syncws callback", "syncws blocking"]
    command += ["--clients", *clients, "--metrics", *metrics]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (folder / "measured.md").read_text("utf-8")
    assert page in done.stdout
    return page


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="-X importtime says less elsewhere")
def test_every_kind_of_metric_gives_a_figure_for_each_api(tmp_path: Path) -> None:
    metrics = ["receive-32", "send-1m", "pipelined-32", "tls-round-trip-32-thread-p99", "import-modules"]
    if STRESS:
        metrics.append("broadcast")  # It opens hundreds of connections.
    runs = metrics[:3], metrics[3:]
    pages = all_at_once(
        {number: partial(bench, tmp_path / str(number), *asked) for number, asked in enumerate(runs)}
    )
    rows: list[list[str]] = []
    for done in pages.values():
        assert "failed" not in done.result()
        lines = done.result().splitlines()
        rows += [line.split("|")[1:-1] for line in lines if line.startswith("|")][2:]
    assert len(rows) == len(metrics)
    for row in rows:
        assert all(float(cell.replace(",", "")) > 0 for cell in row[2:4])
    modules = next(row for row in rows if "modules" in row[0])
    assert float(modules[3]) <= 80


def test_chart_is_an_image_that_has_both_colour_schemes() -> None:
    code = (
        "from bench.chart import chart\n"
        "figures = {'receive-32': {'syncws blocking': [9.0, 3.0], 'rnet': [2.0], 'raw': [50.0]},\n"
        "           'connect': {'syncws blocking': [300.0], 'lomond': [150.0], 'websockets': [600.0]}}\n"
        "print(chart(figures, 'about <it>'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    root = ElementTree.fromstring(done.stdout)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "about <it>" in texts
    # The median beside the best peer; a time counts the other way round.
    assert texts[-3:] == ["3", "connect, ws", "0.5"]
    assert "prefers-color-scheme: dark" in done.stdout
