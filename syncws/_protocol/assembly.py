"""A message that arrives in pieces: kept, counted, and checked where it is text.

Owns: what has come of one message. Runs on: the thread that reads. Must not import: anything with I/O or
threads.
"""

from __future__ import annotations

import codecs
import io

from .frames import Opcode
from .messages import Message

# Pieces of a message that are smaller than the first are collected in buffers of about the second.
LEAST_PIECE = 4096
LARGEST_BUFFER = 8192

_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Assembly:
    """A message that is still arriving."""

    __slots__ = ("_buffer", "_pieces", "_utf8", "compressed", "held", "in_parts", "size")

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.compressed = compressed
        self.size = 0  # of the whole message so far
        self.held = 0  # of what was not given in parts
        self.in_parts = False
        self._utf8 = _make_utf8_decoder() if opcode == Opcode.TEXT else None
        # Pieces of some size are kept as they are and joined at the end: a buffer that grows is copied each
        # time, and some allocators keep what it leaves behind. Small pieces behind the first go to a buffer,
        # since a list would cost fifty bytes for each byte of a message that arrives byte by byte.
        self._pieces: list[Message] = []
        self._buffer: io.StringIO | io.BytesIO | None = None

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.held += len(data)
        if self._utf8 is None:
            self._collect(data)
            return
        self._collect(self._utf8.decode(data))
        pending = self._utf8.getstate()[0]
        if pending[:1] == b"\xed" and pending[1:] >= b"\xa0":
            # A surrogate: CPython's decoder would wait for its third byte, whatever that is.
            self._utf8.decode(b"", True)

    def finish(self) -> Message:
        """What is held of the message, which is whole now."""
        if self._utf8 is not None:
            self._utf8.decode(b"", True)  # raises when a character is cut
        return self.take()

    def take(self) -> Message:
        """Hand out what is held, and forget it."""
        self._close_buffer()
        pieces, self._pieces = self._pieces, []
        if self._utf8 is None:
            self.held = 0
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)  # type: ignore[arg-type]
        self.held = len(self._utf8.getstate()[0])
        return pieces[0] if len(pieces) == 1 else "".join(pieces)  # type: ignore[arg-type]

    def _collect(self, data: Message) -> None:
        if not data:
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
