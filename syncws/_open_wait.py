"""The wait for an open connection of a `ReconnectingWebSocket`, over any number of attempts.

Owns: whether the open event of the present connection was dispatched. Runs on: `wait` on any thread, the
other methods on the thread that dispatches. Must not import: sockets, the reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._engine.primitives import Waiters
from ._exceptions import WebSocketError

if TYPE_CHECKING:
    from ._engine.consumer.dispatcher import FirstEvents


class OpenWait:
    """The waiting threads, and the state that they wait for."""

    def __init__(self) -> None:
        self._waiters = Waiters()
        self._is_open = False
        self._is_over = False
        self._error: Exception | None = None

    def opened(self) -> None:
        """The open event was dispatched."""
        self._is_open = True
        self._waiters.notify()

    def lost(self, error: Exception) -> None:
        """The connection is lost, or an attempt has failed."""
        self._is_open = False
        self._error = error

    def end(self) -> None:
        """No attempt follows."""
        self._is_over = True
        self._waiters.notify()

    def wait(self, first_events: FirstEvents, timeout: float | None) -> bool:
        """Wait for an open connection; False after `timeout` seconds. Raises the error of the last
        attempt."""
        first_events.begin_wait_open()
        try:
            done = self._waiters.wait_until(lambda: self._is_open or self._is_over, timeout)
        finally:
            first_events.end_wait_open()
        if done and not self._is_open:
            raise self._error or WebSocketError("the connection ended before it was open")
        return done
