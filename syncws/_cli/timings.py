"""--timings: how long each step took, as one small table on stderr.

Owns: the times that the connection itself does not keep. Runs on: the receiving thread notes, the main one
prints. Must not import: the engine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .. import Connection
    from .console import Console

# The steps that the connection's own record may have, in the order in which they happen.
_STEPS = (
    ("dns", "name"),
    ("tcp", "TCP"),
    ("proxy", "proxy"),
    ("tls", "TLS"),
    ("upgrade", "upgrade"),
    ("total", "open"),
)


class Timings:
    """Notes the times of one run."""

    def __init__(self, began: float) -> None:
        """`began`: when connecting began, by `time.monotonic()`."""
        self._began = began
        self._opened: float | None = None
        self._first: float | None = None
        self._connection: Connection | None = None
        self.round_trip: float | None = None

    def on_open(self, connection: Connection) -> None:
        if self._opened is None:
            self._opened = time.monotonic()
        self._connection = connection

    def on_message(self) -> None:
        if self._first is None:
            self._first = time.monotonic()

    def rows(self) -> list[tuple[str, float]]:
        """The steps that were taken, and their seconds; the first message's count from the open."""
        known = getattr(self._connection, "timings", None)
        found = [(title, getattr(known, name, None)) for name, title in _STEPS]
        if known is None and self._opened is not None:
            found.append(("open", self._opened - self._began))
        if self._first is not None and self._opened is not None:
            found.append(("first message", self._first - self._opened))
        stats = getattr(self._connection, "stats", None)
        found.append(("round trip", self.round_trip or getattr(stats, "round_trip", None)))
        return [(title, seconds) for title, seconds in found if seconds is not None]

    def tell(self, console: Console) -> None:
        for title, seconds in self.rows():
            console.say(f"{title:<14}{seconds * 1000:10.1f} ms", "note", mark="")
