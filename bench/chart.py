"""The chart of a run, in SVG: how many times better than the best peer, metric by metric.

The file holds both colour schemes; the browser chooses that of the reader.
"""

from __future__ import annotations

import math
from html import escape

from bench.metrics import METRICS
from bench.report import Figures, medians, ratio

WIDTH, LEFT, RIGHT, ROW, TOP = 720, 260, 50, 36, 92
BAR = 12
LEAST, MOST = 1 / 16, 16.0
COLOURS = {"syncws callback": "callback", "syncws blocking": "blocking"}

# The colours have the same names as in the drawings of docs/_static, which the site's style sheet knows.
STYLE = """
.drawing-art { --ink: #1b1f24; --soft: #57606a; --out: #0b5cad; --in: #0a6b3d }
@media (prefers-color-scheme: dark) {
  .drawing-art { --ink: #e6e6e6; --soft: #a0a6ad; --out: #6cb6ff; --in: #6fd08c }
}
.drawing-art text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink) }
.drawing-art .head { font-size: 15px; font-weight: 600 }
.drawing-art .grid { stroke: var(--soft); stroke-opacity: 0.35 }
.drawing-art .one { stroke: var(--soft); stroke-width: 1.5 }
.drawing-art .callback { fill: var(--in) }
.drawing-art .blocking { fill: var(--out) }
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
        if METRICS[metric].in_chart
        and (ratios := {name: value for name in COLOURS if (value := ratio(metric, row, name)) is not None})
    ]
    height = TOP + ROW * len(rows) + 20
    title = "syncws beside the best other client of each row"
    parts = [
        '<svg class="drawing-art wide" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH} {height}">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="head" x="12" y="22">{escape(title)}: times as good (right of 1 is better)</text>',
        f'<text x="12" y="42">{escape(about)}</text>',
    ]
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = 12 + 150 * number
        parts.append(f'<rect class="{colour}" x="{x}" y="52" width="{BAR}" height="{BAR}"/>')
        parts.append(f'<text x="{x + 18}" y="63">{escape(name)}</text>')
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
