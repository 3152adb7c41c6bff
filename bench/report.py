"""The page of a run, in Markdown: its chart and its table."""

from __future__ import annotations

import statistics

from bench.clients import PEERS
from bench.metrics import METRICS

# figures[metric][client] are the samples of one run.
Figures = dict[str, dict[str, list[float]]]


def medians(figures: Figures) -> dict[str, dict[str, float]]:
    return {
        metric: {client: statistics.median(samples) for client, samples in row.items() if samples}
        for metric, row in figures.items()
    }


def show(figure: float | None) -> str:
    if figure is None:
        return ""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2g}"


def best_peer(metric: str, row: dict[str, float]) -> str | None:
    """The peer with the best figure."""
    peers = [client for client in PEERS if client in row]
    if not peers:
        return None
    return (max if METRICS[metric].more_is_better else min)(peers, key=lambda client: row[client])


def ratio(metric: str, row: dict[str, float], client: str) -> float | None:
    """How many times better than the best peer; None where either is missing."""
    peer = best_peer(metric, row)
    if peer is None or client not in row or not row[peer] or not row[client]:
        return None
    return row[client] / row[peer] if METRICS[metric].more_is_better else row[peer] / row[client]


HEAD = """# Measured beside others

`python -m bench` has written this page: its [README](../bench/README.md) says how to read it. The chart
compares `syncws` with the best other client of each row: at 2 it is twice as good, at 0.5 half as good.

![syncws beside the best other client of each row](measured.svg)
"""


def page(figures: Figures, clients: dict[str, str], repeats: int, failures: list[str], about: str) -> str:
    """The whole page; `clients` has the version of each client."""
    ours = [client for client in clients if client.startswith("syncws")]
    heads = ["", "", *clients, *(f"{client} / best peer" for client in ours)]
    lines = [
        HEAD,
        f"{about}. Medians of {repeats} interleaved repeats. In bold: the best of the others.",
        "",
        *(f"- {client}: {version}" for client, version in clients.items()),
        "",
        f"| {' | '.join(heads)} |",
        f"| --- | --- |{' ---: |' * (len(heads) - 2)}",
    ]
    for metric, row in medians(figures).items():
        text, unit = METRICS[metric].text, METRICS[metric].unit
        best = best_peer(metric, row)
        cells = [f"**{show(row[name])}**" if name == best else show(row.get(name)) for name in clients]
        cells += [
            "" if value is None else f"{value:.2f}" for value in (ratio(metric, row, name) for name in ours)
        ]
        lines.append(f"| {text} | {unit} | {' | '.join(cells)} |")
    if failures:
        lines += ["", f"Samples that failed: {'; '.join(failures)}."]
    return "\n".join(lines) + "\n"
