"""One interruption: the connections, the count of all messages, and what must hold at its end.

Owns: the connections of one run. Runs on: the main thread, and a receiver of its own. Must not import:
anything of the package but its public names.
"""

from __future__ import annotations

import gc
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import syncws
from tests.signals.server import Server, Session

# How long an event that must come may take. All waits of the runs themselves are far shorter.
SOON = 2.0
# On these versions the message that recv() is about to return may be lost.
MAY_LOSE_ONE = sys.version_info < (3, 11) or sys.implementation.name == "pypy"


class Interrupted(BaseException):
    """The exception of a handler that raises, as that of Ctrl-C raises KeyboardInterrupt."""


class Faults(logging.Handler):
    """The errors that are logged, end a thread, or are raised where no code can catch them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        logger = logging.getLogger("syncws")
        logger.addHandler(self)
        logger.propagate = False
        threading.excepthook = lambda arguments: self.found.append(
            f"thread {arguments.thread and arguments.thread.name}: {arguments.exc_value!r}"
        )
        sys.unraisablehook = lambda arguments: self.found.append(
            f"unraisable: {arguments.exc_value!r} in {arguments.object!r}"
        )

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"logged: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


class Link:
    """A connection, or a WebSocket, and the count of the messages in both directions."""

    def __init__(self, stage: Stage, path: str = "/") -> None:
        self.stage = stage
        self.path = path
        self.target: Any = None
        self.session: Session | None = None
        self._numbers = itertools.count()
        self.sizes: dict[int, int] = {}  # the sizes of the messages that were given to send()
        self.sent: list[int] = []  # the numbers of those for which it has returned
        self.received: list[int] = []
        self.closing = False  # whether it may have been closed, so that later messages may be refused
        self.aborted = False
        self.may_lose = 0
        # whether it streams, and whether it sends in parts, at present
        self.streams = self.sends_parts = False
        self.events: list[str] = []
        self.receiver: threading.Thread | None = None

    # Make it.

    def connect(self) -> Link:
        self.target = syncws.connect(self.stage.server.url + self.path, **self.stage.options)
        return self.found()

    def construct(self) -> Link:
        self.target = syncws.WebSocket(
            self.stage.server.url + self.path, **self.handlers(), **self.stage.options
        )
        return self

    def open(self) -> Link:
        self.construct()
        self.stage.until(lambda: self.target.readyState != 0, "the WebSocket did not open")
        return self.found()

    def handlers(self) -> dict[str, Any]:
        def on_message(event: Any) -> None:
            self.note(event.data)

        def on_other(event: Any) -> None:
            self.events.append(event.type)

        return {"onmessage": on_message, "onopen": on_other, "onerror": on_other, "onclose": on_other}

    def found(self) -> Link:
        """Look for the server's end."""
        if self.session is None:
            self.session = self.stage.unclaimed(self.path)
        return self

    # Use it.

    def send(self, size: int = 0) -> None:
        number = next(self._numbers)
        text = f"{number}|" + "x" * size
        self.sizes[number] = len(text)
        self.target.send(text)
        self.sent.append(number)

    def send_parts(self) -> None:
        number = next(self._numbers)
        self.sizes[number] = 0
        self.sends_parts = True
        self.target.send([f"{number}|", "a", "b"])
        self.sends_parts = False
        self.sent.append(number)

    def note(self, data: str | bytes) -> None:
        assert isinstance(data, str)
        self.received.append(int(data.partition("|")[0]))

    def recv(self, timeout: float | None = None) -> None:
        self.note(self.target.recv(timeout))

    def receive_in_background(self) -> None:
        def run() -> None:
            try:
                while True:
                    self.recv()
            except syncws.ConnectionClosed:
                pass

        self.receiver = threading.Thread(target=run, name="receiver", daemon=True)
        self.receiver.start()


