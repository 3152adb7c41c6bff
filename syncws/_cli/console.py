"""Where texts go: messages to stdout, everything else to stderr.

Owns: the two descriptors. Runs on: any thread. Must not import: the connection.

Everything is written with one `os.write` for each text and nothing is buffered: what has been printed is out,
a closed pipe is noticed at the write, and a thread that is stuck in a write does not hold up the exit.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable

from .escapes import escape

# What each colour tells. The shades are those of the terminal's own palette.
STYLES = {"sent": "32", "received": "36", "note": "2", "bad": "31", "name": "1", "lane": "33"}


class OutputClosed(Exception):  # noqa: N818 - no fault: the program that read our output has had enough
    """Nobody reads stdout any more."""


class OutputFailed(Exception):  # noqa: N818 - named for what happened
    """Stdout cannot be written, as on a full disk."""


def open_missing_descriptors() -> None:
    """Let 0, 1 and 2 lead somewhere, so that no socket takes the place of a stream that the caller closed."""
    for wanted in range(3):
        try:
            os.fstat(wanted)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # This takes the lowest number that is free.


def wants_colour(when: str, descriptor: int) -> bool:
    """Whether to colour: `when` is "always", "never" or "auto", which obeys NO_COLOR (no-color.org)."""
    if when != "auto":
        return when == "always"
    return is_terminal(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


class Console:
    """Stdout and stderr.

    Attributes:
        out_is_terminal, error_is_terminal: whether a person may be looking.
        display: takes a line for the terminal while a person is typing there; None when nobody is.
    """

    def __init__(self, *, colour: str = "auto", quiet: bool = False) -> None:
        self.out_is_terminal = is_terminal(1)
        self.error_is_terminal = is_terminal(2)
        self.display: Callable[[str], None] | None = None
        self._out_colour = wants_colour(colour, 1)
        self._error_colour = wants_colour(colour, 2)
        self._quiet = quiet
        self._lock = threading.Lock()
        encoding = sys.stdout.encoding if self.out_is_terminal and sys.stdout else "utf-8"
        self._encoding = encoding or "utf-8"

    def put(self, data: bytes) -> None:
        """Write to stdout as it is.

        Raises `OutputClosed` when nobody reads, `OutputFailed` when it cannot be written.
        """
        with self._lock:
            try:
                _write_all(1, data)
            except (BrokenPipeError, ConnectionResetError):
                raise OutputClosed from None
            except OSError as error:
                raise OutputFailed(f"stdout cannot be written: {error.strerror}") from error

    def put_line(self, text: str) -> None:
        """Write a line to stdout; on a terminal above the line that is being typed."""
        if self.display is not None:
            self.display(text)
        else:
            # A pipe gets UTF-8 whatever the locale; a terminal need not know every character.
            self.put(text.encode(self._encoding, "backslashreplace") + b"\n")

    def say(self, text: str, style: str = "", *, mark: str = "syncws: ") -> None:
        """Tell something on stderr, in a line of its own; control characters are written out."""
        if self._quiet:
            return
        line = mark + escape(text)
        if self._error_colour and style:
            line = f"\x1b[{STYLES[style]}m{line}\x1b[0m"
        if self.display is not None and self.error_is_terminal:
            self.display(line)
        else:
            self.tell(line + "\n")

    def tell(self, text: str) -> None:
        """Write to stderr as it is. An error is ignored, since there is no other place to report it."""
        with contextlib.suppress(OSError):
            _write_all(2, text.encode("utf-8", "backslashreplace"))

    def paint(self, text: str, style: str) -> str:
        """The text in a colour, where stdout has colours."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self._out_colour else text


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # Another process has made the pipe that it shares with us non-blocking.
            select.select((), (descriptor,), ())
