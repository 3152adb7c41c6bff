"""The whole messages at the beginning of some bytes, made without a change to anything.

Owns: nothing but its results: they may be dropped, and made again from the same bytes. Runs on: a thread that
reads in the reader's place. Must not import: anything with I/O or threads.

That thread may be interrupted at each of its steps, and another one may then go on from the same bytes. So
compressed messages are inflated by a copy of the connection's zlib stream, which costs about a microsecond.
The copy takes that stream's place in the step that hands the messages over; without it nothing has happened.

Only what is common is made here: plain frames (see `codec`), and compressed messages in one frame. All else,
and every fault, is left to the `Decoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codec import PLAIN_FRAMES, parse
from .frames import RSV1, Opcode

if TYPE_CHECKING:
    import zlib

    from .messages import Message, MessagePart
    from .permessage_deflate import Inflater

_COMPRESSED_FRAMES = tuple(first | RSV1 for first in PLAIN_FRAMES)

# How many bytes are inflated at once, by about: what comes behind them is the decoder's, so that pings and
# deadlines need not wait. A read may hold a thousand times its size.
_MOST_INFLATED = 1024 * 1024


class WholeMessages:
    """The messages at the beginning of `chunks`.

    Attributes:
        messages: the messages.
        size: how many bytes they are for a consumer's bound, as `Decoder.size` counts.
        payload: the bytes of their payloads, those of text as UTF-8.
        wire: how many bytes of the stream they were.
        rest: the bytes after them.
        for_decoder: whether only the decoder can go on with `rest`.
        zlib_stream: the state of inflating after them; None where a new one begins.
    """

    __slots__ = (
        "_inflater",
        "_limit",
        "for_decoder",
        "messages",
        "payload",
        "rest",
        "size",
        "wire",
        "zlib_stream",
    )

    def __init__(self, chunks: list[bytes], limit: int, inflater: Inflater | None) -> None:
        """Of the last of `chunks` only the bytes that end a frame of the chunk before are copied.

        `limit`: of a payload, in bytes, on the wire and inflated. `inflater`: None without compression.
        """
        self.messages: list[Message | MessagePart] = []
        self.size = self.payload = self.wire = 0
        self.zlib_stream: zlib._Decompress | None = None if inflater is None else inflater.zlib_stream
        self._limit = limit
        self._inflater = inflater
        *earlier, data = chunks
        position = 0
        if earlier:
            beginning = b"".join(earlier)
            position = self._missing_of(beginning)
            if 0 < position <= len(data):
                self._parse(beginning + data[:position], 0)
            if not self.wire:
                data, position = beginning + data, 0
        self.rest = rest = data[self._parse(data, position) :]
        self.for_decoder = bool(rest) and not self._missing_of(rest)

    def _parse(self, data: bytes, position: int) -> int:
        """Take the messages from `position` on, and return where the first byte after them stands."""
        begun = position
        while True:
            end, payload = parse(data, position, self._limit, self.messages)
            self.size += end - position
            self.payload += payload
            position = end if self._inflater is None else self._inflate(self._inflater, data, end)
            if position == end:
                self.wire += end - begun
                return end

    def _inflate(self, inflater: Inflater, data: bytes, position: int) -> int:
        """Take the compressed messages from `position` on, or none of them if one is for the decoder.

        Returns where the first byte after them stands.
        """
        begun, stream = position, self.zlib_stream
        found: list[Message] = []
        size = 0
        while self.payload + size < _MOST_INFLATED and (payload := self._compressed_at(data, position)):
            if stream is None or not found:
                stream = inflater.copy_of(stream)
            message = inflater.inflate_whole(stream, data[payload], self._limit)
            if message is None:
                return begun
            size += len(message)
            try:
                found.append(message.decode() if data[position] & 15 == Opcode.TEXT else message)
            except UnicodeDecodeError:
                return begun
            position = payload.stop
            if not inflater.keeps_context:
                stream = None
        self.zlib_stream = stream
        self.messages += found
        self.size += size
        self.payload += size
        return position

    def _compressed_at(self, data: bytes, position: int) -> slice | None:
        """The place of the payload of the compressed message at `position`; None unless it is there, whole,
        not empty, and not too long."""
        if len(data) - position < 2 or data[position] not in _COMPRESSED_FRAMES:
            return None
        length, start = data[position + 1], position + 2
        if length > 125:
            if length != 126 or len(data) - start < 2:
                return None
            length, start = data[start] << 8 | data[start + 1], start + 2
            if length < 126:
                return None
        return slice(start, start + length) if 0 < length <= min(self._limit, len(data) - start) else None

    def _missing_of(self, data: bytes) -> int:
        """How many bytes are missing until the frame at the beginning of `data` is whole, or until its length
        is known; 0 when it is whole, or is not for us.
        """
        if data[0] not in PLAIN_FRAMES and (self._inflater is None or data[0] not in _COMPRESSED_FRAMES):
            return 0
        if len(data) < 2:
            return 1
        length, start = data[1], 2
        if length > 125:
            if length != 126:
                return 0
            if len(data) < 4:
                return 4 - len(data)
            length, start = data[2] << 8 | data[3], 4
            if length < 126:
                return 0
        return max(0, start + length - len(data)) if length <= self._limit else 0
