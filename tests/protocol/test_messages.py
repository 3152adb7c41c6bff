"""`syncws._protocol.messages`: what may be sent, and what a Close frame of the application may say."""

from __future__ import annotations

import array
from typing import Any

import pytest

from syncws._exceptions import InvalidAccessErr, SyntaxErr
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.messages import ChunkEncoder, encode_message, encode_message_as, validate_close

CLOSES: list[tuple[Any, Any, CloseFrame | type[Exception]]] = [
    (1000, "", CloseFrame(1000)),
    (3000, "a", CloseFrame(3000, "a")),
    (4999, "é" * 61 + "x", CloseFrame(4999, "é" * 61 + "x")),
    (None, "", CloseFrame()),
    (None, "a", SyntaxErr),
    *[
        (code, "", InvalidAccessErr)
        for code in (0, -1, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65536 + 1000)
    ],
    (True, "", InvalidAccessErr),
    (1000.0, "", InvalidAccessErr),
    ("1000", "", InvalidAccessErr),
    (1000, "x" * 124, SyntaxErr),
    (1000, "é" * 62, SyntaxErr),
    (1000, "\ud800", SyntaxErr),
    (1000, b"a", TypeError),
    (1000, None, TypeError),
    (1001, "x" * 124, InvalidAccessErr),  # the code is looked at first
    (None, "x" * 124, SyntaxErr),
]


def test_text_and_buffers_are_encoded() -> None:
    assert encode_message("ä€😀\0") == (Opcode.TEXT, "ä€😀\0".encode())
    assert encode_message("") == (Opcode.TEXT, b"")
    for kind in (bytes, bytearray, memoryview):
        assert encode_message(kind(b"\xff\0")) == (Opcode.BINARY, b"\xff\0")
    assert encode_message(array.array("H", [1, 2])) == (Opcode.BINARY, array.array("H", [1, 2]).tobytes())  # type: ignore[arg-type]
    assert encode_message(memoryview(b"abcdef")[::2]) == (Opcode.BINARY, b"ace")


def test_mutable_buffer_is_copied() -> None:
    data = bytearray(b"abc")
    _, payload = encode_message(data)
    data[0] = 0
    data.clear()  # there is no view of it left
    assert payload == b"abc"


def test_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(SyntaxErr, match="index 2"):
        encode_message("ab\udc80")


@pytest.mark.parametrize("data", [None, 5, 1.5, ["a"], object(), {"a": 1}])
def test_anything_else_is_refused_by_its_type(data: Any) -> None:
    with pytest.raises(TypeError, match=type(data).__name__):
        encode_message(data)


@pytest.mark.parametrize("data", [None, 5, 1.5, True, ["a"], {"a": 1}])
def test_what_json_can_say_is_told_how_to_become_a_message(data: Any) -> None:
    with pytest.raises(TypeError, match="json.dumps makes a str of it"):
        encode_message(data)


@pytest.mark.parametrize(("code", "reason", "expected"), CLOSES)
def test_close_is_checked(code: Any, reason: Any, expected: CloseFrame | type[Exception]) -> None:
    if isinstance(expected, CloseFrame):
        assert validate_close(code, reason) == expected
    else:
        with pytest.raises(expected):
            validate_close(code, reason)


def test_a_buffer_that_was_copied_can_be_resized_at_once() -> None:
    data = bytearray(b"abc")
    assert encode_message(data) == (Opcode.BINARY, b"abc")
    data += b"more"  # raises BufferError while there is a view of it
    data.clear()


@pytest.mark.parametrize(
    "data", ["ä€😀", "ä€😀".encode(), bytearray("ä€😀".encode()), memoryview("ä€😀".encode())]
)
def test_what_goes_out_as_text_or_as_binary_can_be_chosen(data: Any) -> None:
    payload = "ä€😀".encode()
    assert encode_message_as(data, True) == (Opcode.TEXT, payload)
    assert encode_message_as(data, False) == (Opcode.BINARY, payload)


@pytest.mark.parametrize(
    ("data", "at"), [(b"ab\xff", 2), (b"\xe2\x82", 0), (b"\xed\xa0\x80", 0), (b"a\xc0\x80", 1)]
)
def test_bytes_that_are_no_utf8_are_refused_as_text_with_the_place(data: bytes, at: int) -> None:
    with pytest.raises(SyntaxErr, match=f"not UTF-8 at byte {at}, and text=True"):
        encode_message_as(data, True)
    assert encode_message_as(data, False) == (Opcode.BINARY, data)


def test_a_lone_surrogate_cannot_be_encoded_as_binary_either() -> None:
    with pytest.raises(SyntaxErr, match="index 0"):
        encode_message_as("\udc80", False)


@pytest.mark.parametrize("text", ["yes", 1, 0, b""])
def test_text_is_true_false_or_nothing(text: Any) -> None:
    for call in (lambda: encode_message_as("a", text), lambda: ChunkEncoder(text)):
        with pytest.raises(TypeError, match="^text must be True, False or None"):
            call()


def test_chunks_of_a_text_may_cut_characters() -> None:
    payload = "ä€😀".encode()
    for step in range(1, len(payload) + 1):
        chunks = [payload[at : at + step] for at in range(0, len(payload), step)]
        encoder = ChunkEncoder(True)
        assert [encoder.encode(chunk) for chunk in chunks] == [(Opcode.TEXT, chunk) for chunk in chunks]
        encoder.finish()


def test_chunks_of_a_text_are_checked_across_their_borders() -> None:
    encoder = ChunkEncoder(True)
    encoder.encode(b"abc\xe2")
    encoder.encode(b"\x82")
    with pytest.raises(SyntaxErr, match="not UTF-8 at byte 3"):
        encoder.encode(b"a")
    encoder = ChunkEncoder(True)
    encoder.encode(b"ab\xe2\x82")
    with pytest.raises(SyntaxErr, match="not UTF-8 at byte 2"):
        encoder.finish()


def test_chunks_of_text_can_go_out_as_binary_and_the_type_decides_without_a_word() -> None:
    assert ChunkEncoder(False).encode("ä") == (Opcode.BINARY, "ä".encode())
    assert ChunkEncoder(None).encode("ä") == (Opcode.TEXT, "ä".encode())
    encoder = ChunkEncoder(None)
    assert encoder.encode(b"\xff") == (Opcode.BINARY, b"\xff")
    encoder.finish()
