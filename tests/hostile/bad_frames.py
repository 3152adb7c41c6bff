"""Frames that no server may send, and the cases of a server that sends one."""

from __future__ import annotations

import struct

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import Case

BEFORE = frame_bytes(Opcode.TEXT, b"one") + frame_bytes(Opcode.BINARY, b"two")


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame_bytes(Opcode.CLOSE, struct.pack(">H", code) + reason)


def announced(opcode: int, length: int, width: int, fin: bool = True) -> bytes:
    """A frame's header alone, with its length in so many bytes."""
    second = {1: length, 2: 126, 8: 127}[width]
    wide = b"" if width == 1 else length.to_bytes(width, "big")
    return bytes(((0x80 if fin else 0) | opcode, second)) + wide


def start(opcode: int = Opcode.TEXT) -> bytes:
    return frame_bytes(opcode, b"begin", fin=False)


# Each frame, and what the error says of it. Here a bit of the header is wrong,
BITS: dict[str, tuple[bytes, str]] = {
    "masked text": (frame_bytes(Opcode.TEXT, b"hi", key=b"abcd"), "masked"),
    "masked empty binary": (frame_bytes(Opcode.BINARY, key=b"abcd"), "masked"),
    "masked ping": (frame_bytes(Opcode.PING, b"hi", key=b"abcd"), "masked"),
    "masked pong": (frame_bytes(Opcode.PONG, b"hi", key=b"abcd"), "masked"),
    "masked close": (frame_bytes(Opcode.CLOSE, b"\x03\xe8", key=b"abcd"), "masked"),
    "masked with the key zero": (frame_bytes(Opcode.TEXT, b"hi", key=bytes(4)), "masked"),
    **{
        f"reserved bits {rsv} on {Opcode(opcode).name.lower()}": (
            frame_bytes(opcode, b"hi" if opcode < 8 else b"", rsv=rsv),
            "reserved bits",
        )
        for rsv in (1, 2, 3, 5, 6, 7)
        for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CLOSE)
    },
    **{
        f"rsv1 on {Opcode(opcode).name.lower()} without an extension": (
            frame_bytes(opcode, b"hi" if opcode < 8 else b"", rsv=4),
            "reserved bits",
        )
        for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CLOSE)
    },
    "reserved bits on a continuation": (
        start() + frame_bytes(Opcode.CONTINUATION, b"hi", rsv=4),
        "reserved bits",
    ),
    **{
        f"opcode {opcode}": (frame_bytes(opcode, b"hi"), f"opcode {opcode}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "empty with opcode 3 and more to come": (frame_bytes(3, fin=False), "opcode 3"),
    "opcode 11 inside a message": (start() + frame_bytes(11), "opcode 11"),
}

# here the kind of frame, at this place or of this length,
ORDER: dict[str, tuple[bytes, str]] = {
    **{
        f"{opcode.name.lower()} fragmented": (frame_bytes(opcode, fin=False), "fragmented")
        for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
    },
    **{
        f"{opcode.name.lower()} of {length} bytes": (frame_bytes(opcode, bytes(length)), "125 bytes")
        for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
        for length in (126, 70_000)
    },
    "ping that announces too much": (announced(Opcode.PING, 126, 2)[:2], "125 bytes"),
    "pong that announces 2^62": (announced(Opcode.PONG, 1 << 62, 8), "125 bytes"),
    "continuation of nothing": (frame_bytes(Opcode.CONTINUATION, b"hi"), "continuation"),
    "continuation of nothing with more to come": (
        frame_bytes(Opcode.CONTINUATION, b"hi", fin=False),
        "continuation",
    ),
    "text inside text": (start() + frame_bytes(Opcode.TEXT, b"hi"), "inside a fragmented"),
    "binary inside text": (start() + frame_bytes(Opcode.BINARY, b"hi"), "inside a fragmented"),
    "text inside binary with more to come": (start(Opcode.BINARY) + start(), "inside a fragmented"),
    "length 5 in two bytes": (announced(Opcode.TEXT, 5, 2) + b"hello", "in 2 bytes"),
    "length 0 in two bytes": (announced(Opcode.BINARY, 0, 2), "in 2 bytes"),
    "length 125 in two bytes": (announced(Opcode.TEXT, 125, 2), "in 2 bytes"),
    "length 5 in eight bytes": (announced(Opcode.TEXT, 5, 8) + b"hello", "in 8 bytes"),
    "length 126 in eight bytes": (announced(Opcode.BINARY, 126, 8), "in 8 bytes"),
    "length 65535 in eight bytes": (announced(Opcode.BINARY, 65535, 8), "in 8 bytes"),
    "length 2^63": (announced(Opcode.BINARY, 1 << 63, 8), "2^63"),
    "length 2^64-1": (announced(Opcode.TEXT, (1 << 64) - 1, 8), "2^63"),
    "length 2^63 in a fragment": (announced(Opcode.TEXT, 1 << 63, 8, fin=False), "2^63"),
}

# and here what a Close frame holds.
CLOSES: dict[str, tuple[bytes, str]] = {
    "close with one byte": (frame_bytes(Opcode.CLOSE, b"\x03"), "one byte"),
    **{
        f"close with the code {code}": (close_frame(code, b"why"), f"code {code}")
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535)
    },
}

FAULTS = {**BITS, **ORDER, **CLOSES}


def case(name: str, glued: bytes, then: bytes = b"") -> Case:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(glued)
        if then:
            peer.send_bytes(then)

    says = FAULTS[name][1]
    return Case(name, script, ProtocolError, (says,), sent=1002, messages=("one", b"two"))
