"""A terminal for tests: a pseudo-terminal with a program in it, and the screen that a person would see.

It obeys the sequences that readline and the command line use, and fails at others, so that none goes unseen.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.support.waiting import SECONDS

IS_PYPY = sys.implementation.name == "pypy"
needs_line_editing = pytest.mark.skipif(IS_PYPY, reason="its readline cannot show lines above the one typed")

_CSI = re.compile(r"\x1b\[([?0-9;]*)([@-~])")


class Screen:
    """Rows of cells, a cursor, and the rows that have scrolled away."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.gone: list[str] = []
        self.title = ""
        self._row = self._column = 0
        self._saved = (0, 0)
        self._wraps = True
        self._rest = ""

    @property
    def lines(self) -> list[str]:
        """What has scrolled away and what is on the screen, without the empty rows at the end."""
        shown = [*self.gone, *("".join(row).rstrip() for row in self.cells)]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def cursor(self) -> tuple[int, int]:
        """Row, counted over all `lines`, and column."""
        return len(self.gone) + self._row, self._column

    def feed(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
            elif found := _CSI.match(text, at):
                self._control(found[1], found[2])
                at = found.end()
            elif len(text) < at + 2 or re.fullmatch(r"\x1b\[[?0-9;]*", text[at:]):
                self._rest = text[at:]
                return
            else:
                self._escape(text[at + 1])
                at += 2

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character == "\a":
            pass
        else:
            assert character.isprintable(), f"a control character reached the terminal: {character!r}"
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self._column + width > self.columns:
                if self._wraps:
                    self._column = 0
                    self._down()
                else:
                    self._column = self.columns - width
            self.cells[self._row][self._column] = character
            if width == 2:
                self.cells[self._row][self._column + 1] = ""
            self._column += width

    def _down(self) -> None:
        if self._row + 1 < self.rows:
            self._row += 1
        else:
            self.gone.append("".join(self.cells.pop(0)).rstrip())
            self.cells.append([" "] * self.columns)

    def _escape(self, kind: str) -> None:
        if kind == "7":
            self._saved = self._row, self._column
        elif kind == "8":
            self._row, self._column = self._saved
        elif kind == "D":
            self._down()
        else:
            raise AssertionError(f"unexpected sequence: ESC {kind!r}")

    def _control(self, parameters: str, kind: str) -> None:
        number = int(parameters) if parameters.isdecimal() else 0
        row = self.cells[self._row]
        if kind == "K" and not number:
            row[self._column :] = [" "] * (self.columns - self._column)
        elif kind == "A":
            self._row = max(0, self._row - max(1, number))
        elif kind == "B":
            self._row = min(self.rows - 1, self._row + max(1, number))
        elif kind == "C":
            self._column = min(self.columns - 1, self._column + max(1, number))
        elif kind == "D":
            self._column = max(0, self._column - max(1, number))
        elif kind == "L":
            del self.cells[-1]
            self.cells.insert(self._row, [" "] * self.columns)
        elif kind == "P":
            del row[self._column : self._column + max(1, number)]
            row += [" "] * max(1, number)
        elif kind == "@":
            row[self._column : self._column] = [" "] * max(1, number)
            del row[self.columns :]
        elif kind in "hl" and parameters == "?7":
            self._wraps = kind == "h"
        else:
            assert kind == "m" or parameters in ("?2004", "?1034"), f"unexpected sequence: {parameters}{kind}"


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, arguments: list[str], columns: int, rows: int, environment: Mapping[str, str]) -> None:
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**inherited, "TERM": "xterm", "NO_COLOR": "", "INPUTRC": os.devnull, **environment},
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        self.settings = termios.tcgetattr(theirs)
        self.theirs = theirs

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the screen's lines, joined, hold this."""
        until = time.monotonic() + SECONDS
        while not (found := re.search(pattern, "\n".join(self.screen.lines))):
            assert self._read(until - time.monotonic()), f"{pattern!r} is not in {self.screen.lines}"
        return found

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Take what the program writes until this holds: a part of a row may have come before the rest."""
        until = time.monotonic() + SECONDS
        while not condition():
            assert self._read(until - time.monotonic()), f"it does not hold of {self.screen.lines}"

    @property
    def is_full(self) -> bool:
        """Whether the terminal takes nothing more until somebody reads."""
        return not select.select((), (self.theirs,), (), 0)[1]

    def waits(self) -> int:
        """How often the program's main thread has waited, as Linux counts."""
        status = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/status").read_text("ascii")
        return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])

    def leave(self) -> int:
        """Type Ctrl-D, and wait for the end; the program's status.

        Between two lines the system takes Ctrl-D, which the program then never sees. So it is typed again, as
        a person would.
        """
        return self.wait_end("\x04")

    def wait_end(self, typing: str = "") -> int:
        """Wait for the end of the program, `typing` this each second; its status."""
        until = again = time.monotonic()
        until += SECONDS
        while self.process.poll() is None:
            if typing and time.monotonic() >= again:
                again += 1
                self.type(typing)
            assert time.monotonic() < until, f"it does not end: {self.screen.lines}"
            self._read(0.01)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        """Take what the program wrote; False when nothing came in time."""
        if not select.select((self._ours,), (), (), max(0, seconds))[0]:
            return False
        text = self._decoder.decode(os.read(self._ours, 65536))
        self.raw += text
        self.screen.feed(text)
        return True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)


def _take_terminal() -> None:
    """Make the terminal the session's own, so that Ctrl-C is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def terminal(
    *arguments: str, columns: int = 80, rows: int = 24, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `python -m syncws *arguments` in a terminal."""
    command = [sys.executable, "-m", "syncws", *arguments]
    with Terminal(command, columns, rows, environment or {}) as opened:
        yield opened
