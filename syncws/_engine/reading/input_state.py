"""How long a paused reader waits, and the last look after a deadline.

Owns: this state of one open link. Runs on: the reader thread. Must not import: the consumers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._transport.progress import SendProgress
from .read_size import ReadSize

if TYPE_CHECKING:
    from ..._protocol.decoder import Decoder
    from ..._protocol.messages import Message, MessagePart
    from ..._transport.stream import Stream

# Once a deadline has passed, the socket is read for at most this long before the verdict: what lies in it may
# have come in time, as when the process was stopped for a while.
LAST_LOOK_SECONDS = 0.25

# How long a paused reader waits before it looks at the consumer again by itself: at first, and at most.
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 1.0


class InputState:
    """The state of reading: pauses, the last look after a deadline, the end.

    Attributes:
        progress: the progress of the other direction.
        read_size: how many bytes the next read asks for, unless it is of a large message.
        pause: how long a paused reader waits before it looks again.
        paused: whether it is paused.
        pauses: how often it was.
        overdue_since: when a deadline was first seen to have passed; None while none has.
        exhausted: whether nothing is left in the socket since then.
        put_last: whether the last read has brought messages.
        ended: whether the server has ended its side of TCP.
        reset: whether TCP is to end by a reset.
    """

    def __init__(self, stream: Stream, now: float) -> None:
        self.progress = SendProgress(stream, now)
        self.read_size = ReadSize()
        self.pause = FIRST_PAUSE
        self.paused = False
        self.pauses = 0
        self.overdue_since: float | None = None
        self.exhausted = False
        self.put_last = False
        self.ended = False
        self.reset = False
        self._stream = stream
        self._received = stream.received

    def read(self, decoder: Decoder | None) -> tuple[int | None, bytes, list[Message | MessagePart]]:
        """Read once, for `decoder`, which has a large message read straight into its place.

        Returns how many bytes came, as `recv` of the stream does, the bytes that are still to be decoded, and
        the messages that are whole now.

        Raises `OSError` when the connection was lost.
        """
        room = None if decoder is None else decoder.get_buffer()
        if decoder is None or room is None:
            data = self._stream.recv(self.read_size.bytes)
            return None if data is None else len(data), data or b"", []
        count: int | None = None
        try:
            count = self._stream.recv_into(room)
        finally:
            messages = decoder.buffer_updated(count or 0)
        return count, b"", messages

    def has_activity(self) -> bool:
        """Whether any byte has come since the last call; half a TLS record counts."""
        received, self._received = self._received, self._stream.received
        return received != self._received

    def next_pause(self) -> float:
        """How many seconds to wait for the consumer before the next look; each pause is longer."""
        pause = self.pause
        self.pause = min(pause * 2, LONGEST_PAUSE)
        return pause

    def last_look(self, now: float) -> bool:
        """Whether the reader has looked into the socket since the deadline, and nothing is left in it."""
        if self.overdue_since is None:
            self.overdue_since = now
            self.exhausted = self.ended
        return self.exhausted or now - self.overdue_since >= LAST_LOOK_SECONDS
