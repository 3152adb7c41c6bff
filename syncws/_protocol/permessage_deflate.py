"""permessage-deflate (RFC 7692): its parameters, the compressor and the bounded inflater.

Owns: the two zlib streams of one connection. Runs on: the thread that writes (`Deflater`) and the one that
reads (`Inflater`), which share nothing. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .._exceptions import HandshakeError, ProtocolError
from .frames import Buffer, CloseCode

NAME = "permessage-deflate"
# The offer of the browsers. Naming client_max_window_bits lets the server shrink our compressor's memory.
OFFER = f"{NAME}; client_max_window_bits"

_TAIL = b"\x00\x00\xff\xff"  # RFC 7692 7.2.1: the end of a sync flush, which is left off on the wire
# Messages below this size are not compressed: the deflate header and the lost context outweigh any gain.
MIN_COMPRESSED = 64
# zlib's default, 6, takes twice as long and saves some 5 % of JSON more.
_LEVEL = 4
# Memory of a compressor: (1 << window bits + 2) + (1 << level + 9); 8 would double it for a few per cent.
_MEMORY_LEVEL = 6
# Binary data of at least this size is tried before it is compressed, by that many samples of so many bytes.
SAMPLED_FROM = 8 * 1024
SAMPLES = 4
SAMPLE = 512
# Data is worth compressing if it shrinks below this part of its size.
WORTHWHILE = 0.95

_LARGEST_STORED = 65535  # the bytes of a stored block

INFLATE_STEP = 256 * 1024
# How much compressed data zlib is given at a time: SMALLEST_SLICE after the end of a stream, then twice as
# much each time, up to LARGEST_SLICE.
SMALLEST_SLICE = 64
LARGEST_SLICE = 16 * 1024


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """What the server accepted (RFC 7692 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


def negotiate(parameters: list[tuple[str, str | None]]) -> DeflateParameters:
    """Check the parameters of the server's answer.

    Raises `HandshakeError` for one that is unknown, repeated, out of range, or wrongly with or without
    a value (RFC 7692 7.1: the client fails the connection).
    """
    found: dict[str, bool | int] = {}
    for name, value in parameters:
        if name in found:
            raise HandshakeError(f"{NAME}: the server repeats the parameter {name!r}")
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                raise HandshakeError(f"{NAME}: the parameter {name!r} takes no value, got {value!r}")
            found[name] = True
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            # RFC 7692 7.1.2: a decimal integer without leading zeros, from 8 to 15.
            if value not in ("8", "9", "10", "11", "12", "13", "14", "15"):
                raise HandshakeError(f"{NAME}: {name!r} must be from 8 to 15, got {value!r}")
            found[name] = int(value)
        else:
            raise HandshakeError(f"{NAME}: the server answers with the unknown parameter {name!r}")
    return DeflateParameters(**found)  # type: ignore[arg-type]


def is_compressible(payload: Buffer) -> bool:
    """Whether compressing binary data gains anything, by a few samples; small data is tried as a whole.

    Films, pictures and encrypted data do not compress, and zlib takes as long for them as for text.
    """
    size = len(payload)
    with memoryview(payload) as view:
        if size <= SAMPLES * SAMPLE:
            sample = view.tobytes()
        else:
            starts = [(size - SAMPLE) * number // (SAMPLES - 1) for number in range(SAMPLES)]
            sample = b"".join([view[start : start + SAMPLE] for start in starts])
    return len(zlib.compress(sample, 1)) < WORTHWHILE * len(sample)


class Deflater:
    """Compresses whole messages or their fragments, in order."""

    def __init__(self, parameters: DeflateParameters) -> None:
        # zlib cannot make a raw stream with a window of 256 bytes (it silently takes 512). RFC 7692 7.1.2.2
        # allows an endpoint that was given 8 bits not to compress at all.
        self.usable = parameters.client_max_window_bits > 8
        self._window_bits = parameters.client_max_window_bits
        self._keep_context = not parameters.client_no_context_takeover
        self._stream: zlib._Compress | None = None

    def compress(self, payload: Buffer, final: bool = True) -> bytes:
        """The compressed form of a message, or of its next fragment."""
        if self._stream is None:
            self._stream = zlib.compressobj(_LEVEL, wbits=-self._window_bits, memLevel=_MEMORY_LEVEL)
        packed = self._stream.compress(payload) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        if not final:
            return packed
        if not self._keep_context:
            self._stream = None
        return packed[: -len(_TAIL)]

    def store(self, payload: Buffer, final: bool = True) -> bytes:
        """A part of a compressed message as stored blocks (RFC 1951 3.2.4), which take no longer than copying
        it.

        This is for data that compression does not make smaller.
        """
        # The compressor does not know these bytes, so its distances to earlier data would be wrong. A new one
        # refers to nothing from before itself.
        self._stream = None
        blocks: list[Buffer] = []
        with memoryview(payload) as view:
            for start in range(0, len(view), _LARGEST_STORED):
                part = view[start : start + _LARGEST_STORED]
                blocks += b"\0" + struct.pack("<HH", len(part), len(part) ^ 0xFFFF), part
            # This byte is the rest of an empty block, whose tail is left off.
            return b"".join([*blocks, b"\0"] if final else blocks)


class Inflater:
    """Inflates messages piece by piece, and makes one step only when the caller asks for it.

    Attributes:
        zlib_stream: the state of inflating; None where a new one begins.
        keeps_context: whether a message may refer to those before it.
    """

    def __init__(self, parameters: DeflateParameters) -> None:
        self.zlib_stream: zlib._Decompress | None = None
        self.keeps_context = not parameters.server_no_context_takeover
        self._window_bits = parameters.server_max_window_bits
        self._begun = False  # whether any byte of the present message has come

    def inflate(self, payload: bytes, final: bool, limit: int | None = None) -> Iterator[bytes]:
        """Yield the plain bytes of a piece of a message in steps of bounded size; a step may be empty.

        `final` says that the message ends with this piece. The caller counts the bytes, and stops asking when
        they are too many. Of the bytes past `limit` only one is made in a step, so that a message over its
        limit is refused for that, and not for broken data far behind the limit. Raises `ProtocolError` (1007)
        when the data is not deflate.

        The work is linear in the input and the output, whatever the server sends. For that the input goes to
        zlib in slices, since zlib copies its unused input at each step and at each end of a stream.
        """
        begun = self._begun or bool(payload)
        self._begun = begun and not final
        if not payload and (self.zlib_stream is None or not begun):
            return  # There is no stream to end: no block has come, or the last one was marked final.
        pending = payload + _TAIL if final else payload
        position, taken = 0, LARGEST_SLICE
        try:
            while True:
                if self.zlib_stream is None:
                    self.zlib_stream = self.copy_of(None)
                step = INFLATE_STEP if limit is None else max(1, min(INFLATE_STEP, limit + 1))
                plain = self.zlib_stream.decompress(pending[position : position + taken], step)
                position = min(position + taken, len(pending))
                if self.zlib_stream.eof:
                    # A block marked final (BFINAL) ends the stream, inside a message too (RFC 7692 7.2.3.4):
                    # a new stream goes on with what is left, unless that is only our tail. The next slice is
                    # small, so that little is copied at each end where a server ends many streams.
                    position -= len(self.zlib_stream.unused_data)
                    taken = SMALLEST_SLICE
                    self.zlib_stream = None
                    left = len(pending) - position
                    done = not left or (final and left <= len(_TAIL))
                else:
                    position -= len(self.zlib_stream.unconsumed_tail)
                    taken = min(2 * taken, LARGEST_SLICE)
                    # After a full step zlib may still hold output, even if it has consumed all input.
                    done = position == len(pending) and len(plain) < step
                if plain or self.zlib_stream is None:
                    yield plain
                if done:
                    break
                if limit is not None:
                    limit -= len(plain)
        except zlib.error as error:
            raise ProtocolError(f"compressed data is broken: {error}", CloseCode.INVALID_DATA) from error
        if final and not self.keeps_context:
            self.zlib_stream = None

    def copy_of(self, zlib_stream: zlib._Decompress | None) -> zlib._Decompress:
        """A copy of a state of inflating, or a new one."""
        return zlib.decompressobj(-self._window_bits) if zlib_stream is None else zlib_stream.copy()

    def inflate_whole(self, zlib_stream: zlib._Decompress, payload: bytes, limit: int) -> bytes | None:
        """Inflate a whole message by a copy of our state.

        Returns None where that must be left to `inflate`, and the copy is of no use then: the message is
        longer than `limit`, is broken, or has the end of a stream in it.
        """
        try:
            plain = zlib_stream.decompress(payload + _TAIL, limit + 1)
        except zlib.error:
            return None
        return None if len(plain) > limit or zlib_stream.eof else plain
