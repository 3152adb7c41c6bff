"""A peer of our own to test against: framing, masking and permessage-deflate, written from the RFCs.

It shares no code with `syncws` but the record `DeflateParameters`: a fault there cannot hide behind the same
fault here. Slow and plain on purpose.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from syncws._protocol.permessage_deflate import DeflateParameters

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SYNC_TAIL = b"\x00\x00\xff\xff"


def server_frame(opcode: int, payload: bytes, *, fin: bool = True, rsv1: bool = False) -> bytes:
    """An unmasked frame (RFC 6455 5.2)."""
    first = (128 if fin else 0) + (64 if rsv1 else 0) + opcode
    if len(payload) <= 125:
        return struct.pack("!BB", first, len(payload)) + payload
    if len(payload) <= 0xFFFF:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


class ModelDeflater:
    """The server's compressor. `flavour` chooses one of the valid ways to end a message (RFC 7692 7.2)."""

    FLAVOURS = ("sync", "full", "final", "stored", "blocks")

    def __init__(self, agreement: DeflateParameters) -> None:
        self._agreement = agreement
        self._stream: zlib._Compress | None = None

    def compress(self, payload: bytes, flavour: str) -> bytes:
        if flavour == "final":
            # 7.2.3.4: one block with BFINAL, then a zero byte for the empty block that the tail belongs to.
            # What ends the stream also ends the context.
            stream, self._stream = self._fresh(), None
            return stream.compress(payload) + stream.flush(zlib.Z_FINISH) + b"\x00"
        stream = self._fresh(0) if flavour == "stored" else self._stream or self._fresh()
        packed = b""
        if flavour == "blocks":  # 7.2.3.5: it is flushed in the middle, too.
            half = len(payload) // 2
            packed = stream.compress(payload[:half]) + stream.flush(zlib.Z_FULL_FLUSH)
            payload = payload[half:]
        packed += stream.compress(payload)
        packed += stream.flush(zlib.Z_FULL_FLUSH if flavour == "full" else zlib.Z_SYNC_FLUSH)
        if packed.endswith(SYNC_TAIL):
            packed = packed[:-4]
        # A stream that knows nothing of what came before is no fault under context takeover, but the
        # next one must not refer to what lies before this message in another stream.
        self._stream = None if self._agreement.server_no_context_takeover or flavour == "stored" else stream
        return packed or b"\x00"  # 7.2.3.6

    def _fresh(self, level: int = 6) -> zlib._Compress:
        bits = self._agreement.server_max_window_bits
        if bits == 8:  # zlib has no such window, but without matches any window will do.
            return zlib.compressobj(level, zlib.DEFLATED, -9, 8, zlib.Z_HUFFMAN_ONLY)
        return zlib.compressobj(level, zlib.DEFLATED, -bits)


@dataclass(frozen=True)
class Sending:
    """How the server sends one message: cut into fragments, with control frames before and in between."""

    message: str | bytes
    cuts: tuple[float, ...] = ()
    controls: tuple[tuple[int, bytes], ...] = ()
    compressed: bool = False
    flavour: str = "sync"

    def wire(self, deflater: ModelDeflater | None) -> bytes:
        opcode = TEXT if isinstance(self.message, str) else BINARY
        payload = self.message.encode() if isinstance(self.message, str) else self.message
        rsv1 = self.compressed and deflater is not None
        if rsv1 and deflater is not None:
            payload = deflater.compress(payload, self.flavour)
        places = [0, *sorted(round(cut * len(payload)) for cut in self.cuts), len(payload)]
        fragments = [payload[begin:end] for begin, end in itertools.pairwise(places)]
        controls = list(self.controls)
        frames = []
        for number, fragment in enumerate(fragments):
            if controls and number:
                frames.append(server_frame(*controls.pop(0)))
            last = number == len(fragments) - 1
            # RFC 7692 6.1: RSV1 on the first fragment only.
            first = opcode if number == 0 else 0
            frames.append(server_frame(first, fragment, fin=last, rsv1=rsv1 and number == 0))
        frames += [server_frame(*control) for control in controls]
        return b"".join(frames)


@dataclass
class ClientFrame:
    fin: bool
    rsv: int
    opcode: int
    key: bytes
    payload: bytes


def unmask(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3, octet by octet."""
    plain = bytearray(payload)
    for i in range(4):
        plain[i::4] = bytes(octet ^ key[i] for octet in payload[i::4])
    return bytes(plain)


def client_frames(wire: bytes) -> Iterator[ClientFrame]:
    """The frames of a client; every one must be masked, and be announced in the fewest bytes."""
    position = 0
    while position < len(wire):
        first, second = wire[position : position + 2]
        position += 2
        assert second & 128, "a client's frame is not masked"
        length = second & 127
        if length == 126:
            (length,) = struct.unpack_from("!H", wire, position)
            position += 2
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack_from("!Q", wire, position)
            position += 8
            assert length > 0xFFFF
        key = wire[position : position + 4]
        payload = wire[position + 4 : position + 4 + length]
        assert len(key) == 4 and len(payload) == length, "the last frame is cut"
        position += 4 + length
        yield ClientFrame(bool(first & 128), first >> 4 & 7, first & 15, key, unmask(payload, key))


@dataclass
class ModelServer:
    """The content of a client's frames: messages in order, control frames, the keys."""

    agreement: DeflateParameters | None
    messages: list[str | bytes] = field(default_factory=list)
    controls: list[tuple[int, bytes]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    compressed: int = 0
    _inflater: zlib._Decompress | None = None
    _opcode: int = 0
    _rsv1: bool = False
    _payload: bytes = b""

    def take(self, frame: ClientFrame) -> None:
        self.keys.append(frame.key)
        if frame.opcode >= 8:
            assert frame.fin and not frame.rsv and len(frame.payload) <= 125
            self.controls.append((frame.opcode, frame.payload))
            return
        if self._opcode:
            assert frame.opcode == 0 and not frame.rsv
        else:
            assert frame.opcode in (TEXT, BINARY)
            assert frame.rsv == 0 or (frame.rsv == 4 and self.agreement is not None)
            self._opcode, self._rsv1 = frame.opcode, bool(frame.rsv)
        self._payload += frame.payload
        if frame.fin:
            payload = self._inflate(self._payload) if self._rsv1 else self._payload
            self.messages.append(payload.decode() if self._opcode == TEXT else payload)
            self.compressed += self._rsv1
            self._opcode, self._payload = 0, b""

    def _inflate(self, payload: bytes) -> bytes:
        assert self.agreement is not None
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-self.agreement.client_max_window_bits)
        plain = self._inflater.decompress(payload + SYNC_TAIL)
        assert not self._inflater.eof
        if self.agreement.client_no_context_takeover:
            self._inflater = None
        return plain
