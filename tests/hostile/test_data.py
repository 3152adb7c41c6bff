"""Messages that are too big, not UTF-8 or not deflate: refused at the first byte that shows it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import Case, HostileServer

BEFORE = frame_bytes(Opcode.TEXT, b"before")
MESSAGES = ("before",)
LIMIT = 1000


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragments(parts: Sequence[bytes], opcode: int = Opcode.TEXT, rsv: int = 0, more: bool = False) -> bytes:
    """A message in these fragments; with `more`, without its end."""
    last = len(parts) - 1
    return b"".join(
        frame_bytes(0 if index else opcode, part, fin=index == last and not more, rsv=0 if index else rsv)
        for index, part in enumerate(parts)
    )


def announcing(opcode: int, length: int, payload: bytes = b"", rsv: int = 0) -> bytes:
    """A frame that announces more than it brings."""
    head = frame_bytes(opcode, bytes(length), rsv=rsv)
    return head[: len(head) - length] + payload


def fails(
    hostile_server: HostileServer,
    data: bytes,
    code: int,
    *says: str,
    compressed: bool = False,
    **options: object,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate" if compressed else None)
        peer.send_bytes(BEFORE + data)

    hostile_server.check(Case("sends", script, ProtocolError, says, code, MESSAGES, options=options))


def arrives(
    hostile_server: HostileServer,
    data: bytes,
    message: str | bytes,
    compressed: bool = False,
    **options: object,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate" if compressed else None)
        peer.send_bytes(BEFORE + data + frame_bytes(Opcode.CLOSE, b"\x03\xe8"))

    hostile_server.check(Case("sends", script, sent=1000, messages=(*MESSAGES, message), options=options))


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


# Text. Each of these is not UTF-8, and ends with the byte that shows it.
NOT_UTF8: dict[str, bytes] = {
    "a byte that never is": b"ok\xff",
    "a continuation byte at first": b"\x80",
    "a cut sequence": b"ok\xe2\x82X",
    "a surrogate": b"ok\xed\xa0",
    "overlong": b"\xc0",
    "overlong in three bytes": b"\xe0\x80",
    "beyond U+10FFFF": b"ok\xf4\x90",
    "five bytes": b"\xf8",
}


def cuts(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("name", NOT_UTF8)
def test_text_that_is_not_utf8_fails_with_1007_in_any_form_of_a_whole_message(
    name: str, hostile_server: HostileServer
) -> None:
    bad = NOT_UTF8[name] + b"\x80 and more"
    for data in (frame_bytes(Opcode.TEXT, bad), fragments(cuts(bad)), fragments([b"", bad, b""])):
        fails(hostile_server, data, 1007, "UTF-8")


@pytest.mark.parametrize("name", NOT_UTF8)
def test_text_fails_at_the_first_bad_byte_before_frame_or_message_end(
    name: str, hostile_server: HostileServer
) -> None:
    bad = NOT_UTF8[name]
    fails(hostile_server, announcing(Opcode.TEXT, 100_000, bad), 1007, "UTF-8")
    fails(hostile_server, announcing(Opcode.TEXT, 100, bad), 1007, "UTF-8")
    fails(hostile_server, fragments(cuts(bad), more=True), 1007, "UTF-8")


@pytest.mark.parametrize("name", NOT_UTF8)
def test_text_that_is_not_utf8_inside_compressed_data_fails_with_1007_at_the_first_bad_byte(
    name: str, hostile_server: HostileServer
) -> None:
    packed = deflate(b"x" * 200 + NOT_UTF8[name]) + b"\x00\x00\xff\xff"
    for data in (
        frame_bytes(Opcode.TEXT, packed[:-4], rsv=4),
        fragments([packed], rsv=4, more=True),
        fragments(cuts(packed), rsv=4, more=True),
        announcing(Opcode.TEXT, 100_000, packed, rsv=4),
    ):
        fails(hostile_server, data, 1007, "UTF-8", compressed=True)


@pytest.mark.parametrize("end", [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_a_sequence_that_the_end_of_a_message_cuts_fails_with_1007(
    end: bytes, hostile_server: HostileServer
) -> None:
    fails(hostile_server, frame_bytes(Opcode.TEXT, b"ok" + end), 1007, "UTF-8")
    fails(hostile_server, fragments([b"ok" + end, b""]), 1007, "UTF-8")
    fails(
        hostile_server, frame_bytes(Opcode.TEXT, deflate(b"ok" + end), rsv=4), 1007, "UTF-8", compressed=True
    )


@pytest.mark.parametrize("text", ["ä€😀", "\ufeff", "\0", "\uffff\ufdd0", "\r\n", "\U0010ffff"])
def test_a_character_may_be_cut_anywhere_between_fragments(text: str, hostile_server: HostileServer) -> None:
    arrives(hostile_server, fragments(cuts(text.encode())), text)


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
