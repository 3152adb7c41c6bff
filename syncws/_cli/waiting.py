"""Waiting for stdin, for the end of stdout and for the receiving thread, all at once.

Owns: a pair of sockets by which the receiving thread wakes the main one. Runs on: the main thread; `wake` on
any. Must not import: the connection.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import sys
import threading
import time

_CHUNK = 65536


class Waiter:
    """Waits on the main thread, where signals interrupt it.

    Attributes:
        output_broken: nobody reads stdout any more.
        input_ready: `read` would not wait.
    """

    def __init__(self, *, reads_input: bool = True) -> None:
        self.output_broken = False
        self.input_ready = False
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._stdin = 0
        self._pumped: socket.socket | None = None
        if reads_input and sys.platform == "win32":  # pragma: no cover - there select() takes sockets alone
            self._pumped, pump = socket.socketpair()
            self._stdin = self._pumped.fileno()
            threading.Thread(target=_pump, args=(pump,), name="syncws-cli-stdin", daemon=True).start()

    def wake(self) -> None:
        """End a wait from another thread, or the next one when there is none."""
        # The pair is full, so it wakes anyway; or it is closed, so nobody waits.
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def wait(self, timeout: float | None, *, for_input: bool = False) -> None:
        """Wait until something happens, or `timeout` seconds."""
        self.input_ready = False
        if hasattr(select, "poll"):
            self._poll(timeout, for_input)
        else:  # pragma: no cover - Windows
            given = [self._woken.fileno(), *([self._stdin] if for_input else ())]
            self.input_ready = self._stdin in select.select(given, (), (), timeout)[0]
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _poll(self, timeout: float | None, for_input: bool) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if not self.output_broken:
            poll.register(1, 0)  # This reports errors alone, such as the end of the reading side.
        if for_input:
            poll.register(self._stdin, select.POLLIN)
        for descriptor, events in poll.poll(None if timeout is None else _milliseconds(timeout)):
            if descriptor == self._stdin and for_input:
                self.input_ready = True
            elif descriptor == 1 and events & (select.POLLERR | select.POLLHUP):
                self.output_broken = True

    def read(self) -> bytes | None:
        """What stdin holds; ``b""`` at its end, None when it holds nothing yet."""
        try:
            return os.read(self._stdin, _CHUNK) if self._pumped is None else self._pumped.recv(_CHUNK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        for each in (self._woken, self._wake, self._pumped):
            if each is not None:
                each.close()


def remaining(deadline: float | None) -> float | None:
    """The seconds until a deadline of `time.monotonic()`, at least 0; None without one."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _milliseconds(timeout: float) -> int:
    # This rounds up, since a wait that ends early would only be begun anew. poll() counts in a C int.
    return min(math.ceil(timeout * 1000), 2**31 - 1)


def _pump(sink: socket.socket) -> None:  # pragma: no cover - Windows
    with sink, contextlib.suppress(OSError):
        while data := os.read(0, _CHUNK):
            sink.sendall(data)
