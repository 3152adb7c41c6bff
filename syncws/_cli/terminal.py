"""A line that a person is typing, and lines that appear above it meanwhile.

Owns: the terminal, while a conversation lasts. Runs on: the main thread types; any thread shows. Must not
import: the connection.

Line editing and history are the standard library's (`readline`). It must not be disturbed in the middle of a
key, so what other threads want shown waits in a list, and a signal that does nothing else has the main
thread show it: CPython runs handlers between two keys, in readline's wait for the next.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import os
import shutil
import signal
import sys
import threading
import unicodedata
from types import FrameType
from typing import Any

from .waiting import Waiter

# Ignored by default, so that one that comes late does no harm.
_POKE = "SIGURG"
# A signal that comes in the middle of a key is noticed at the next; until it is, it is sent again.
_AGAIN_SECONDS = 0.05


class TypingEnded(Exception):  # noqa: N818 - what happened
    """There is nothing more to type for: `Terminal.end` was called."""


def open_terminal(prompt: str) -> PlainTerminal | LineTerminal:
    """The best terminal that can be had here."""
    usable = hasattr(signal, "pthread_kill") and hasattr(signal, _POKE) and os.environ.get("TERM") != "dumb"
    if usable and sys.implementation.name == "cpython":
        with contextlib.suppress(ImportError):
            return LineTerminal(prompt, importlib.import_module("readline"))
    return PlainTerminal()


class PlainTerminal:
    """Without line editing: what is typed is the terminal's own affair until Enter."""

    def __init__(self) -> None:
        self._waiter = Waiter()
        self._lines: collections.deque[bytes] = collections.deque()
        self._rest = b""
        self._ended = False

    def read_line(self) -> bytes | None:
        """The next line; None after Ctrl-D. Raises `TypingEnded`."""
        while not self._lines:
            self._waiter.wait(None, for_input=True)
            if self._ended:
                raise TypingEnded
            if self._waiter.input_ready and (data := self._waiter.read()) is not None:
                if not data:
                    return None
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._lines.extend(lines)
        return self._lines.popleft()

    def show(self, text: str) -> None:
        """Write lines; from any thread."""
        _write(text + "\n")

    def end(self) -> None:
        """Let `read_line` raise; from any thread."""
        self._ended = True
        self._waiter.wake()

    def close(self) -> None:
        self._waiter.close()


class LineTerminal:
    """With `readline`."""

    def __init__(self, prompt: str, readline: Any) -> None:
        self._prompt = prompt
        self._readline = readline
        self._main = threading.main_thread().ident
        self._pending: collections.deque[str] = collections.deque()
        self._shown = threading.Event()
        self._typing = False
        self._ended = False
        self._end_seen = False
        self._settings = _save_settings()
        self._former = signal.signal(signal.Signals[_POKE], self._on_poke)
        readline.parse_and_bind("set horizontal-scroll-mode on")  # so that the line has one row
        readline.parse_and_bind("set enable-bracketed-paste on")
        # After the prompt has been drawn: before that it would be drawn twice.
        hook = getattr(readline, "set_pre_input_hook", readline.set_startup_hook)
        hook(self._on_typing)

    def read_line(self) -> bytes | None:
        """The next line; None after Ctrl-D. Raises `TypingEnded`."""
        if self._ended:
            raise TypingEnded
        self._show_pending()
        try:
            # \1 and \2 tell readline which characters take no room.
            line = input(_invisible(self._prompt))
        except EOFError:
            return None
        finally:
            self._typing = False
        return line.encode("utf-8", "surrogateescape")

    def show(self, text: str) -> None:
        """Show lines above the one that is being typed, and wait until they are there; from any thread."""
        self._pending.append(text)
        if threading.get_ident() == self._main:
            self._show_pending()
            return
        while self._pending and not self._end_seen:
            self._poke()

    def end(self) -> None:
        """Let `read_line` raise; from any thread."""
        self._ended = True
        while not self._end_seen and threading.get_ident() != self._main:
            self._poke()

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._end_seen = True
        self._show_pending()
        signal.signal(signal.Signals[_POKE], self._former)
        _restore_settings(self._settings)

    def _poke(self) -> None:
        self._shown.clear()
        signal.pthread_kill(self._main or 0, signal.Signals[_POKE])
        self._shown.wait(_AGAIN_SECONDS)

    def _on_typing(self) -> None:
        self._typing = True
        self._show_pending()

    def _on_poke(self, number: int, frame: FrameType | None) -> None:
        if not self._typing:
            return  # `read_line` or `close` looks next
        self._show_pending()
        if self._ended:
            self._end_seen = True
            self._shown.set()
            _write("\r\x1b[K")
            raise TypingEnded

    def _show_pending(self) -> None:
        while self._pending:
            text = self._pending.popleft()
            if not self._typing:
                _write(text + "\n")
            elif not self._readline.get_line_buffer():
                _write(f"\r\x1b[K{text}\n{self._prompt}")
            else:
                _write("".join(map(_insert_row, text.split("\n"))))
        self._shown.set()


def _insert_row(text: str) -> str:
    """Write a line above the cursor's row, and let the cursor stay where it is on its own row.

    The row below is made first (scrolling if there is none); then the cursor's row is pushed down.
    """
    width = shutil.get_terminal_size().columns
    rows = _rows(text, width)
    # IND, up, save; column 1, insert a row, no wrapping; the text; wrapping, restore, down.
    return "".join(f"\x1bD\x1b[A\x1b7\r\x1b[L\x1b[?7l{row}\x1b[?7h\x1b8\x1b[B" for row in rows)


def _rows(text: str, width: int) -> list[str]:
    """Cut a text, which may hold colours, into pieces that fit into the width."""
    rows, row, used = [], "", 0
    at = 0
    while at < len(text):
        if text[at] == "\x1b":
            end = text.index("m", at) + 1  # colours are the only sequences that we write
            row += text[at:end]
            at = end
            continue
        cells = _cells(text[at])
        if used + cells > width:
            rows.append(row)
            row, used = "", 0
        row += text[at]
        used += cells
        at += 1
    return [*rows, row]


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _invisible(prompt: str) -> str:
    return prompt.replace("\x1b[", "\1\x1b[").replace("m", "m\2") if "\x1b" in prompt else prompt


def _write(text: str) -> None:
    data = memoryview(text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace"))
    with contextlib.suppress(OSError):  # the terminal is gone, and SIGHUP says so
        while data:
            data = data[os.write(1, data) :]


def _save_settings() -> Any:
    with contextlib.suppress(ImportError, OSError):
        termios = importlib.import_module("termios")
        return termios.tcgetattr(0)
    return None


def _restore_settings(settings: Any) -> None:
    if settings is not None:
        termios = importlib.import_module("termios")
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, settings)
