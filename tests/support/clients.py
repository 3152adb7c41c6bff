"""Clients of both APIs for tests: they keep what happened, and wait for what must happen."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import syncws
from syncws import CloseEvent, Connection, ConnectionClosed, ErrorEvent, Event, MessageEvent, WebSocket
from syncws.testing import LoopbackServer, Peer, echo
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_until

TYPES = ("open", "message", "error", "close")


class Client(contextlib.AbstractContextManager["Client"]):
    """A connection, and what happened to it so far.

    Attributes:
        ws: the connection.
        order: the types of all events but the messages, in order.
        error, closed: the error and the close event, None before.
    """

    def __init__(self, url: str, protocols: str | Sequence[str] = (), **options: Any) -> None:
        self.order: list[str] = []
        self.error: ErrorEvent | None = None
        self.closed: CloseEvent | None = None
        self._messages: queue.SimpleQueue[MessageEvent | None] = queue.SimpleQueue()
        self._opened = threading.Event()
        self.ws = WebSocket(
            url,
            protocols,
            onopen=self._on_open,
            onerror=self._on_error,
            onclose=self._on_close,
            **{"onmessage": self._messages.put, **options},
        )

    def _on_open(self, event: object) -> None:
        self.order.append("open")
        self._opened.set()

    def _on_error(self, event: ErrorEvent) -> None:
        self.order.append("error")
        assert self.error is None
        self.error = event

    def _on_close(self, event: CloseEvent) -> None:
        self.order.append("close")
        assert self.closed is None
        self.closed = event
        self._opened.set()
        self._messages.put(None)

    def opened_within(self, seconds: float) -> bool:
        """Whether the connection is open, or over, before so many seconds have passed."""
        return self._opened.wait(seconds)

    def wait_open(self) -> WebSocket:
        """The connection once it is open; what failed is raised."""
        assert self.opened_within(SECONDS), "neither open nor closed"
        if self.error is not None and self.error.error is not None:
            raise self.error.error
        assert self.order[0] == "open"
        return self.ws

    def receive(self) -> Any:
        """The data of the next message."""
        event = self._messages.get(timeout=SECONDS)
        assert event is not None, f"closed while waiting for a message: {self.error or self.closed}"
        return event.data

    def wait_closed(self) -> CloseEvent:
        """The close event, once all is over."""
        self.ws.join(SECONDS)
        assert self.closed is not None
        assert self.order[-1] == "close"
        return self.closed

    def wait_failed(self) -> BaseException:
        """The error of a connection that must fail, after the checks that hold for every failure."""
        closed = self.wait_closed()
        assert (closed.code, closed.reason, closed.wasClean) == (1006, "", False)
        assert self.order[-2:] == ["error", "close"]
        assert self.error is not None and self.error.error is not None
        assert self.error.message
        return self.error.error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(TimeoutError) if error else contextlib.nullcontext():
            self.ws.close()
            self.ws.join(SECONDS)


def socket_of(event: Event) -> WebSocket:
    """The connection of an event: a callback may run before the constructor's caller has a name for it."""
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
        """Whether the connection failed, with the events of a failure. If not, it has ended in order."""
        if "error" not in self.types:
            assert self.close.wasClean
            return False
        assert self.ending == (1006, "", False)
        assert self.error.error is not None
        return True


def run(handler: Callable[[Peer], object], protocols: Any = (), **options: Any) -> Recorder:
    """Connect to a server with this script, do nothing, and return what happened."""
    recorder = Recorder()
    with LoopbackServer(handler) as server:
        ws = WebSocket(server.url, protocols, **recorder.handlers, **options)
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
        ws = WebSocket(server.url, **recorder.handlers, **options)
        try:
            recorder.wait("open")
            yield ws, recorder, server
        finally:
            ws.close()
            ws.join(SECONDS)


@contextlib.contextmanager
def opened(
    handler: Callable[[Peer], object] = echo, *, receive_buffer: int | None = None, **options: Any
) -> Iterator[Connection]:
    """A connection to a server with this script; it is closed at the end."""
    with LoopbackServer(handler, receive_buffer=receive_buffer) as server:
        connection = syncws.connect(server.url, **options)
        try:
            yield connection
        finally:
            with contextlib.suppress(ConnectionClosed):  # The test itself checks what was not sent.
                connection.close()


def closed_by(connection: Connection) -> ConnectionClosed:
    """The exception of `recv`, after checking that `recv` goes on raising it, at once."""
    ends = []
    for timeout in (None, None, 0, SECONDS):
        end = Task(lambda timeout=timeout: connection.recv(timeout)).closed(SECONDS)  # type: ignore[misc]
        ends.append((end.code, end.reason, end.__cause__))
    assert ends == ends[:1] * 4
    # It may be unknown until the end of TCP whether both Close frames have passed.
    wait_until(lambda: connection.readyState == connection.CLOSED)
    return Task(lambda: connection.recv(0)).closed(SECONDS)
