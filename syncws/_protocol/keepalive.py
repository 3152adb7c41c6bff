"""When a ping is due, and when silence means that the link is dead (RFC 6455 5.5.2).

Owns: the keepalive's times of one connection. Runs on: the reader thread alone. Must not import: anything;
it is told the time.
"""

from __future__ import annotations


class Keepalive:
    """Pings at a fixed interval, and takes any byte that arrives as a sign of life."""

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._ping_at = None if interval is None else now + interval
        # Of the oldest ping after which nothing has come: later pings must not put its deadline off.
        self._ping_requested_at: float | None = None
        self._ping_sent_at: float | None = None

    def activity(self) -> None:
        """Bytes arrived: silence counts from the next ping on."""
        self._ping_requested_at = self._ping_sent_at = None

    def pause(self, ping_sent_at: float) -> None:
        """Reading is paused by ourselves: the answer to a ping that has left may lie unread. One that cannot leave
        shows a dead link all the same."""
        if self._ping_requested_at is not None and ping_sent_at >= self._ping_requested_at:
            self.activity()

    def ping_due(self, now: float) -> bool:
        """Whether a ping is to be sent now; asking counts it as sent."""
        if self._ping_at is None or self._interval is None or now < self._ping_at:
            return False
        self._ping_at = now + self._interval
        if self._ping_requested_at is None:
            self._ping_requested_at = now
        return True

    @property
    def awaits_pong(self) -> bool:
        """Whether a ping was asked for after which nothing has come."""
        return self._ping_requested_at is not None and self._timeout is not None

    def deadline(self, ping_sent_at: float, taken_at: float, handed_at: float) -> float | None:
        """When the link counts as dead, unless something arrives; None where no ping waits for an answer.

        Args:
            ping_sent_at: when the last ping was handed to the kernel.
            taken_at: when the network last took bytes off the kernel. Megabytes may lie there ahead of the
                ping, and as long as they get less, the link is alive.
            handed_at: when the kernel last took bytes of ours. That counts until the ping has left: a peer that
                stopped reading must not live for ever by what is sent after it.
        """
        if self._ping_requested_at is None or self._timeout is None:
            return None
        if self._ping_sent_at is None and ping_sent_at >= self._ping_requested_at:
            self._ping_sent_at = ping_sent_at
        if self._ping_sent_at is None:
            return max(self._ping_requested_at, taken_at, handed_at) + self._timeout
        return max(self._ping_sent_at, taken_at) + self._timeout

    @property
    def ping_at(self) -> float | None:
        """When the next ping is due."""
        return self._ping_at
