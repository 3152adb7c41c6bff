"""Text that is not UTF-8: refused at the first byte that shows it, in frames, in fragments and compressed."""

from __future__ import annotations

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import frame_bytes
from tests.hostile.hostile_server import HostileServer
from tests.hostile.messages import announcing, arrives, cuts, deflate, fails, fragments

# Each of these is not UTF-8, and ends with the byte that shows it.
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
