"""When the network last took bytes of ours: what tells a slow link from a dead one.

Owns: two readings of one stream's output. Runs on: the reader thread alone. Must not import: the protocol,
the threads.

What was handed to the kernel, less what the kernel still holds, is what the network took. A ping or a Close
that has left may lie behind megabytes in the kernel, and its answer comes after these: as long as they get
less, the link is alive. Where the kernel cannot be asked, what it takes from us counts instead.
"""

from __future__ import annotations

from .stream import Stream


class SendProgress:
    """Watches the output of one stream.

    Attributes:
        at: when the network last took something, on the clock of `time.monotonic`, as far as `look` has seen.
        handed_at: when the kernel did.
        is_pending: whether the kernel holds bytes of ours.
    """

    def __init__(self, stream: Stream, now: float) -> None:
        self.at = now
        self.handed_at = now
        self.is_pending = False
        self._stream = stream
        self._handed = stream.handed
        self._taken = self._handed - (stream.unacknowledged() or 0)

    def look(self, now: float) -> None:
        """Read both counts."""
        handed = self._stream.handed  # first: what is handed over in between must not look like progress
        held = self._stream.unacknowledged()
        if handed > self._handed:
            self._handed = handed
            self.handed_at = now
        if held is None:
            self.at = max(self.at, self.handed_at)
            self.is_pending = False
            return
        self.is_pending = held > 0
        taken = handed - held
        if taken > self._taken:
            self._taken = taken
            self.at = now
