"""The layout of a frame: opcodes, close codes, headers, masking (RFC 6455 5 and 7.4). `decoder` checks
frames.

Owns: the wire layout of one frame and the meaning of close codes. Runs on: any thread; nothing here has
state. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

FIN = 0x80
RSV1 = 0x40
RSV_BITS = 0x70
MASKED = 0x80


class Opcode(enum.IntEnum):
    """RFC 6455 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode:
    """The codes that this package itself sends or shows (RFC 6455 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011


# RFC 6455 7.4.1 and the IANA registry: 1004 is reserved; 1005, 1006 and 1015 are never sent.
_REGISTERED_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def is_wire_close_code(code: int) -> bool:
    """Whether a Close frame may carry this code (RFC 6455 7.4)."""
    return code in _REGISTERED_CODES or 3000 <= code <= 4999


class CloseFrame(NamedTuple):
    """The content of a Close frame (RFC 6455 5.5.1); ``code`` is None when the frame had no body."""

    code: int | None = None
    reason: str = ""

    @property
    def payload(self) -> bytes:
        if self.code is None:
            return b""
        return self.code.to_bytes(2, "big") + self.reason.encode()


def header(head_byte: int, length: int, mask_bit: int = MASKED) -> bytes:
    """A frame's first bytes, up to its masking key and without it.

    Args:
        head_byte: the first byte: FIN, RSV bits and opcode.
        length: the payload's length in bytes.
        mask_bit: `MASKED` for a client's frame, 0 for a server's.
    """
    if length < 126:
        return bytes((head_byte, mask_bit | length))
    if length < 65536:
        return bytes((head_byte, mask_bit | 126, length >> 8, length & 255))
    return bytes((head_byte, mask_bit | 127)) + length.to_bytes(8, "big")


def mask_small(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 5.3) as one big integer: the fastest way up to some kilobytes."""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


# A table per key byte, made when first needed: `bytes.translate` then masks every fourth byte.
_tables: dict[int, bytes] = {}


def _table(key_byte: int) -> bytes:
    table = _tables.get(key_byte)
    if table is None:
        table = _tables[key_byte] = bytes(value ^ key_byte for value in range(256))
    return table


def mask_large(payload: Buffer, key: bytes) -> bytearray:
    """Mask or unmask in four interleaved lanes, each one table look-up: some three times faster than
    `mask_small` for large payloads, and it needs no integer of the payload's size."""
    masked = bytearray(payload)
    for lane in range(4):
        masked[lane::4] = masked[lane::4].translate(_table(key[lane]))
    return masked


def mask(payload: Buffer, key: bytes) -> bytes | bytearray:
    """Mask or unmask a payload with a key of four bytes (RFC 6455 5.3)."""
    if len(payload) < 1024:
        return mask_small(bytes(payload), key)
    return mask_large(payload, key)
