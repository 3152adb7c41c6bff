"""When a ping is due, and when silence means that the link is dead (RFC 6455 5.5.2).

Owns: the times of the last pings of one connection. Runs on: the reader thread alone. Must not import:
anything; the caller passes the time in.
"""

from __future__ import annotations


class Keepalive:
    """Asks for pings at a fixed interval. Any byte that arrives counts as a sign of life."""

    def __init__(self, interval: float | None, timeout: float | None, now: float) -> None:
        self._interval = interval
        self.timeout = timeout
        self._ping_at = None if interval is None else now + interval
        # These belong to the oldest ping since which nothing has arrived: later pings must not put off its
        # deadline.
        self._ping_requested_at: float | None = None
        self._ping_sent_at: float | None = None

    def activity(self) -> None:
        """Bytes arrived: the next ping starts a new deadline."""
        self._ping_requested_at = self._ping_sent_at = None

    def pause(self, left_at: float) -> None:
        """We paused reading ourselves, so the answer to a ping that has left may lie unread. The last one
        left at `left_at`. A ping that cannot leave still shows a dead link."""
        if self._ping_requested_at is not None and left_at >= self._ping_requested_at:
            self.activity()

    def ping_due(self, now: float) -> bool:
        """Whether to send a ping now; each True counts as one ping requested."""
        if self._ping_at is None or self._interval is None or now < self._ping_at:
            return False
        self._ping_at = now + self._interval
        if self._ping_requested_at is None:
            self._ping_requested_at = now
        return True

    def deadline(self, left_at: float, progress_at: float, acknowledged_at: float = 0.0) -> float | None:
        """When the link counts as dead, unless something arrives.

        Args:
            left_at: when the last ping was handed to the kernel.
            progress_at: when the kernel last took a byte. While a ping is stuck behind a send that does
                not move, silence counts from there: a peer that stopped reading must not live for ever.
            acknowledged_at: when the other side was last seen to take bytes that the kernel held. This counts
                also after the ping has left, since megabytes may lie in the kernel ahead of it.
        """
        if self._ping_requested_at is None or self.timeout is None:
            return None
        if self._ping_sent_at is None and left_at >= self._ping_requested_at:
            self._ping_sent_at = left_at
        since = self._ping_sent_at
        if since is None:
            since = max(self._ping_requested_at, progress_at)
        return max(since, acknowledged_at) + self.timeout

    def next_at(self, left_at: float, progress_at: float, acknowledged_at: float = 0.0) -> float | None:
        """When to look again; the arguments are those of `deadline`."""
        deadline = self.deadline(left_at, progress_at, acknowledged_at)
        return min((at for at in (self._ping_at, deadline) if at is not None), default=None)

    @property
    def awaits_pong(self) -> bool:
        """Whether there is a deadline: a ping was requested, and nothing has arrived since."""
        return self._ping_requested_at is not None and self.timeout is not None

    def has_ping_left(self, left_at: float) -> bool:
        """Whether the ping that must be answered was handed to the kernel; the last ping left at
        `left_at`."""
        return self._ping_requested_at is not None and left_at >= self._ping_requested_at
