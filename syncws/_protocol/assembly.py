"""A message that arrives in pieces: they are kept, counted, and checked if it is text.

Owns: the pieces of one message. Runs on: the thread that reads. Must not import: anything with I/O or
threads.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .frames import Opcode

if TYPE_CHECKING:
    from .messages import Message

# Pieces smaller than the first number are collected in buffers of about the second.
LEAST_PIECE = 4096
LARGEST_BUFFER = 8192

# For a large message, room is made for as many bytes again as have come, within these bounds, so that a
# length that a server only announces costs next to nothing. The system need not have given the memory of the
# first room yet; letting it grow from little would mean copying it several times.
FIRST_ROOM = 1024 * 1024
LEAST_ROOM = 64 * 1024
LARGEST_ROOM = 4 * 1024 * 1024

_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Assembly:
    """A message that is still arriving.

    Attributes:
        compressed: whether its payload is compressed.
        is_binary: whether it is bytes, not text.
        size: the bytes of the whole message so far.
        held: the number of bytes that were not given out in parts.
        in_parts: whether a part was given out.
        missing: how many bytes of the present frame's payload are still to come.
        final: whether the present frame is the last.
        inflating: the plain bytes of the piece that came last, while the decoder has not asked for all.
        beginning: the present frame from its first byte on, if the decoder may give it back; else empty.
    """

    __slots__ = (
        "_buffer",
        "_pieces",
        "_room",
        "_utf8",
        "_views",
        "beginning",
        "compressed",
        "final",
        "held",
        "in_parts",
        "inflating",
        "is_binary",
        "missing",
        "size",
    )

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.compressed = compressed
        self.size = 0
        self.held = 0
        self.in_parts = False
        self.is_binary = opcode != Opcode.TEXT
        self.missing = 0
        self.final = False
        self.inflating: Iterator[bytes] | None = None
        self.beginning = b""
        self._utf8 = None if self.is_binary else _make_utf8_decoder()
        # Large pieces are kept as they are and joined at the end: a growing buffer is copied each time, and
        # some allocators keep the old memory. Small pieces after the first go to a buffer, since a list would
        # cost fifty bytes for each byte of a message that arrives byte by byte.
        self._pieces: list[Message] = []
        self._buffer: io.StringIO | io.BytesIO | None = None
        # A large binary message has room at its end, behind the position. In CPython the value of a BytesIO
        # is its very buffer, so that the network's bytes get into the message without a copy.
        self._room: io.BytesIO | None = None
        self._views: tuple[memoryview, ...] = ()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.held += len(data)
        if self._utf8 is None:
            self._collect(data)
            return
        self._collect(self._utf8.decode(data))
        pending = self._utf8.getstate()[0]
        if pending[:1] == b"\xed" and pending[1:] >= b"\xa0":
            # These two bytes begin a surrogate. CPython's decoder would wait for a third byte, whatever that
            # is.
            self._utf8.decode(b"", True)

    def finish(self) -> Message:
        """The message, or the last part of it: all of it has come."""
        if self._utf8 is not None:
            self._utf8.decode(b"", True)  # This raises when the last character is cut.
        return self.take()

    def take(self) -> Message:
        """Return the bytes or text that is held, and forget it."""
        self._close_buffer()
        pieces, self._pieces = self._pieces, []
        if self._room is not None:
            room, self._room = self._room, None
            room.truncate()  # This drops the room behind the position.
            self.held = 0
            return room.getvalue()
        if self._utf8 is None:
            self.held = 0
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)  # type: ignore[arg-type]
        self.held = len(self._utf8.getstate()[0])
        return pieces[0] if len(pieces) == 1 else "".join(pieces)  # type: ignore[arg-type]

    def get_room(self) -> memoryview:
        """Where the next of the missing bytes of a binary message may be written; `advance` must follow."""
        room, missing = self._room, self.missing
        if room is None:
            self._close_buffer()
            room = self._room = io.BytesIO(bytes(min(self.held + missing, FIRST_ROOM)))
            room.writelines(self._pieces)  # type: ignore[arg-type]
            self._pieces = []
        filled = room.tell()
        size = room.seek(0, io.SEEK_END)
        if size - filled < min(missing, LEAST_ROOM):
            room.seek(filled + min(missing, max(LEAST_ROOM, min(filled, LARGEST_ROOM))) - 1)
            room.write(b"\0")
        room.seek(filled)
        view = room.getbuffer()
        self._views = view, view[filled : filled + missing]
        return self._views[1]

    def advance(self, count: int) -> None:
        """`count` bytes were written to the buffer of `get_room`, which may not be used any more."""
        for view in self._views:
            view.release()
        self._views = ()
        assert self._room is not None
        self._room.seek(count, io.SEEK_CUR)
        self.size += count
        self.held += count
        self.missing -= count

    def _collect(self, data: Message) -> None:
        if not data:
            return
        if self._room is not None:
            self._room.write(data)  # type: ignore[arg-type]
            return
        if len(data) >= LEAST_PIECE or not (self._pieces or self._buffer):
            self._close_buffer()
            self._pieces.append(data)
            return
        if self._buffer is None:
            self._buffer = io.BytesIO() if self._utf8 is None else io.StringIO(newline="")
        self._buffer.write(data)  # type: ignore[arg-type]
        if self._buffer.tell() >= LARGEST_BUFFER:
            self._close_buffer()

    def _close_buffer(self) -> None:
        if self._buffer is not None:
            self._pieces.append(self._buffer.getvalue())
            self._buffer = None
