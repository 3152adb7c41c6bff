"""Real alarms, and finalizers, at random moments, for a while.

    python -m tests.signals.storm [--seconds N] [--seed N] [--tls] [--deflate] [--kinds raise return collect]

Owns: the process. Runs on: the main thread. Must not import: anything of the package but its public names.

Each round uses a connection under a storm of signals for a while, ends it, and looks at it as `stage` does.
Threads take turns every microsecond. In the first kind of round the handler raises, as the one of Ctrl-C
does; in the second it returns after a call of its own; in the third the garbage collector, which runs all the
time, finds rings of objects whose finalizers make the calls, on whatever thread it runs. A hang shows all
stacks and ends the process.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import syncws
from tests.signals.batch import PACKAGE
from tests.signals.server import Server
from tests.signals.stage import MAY_LOSE_ONE, SOON, Faults, Interrupted, Link, Stage

ROUND = 0.05
HANG = 15.0


KINDS = ("raise", "return", "collect")


def in_package(frame: FrameType | None) -> bool:
    """Whether this frame or one of its callers is the package's, and none of them a finalizer's."""
    found = False
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return False
        found = found or frame.f_code.co_filename.startswith(PACKAGE)
        frame = frame.f_back
    return found


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.ring = self

    def __del__(self) -> None:
        try:
            self.call()
        except (RuntimeError, TimeoutError, syncws.ConnectionClosed):
            pass  # The call may not wait there, or came too late.


class Storm:
    def __init__(self, seed: int, tls: bool, deflate: bool) -> None:
        self.server = Server(tls, deflate)
        self.faults = Faults()
        self.strikes = self.calls = 0
        self._random = random.Random(seed)
        self._stage = Stage(self.server)
        self._link = Link(self._stage)
        self._on = False
        self._raises = False
        signal.signal(signal.SIGALRM, self._strike)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if not self._on:
            return
        if not in_package(frame):
            self._arm()
            return
        self.strikes += 1
        if self._raises:
            self._on = False
            self._stage.raised = True
            self._link.may_lose += MAY_LOSE_ONE
            raise Interrupted
        self._call()
        self._arm()

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(5e-5, 2e-3))

    def _call(self) -> None:
        """The body of a handler or a finalizer: one call that is chosen at random."""
        link = self._link
        target = link.target
        if target is None:
            return
        self.calls += 1
        chosen = self._random.randrange(12)
        try:
            if chosen < 5:
                link.send()
            elif chosen < 7:
                target.ping(0.01)
            elif chosen < 9:
                target.flush(0.01)
            elif chosen < 11:
                link.recv(0.0)
            else:
                link.closing = True
                target.close()
        except (TimeoutError, syncws.ConnectionClosed):
            pass

    def _use(self, link: Link) -> None:
        session = link.session
        assert session is not None
        for _ in range(3):
            session.push(1)
            link.send()
            try:
                link.recv(0.05)
            except TimeoutError:
                pass  # A handler has taken it.
            link.target.flush(SOON)
            link.target.ping(SOON)

    def round(self, kind: str) -> list[str]:
        self._stage = stage = Stage(self.server)
        self._link = link = stage.link("conn").connect()
        self._raises = kind == "raise"
        until = time.monotonic() + ROUND
        before = gc.get_threshold()
        while time.monotonic() < until and link.target.readyState == link.target.OPEN:
            try:
                try:
                    if kind == "collect":
                        gc.set_threshold(20)
                        Ring(self._call)
                    else:
                        self._on = True
                        self._arm()
                    self._use(link)
                finally:
                    self._on = False
                    gc.set_threshold(*before)
            except Interrupted:
                pass
            except syncws.ConnectionClosed:
                if not link.closing:
                    stage.faults.append("closed without a reason")
                break
        self._on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        stage.check()
        return stage.faults + self.faults.found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.signals.storm")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--tls", action="store_true", help="over wss")
    parser.add_argument("--deflate", action="store_true", help="with compressed messages")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    print(f"{sys.version.split()[0]}, seed {arguments.seed}", flush=True)
    sys.setswitchinterval(1e-6)
    storm, rounds, failed = Storm(arguments.seed, arguments.tls, arguments.deflate), 0, 0
    until = time.monotonic() + arguments.seconds
    while time.monotonic() < until:
        kind = arguments.kinds[rounds % len(arguments.kinds)]
        faulthandler.dump_traceback_later(HANG, exit=True)
        rounds += 1
        if faults := storm.round(kind):
            failed += 1
            print(f"round {rounds}, {kind}: {'; '.join(faults)}", flush=True)
            storm.faults.found.clear()
    faulthandler.cancel_dump_traceback_later()
    done = f"{storm.strikes} signals in the package, {storm.calls} calls of handlers and finalizers"
    print(f"{rounds} rounds, {done}, {failed} rounds failed")
    sys.stdout.flush()
    os._exit(failed > 0)


if __name__ == "__main__":
    main()
