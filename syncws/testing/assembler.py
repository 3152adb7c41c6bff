"""From a client's frames to its messages, with what a server checks on the way (RFC 6455 5.1, 5.2, 5.4).

Owns: the fragments of the message under way. Runs on: the thread of a script. Must not import: the client's
own decoder, so that a fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

from .._protocol.frames import Opcode
from .deflate import Deflate
from .wire import Frame

_RSV1 = 4


class Assembler:
    """Joins the fragments of messages; lets control frames through.

    Attributes:
        deflate: the agreement on compression, None without one.
    """

    def __init__(self) -> None:
        self.deflate: Deflate | None = None
        self._opcode = 0  # the opcode of the present message; 0 between messages
        self._compressed = False
        self._fragments: list[bytes] = []

    def add(self, frame: Frame) -> tuple[int, bytes]:
        """Opcode and payload of a control frame or of a whole message; 0 while fragments are missing.

        Raises:
            ValueError: no client may send this frame here.
        """
        first = frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        reserved = frame.rsv & ~_RSV1 if first and self.deflate else frame.rsv
        mixed = frame.opcode < 8 and (frame.opcode == 0) != (self._opcode > 0)
        if reserved or not frame.masked or mixed:
            raise ValueError(f"no client may send this here: {frame.opcode=} {frame.rsv=} {frame.masked=}")
        if frame.opcode >= 8:
            return frame.opcode, frame.payload
        if first:
            self._opcode, self._compressed = frame.opcode, frame.rsv == _RSV1
        self._fragments.append(frame.payload)
        if not frame.fin:
            return 0, b""
        opcode, payload = self._opcode, b"".join(self._fragments)
        self._opcode, self._fragments = 0, []
        if self._compressed and self.deflate:
            payload = self.deflate.decompress(payload)
        return opcode, payload


def parse_close(payload: bytes) -> tuple[int | None, str]:
    """Code and reason of a Close frame's payload, None for the code of an empty one (RFC 6455 5.5.1)."""
    if len(payload) == 1:
        raise ValueError("no client may send a Close frame with a payload of one byte")
    return int.from_bytes(payload[:2], "big") if payload else None, payload[2:].decode()