class Stage:
    """The connections and threads of one run."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.options = server.options
        self.faults: list[str] = []
        self.raised = False  # whether the handler has raised into the interrupted call
        self.links: dict[str, Link] = {}
        self.reconnecting: Any = None
        self._first_session = len(server.sessions)
        self._claimed: set[Session] = set()

    def link(self, name: str, path: str = "/") -> Link:
        self.links[name] = link = Link(self, path)
        return link

    def sessions(self) -> Iterator[Session]:
        yield from self.server.sessions[self._first_session :]

    def unclaimed(self, path: str) -> Session:
        def free() -> Session | None:
            return next((s for s in self.sessions() if s.path == path and s not in self._claimed), None)

        self.until(lambda: free() is not None, "the server has no such connection")
        session = free()
        assert session is not None
        self._claimed.add(session)
        return session

    def until(self, condition: Callable[[], bool], what: str) -> bool:
        end = time.monotonic() + SOON
        while not condition():
            if time.monotonic() > end:
                self.faults.append(what)
                return False
            threading.Event().wait(0.0005)
        return True

    # What must hold at the end.

    def check(self) -> None:
        for name, link in self.links.items():
            before = len(self.faults)
            if link.target is None:
                continue
            try:
                if isinstance(link.target, syncws.Connection):
                    self._finish_connection(link)
                else:
                    self._finish_websocket(link)
            except syncws.ConnectionClosed as closed:
                self.faults.append(f"ConnectionClosed at the end: {closed}")
            except Exception as error:
                self.faults.append(f"at the end: {error!r}")
            self.faults[before:] = [f"{name}: {fault}" for fault in self.faults[before:]]
        if self.reconnecting is not None:
            self._finish_reconnecting()
        self._check_leftovers()

    def _finish_connection(self, link: Link) -> None:
        connection, session = link.target, link.found().session
        assert session is not None
        if connection.readyState == connection.OPEN and not link.closing:
            link.send()
            connection.flush(SOON)
            if connection.bufferedAmount:
                self.faults.append(f"bufferedAmount {connection.bufferedAmount} after flush()")
            connection.ping(SOON)
            session.push(1)
            self._drain(link, session)
        elif not link.closing:
            self.faults.append(f"readyState {connection.readyState}: closed without a reason")
        for _ in range(2):
            try:
                connection.close()
            except syncws.ConnectionClosed as closed:
                if not link.closing:
                    self.faults.append(f"close() raised {closed!r}")
        self.until(lambda: bool(connection.readyState == connection.CLOSED), "not CLOSED after close()")
        try:
            while True:
                link.recv(SOON)
        except syncws.ConnectionClosed:
            pass
        if link.receiver is not None:
            link.receiver.join(SOON)
            if link.receiver.is_alive():
                self.faults.append("another thread still waits in recv()")
        self._compare(link, session)

    def _drain(self, link: Link, session: Session) -> None:
        def all_here() -> bool:
            return len(link.received) >= session.asked - link.may_lose

        if link.receiver is not None:
            self.until(all_here, "another thread did not receive what was sent")
            return
        try:
            while session.asked - 1 not in link.received:
                link.recv(SOON)
        except TimeoutError:
            self.faults.append(f"recv() got {link.received} of {session.asked} and then none")

    def _finish_websocket(self, link: Link) -> None:
        ws, session = link.target, link.session
        if not link.closing:
            self.until(lambda: bool(ws.readyState), "the WebSocket does not open")
            link.found()
            session = link.session
            if ws.readyState == ws.OPEN and session is not None:
                link.send()
                session.push(1)
                self.until(lambda: session.asked - 1 in link.received, "a message did not come")
                self.until(lambda: ws.bufferedAmount == 0, f"bufferedAmount stays {ws.bufferedAmount}")
            else:
                self.faults.append(f"readyState {ws.readyState}: closed without a reason")
        ws.close()
        ws.close()
        try:
            ws.join(SOON)
        except TimeoutError:
            self.faults.append("join() after close(): TimeoutError")
        if link.events[-1:] != ["close"] or link.events.count("close") != 1:
            self.faults.append(f"events: {link.events}")
        if ws.readyState != ws.CLOSED:
            self.faults.append(f"readyState {ws.readyState} after join()")
        if session is not None:
            self._compare(link, session)

    def _finish_reconnecting(self) -> None:
        if isinstance(self.reconnecting, syncws.ReconnectingWebSocket):
            self.reconnecting.close()
            self.reconnecting.join(SOON)
        else:
            self.reconnecting.stop()
            if next(self.reconnecting, None) is not None:
                self.faults.append("stop() did not end the iteration")

    def _compare(self, link: Link, session: Session) -> None:
        if not session.ended.wait(SOON):
            self.faults.append("the server's end is still open")
            return
        if not link.aborted and session.close_code is None:
            self.faults.append("the server got no Close frame")
        arrived = [int(message.partition(b"|")[0]) for message in session.received]
        if len(arrived) != len(set(arrived)):
            self.faults.append(f"doubled on the way to the server: {arrived}")
        if not link.aborted and (lost := set(link.sent) - set(arrived)):
            # A WebSocket drops messages once it is closing, and counts them.
            dropped = 0 if isinstance(link.target, syncws.Connection) else link.target.bufferedAmount
            if sum(link.sizes[number] for number in lost) != dropped:
                self.faults.append(f"send() returned, but the server did not get {sorted(lost)}")
        got = sorted(link.received)
        expected = range(session.asked if not link.closing else max(got, default=-1) + 1)
        if len(got) != len(set(got)):
            self.faults.append(f"received twice: {link.received}")
        elif len(missing := set(expected) - set(got)) > link.may_lose:
            self.faults.append(f"lost on the way to the client: {sorted(missing)}")

    def _check_leftovers(self) -> None:
        self.links.clear()
        self.reconnecting = None
        if self.raised:
            gc.collect()  # This collects what an interrupted constructor has left.
        if any(not session.ended.is_set() for session in self.sessions()):
            self.until(lambda: all(s.ended.is_set() for s in self.sessions()), "a connection is left behind")
        for session in self.sessions():
            session.forget()

        def left() -> list[str]:
            names = [thread.name for thread in threading.enumerate()]
            return [n for n in names if n.startswith("syncws") and "writer" not in n] + [
                n for n in names if n == "receiver"
            ]

        if left():
            self.until(lambda: not left(), f"threads are left: {left()}")
