"""Floods of fragments: tiny ones are one message, empty ones are none."""

from __future__ import annotations

import functools
import zlib

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import Case, HostileServer, one_scheme_each

CLOSE = frame_bytes(Opcode.CLOSE, b"\x03\xe8")
DEFLATE = "permessage-deflate"


@one_scheme_each
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_65536_tiny_fragments_are_one_message(opcode: int, hostile_server: HostileServer) -> None:
    count = 65536
    fragment = frame_bytes(Opcode.CONTINUATION, b"x", fin=False)
    data = frame_bytes(opcode, fin=False) + fragment * (count - 1) + frame_bytes(0, b"x")
    message = "x" * count if opcode == Opcode.TEXT else b"x" * count
    hostile_server.check(
        Case("tiny", lambda peer: peer.accept(glued=data + CLOSE), sent=1000, messages=(message,))
    )


@functools.cache
def compressed_byte_by_byte() -> bytes:
    """The frames of a message of 65536 characters, one for each byte."""
    stream = zlib.compressobj(level=0, wbits=-15)  # stored: as many bytes as there are characters
    packed = (stream.compress(b"x" * 65536) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return frame_bytes(Opcode.TEXT, packed[:1], fin=False, rsv=4) + b"".join(
        frame_bytes(0, packed[at : at + 1], fin=at == len(packed) - 1) for at in range(1, len(packed))
    )


@one_scheme_each
def test_65536_compressed_fragments_of_one_byte_are_one_message(hostile_server: HostileServer) -> None:
    data = compressed_byte_by_byte()

    def script(peer: Peer) -> None:
        peer.accept(extensions=DEFLATE, glued=data + CLOSE)

    hostile_server.check(Case("tiny", script, sent=1000, messages=("x" * 65536,)))


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_a_flood_of_empty_fragments_that_ends_in_a_close_is_an_orderly_close(
    compressed: bool, hostile_server: HostileServer
) -> None:
    start = frame_bytes(Opcode.TEXT, fin=False, rsv=4 if compressed else 0)
    data = start + frame_bytes(Opcode.CONTINUATION, fin=False) * 30_000 + CLOSE

    def script(peer: Peer) -> None:
        peer.accept(extensions=DEFLATE)
        peer.send_bytes(data)

    hostile_server.check(Case("empty", script, sent=1000))
