"""Messages in, bytes out: compression, masking, framing (RFC 6455 5, RFC 7692 7).

Owns: the write side's protocol state. Runs on: the thread that sends, one at a time. Must not import:
anything with I/O or threads.

Each frame has a fresh masking key from `os.urandom`, drawn after its payload is fixed (RFC 6455 5.3, 10.3).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from .frames import FIN, MASKED, RSV1, Buffer, Opcode, header, mask, mask_large
from .permessage_deflate import MIN_COMPRESSED, Deflater, is_compressible

# The most that one step of `encode` masks, and about the most that it returns: this bounds memory, and lets
# other threads run in between. A multiple of 4, so that every piece of a frame begins with the key's first
# byte.
MAX_WRITE = 256 * 1024

# A message larger than FRAGMENTED_ABOVE is compressed and sent in fragments of COMPRESS_STEP: zlib takes 70
# to 110 ms for a mebibyte of text, and pings, pongs and deadlines must not wait for all of a large message.
FRAGMENTED_ABOVE = 1024 * 1024
COMPRESS_STEP = 256 * 1024


def _short_frame_pattern(length: int) -> tuple[int, int, int]:
    words = (length + 3) // 4 + 1
    key_over_payload = sum(1 << 32 * word for word in range(words))
    return key_over_payload, 8 * (-length % 4), (MASKED | length) << 8 * (length + 4)


# For each small length: the factor that repeats a key before the payload and all over it; how many surplus
# bits that leaves at the end; and the header's second byte, shifted to its place. With these a small frame
# takes three operations on integers.
_SHORT_FRAMES = [_short_frame_pattern(length) for length in range(126)]


class Encoder:
    """The sending half of the protocol."""

    def __init__(self, deflater: Deflater | None = None) -> None:
        self._deflater = deflater if deflater is not None and deflater.usable else None
        self.compresses = self._deflater is not None
        self._compressing = False  # whether the present message is compressed

    def encode(self, items: list[tuple[int, bytes]]) -> Iterator[tuple[Buffer, int, bool]]:
        """The wire bytes of frames, given as head bytes and payloads, in steps of bounded work.

        Each step yields the bytes to send (about `MAX_WRITE`), how many payload bytes are done with them, and
        whether a frame ends there, so that a control frame may follow. Small frames share a step; a large one
        takes several. If compression was negotiated, messages are compressed where that makes them smaller,
        large ones in fragments (RFC 6455 5.4). The caller must take all steps, in order, since each one
        advances the compressor.
        """
        batch: list[tuple[int, bytes]] = []
        on_wire = done = 0
        for head_byte, payload in items:
            for head, data, size in self._frames_of(head_byte, payload):
                if batch and on_wire + len(data) > MAX_WRITE:
                    yield self.frames(batch), done, True
                    batch, on_wire, done = [], 0, 0
                if len(data) >= MAX_WRITE:
                    yield from self._large_frame(head, data, size)
                    continue
                batch.append((head, data))
                on_wire += len(data)
                done += size
                if done >= COMPRESS_STEP:  # compressed data is small, but has taken its time to make
                    yield self.frames(batch), done, True
                    batch, on_wire, done = [], 0, 0
        if batch:
            yield self.frames(batch), done, True

    def _frames_of(self, head_byte: int, payload: bytes) -> Iterator[tuple[int, bytes, int]]:
        """The frames to send for one frame: head byte, payload, and its share of the given payload."""
        if self._deflater is None or head_byte & 8 or not self._is_compressed(head_byte, payload):
            yield head_byte, payload, len(payload)
            return
        if len(payload) <= FRAGMENTED_ABOVE:
            yield *self.compress(head_byte, payload), len(payload)
            return
        opcode, final = head_byte & ~FIN, head_byte & FIN
        with memoryview(payload) as view:
            for start in range(0, len(view), COMPRESS_STEP):
                with view[start : start + COMPRESS_STEP] as step:
                    last = start + len(step) == len(view)
                    yield *self.compress(opcode | final * last, step), len(step)
                opcode = Opcode.CONTINUATION

    def _is_compressed(self, head_byte: int, payload: bytes) -> bool:
        if head_byte & 15 != Opcode.CONTINUATION:
            # RFC 7692 6: the first frame of a message decides for the whole. The final size of a fragmented
            # message is not known then, so it is tried in any case.
            worthwhile = not head_byte & FIN or len(payload) >= MIN_COMPRESSED
            self._compressing = worthwhile and is_compressible(payload)
        return self._compressing

    def _large_frame(self, head_byte: int, payload: Buffer, size: int) -> Iterator[tuple[Buffer, int, bool]]:
        """One frame in pieces. Its payload counts as `size` bytes; each piece counts as its share of them."""
        sent = counted = 0
        for piece, length in self.pieces(head_byte, payload):
            sent += length
            share = size * sent // len(payload) - counted
            counted += share
            yield piece, share, sent == len(payload)

    def frames(self, items: list[tuple[int, bytes]]) -> bytes:
        """The wire bytes of several small frames, each given as its head byte and its payload."""
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
                with view[start : start + MAX_WRITE] as part:
                    masked, length = mask_large(part, key), len(part)
                yield head + masked, length
                head = b""

    def compress(self, head_byte: int, payload: Buffer) -> tuple[int, bytes]:
        """A data frame's head byte and payload as they go out: compressed unless it is a small message.

        A fragmented message is compressed in any case, since its final size is not known when it begins.
        """
        if self._deflater is None:
            return head_byte, bytes(payload)
        final = bool(head_byte & FIN)
        begins = head_byte & 15 != Opcode.CONTINUATION
        if begins and final and len(payload) < MIN_COMPRESSED:
            return head_byte, bytes(payload)
        # RFC 7692 6: the bit is set on a message's first frame only.
        return head_byte | RSV1 * begins, self._deflater.compress(payload, final)
