"""The client of bench/soak.py on its main thread: connections amid signal handlers that use them.

An alarm (`setitimer`) comes every few milliseconds, wherever the main thread is: in `connect()`, `send()`, a
message in fragments, `recv()`, `flush()`, `ping()`, `close()`. Its handler sends, receives, pings, flushes or
closes, on the connection that it has interrupted, or raises, as the one of Ctrl-C does.

Messages must go out in the order of their numbers, and a handler can come between the numbering and the
sending. So the program and its handler have a `Lane` each, with numbers of its own; and a lane begins anew
where an exception has left it unknown whether a message was taken. Nothing here takes a lock, since a handler
that came meanwhile would wait for it for ever.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import random
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from soak_server import some_text
from soak_streams import LATE_SECONDS, Run

import syncws
from syncws import ConnectionClosed

PACKAGE = str(Path(syncws.__file__).parent)
WINDOW = 16  # ids of one lane that wait for their acknowledgement

# A turn of the main thread takes some seconds; one that takes this many is a hang, and ends the run.
HANG_SECONDS = 60.0

# On these versions a handler that raises may lose the message that recv() is about to return.
MAY_LOSE = sys.version_info < (3, 11) or sys.implementation.name == "pypy"


class Interrupted(BaseException):
    """The exception of a handler that raises."""


class Lane:
    """Ids that are sent until they are acknowledged, on one connection after the other.

    Attributes:
        open: those that are not acknowledged yet, with the number of attempts.
    """

    _numbers = itertools.count()

    def __init__(self, run: Run, name: str) -> None:
        self.name = name
        self.open: dict[int, int] = {}
        self._run = run
        self._next = 0
        self.begin()

    def begin(self) -> None:
        """Begin anew: on a new connection, or after a message that may or may not have gone out."""
        self._link = next(self._numbers)
        self._seq = 0
        self._again = list(self.open)

    def next(self) -> str | None:
        """The next message; None when there is nothing to send now."""
        id = None
        while self._again and id is None:
            id = self._again.pop()
            id = id if id in self.open else None
        if id is None:
            if len(self.open) >= WINDOW or self._run.draining.is_set():
                return None
            id = self._next
            self._next += 1
        self.open[id] = attempt = self.open.get(id, 0) + 1
        data = some_text(often_long=0.1)
        seq = self._seq
        self._seq += 1
        return f"N {self.name} {self._link} {seq} {id} {attempt} {zlib.crc32(data.encode())} {data}"

    def acknowledged(self, id: int) -> None:
        os.write(self._run.log, f"{self.name} {id}\n".encode())
        self.open.pop(id, None)


class Talk:
    """One connection, of either API, and the numbers of what it has received.

    Attributes:
        over_by_us: whether this program has ended the connection.
    """

    def __init__(self, lanes: dict[str, Lane]) -> None:
        self.target: Any = None
        self.numbers: list[int] = []
        self.generation: int | None = None
        self.over_by_us = False
        self._lanes = lanes

    def receive(self, text: str) -> None:
        number, kind, rest = text.split(" ", 2)
        self.numbers.append(int(number))
        if kind == "B":
            name, id = rest.split()
            self._lanes[name].acknowledged(int(id))
        elif kind == "G":
            self.generation = int(rest)

    @property
    def is_open(self) -> bool:
        return bool(self.target.readyState == self.target.OPEN)


class Signalled:
    """The work of the main thread, which would otherwise sleep."""

    def __init__(self, run: Run, urls: list[str], context: Any) -> None:
        self._run = run
        self._urls = urls
        self._context = context
        self._mine, self._handlers = Lane(run, "main"), Lane(run, "handler")
        self._lanes = {lane.name: lane for lane in (self._mine, self._handlers)}
        self._talk: Talk | None = None
        self._in_parts = False
        self._on = True
        self._lost = 0  # how many messages handlers that raised have lost, on versions where that may happen
        signal.signal(signal.SIGALRM, self._strike)

    @property
    def open(self) -> int:
        """How many ids are not acknowledged."""
        return sum(len(lane.open) for lane in self._lanes.values())

    def play(self, seconds: float) -> None:
        """Use connections for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            self._turn()
        faulthandler.cancel_dump_traceback_later()

    def stop(self) -> None:
        """No signals and no connection are left."""
        self._on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._talk is not None:
            self._end(self._talk)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)

    # The program.

    def _turn(self) -> None:
        self._arm()
        talk = self._talk
        try:
            if talk is None:
                self._open()
            elif talk.is_open:
                self._act(talk)
            else:
                self._end(talk)
        except Interrupted:
            self._mine.begin()
            if talk is not None and self._in_parts:
                talk.over_by_us = True  # Nobody can finish that message, so the connection fails.
        except ConnectionClosed:
            pass  # The next turn notices this.
        finally:
            self._in_parts = False

    def _open(self) -> None:
        url = random.choice(self._urls)
        options: dict[str, Any] = {"compression": random.choice(("deflate", None))}
        if url.startswith("wss"):
            options["ssl_context"] = self._context
        talk = Talk(self._lanes)
        try:
            if random.random() < 0.5:
                talk.target = syncws.connect(url, **options)
            else:
                talk.target = syncws.WebSocket(url, onmessage=lambda e: talk.receive(e.data), **options)
                talk.target.wait_open(15)
        except (OSError, syncws.WebSocketError):
            time.sleep(0.05)  # The server is down.
            return
        except Interrupted:
            if talk.target is not None:  # An object with a listener lives on without a reference.
                talk.target.abort()
            raise
        self._mine.begin()
        self._handlers.begin()
        self._talk = talk  # From here on handlers see the connection.
        talk.target.send(f"H main {self._mine._link}")
        self._run.count("connections")

    def _act(self, talk: Talk) -> None:
        target, chosen = talk.target, random.random()
        is_connection = isinstance(target, syncws.Connection)
        if chosen < 0.003:
            talk.over_by_us = True
            target.abort() if random.random() < 0.3 else self._end(talk)
        elif chosen < 0.3:
            text = self._mine.next()
            if text is None:
                time.sleep(0.005)
            elif is_connection and random.random() < 0.3:
                self._in_parts = True
                self._timed("send", 5, lambda: target.send(parts(text)))
                self._run.count("sent")
            else:
                self._timed("send", 0, lambda: target.send(text))
                self._run.count("sent")
        elif not is_connection:
            time.sleep(0.01)
        elif chosen < 0.8:
            self._timed("recv", 0.02, lambda: talk.receive(target.recv(0.02)))
        elif chosen < 0.9:
            self._timed("flush", 0.5, lambda: target.flush(0.5))
        else:
            self._timed("ping", 0.5, lambda: target.ping(0.5))

    def _timed(self, name: str, limit: float, call: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            call()
        except TimeoutError:
            pass
        if (took := time.monotonic() - began) > limit + LATE_SECONDS:
            self._run.fault("late", f"{name}() on the main thread took {took:.1f} s")

    def _end(self, talk: Talk) -> None:
        """Close it, and compare the numbers."""
        target = talk.target
        ours = talk.over_by_us or talk.is_open
        began = time.monotonic()
        while True:
            try:
                target.close()
                if isinstance(target, syncws.WebSocket):
                    target.join(30)
                break
            except Interrupted:
                continue
            except ConnectionClosed:
                break  # Something was not sent, and is sent again.
        if (took := time.monotonic() - began) > 10 + LATE_SECONDS:
            self._run.fault("late", f"close() on the main thread took {took:.1f} s")
        self._talk = None
        numbers = talk.numbers
        missing = set(range(max(numbers, default=-1) + 1)).difference(numbers)
        if len(missing) > self._lost:
            self._run.fault("lost", f"main: {sorted(missing)[:5]}")
        if len(set(numbers)) < len(numbers):
            self._run.fault("doubled", f"main: {len(numbers) - len(set(numbers))} numbers")
        for _ in numbers:
            self._run.count("received")
        if not ours:
            self._run.count("losses")
            if talk.generation is not None and talk.generation == self._run.generation:
                self._run.fault("unexplained", f"main: {target!r}")

    # The handler.

    def _arm(self) -> None:
        if self._on and signal.getitimer(signal.ITIMER_REAL)[0] == 0.0:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.02))

    def _strike(self, number: int, frame: FrameType | None) -> None:
        self._run.counts["signals"] += 1
        talk = self._talk
        if random.random() < 0.1 and in_package(frame):
            self._lost += MAY_LOSE
            raise Interrupted
        if talk is not None:
            try:
                self._call(talk)
            except (TimeoutError, ConnectionClosed, syncws.InvalidStateErr):
                pass
            except RuntimeError:
                if not self._in_parts:  # Inside send() of an iterable no call may wait for its end.
                    raise
        self._arm()

    def _call(self, talk: Talk) -> None:
        target, chosen = talk.target, random.random()
        if chosen < 0.6 or not isinstance(target, syncws.Connection):
            text = self._handlers.next()
            if text is not None:
                target.send(text)
        elif chosen < 0.8:
            talk.receive(target.recv(0.0))
        elif chosen < 0.9:
            target.ping(0.01)
        elif chosen < 0.995:
            target.flush(0.01)
        else:
            talk.over_by_us = True
            target.close()


def parts(text: str) -> Iterator[str]:
    step = len(text) // 5 + 1
    return (text[at : at + step] for at in range(0, len(text), step))


def in_package(frame: FrameType | None) -> bool:
    """Whether the interrupted code was called by the package, and is not code of this module that the
    package has called."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return frame.f_code.co_name != "__del__"  # In a finalizer Python itself stops every exception.
        if frame.f_code.co_filename == __file__:
            return False
        frame = frame.f_back
    return False
