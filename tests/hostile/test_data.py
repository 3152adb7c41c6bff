"""Messages that are too big or not deflate: refused at the first byte that shows it."""

from __future__ import annotations

import zlib

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import frame_bytes
from tests.hostile.hostile_server import HostileServer
from tests.hostile.messages import announcing, arrives, cuts, deflate, fails, fragments

LIMIT = 1000


# Size. All but the payloads that must be inflated are refused before they come: they never do.
TOO_BIG: dict[str, tuple[bytes, bool]] = {
    "one byte": (announcing(Opcode.TEXT, LIMIT + 1), False),
    "binary": (announcing(Opcode.BINARY, LIMIT + 1), False),
    "a long way": (announcing(Opcode.BINARY, 70_000), False),
    "10 GiB": (b"\x82\x7f" + (10 * 2**30).to_bytes(8, "big"), False),
    "2^63 - 1": (b"\x82\x7f" + (2**63 - 1).to_bytes(8, "big"), False),
    "in the first of fragments": (b"\x01\x7e" + (LIMIT + 1).to_bytes(2, "big"), False),
    "in the second fragment": (fragments([b"x" * LIMIT], more=True) + b"\x80\x01", False),
    "over many fragments": (fragments([b"x" * 10] * 101, more=True), False),
    "10 GiB in the second fragment": (
        fragments([b"x"], more=True) + b"\x80\x7f" + (10 * 2**30).to_bytes(8, "big"),
        False,
    ),
    "when inflated": (frame_bytes(Opcode.TEXT, deflate(b"x" * (LIMIT + 1)), rsv=4), True),
    "a long way when inflated": (frame_bytes(Opcode.BINARY, deflate(bytes(10_000_000)), rsv=4), True),
    "over inflated fragments": (
        fragments([deflate(b"x" * 300) + b"\x00\x00\xff\xff"] * 4, Opcode.BINARY, rsv=4, more=True),
        True,
    ),
    "when inflated, before its frame has come": (
        announcing(Opcode.BINARY, 70_000, deflate(bytes(10_000_000))[:5000], rsv=4),
        True,
    ),
}


@pytest.mark.parametrize("name", TOO_BIG)
def test_a_message_over_max_size_fails_with_1009_and_the_error_has_the_limit(
    name: str, hostile_server: HostileServer
) -> None:
    data, compressed = TOO_BIG[name]
    fails(hostile_server, data, 1009, f"max_size={LIMIT}", compressed=compressed, max_size=LIMIT)


FITS: dict[str, tuple[bytes, str | bytes, bool]] = {
    "in one frame": (frame_bytes(Opcode.TEXT, b"x" * LIMIT), "x" * LIMIT, False),
    "in fragments": (fragments([b"x" * 10] * 100, Opcode.BINARY), b"x" * LIMIT, False),
    "with an empty fragment more": (fragments([b"x" * LIMIT, b""]), "x" * LIMIT, False),
    "inflated": (frame_bytes(Opcode.TEXT, deflate(b"x" * LIMIT), rsv=4), "x" * LIMIT, True),
    "in wide characters": (frame_bytes(Opcode.TEXT, "ä".encode() * 500), "ä" * 500, False),
}


@pytest.mark.parametrize("name", FITS)
def test_a_message_of_exactly_max_size_arrives(name: str, hostile_server: HostileServer) -> None:
    data, message, compressed = FITS[name]
    arrives(hostile_server, data, message, compressed, max_size=LIMIT)


def test_the_default_max_size_is_16_mib(hostile_server: HostileServer) -> None:
    fails(hostile_server, b"\x82\x7f" + (2**24 + 1).to_bytes(8, "big"), 1009, "max_size=16777216")


def test_a_deflate_bomb_in_front_of_more_data_still_gets_its_close_code_through(
    hostile_server: HostileServer,
) -> None:
    bomb = frame_bytes(Opcode.BINARY, deflate(bytes(30_000_000)), rsv=4)
    fails(
        hostile_server, bomb + frame_bytes(Opcode.TEXT, b"x" * 50_000) * 40, 1009, "max_size", compressed=True
    )


# Compressed data.
NOT_DEFLATE: dict[str, bytes] = {
    "a reserved block type": b"\x07",
    "a stored block with a wrong length": b"\x00\x05\x00\x00\x00hello",
    "a distance too far back": b"\x4b\x04\x22\x00\x00",
    "noise": bytes(range(255, 100, -1)),
}


@pytest.mark.parametrize("name", NOT_DEFLATE)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_compressed_data_that_is_broken_fails_with_1007(
    opcode: int, name: str, hostile_server: HostileServer
) -> None:
    bad = NOT_DEFLATE[name]
    for data in (frame_bytes(opcode, bad, rsv=4), fragments(cuts(bad), opcode, rsv=4, more=True)):
        fails(hostile_server, data, 1007, "compressed data is broken", compressed=True)


def test_a_continuation_may_not_begin_a_compression_of_its_own(hostile_server: HostileServer) -> None:
    data = frame_bytes(Opcode.TEXT, b"begin", fin=False) + frame_bytes(0, deflate(b"x"), rsv=4)
    fails(hostile_server, data, 1002, "reserved bits", compressed=True)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_a_control_frame_may_not_be_compressed(opcode: int, hostile_server: HostileServer) -> None:
    fails(hostile_server, frame_bytes(opcode, rsv=4), 1002, "reserved bits", compressed=True)


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_the_other_reserved_bits_stay_refused_with_compression(
    rsv: int, hostile_server: HostileServer
) -> None:
    fails(
        hostile_server,
        frame_bytes(Opcode.TEXT, deflate(b"x"), rsv=rsv),
        1002,
        "reserved bits",
        compressed=True,
    )


def test_a_final_block_and_an_empty_message_are_lawful_in_compressed_data(
    hostile_server: HostileServer,
) -> None:
    stream = zlib.compressobj(wbits=-15)
    final = stream.compress(b"hello") + stream.flush(zlib.Z_FINISH)
    arrives(hostile_server, frame_bytes(Opcode.TEXT, final + b"\x00", rsv=4), "hello", compressed=True)
    arrives(hostile_server, frame_bytes(Opcode.TEXT, b"\x00", rsv=4), "", compressed=True)
