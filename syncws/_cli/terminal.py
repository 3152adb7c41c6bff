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
import select
import shutil
import signal
import socket
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from types import FrameType
from typing import Any

from .signals import POKE, has_stopped, repeat
from .waiting import Waiter

# A signal in the middle of a key is noticed at the next key. Until then it is sent again after this time.
_AGAIN_SECONDS = 0.05
# A signal of another kind, such as SIGTERM, is followed by our own for at most this long.
_FOLLOWED_SECONDS = 1.0


class TypingEnded(Exception):  # noqa: N818 - what happened
    """`Terminal.end` was called, so no further line is wanted."""


def open_terminal(prompt: str) -> PlainTerminal | LineTerminal:
    """The best terminal that works here."""
    usable = hasattr(signal, "pthread_kill") and hasattr(signal, POKE) and os.environ.get("TERM") != "dumb"
    if usable and sys.implementation.name == "cpython":
        with contextlib.suppress(ImportError):
            return LineTerminal(prompt, importlib.import_module("readline"))
    return PlainTerminal()


class PlainTerminal:
    """A terminal without line editing: the operating system keeps what is typed until Enter."""

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


class _Poke:
    """The signal that interrupts readline's wait for a key, and the answer of its handler."""

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._main = threading.main_thread().ident
        self._number = signal.Signals[POKE]
        # These are sockets: with a lock, a handler that interrupts its holder would wait for it for ever.
        self._answers, self._waits_for_answer = _socket_pair()
        self._former = signal.signal(self._number, handler)
        # If the terminal takes nothing for a while, as a slow one does, readline waits in a write, and the C
        # library would throw away what a write that was interrupted had left. A wait for a key is interrupted
        # in any case.
        signal.siginterrupt(self._number, False)

    def is_main_thread(self) -> bool:
        """Whether this is the thread that the signal goes to."""
        return threading.get_ident() == self._main

    def is_alone_in(self, numbers: bytes) -> bool:
        """Whether these signals hold no other."""
        return set(numbers) == {int(self._number)}

    def send(self) -> None:
        """Send the signal, and wait a little for the answer. Any other thread may call this."""
        signal.pthread_kill(self._main or 0, self._number)
        if select.select((self._waits_for_answer,), (), (), _AGAIN_SECONDS)[0]:
            with contextlib.suppress(OSError):  # Another thread may have taken the byte.
                self._waits_for_answer.recv(4096, socket.MSG_DONTWAIT)

    def answer(self) -> None:
        """Tell the waiting thread that its text is shown."""
        with contextlib.suppress(OSError):  # The pair is full, so the thread knows already.
            self._answers.send(b"\0")

    def restore(self) -> None:
        """Give the signal back to the handler that it had."""
        signal.signal(self._number, self._former)


