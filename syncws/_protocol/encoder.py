"""Messages in, bytes out: compression, masking, framing (RFC 6455 5, RFC 7692 7).

Owns: the write side's protocol state. Runs on: the thread that sends, one at a time. Must not import:
anything with I/O or threads.

Each frame has a fresh masking key from `os.urandom`, drawn after its payload is fixed (RFC 6455 5.3, 10.3).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .codec import frames, mask
from .frames import FIN, RSV1, Buffer, Opcode, header
from .permessage_deflate import MIN_COMPRESSED, SAMPLE, SAMPLED_FROM, WORTHWHILE, Deflater, is_compressible

# One step of `encode` masks at most so many bytes, and returns about as many at most: this bounds memory, and
# lets other threads run in between. It is a multiple of 4, so that every piece of a frame begins with the
# key's first byte.
MAX_WRITE = 256 * 1024

# A message larger than FRAGMENTED_ABOVE is compressed and sent in fragments of COMPRESS_STEP: zlib takes 70
# to 110 ms for a mebibyte of text, and pings, pongs and deadlines must not wait for all of a large message.
FRAGMENTED_ABOVE = 1024 * 1024
COMPRESS_STEP = 256 * 1024

_WHOLE_BINARY = FIN | Opcode.BINARY
_LARGEST_HEADER = 14  # including the masking key


class Encoder:
    """The sending half of the protocol."""

    def __init__(self, deflater: Deflater | None = None) -> None:
        self._deflater = deflater if deflater is not None and deflater.usable else None
        self.compresses = self._deflater is not None
        self._compressing = False  # whether the present message is compressed
        self._is_binary = False  # whether the present fragmented message is binary
        self._pays = True  # whether the last binary message that was compressed got smaller

    def encode(self, items: list[tuple[int, bytes]]) -> Iterator[tuple[Buffer, int, bool]]:
        """The wire bytes of frames, given as head bytes and payloads, in steps of bounded work.

        Each step yields the bytes to send (about `MAX_WRITE`), how many payload bytes are done with them, and
        whether a frame ends there, so that a control frame may follow. Small frames share a step; a large one
        takes several. If compression was negotiated, messages are compressed where that makes them smaller,
        large ones in fragments (RFC 6455 5.4). The caller must take all steps, in order, since each one
        advances the compressor.
        """
        if self._deflater is None:
            yield from self._encode_plain(items)
            return
        batch: list[tuple[int, bytes]] = []
        on_wire = done = 0
        for head_byte, payload in items:
            for head, data, size in self._frames_of(head_byte, payload):
                length = len(data)
                if batch and on_wire + length > MAX_WRITE:
                    yield self.join(batch), done, True
                    batch, on_wire, done = [], 0, 0
                if length >= MAX_WRITE:
                    yield from self._large_frame(head, data, size)
                    continue
                batch.append((head, data))
                on_wire += length + _LARGEST_HEADER
                done += size
                if done >= COMPRESS_STEP:  # Compressed data is small, but has taken some time to make.
                    yield self.join(batch), done, True
                    batch, on_wire, done = [], 0, 0
        if batch:
            yield self.join(batch), done, True

    def _encode_plain(self, items: list[tuple[int, bytes]]) -> Iterator[tuple[Buffer, int, bool]]:
        """Do the same without compression, with little work for each of many small frames."""
        begin = done = 0
        room = MAX_WRITE
        for number, (head_byte, payload) in enumerate(items):
            length = len(payload)
            if length > room and begin < number:
                yield self.join(items[begin:number]), done, True
                begin, done, room = number, 0, MAX_WRITE
            if length >= MAX_WRITE:
                yield from self._large_frame(head_byte, payload, length)
                begin = number + 1
                continue
            done += length
            room -= length + _LARGEST_HEADER
        if begin < len(items):
            yield self.join(items[begin:]), done, True

    def _frames_of(self, head_byte: int, payload: bytes) -> Iterator[tuple[int, bytes, int]]:
        """The frames to send for one frame: head bytes, payloads, and how many bytes of `payload` each stands
        for."""
        if head_byte & 8 or not self._is_compressed(head_byte, payload):
            yield head_byte, payload, len(payload)
            return
        if len(payload) <= FRAGMENTED_ABOVE:
            head, packed = self.compress(head_byte, payload)
            if head_byte == _WHOLE_BINARY:
                self._pays = len(packed) < WORTHWHILE * len(payload)
            yield head, packed, len(payload)
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
            # RFC 7692 6: each message may be compressed or not, as its first frame says.
            self._compressing = self._is_worth_compressing(head_byte, payload)
        return self._compressing

    def _is_worth_compressing(self, head_byte: int, payload: bytes) -> bool:
        whole, size = bool(head_byte & FIN), len(payload)
        if size < (MIN_COMPRESSED if whole else SAMPLE):
            return not whole  # The length of a fragmented message is not known when it begins.
        if head_byte & 15 == Opcode.TEXT:
            return True  # Text always leaves something to compress.
        # A small message is its own trial, as long as the last one got smaller.
        return (whole and self._pays and size < SAMPLED_FROM) or is_compressible(payload)

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
        return frames(items, os.urandom(4 * len(items)))

    join = frames  # `encode` uses this, where a subclass has reported the frames already.

    def pieces(self, head_byte: int, payload: Buffer) -> Iterator[tuple[Buffer, int]]:
        """One large frame in pieces: each as its wire bytes and the number of payload bytes in them."""
        if not isinstance(payload, bytes):
            payload = bytes(payload)
        size = len(payload)
        key = os.urandom(4)
        head = header(head_byte, size) + key
        for start in range(0, size, MAX_WRITE):
            stop = min(start + MAX_WRITE, size)
            yield mask(payload, key, start, stop, head), stop - start
            head = b""

    def compress(self, head_byte: int, payload: Buffer) -> tuple[int, bytes]:
        """A data frame's head byte and payload as they go out: compressed unless it is a small message.

        A fragmented message is compressed in any case, since its final size is not known when it begins;
        later fragments that do not get smaller are put into stored blocks.
        """
        if self._deflater is None:
            return head_byte, bytes(payload)
        final = bool(head_byte & FIN)
        begins = head_byte & 15 != Opcode.CONTINUATION
        if begins and final and len(payload) < MIN_COMPRESSED:
            return head_byte, bytes(payload)
        if begins:
            self._is_binary = head_byte & 15 == Opcode.BINARY
        elif self._is_binary and len(payload) >= SAMPLED_FROM and not is_compressible(payload):
            return head_byte, self._deflater.store(payload, final)
        # RFC 7692 6: the bit is set on a message's first frame only.
        return head_byte | RSV1 * begins, self._deflater.compress(payload, final)
