"""What the tests of the interface share: a recorder of events, and ways to wait for what must come."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from syncws import CloseEvent, ErrorEvent, Event, MessageEvent, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing.loopback import LoopbackServer, Peer

# How long a test waits for what must come. Only a failing test waits that long.
SECONDS = 20.0

TYPES = ("open", "message", "error", "close")


def wait_until(condition: Callable[[], bool], what: str = "") -> None:
    """For what no event tells: ask again and again."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"did not become true: {what or condition}"
        threading.Event().wait(0.002)


def wait_for(event: threading.Event) -> None:
    assert event.wait(SECONDS), "what was waited for did not happen"


def socket_of(event: Event) -> WebSocket:
    """What a callback must use: it may run before the constructor's caller has a name for the connection."""
    assert isinstance(event.target, WebSocket)
    return event.target


class Recorder:
    """Handlers that keep each event, with the ready state that its callback saw."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.states: list[tuple[str, int]] = []
        self._arrived = threading.Condition()

    @property
    def handlers(self) -> dict[str, Any]:
        """The keyword arguments for the constructor."""
        return {f"on{type}": self.note for type in TYPES}

    def note(self, event: Event) -> None:
        with self._arrived:
            self.events.append(event)
            self.states.append((event.type, socket_of(event).readyState))
            self._arrived.notify_all()

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    @property
    def data(self) -> list[Any]:
        return [event.data for event in self.events if isinstance(event, MessageEvent)]

    def wait(self, type: str, count: int = 1) -> Event:
        """Wait for an event, the first of its type or a later one."""

        def found() -> list[Event]:
            return [event for event in self.events if event.type == type]

        with self._arrived:
            came = self._arrived.wait_for(lambda: len(found()) >= count, SECONDS)
            assert came, f"{type} number {count} did not come, only {self.events}"
            return found()[count - 1]

    @property
    def error(self) -> ErrorEvent:
        """The one error event, which must be there and stand right before the close event."""
        assert self.types[-2:] == ["error", "close"] and self.types.count("error") == 1, self.events
        error = self.events[-2]
        assert isinstance(error, ErrorEvent)
        assert error.message
        return error

    @property
    def close(self) -> CloseEvent:
        """The one close event, which must be there and the last."""
        assert self.types[-1:] == ["close"] and self.types.count("close") == 1, self.events
        close = self.events[-1]
        assert isinstance(close, CloseEvent)
        return close

    @property
    def ending(self) -> tuple[int, str, bool]:
        return self.close.code, self.close.reason, self.close.wasClean

    @property
    def failed(self) -> bool:
        """Whether the connection failed as the interface has it; else it must have ended in order."""
        if "error" not in self.types:
            assert self.close.wasClean
            return False
        assert self.ending == (1006, "", False)
        assert self.error.error is not None
        return True


def run(handler: Callable[[Peer], object], protocols: Any = (), **options: Any) -> Recorder:
    """Connect to a server with this script, leave all to the server, and tell what happened."""
    recorder = Recorder()
    with LoopbackServer(handler) as server:
        ws = WebSocket(server.url(), protocols, **recorder.handlers, **options)
        ws.join(SECONDS)
    assert ws.readyState == ws.CLOSED
    return recorder


@contextlib.contextmanager
def connected(
    handler: Callable[[Peer], object], **options: Any
) -> Iterator[tuple[WebSocket, Recorder, LoopbackServer]]:
    """An open connection with a server that has this script; it is closed at the end."""
    recorder = Recorder()
    receive_buffer = options.pop("receive_buffer", None)
    with LoopbackServer(handler, receive_buffer=receive_buffer) as server:
        ws = WebSocket(server.url(), **recorder.handlers, **options)
        try:
            recorder.wait("open")
            yield ws, recorder, server
        finally:
            ws.close()
            ws.join(SECONDS)


def finish(peer: Peer) -> None:
    """A script's end: read up to the client's Close, or the end; then the server ends TCP."""
    with contextlib.suppress(EOFError, ConnectionError):
        while peer.read_frame().opcode != Opcode.CLOSE:
            pass


def drain(peer: Peer) -> None:
    """A script's end: read and ignore all, until the client ends TCP."""
    peer.wait_eof(SECONDS)


def hold(peer: Peer) -> None:
    """A script's end: do nothing, not even read, until the server is closed."""
    peer.closing.wait(SECONDS)


@contextlib.contextmanager
def unanswering() -> Iterator[str]:
    """The URL of a TCP listener that nobody accepts from."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
