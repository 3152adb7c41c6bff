"""A `WebSocket` that keeps its events, for tests that wait for them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from syncws import CloseEvent, ErrorEvent, MessageEvent, WebSocket

# How long a test waits for what must come: generous, since it is only spent when a test fails.
DEADLINE = 30.0


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

    def wait_open(self) -> WebSocket:
        """The connection once it is open; what failed is raised."""
        assert self._opened.wait(DEADLINE), "neither open nor closed"
        if self.error is not None and self.error.error is not None:
            raise self.error.error
        assert self.order[0] == "open"
        return self.ws

    def receive(self) -> Any:
        """The data of the next message."""
        event = self._messages.get(timeout=DEADLINE)
        assert event is not None, f"closed while waiting for a message: {self.error or self.closed}"
        return event.data

    def wait_closed(self) -> CloseEvent:
        """The close event, once the connection's threads are gone too."""
        self.ws.join(DEADLINE)
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
            self.ws.join(DEADLINE)