class LineTerminal:
    """A terminal with line editing by `readline`."""

    def __init__(self, prompt: str, readline: Any) -> None:
        self._prompt = prompt
        self._readline = readline
        self._termios: Any = importlib.import_module("termios")  # It exists wherever readline does.
        self._pending: collections.deque[str] = collections.deque()
        self._showing = False
        self._in_input = False
        # This holds something until readline has drawn the prompt. Readline itself takes it out, by a hook
        # that is no Python code: an exception of a signal handler would be lost there.
        self._before_prompt: collections.deque[int] = collections.deque()
        self._ended = False
        self._end_seen = False
        self._settings = self._read_settings()
        self._poke = _Poke(self._on_poke)
        self._arrived, self._signals = _socket_pair()
        self._former_wakeup = signal.set_wakeup_fd(self._arrived.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._follow_signals, name="syncws-cli-signals", daemon=True).start()
        readline.parse_and_bind("set horizontal-scroll-mode on")  # A line being typed then takes one row.
        readline.parse_and_bind("set enable-bracketed-paste on")
        getattr(readline, "set_pre_input_hook", readline.set_startup_hook)(self._before_prompt.popleft)

    @property
    def _typing(self) -> bool:
        """Whether there is a prompt, so that what is shown must go above it.

        After Enter there is none, though `input` may not have returned yet: readline has given the terminal
        back by then, which gathers lines itself again.
        """
        return self._in_input and not self._before_prompt and not self._gathers_lines()

    def _gathers_lines(self) -> bool:
        settings = self._read_settings()
        return settings is not None and bool(settings[3] & self._termios.ICANON)

    def _read_settings(self) -> Any:
        with contextlib.suppress(OSError, self._termios.error):
            return self._termios.tcgetattr(0)
        return None

    def read_line(self) -> bytes | None:
        """The next line; None after Ctrl-D. Raises `TypingEnded`."""
        if self._ended:
            raise TypingEnded
        self._before_prompt.append(0)
        self._in_input = True
        try:
            self._show_pending()
            line = input(_invisible(self._prompt))
        except EOFError:
            return None
        except SystemError as error:
            # Two signals came at once. The handler of the first raised, and CPython called the handler of the
            # second with that exception set.
            raise _first_cause(error) from None
        finally:
            self._in_input = False
            self._before_prompt.clear()
        return line.encode("utf-8", "surrogateescape")

    def show(self, text: str) -> None:
        """Show lines above the one that is being typed, and wait until they are there; from any thread.

        While nobody is typing they are shown a little later.
        """
        self._pending.append(text)
        if self._poke.is_main_thread():
            self._show_pending()
            return
        # Otherwise the main thread may be waiting for this thread; it looks before it goes on typing.
        while self._pending and self._in_input and not self._end_seen:
            self._poke.send()

    def end(self) -> None:
        """Let `read_line` raise; from any thread."""
        self._ended = True
        while not self._end_seen and not self._poke.is_main_thread():
            self._poke.send()

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._end_seen and self._arrived.fileno() < 0:
            return
        self._end_seen = True
        self._show_pending()
        signal.set_wakeup_fd(self._former_wakeup)
        self._arrived.close()  # The end of the stream ends the thread that follows signals.
        self._poke.restore()
        if self._settings is not None:
            with contextlib.suppress(OSError, self._termios.error):
                self._termios.tcsetattr(0, self._termios.TCSADRAIN, self._settings)

    def _follow_signals(self) -> None:
        """Make sure that a signal is noticed if it comes in the middle of a key or just before a wait."""
        with self._signals:
            while numbers := self._signals.recv(64):
                # This waits first: if the handler raises, no poke is needed, and `input` would call the
                # handler of the poke with that exception set. Where a signal can be sent again itself, there
                # is no poke beside it.
                time.sleep(_AGAIN_SECONDS)
                until = time.monotonic() + _FOLLOWED_SECONDS
                while not self._poke.is_alone_in(numbers) and not self._end_seen:
                    if has_stopped() or time.monotonic() > until:
                        break
                    if repeat(numbers):
                        time.sleep(_AGAIN_SECONDS)
                    else:
                        self._poke.send()

    def _on_poke(self, number: int, frame: FrameType | None) -> None:
        if self._showing or not self._typing:
            return  # The interrupted call looks next.
        self._show_pending()
        if self._ended:
            self._end_seen = True
            self._poke.answer()
            _write("\r\x1b[K")
            raise TypingEnded

    def _show_pending(self) -> None:
        self._showing = True
        try:
            while True:
                while self._pending:
                    self._show_now(self._pending.popleft())
                self._poke.answer()
                # A thread that sees its text may have more at once. Its signal finds this call still running,
                # and must: handlers that interrupt each other here could overflow the stack.
                if not self._pending:
                    return
        finally:
            self._showing = False

    def _show_now(self, text: str) -> None:
        if not self._typing:
            _write(text + "\n")
        elif not self._readline.get_line_buffer():
            _write(f"\r\x1b[K{text}\n{self._prompt}")
        else:
            _write("".join(map(_insert_row, text.split("\n"))))


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """One end to write, without waiting, and one to read."""
    writes, reads = socket.socketpair()
    writes.setblocking(False)
    return writes, reads


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
            end = text.index("m", at) + 1  # Colours are the only sequences that we write.
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
    """Tell readline which characters of the prompt take no room."""
    return prompt.replace("\x1b[", "\1\x1b[").replace("m", "m\2") if "\x1b" in prompt else prompt


def _write(text: str) -> None:
    data = memoryview(text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace"))
    with contextlib.suppress(OSError):  # The terminal is gone; SIGHUP reports that.
        while data:
            data = data[os.write(1, data) :]
