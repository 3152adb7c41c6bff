"""When the network last took bytes of ours: by this a slow link differs from a dead one.

Owns: two readings of one stream's output. Runs on: the reader thread alone. Must not import: the protocol,
the threads.

The bytes that were handed to the kernel, minus those that it still holds, are the bytes that the network
took. A ping or a Close that has left may lie behind megabytes in the kernel, and its answer comes after
these: as long as they get fewer, the link is alive. Bytes that were handed over after it do not count, since
the kernel of a stalled server still takes our later pings. If our own kernel cannot be asked, the bytes that
it takes from us count instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stream import Stream

# If the kernel cannot be asked, growth that a ping may have caused is no progress.
_PING_SIZE = 64


class SendProgress:
    """Watches the output of one stream.

    Attributes:
        at: when the network last took bytes that count, on the clock of `time.monotonic`, as far as `look`
            has seen.
        handed_at: when the kernel last took bytes, or the writer was seen to be making them.
        limit: how many bytes count, from the first that was handed over; None for all.
        is_pending: whether the kernel holds bytes of ours.
    """

    def __init__(self, stream: Stream, now: float) -> None:
        self.at = now
        self.handed_at = now
        self.limit: int | None = None
        self.is_pending = False
        self._stream = stream
        self._handed = stream.handed
        self._taken = self._handed - (stream.unacknowledged() or 0)

    def look(self, now: float, preparing: bool = False) -> None:
        """Read both counts. `preparing`: the writer is making the next bytes, as by compressing, so it is
        not the network that stands still."""
        # This is read first: bytes that are handed over in between are no progress.
        handed = self._stream.handed
        held = self._stream.unacknowledged()
        grown = handed - self._handed
        self._handed = handed
        if grown > 0 or preparing:
            self.handed_at = now
        if held is None:
            self.is_pending = False
            if grown > _PING_SIZE:
                self.at = now
            return
        self.is_pending = held > 0
        taken = handed - held
        if taken > self._taken:
            if self.limit is None or self._taken < self.limit:
                self.at = now
            self._taken = taken
