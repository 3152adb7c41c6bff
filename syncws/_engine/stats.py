"""The counts of a connection so far, as one record.

Owns: the record. Runs on: any thread. Must not import: sockets, threads, what programs call.

Nothing is counted here. Each number is kept by the one thread that changes it, where it does the work: the
decoder counts messages as it returns them, the writer as it hands them over, the stream the bytes of the
wire. So counting takes no lock and no further step. Reading them takes each number as it is just then, so one
may be a moment older than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """The counts of a connection until now. All of them only grow, except `queued_messages`, `queued_bytes`,
    `buffered_bytes` and `round_trip`.

    Attributes:
        messages_sent: messages handed to the network, whole.
        messages_received: messages that arrived, whole, including those that nobody has taken yet.
        bytes_sent: their payloads, before compression: bytes of UTF-8 for text.
        bytes_received: payloads that arrived, after decompression.
        wire_bytes_sent, wire_bytes_received: bytes of the socket, with frames, TLS and the opening handshake.
        queued_messages: messages that wait to be received, including the batch that is being dispatched.
        queued_bytes: their bytes, as `max_queue` counts them: those of small frames with their headers.
        buffered_bytes: bytes that wait to be sent: `bufferedAmount`.
        pauses: how often reading paused because too much waited.
        round_trip: seconds from the last ping that was answered, the keepalive's too, to its pong; None
            before.
        reconnects: how often a reconnecting object has reconnected.
    """

    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    wire_bytes_sent: int = 0
    wire_bytes_received: int = 0
    queued_messages: int = 0
    queued_bytes: int = 0
    buffered_bytes: int = 0
    pauses: int = 0
    round_trip: float | None = None
    reconnects: int = 0


class SentMessages:
    """Counts the messages that end within frames of which so many bytes are sent."""

    __slots__ = ("_ends", "_frames", "_index")

    def __init__(self, frames: Sequence[tuple[int, bytes]]) -> None:
        self._frames = frames
        self._index = 0
        self._ends = 0  # how many bytes come before the last frame of the next message

    def upto(self, done: int) -> int:
        """How many messages end within the first `done` bytes, without those of earlier calls."""
        frames, count = self._frames, 0
        while self._index < len(frames):
            head_byte, payload = frames[self._index]
            if self._ends + len(payload) > done:
                break
            self._ends += len(payload)
            self._index += 1
            count += head_byte >> 7
        return count
