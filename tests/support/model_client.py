"""A plain model of the reading side, which `Decoder` is compared with: what any bytes mean to a client.

Written from RFC 6455 5 to 8 and RFC 7692 7; it shares no code with `syncws` but the record
`DeflateParameters`. It reads one octet after the other, so it says what *fail fast* means: of two faults the
earlier one counts.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from syncws._protocol.permessage_deflate import DeflateParameters

SYNC_TAIL = b"\x00\x00\xff\xff"


class FaultError(Exception):
    """The server's fault, with the close code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Utf8:
    """A check of UTF-8 octet by octet (RFC 3629 4)."""

    def __init__(self) -> None:
        self._missing, self._low, self._high = 0, 0x80, 0xBF

    def take(self, octet: int) -> None:
        if self._missing:
            if not self._low <= octet <= self._high:
                raise FaultError(1007)
            self._missing -= 1
            self._low, self._high = 0x80, 0xBF
        elif octet >= 0x80:
            if not 0xC2 <= octet <= 0xF4:
                raise FaultError(1007)
            self._missing = 1 + (octet >= 0xE0) + (octet >= 0xF0)
            self._low = {0xE0: 0xA0, 0xF0: 0x90}.get(octet, 0x80)
            self._high = {0xED: 0x9F, 0xF4: 0x8F}.get(octet, 0xBF)

    def finish(self) -> None:
        if self._missing:
            raise FaultError(1007)


@dataclass
class ModelClient:
    """The messages and the end that a stream must lead to.

    Attributes:
        end: the close code that the fault calls for, or what the Close frame said as (code, reason), or None
            while the stream goes on.
        or_else: another close code that will do. zlib hands out nothing of a step in which it meets broken
            data, so where a message passes the limit and breaks at the same place, either may come first.
    """

    max_size: int | None
    agreement: DeflateParameters | None
    messages: list[str | bytes] = field(default_factory=list)
    controls: list[tuple[int, bytes]] = field(default_factory=list)
    end: int | tuple[int | None, str] | None = None
    or_else: int | None = None
    _stream: zlib._Decompress | None = None
    _kind: int = 0
    _compressed: bool = False
    _size: int = 0
    _message: bytearray = field(default_factory=bytearray)
    _utf8: Utf8 = field(default_factory=Utf8)

    def read(self, data: bytes) -> ModelClient:
        position = 0
        try:
            while self.end is None and (after := self._frame(data, position)) is not None:
                position = after
        except FaultError as fault:
            self.end = fault.code
        return self

    def _frame(self, data: bytes, position: int) -> int | None:
        """Take one frame; None when the data ends inside it."""
        if len(data) - position < 2:
            return None
        fin, rsv, opcode = data[position] >> 7, data[position] >> 4 & 7, data[position] & 15
        masked, length = data[position + 1] >> 7, data[position + 1] & 127
        self._check(fin, rsv, opcode, masked, length)
        position += 2
        if length > 125:
            wide = 2 if length == 126 else 8
            if len(data) - position < wide:
                return None
            length = int.from_bytes(data[position : position + wide], "big")
            position += wide
            if length >= 1 << 63 or length <= (125 if wide == 2 else 0xFFFF):
                raise FaultError(1002)
        payload = data[position : position + length]
        if opcode >= 8:
            if len(payload) < length:
                return None
            self._control(opcode, payload)
        else:
            self._data(opcode, bool(rsv), length, payload, bool(fin) and len(payload) == length)
        return position + length if len(payload) == length else None

    def _check(self, fin: int, rsv: int, opcode: int, masked: int, length: int) -> None:
        known = opcode in (0, 1, 2, 8, 9, 10)
        out_of_place = (opcode == 0) != (self._kind != 0) if opcode < 8 else not fin or length > 125
        reserved = rsv and not (rsv == 4 and self.agreement is not None and opcode in (1, 2))
        if not known or out_of_place or reserved or masked:
            raise FaultError(1002)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode != 8:
            self.controls.append((opcode, payload))
        elif not payload:
            self.end = (None, "")
        else:
            code = int.from_bytes(payload[:2], "big")
            lawful = code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999
            if len(payload) == 1 or not lawful:
                raise FaultError(1002)
            utf8 = Utf8()
            for octet in payload[2:]:
                utf8.take(octet)
            utf8.finish()
            self.end = (code, payload[2:].decode())

    def _data(self, opcode: int, rsv1: bool, length: int, payload: bytes, whole: bool) -> None:
        if opcode:
            self._kind, self._compressed, self._message, self._utf8 = opcode, rsv1, bytearray(), Utf8()
        if self._compressed:
            self._inflate(payload, whole)
        else:
            if self.max_size is not None and len(self._message) + length > self.max_size:
                raise FaultError(1009)  # The header alone decides.
            self._take(payload)
        if whole:
            if self._kind == 1:
                self._utf8.finish()
            self.messages.append(self._message.decode() if self._kind == 1 else bytes(self._message))
            self._kind = 0

    def _take(self, plain: bytes) -> None:
        for octet in plain:
            if self.max_size is not None and len(self._message) >= self.max_size:
                raise FaultError(1009)
            if self._kind == 1:
                self._utf8.take(octet)
            self._message.append(octet)

    def _inflate(self, payload: bytes, whole: bool) -> None:
        assert self.agreement is not None
        self._octets(payload)
        # 7.2.2: append the tail; not after a stream that its last block has ended, where nothing is open.
        if whole and self._stream is not None:
            self._octets(SYNC_TAIL, tail=True)
        if whole and self.agreement.server_no_context_takeover:
            self._stream = None

    def _breaks(self, packed: bytes) -> bool:
        """Whether the stream is broken at the place where it would go on."""
        assert self._stream is not None
        try:
            self._stream.decompress(packed + SYNC_TAIL, 1)
        except zlib.error:
            return True
        return False

    def _octets(self, packed: bytes, tail: bool = False) -> None:
        assert self.agreement is not None
        for i in range(len(packed)):
            if self._stream is None:
                self._stream = zlib.decompressobj(-self.agreement.server_max_window_bits)
            try:
                plain = self._stream.decompress(packed[i : i + 1])
            except zlib.error:
                self.or_else = 1009 if self.max_size is not None else None
                raise FaultError(1007) from None
            try:
                self._take(plain)
            except FaultError as fault:
                self.or_else = 1007 if fault.code == 1009 and self._breaks(packed[i + 1 :]) else None
                raise
            if self._stream.eof:
                self._stream = None
                if tail:
                    return
