"""The process that interrupts: it reads pairs of a call and a handler, and writes the result of each point.

Owns: the process, its server and its `Points`. Runs on: the main thread. Must not import: pytest.

It reads lines of JSON from standard input, ``{"call", "handler", "first", "points"}`` (`points`: how many to
choose at random, 0 for all of them from `first` on; "seed" too), and writes lines of JSON. A run that hangs
ends the process; the stacks are on standard error then.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import pkgutil
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import syncws
from tests.signals.calls import CALLS, HANDLERS, Call, Dropped
from tests.signals.points import Place, Points
from tests.signals.server import Server
from tests.signals.stage import Faults, Interrupted, Stage

# The interrupted call, and everything that is checked after it, counts as hung after so many seconds.
HANG = 6.0
HANG_AFTER = 20.0
SLOW = 2.0
PAUSE = 0.001
PACKAGE = str(Path(syncws.__file__).parent)
# How many seconds after the beginning of the call a real signal comes: it meets a C function that waits.
ALARMS = (0.0008, 0.0016, 0.005)


def on_thread_of_ours() -> bool:
    return threading.current_thread().name.startswith("syncws")


class Run:
    """One interruption."""

    def __init__(self, server: Server, points: Points, call: str, handler: str, pause: float) -> None:
        self._pause = pause
        self._points = points
        self._name = call
        self._call: Call = CALLS[call]
        self._handler_name = handler.removeprefix("del_")
        self._finalizer = handler.startswith("del_")
        self._handler = HANDLERS[self._handler_name]
        self.stage = Stage(server)
        self.place: Place | None = None
        self.count = 0
        self.traceback = ""
        self._acted = threading.Event()

    def at(self, number: int) -> list[str]:
        """Interrupt at a point (by a real signal if it is negative; not at all at -100). Returns what went
        wrong."""
        stage = self.stage
        began = time.monotonic()
        self._call.prepare(stage)
        if self._handler.prepare is not None:
            self._handler.prepare(stage)
        began = time.monotonic()
        try:
            self._interrupted(number)
        except Interrupted:
            if not stage.raised:
                raise
        except syncws.ConnectionClosed as closed:
            self._judge_closed(closed)
        except BaseException as error:
            stage.faults.append(f"{self._name} raised {error!r}")
            self.traceback = traceback.format_exc()
        else:
            if stage.raised and not self._finalizer:
                stage.faults.append("the exception of the handler did not leave the call")
        if self.place is not None or number == -100:
            spent = time.monotonic() - began
            if spent > SLOW:
                stage.faults.append(f"the call took {spent:.1f} s")
        faulthandler.dump_traceback_later(HANG_AFTER, exit=True)
        stage.check()
        return stage.faults

    def _interrupted(self, number: int) -> None:
        points = self._points
        threads = on_thread_of_ours if self._call.everywhere else None
        if number >= 0 or number == -100:
            try:
                with points.watching(number, self._strike, threads):
                    self._call.run(self.stage)
            finally:
                self.count = points.count
                self.place = points.struck
            if self.place is not None:
                self._acted.wait(HANG)  # The handler may be on another thread.
            return

        def alarm(signum: int, frame: FrameType | None) -> None:
            if frame is not None and _inside_package(frame):
                self.place = Place.of(frame)
                self._strike(frame)

        signal.signal(signal.SIGALRM, alarm)
        try:
            signal.setitimer(signal.ITIMER_REAL, ALARMS[-1 - number])
            self._call.run(self.stage)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _strike(self, frame: FrameType) -> None:
        try:
            self._interrupt(frame)
        finally:
            self._acted.set()

    def _interrupt(self, frame: FrameType) -> None:
        if self._handler.raises and _cannot_raise(frame):
            return
        # With this line the place is known if it hangs now.
        print(json.dumps({"struck": str(Place.of(frame))}), flush=True)
        if self._pause:
            time.sleep(self._pause)
        if self._finalizer:
            Dropped(self._act)
        else:
            self._act()

    def _act(self) -> None:
        stage = self.stage
        began = time.monotonic()
        try:
            self._handler.run(stage)
        except Interrupted:
            raise
        except RuntimeError as error:
            refused = self._handler_name in self._call.refuses or self._call.everywhere
            if not refused or "close" in self._handler_name:
                self._fault(f"the handler's call raised {error!r}")
        except syncws.ConnectionClosed as closed:
            if not any(link.closing for link in stage.links.values()):
                self._fault(f"the handler's call raised {closed!r}")
        except Exception as error:
            self._fault(f"the handler's call raised {error!r}")
        if (spent := time.monotonic() - began) > SLOW:
            stage.faults.append(f"the handler's call took {spent:.1f} s")

    def _fault(self, text: str) -> None:
        self.stage.faults.append(text)
        self.traceback = traceback.format_exc()

    def _judge_closed(self, closed: Exception) -> None:
        link = self.stage.links.get("conn")
        if link is None or not link.closing:
            self.stage.faults.append(f"{self._name} raised {closed!r}")
            self.traceback = traceback.format_exc()


def _inside_package(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


def _cannot_raise(frame: FrameType | None) -> bool:
    """Inside a finalizer Python itself stops every exception."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Batch:
    def __init__(self) -> None:
        for module in pkgutil.walk_packages(syncws.__path__, "syncws."):
            if not module.name.endswith("__main__"):
                # An optional part may need a package that is not here.
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
        self.points = Points(PACKAGE)
        self.points.watch_new_threads()
        self.server = Server(tls="--tls" in sys.argv, deflate="--deflate" in sys.argv)
        self.faults = Faults()

    def say(self, **words: Any) -> None:
        print(json.dumps(words), flush=True)

    def once(self, call: str, handler: str, number: int, pauses: Sequence[float] = (0.0, PAUSE)) -> Run:
        """Interrupt at a point: at once, and with a pause in which other threads meet what is held there."""
        for pause in pauses if number >= 0 else pauses[:1]:
            run = self._once(call, handler, number, pause)
            if run.place is None:
                break
        return run

    def _once(self, call: str, handler: str, number: int, pause: float) -> Run:
        self.say(begin=number)
        faulthandler.dump_traceback_later(HANG, exit=True)
        run = Run(self.server, self.points, call, handler, pause)
        began = time.monotonic()
        faults = run.at(number)
        faulthandler.cancel_dump_traceback_later()
        faults += self.faults.found
        self.say(
            point=number,
            reached=run.place is not None,
            place=str(run.place or ""),
            faults=faults,
            traceback=run.traceback,
            count=run.count,
            seconds=time.monotonic() - began,
        )
        if faults:
            self.say(leave=True)  # The next run must not find leftovers of this one.
            sys.stdout.flush()
            faulthandler.dump_traceback(all_threads=True)
            sys.stderr.flush()
            _exit()
        return run

    def pair(self, call: str, handler: str, first: int, points: int, seed: int) -> None:
        count = self.once(call, handler, -100).count
        self.say(total=count)
        alarms = range(-len(ALARMS), 0) if CALLS[call].waits and first <= 0 else range(0)
        if points:
            chooser = random.Random(f"{seed} {call} {handler}")
            chosen = chooser.sample(range(count), min(points, count))
            for number in [*alarms, *sorted(chosen)]:
                pauses = chooser.choice([(0.0,), (PAUSE,)])
                if number >= first:
                    self.once(call, handler, number, pauses)
            return
        for number in alarms:
            if number >= first:
                self.once(call, handler, number)
        missed, number = 0, max(first, 0)
        while missed < 3:
            missed = 0 if self.once(call, handler, number).place is not None else missed + 1
            number += 1


def _exit() -> None:
    """Exit without finalizing the interpreter, which may wait for a thread that hangs."""
    os._exit(3)


def main() -> None:
    batch = Batch()
    for line in sys.stdin:
        words = json.loads(line)
        if "replay" in words:
            batch.once(words["call"], words["handler"], words["replay"])
        else:
            batch.pair(**words)
        batch.say(done=True)
    _exit()


if __name__ == "__main__":
    main()
