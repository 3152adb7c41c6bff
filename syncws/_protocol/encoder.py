"""Messages in, bytes out: compression, masking, framing (RFC 6455 5, RFC 7692 7).

Owns: the write side's protocol state. Runs on: the writer thread alone. Must not import: anything with I/O
or threads.

Keys come from `os.urandom` after the payloads are fixed, a fresh one for each frame (RFC 6455 5.3, 10.3).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from .frames import FIN, MASKED, RSV1, Buffer, Opcode, header, mask, mask_large
from .permessage_deflate import MIN_COMPRESSED, Deflater

# Payloads from this size on are masked and sent in pieces of it: bounded memory, and other threads run
# in between. A multiple of 4, so that every piece begins with the key's first byte.
MAX_WRITE = 256 * 1024


def _short_frame_pattern(length: int) -> tuple[int, int, int]:
    words = (length + 3) // 4 + 1
    key_over_payload = sum(1 << 32 * word for word in range(words))
    return key_over_payload, 8 * (-length % 4), (MASKED | length) << 8 * (length + 4)


# For each small length: what to multiply a key with so that it stands before the payload and over all of
# it, how far to shift that right, and the header's second byte in its place. A small frame is then three
# operations on integers.
_SHORT_FRAMES = [_short_frame_pattern(length) for length in range(126)]


class Encoder:
    """The sending half of the protocol."""

    def __init__(self, deflater: Deflater | None = None) -> None:
        self._deflater = deflater if deflater is not None and deflater.usable else None
        self.compresses = self._deflater is not None

    def frames(self, items: list[tuple[int, bytes]]) -> bytes:
        """The wire bytes of several small frames, each given as its first byte and its payload."""
        keys = struct.unpack(f">{len(items)}I", os.urandom(4 * len(items)))
        wire = []
        for (head_byte, payload), key in zip(items, keys, strict=True):
            length = len(payload)
            if length < 126:
                key_over_payload, surplus_bits, length_byte = _SHORT_FRAMES[length]
                frame = (
                    (key * key_over_payload >> surplus_bits) ^ length_byte ^ (head_byte << 8 * (length + 5))
                )
                wire.append((frame ^ int.from_bytes(payload, "big")).to_bytes(length + 6, "big"))
            else:
                key_bytes = key.to_bytes(4, "big")
                wire += header(head_byte, length), key_bytes, mask(payload, key_bytes)
        return b"".join(wire)

    def pieces(self, head_byte: int, payload: Buffer) -> Iterator[tuple[Buffer, int]]:
        """One large frame in pieces: each as its wire bytes and the number of payload bytes in them."""
        key = os.urandom(4)
        head = header(head_byte, len(payload)) + key
        with memoryview(payload) as view:
            for start in range(0, len(view), MAX_WRITE):
                part = view[start : start + MAX_WRITE]
                masked = mask_large(part, key)
                yield head + masked, len(part)
                head = b""

    def compress(self, head_byte: int, payload: bytes) -> tuple[int, bytes]:
        """A data frame's first byte and payload as they go out: compressed where that was agreed and gains.

        A fragmented message is compressed in any case: how long it gets is not known when it begins.
        """
        if self._deflater is None:
            return head_byte, payload
        final = bool(head_byte & FIN)
        begins = head_byte & 15 != Opcode.CONTINUATION
        if begins and final and len(payload) < MIN_COMPRESSED:
            return head_byte, payload
        # RFC 7692 6: the bit is set on a message's first frame only.
        return head_byte | RSV1 * begins, self._deflater.compress(payload, final)
