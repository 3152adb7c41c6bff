"""What the tests of the pull face share: a server and a connection to it, work in the background, waiting."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import syncws
from syncws import Connection, ConnectionClosed
from syncws._protocol.frames import Opcode
from syncws.testing.loopback import LoopbackServer, Peer, echo

# How long a test waits for what must come. Only a failing test waits that long.
SECONDS = 20.0

# What counts as "at once" on a busy machine: far below every option that could end a wait instead.
AT_ONCE = 5.0

Result = TypeVar("Result")


class Task(Generic[Result]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        return self.thread.is_alive()

    def wait(self, seconds: float = SECONDS) -> BaseException | None:
        """Wait for the end; what the call raised."""
        self.thread.join(seconds)
        assert not self.running, f"{self._call} did not end"
        return self._error

    def result(self, seconds: float = SECONDS) -> Result:
        if (error := self.wait(seconds)) is not None:
            raise error
        return self._results[0]

    def closed(self, seconds: float = SECONDS) -> ConnectionClosed:
        """The `ConnectionClosed` that the call must raise."""
        error = self.wait(seconds)
        assert isinstance(error, ConnectionClosed), f"{error!r}, {self._results!r}"
        return error


def wait_until(condition: Callable[[], bool], what: str = "") -> None:
    """For what no event tells: ask again and again."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"did not become true: {what or condition}"
        threading.Event().wait(0.002)


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS), "what was waited for did not happen"


@contextlib.contextmanager
def opened(
    handler: Callable[[Peer], object] = echo, *, receive_buffer: int | None = None, **options: Any
) -> Iterator[Connection]:
    """A connection to a server with this script; it is closed at the end."""
    with LoopbackServer(handler, receive_buffer=receive_buffer) as server:
        connection = syncws.connect(server.url(), **options)
        try:
            yield connection
        finally:
            connection.close()


@contextlib.contextmanager
def switching_all_the_time() -> Iterator[None]:
    """Let Python change from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    if sys.gettrace() is None:  # under coverage's tracer each switch costs so much that nothing gets done
        sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def finish(peer: Peer) -> None:
    """A script's end: read up to the client's Close, or the end; then the server ends TCP."""
    with contextlib.suppress(EOFError, ConnectionError):
        while peer.read_frame().opcode != Opcode.CLOSE:
            pass


def hold(peer: Peer) -> None:
    """A script's end: do nothing, not even read, until the server is closed."""
    peer.closing.wait(SECONDS)


def closed_by(connection: Connection) -> ConnectionClosed:
    """What `recv` raises, after the checks that it goes on doing so, at once."""
    ends = []
    for timeout in (None, None, 0, SECONDS):
        end = Task(lambda timeout=timeout: connection.recv(timeout)).closed(SECONDS)  # type: ignore[misc]
        ends.append((end.code, end.reason, end.wasClean, end.__cause__))
    assert ends == ends[:1] * 4
    assert connection.readyState == connection.CLOSED
    return end


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that nobody listens on, and nobody will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}/"


@contextlib.contextmanager
def unanswering() -> Iterator[str]:
    """The URL of a TCP listener that nobody accepts from."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
