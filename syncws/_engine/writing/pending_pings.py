"""The pings that wait for their pongs, and the threads that wait for pongs (RFC 6455 5.5.2, 5.5.3).

Owns: the pings that were not answered. Runs on: `start` and `wait` on any thread, `sent` on the one that has
the writer's turn, `pong_received` and `end` on the reader thread. Must not import: sockets, the protocol.
"""

from __future__ import annotations

import collections
import os
import time

from ..primitives import Waiters

# How many unanswered pings are remembered.
MAX_PENDING = 1024


class PendingPing:
    """A ping that waits for its pong, and the note of it for the writer.

    Attributes:
        payload: the payload of its pong too; eight random bytes if the caller gave none, which tell it from
            all other pings.
        asked_at: when it was made, on the clock of `time.monotonic`.
        pong_at: when its pong came, on the clock of `time.monotonic`; None before.
    """

    __slots__ = ("asked_at", "payload", "pong_at")

    def __init__(self, payload: bytes | None = None) -> None:
        self.payload = os.urandom(8) if payload is None else payload
        self.asked_at = time.monotonic()
        self.pong_at: float | None = None


class PendingPings:
    """Matches pongs with pings by their payload.

    Attributes:
        round_trip: the seconds from the last ping that was answered to its pong; None before.
    """

    def __init__(self) -> None:
        self.round_trip: float | None = None
        # The pings are in sending order: the writer appends, the reader takes from the left.
        self._sent: collections.deque[PendingPing] = collections.deque(maxlen=MAX_PENDING)
        self._waiters = Waiters()
        self._ended = False

    def wait(self, ping: PendingPing, timeout: float | None) -> float | None:
        """Wait for the pong. Returns when it came, by `time.monotonic`; None when the connection ended first.

        Raises `TimeoutError` when it did not come within `timeout` seconds.
        """
        over = self._waiters.wait_until(lambda: ping.pong_at is not None or self._ended, timeout)
        if ping.pong_at is None and not over:
            raise TimeoutError(f"no pong came within {timeout} s")
        return ping.pong_at

    def sent(self, ping: PendingPing) -> None:
        """A ping is sent, after all earlier ones."""
        self._sent.append(ping)

    def pong_received(self, payload: bytes) -> None:
        """A pong came; it answers its ping and all earlier ones."""
        sent = self._sent
        count = len(sent)
        if not any(sent[index].payload == payload for index in range(count)):
            return
        now = time.monotonic()
        while sent:
            ping = sent.popleft()
            ping.pong_at = now
            if ping.payload == payload:
                self.round_trip = now - ping.asked_at
                break
        self._waiters.notify()

    def end(self) -> None:
        """The connection is over, or this is a forked child: no pong will come."""
        self._ended = True
        self._waiters.notify()
