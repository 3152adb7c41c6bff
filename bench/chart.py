"""The chart of a run, in SVG: how many times better than the best peer, metric by metric.

It has both colour schemes in it, and takes the reader's.
"""

from __future__ import annotations

import math
from html import escape

from bench.metrics import METRICS
from bench.report import Figures, medians, ratio

WIDTH, LEFT, RIGHT, ROW, TOP = 860, 300, 70, 36, 72
BAR = 12
LEAST, MOST = 1 / 16, 16.0
COLOURS = {"syncws callback": "callback", "syncws blocking": "blocking"}

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-size: 15px; font-weight: 600 }
.grid { stroke: #d1d9e0 }
.one { stroke: #59636e; stroke-width: 1.5 }
.callback { fill: #2f7d4f }
.blocking { fill: #2a62b8 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .grid { stroke: #3d444d }
  .one { stroke: #9198a1 }
  .callback { fill: #57ab74 }
  .blocking { fill: #6ea2f0 }
}
"""


def place(value: float) -> float:
    """Where a ratio stands, on a logarithmic scale."""
    share = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def chart(figures: Figures, about: str) -> str:
    """The text of the SVG file."""
    rows = [
        (metric, ratios)
        for metric, row in medians(figures).items()
        if (ratios := {name: value for name in COLOURS if (value := ratio(metric, row, name)) is not None})
    ]
    height = TOP + ROW * len(rows) + 20
    title = "syncws beside the best other synchronous client of each row"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="head" x="12" y="22">{escape(title)}: times as good (right of 1 is better)</text>',
        f'<text x="12" y="42">{escape(about)}</text>',
    ]
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = WIDTH - 300 + 150 * number
        parts.append(f'<rect class="{colour}" x="{x}" y="32" width="{BAR}" height="{BAR}"/>')
        parts.append(f'<text x="{x + 18}" y="42">{escape(name)}</text>')
    for power in range(-4, 5):
        at = place(2.0**power)
        label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
        parts.append(
            f'<line class="{"grid" if power else "one"}" x1="{at:.1f}" x2="{at:.1f}" '
            f'y1="{TOP}" y2="{height - 20}"/>'
        )
        parts.append(f'<text x="{at:.1f}" y="{TOP - 6}" text-anchor="middle">{label}</text>')
    for number, (metric, ratios) in enumerate(rows):
        parts += bars(TOP + ROW * number, METRICS[metric].text, ratios)
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(y: float, text: str, ratios: dict[str, float]) -> list[str]:
    """One row: its name, and a bar for each API from 1 to its ratio."""
    parts = [f'<text x="{LEFT - 10}" y="{y + 22}" text-anchor="end">{escape(text)}</text>']
    one = place(1.0)
    for number, (name, value) in enumerate(ratios.items()):
        x, top = place(value), y + 5 + (BAR + 2) * number
        parts.append(
            f'<rect class="{COLOURS[name]}" x="{min(x, one):.1f}" y="{top}" '
            f'width="{max(1.0, abs(x - one)):.1f}" height="{BAR}"/>'
        )
        side, anchor = (4, "start") if value >= 1 else (-4, "end")
        parts.append(f'<text x="{x + side:.1f}" y="{top + 11}" text-anchor="{anchor}">{value:.2g}</text>')
    return parts
