"""The bar of a file that is being sent, on stderr.

Owns: the last line of the terminal, while it is drawn. Runs on: the main thread draws; `above` is called by
the receiving one. Must not import: the connection.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .escapes import escape

if TYPE_CHECKING:
    from .console import Console

# Nobody would see a bar that is drawn more often.
_EACH_SECONDS = 0.1


class Progress:
    """Draws how much of a file was handed to the network: the bytes read minus the bytes still buffered.

    Attributes:
        taken: bytes that `send` has been given.
    """

    def __init__(self, console: Console, name: str, total: int | None, buffered: Callable[[], int]) -> None:
        """`total` is None where it is not known."""
        self.taken = 0
        self._console = console
        self._name = escape(name)
        self._total = total
        self._buffered = buffered
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._line = ""
        self._lock = threading.Lock()
        if console.out_is_terminal:
            console.display = self.above

    def update(self, *, at_end: bool = False) -> None:
        """Draw the bar, if enough time has passed since it was last drawn."""
        now = time.monotonic()
        if at_end or now - self._drawn_at >= _EACH_SECONDS:
            self._drawn_at = now
            with self._lock:
                self._line = self._text(now)
                self._console.tell(f"\r{self._line}\x1b[K")

    def above(self, text: str) -> None:
        """Write a line above the bar."""
        with self._lock:
            self._console.tell(f"\r\x1b[K{text}\n{self._line}")

    def end(self) -> None:
        """End the bar's line; nothing is drawn after this."""
        self.update(at_end=True)
        with self._lock:
            self._console.display = None
            self._console.tell("\n")

    def _text(self, now: float) -> str:
        sent = max(0, self.taken - self._buffered())
        speed = sent / max(now - self._began, 1e-3)
        numbers = f"{human(sent)}, {human(speed)}/s"
        if not self._total:
            return f"{self._name}  {numbers}"
        share = min(1.0, sent / self._total)
        columns = shutil.get_terminal_size().columns - 1
        name = self._name[-24:]
        room = min(40, columns - len(name) - len(numbers) - 12)
        full = round(share * max(room, 0))
        bar = f"[{'#' * full}{'.' * (room - full)}] " if room >= 8 else ""
        return f"{name}  {bar}{share:4.0%}  {numbers}"[:columns]


def human(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
