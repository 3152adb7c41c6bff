"""Bytes of stdin become messages, however they are cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from syncws._cli.inputs import BadLine, Lines


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def by_bytes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def at_random(data: bytes) -> Iterator[bytes]:
    source = random.Random(len(data))
    while data:
        size = source.randrange(1, 8)
        yield data[:size]
        data = data[size:]


CUTS = pytest.mark.parametrize("cut", [whole, by_bytes, at_random])
Cut = Callable[[bytes], Iterator[bytes]]


def messages(lines: Lines, pieces: Iterator[bytes]) -> list[str | bytes]:
    found = [message for piece in pieces for message in lines.feed(piece)]
    return found + list(lines.finish())


@CUTS
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"\n\na\n\n", ["", "", "a", ""]),
        (b"a\r\n\r\nb\r", ["a", "", "b"]),
        (b"a\rb\nc\n", ["a\rb", "c"]),
        ("ä漢😀\nß".encode(), ["ä漢😀", "ß"]),
        (b"a\0b\n", ["a\0b"]),
    ],
)
def test_lines_end_with_lf_or_cr_lf(data: bytes, expected: list[str | bytes], cut: Cut) -> None:
    assert messages(Lines(), cut(data)) == expected


@CUTS
@pytest.mark.parametrize(
    ("encoding", "null", "data", "expected"),
    [
        ("binary", False, b"\xff\r\n\0\n", [b"\xff\r", b"\0"]),
        ("hex", False, b"00 FF\r\n\nab", [b"\x00\xff", b"", b"\xab"]),
        ("base64", False, b"AP8=\r\n \nqw==", [b"\x00\xff", b"", b"\xab"]),
        (None, True, b"a\nb\0\0c\r", ["a\nb", "", "c\r"]),
        ("binary", True, b"\n\xff\0", [b"\n\xff"]),
    ],
)
def test_other_encodings_and_ends(
    encoding: str | None, null: bool, data: bytes, expected: list[str | bytes], cut: Cut
) -> None:
    assert messages(Lines(encoding, null=null), cut(data)) == expected


@CUTS
@pytest.mark.parametrize(
    ("encoding", "data", "told"),
    [
        (None, b"ok\nsch\xf6n\n", "line 2 of stdin was not sent: it is not UTF-8 (0xf6 at byte 4)"),
        (None, b"\xed\xa0\x80", "line 1 of stdin was not sent: it is not UTF-8 (0xed at byte 1)"),
        (None, b"ok\ncut \xe6\xbc", "line 2 of stdin was not sent: it is not UTF-8 (0xe6 at byte 5)"),
        ("hex", b"00\n0\n", "line 2 of stdin was not sent: it is not hexadecimal"),
        ("hex", b"\xff\n", "line 1 of stdin was not sent: it is not hexadecimal"),
        ("base64", b"AP8\n", "line 1 of stdin was not sent: it is not base64"),
        ("base64", b"\xff\n", "line 1 of stdin was not sent: it is not base64"),
    ],
)
def test_a_line_that_is_no_message_is_told_by_its_number(
    encoding: str | None, data: bytes, told: str, cut: Cut
) -> None:
    with pytest.raises(BadLine) as raised:
        messages(Lines(encoding), cut(data))
    assert str(raised.value).startswith(told)
