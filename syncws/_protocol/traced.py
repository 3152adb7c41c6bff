"""A decoder and an encoder that report each frame, for a connection whose steps are traced.

Owns: the frame that is still arriving, a second time. Runs on: the threads of `decoder` and `encoder`. Must
not import: anything with I/O or threads.

They are chosen when a connection is made, so that other connections do no extra step. Frames are reported in
the order of the wire: a received frame when it is whole, before its message is given out; a sent frame before
its bytes are handed over, and so before any answer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .decoder import Decoder
from .encoder import Encoder

if TYPE_CHECKING:
    from .assembly import Assembly
    from .frames import Buffer
    from .messages import Message, MessagePart
    from .permessage_deflate import Deflater, Inflater

#: The arguments: the head byte without reserved bits, the payload as the application knows it, its size, and
#: the size of the frame on the wire.
OnFrame = Callable[[int, bytes, int, int], None]

# How many bytes of a payload are kept until its frame is whole.
LARGEST_KEPT = 16 * 2**20

# FIN and the opcode, among the bits of a head byte.
_PLAIN_BITS = 0x8F


class TracedDecoder(Decoder):
    """A `Decoder` that calls `on_frame` for each frame."""

    def __init__(self, max_size: int | None, inflater: Inflater | None, on_frame: OnFrame) -> None:
        super().__init__(max_size, inflater)
        self.plain_limit = -1  # No frame counts as plain, so each goes through `_frame`.
        self._on_frame = on_frame
        self._head_byte = 0
        self._is_open = False  # whether a frame has begun and was not reported
        self._pieces: list[bytes] = []
        self._kept = 0
        self._size = 0
        self._wire_size = 0

    def feed(self, data: bytes) -> list[Message | MessagePart]:
        messages = super().feed(data)
        if self.ended is not None and self._is_open:
            self._report()  # The frame that is at fault is reported, too.
        return messages

    def get_buffer(self) -> memoryview | None:
        return None

    def _control(self, opcode: int, payload: bytes, place: int) -> None:
        self._on_frame(0x80 | opcode, payload, len(payload), 2 + len(payload))
        super()._control(opcode, payload, place)

    def _begin(self, head_byte: int, opcode: int, length: int) -> Assembly:
        assembly = super()._begin(head_byte, opcode, length)
        self._head_byte = head_byte & _PLAIN_BITS
        self._is_open = True
        self._pieces = []
        self._kept = self._size = 0
        self._wire_size = _header_size(length) + length
        return assembly

    def _take(self, assembly: Assembly, piece: bytes) -> None:
        if not assembly.compressed:
            self._keep(piece)
        super()._take(assembly, piece)
        if assembly.inflating is not None:
            assembly.inflating = self._keep_all(assembly.inflating)

    def _go_on(self, assembly: Assembly, messages: list[Message | MessagePart]) -> None:
        super()._go_on(assembly, messages)
        if assembly.inflating is None and not assembly.missing and self._is_open:
            self._report()

    def _keep_all(self, inflating: Iterator[bytes]) -> Iterator[bytes]:
        for plain in inflating:
            self._keep(plain)
            yield plain

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        room = LARGEST_KEPT - self._kept
        if room > 0 and data:
            self._pieces.append(bytes(data[:room]))
            self._kept += len(self._pieces[-1])

    def _report(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._is_open = False
        self._on_frame(self._head_byte, b"".join(pieces), self._size, self._wire_size)


class TracedEncoder(Encoder):
    """An `Encoder` that calls `on_frame` for each frame."""

    def __init__(self, deflater: Deflater | None, on_frame: OnFrame) -> None:
        super().__init__(deflater)
        self._on_frame = on_frame

    def encode(self, items: list[tuple[int, bytes]]) -> Iterator[tuple[Buffer, int, bool]]:
        for item in items:  # Frames go one by one, since a control frame may come after each step.
            yield from super().encode([item])

    def frames(self, items: list[tuple[int, bytes]]) -> bytes:
        for head_byte, payload in items:
            self._report(head_byte, payload, len(payload))
        return self.join(items)

    def _encode_plain(self, items: list[tuple[int, bytes]]) -> Iterator[tuple[Buffer, int, bool]]:
        for head_byte, payload in items:
            self._report(head_byte, payload, len(payload))
        yield from super()._encode_plain(items)

    def _frames_of(self, head_byte: int, payload: bytes) -> Iterator[tuple[int, bytes, int]]:
        done = 0
        for head, data, size in super()._frames_of(head_byte, payload):
            self._report(head, payload[done : done + size], len(data))
            done += size
            yield head, data, size

    def _report(self, head_byte: int, payload: bytes, on_wire: int) -> None:
        size = _header_size(on_wire) + 4 + on_wire  # The masking key has 4 bytes.
        self._on_frame(head_byte & _PLAIN_BITS, payload[:LARGEST_KEPT], len(payload), size)


def _header_size(length: int) -> int:
    return 2 if length < 126 else 4 if length < 65536 else 10
