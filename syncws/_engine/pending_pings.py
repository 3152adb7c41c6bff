"""The pings that the application sends itself, and the threads that wait for their pongs.

Owns: what is awaited. Runs on: `ask` and `wait` on any thread, `arrived` and `end` on the reader thread.
Must not import: sockets, the protocol.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .primitives import Condition


class Pongs:
    """Matches pongs with pings by their payload."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._lock = self._condition.lock
        self._asked: dict[bytes, float | None] = {}  # the payloads, oldest first, and when the pong came
        self._ended = False

    def ask(self, send: Callable[[bytes], None]) -> bytes:
        """Have `send` queue a ping with a fresh payload, and return that; its pong will be waited for."""
        payload = os.urandom(8)
        with self._lock:  # else a ping that leaves later could stand before it, and be answered by its pong
            self._asked[payload] = None
            send(payload)
        return payload

    def wait(self, payload: bytes, timeout: float | None) -> float | None:
        """When the pong came, on the clock of `time.monotonic`; None when the connection ended first.

        Raises `TimeoutError` when it did not come within `timeout` seconds.
        """
        try:
            ended = self._condition.wait_until(
                lambda: self._asked[payload] is not None or self._ended, timeout
            )
            came_at = self._asked[payload]
        finally:
            with self._lock:
                del self._asked[payload]
        if came_at is None and not ended:
            raise TimeoutError(f"no pong came within {timeout} s")
        return came_at

    def arrived(self, payload: bytes) -> None:
        """A pong came; it answers its ping and all earlier ones (RFC 6455 5.5.3)."""
        with self._lock:
            if payload not in self._asked:
                return
            now = time.monotonic()
            for earlier in self._asked:
                if self._asked[earlier] is None:
                    self._asked[earlier] = now
                if earlier == payload:
                    break
            self._condition.notify()

    def after_fork(self) -> None:
        """In a forked child: nothing to wait for."""
        self._ended = True
        self._condition.after_fork()
        self._lock = self._condition.lock

    def end(self) -> None:
        """The connection is over: no pong will come."""
        with self._lock:
            self._ended = True
            self._condition.notify()
