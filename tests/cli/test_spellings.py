"""Lines that are no plain text: odd bytes, binary as it is or spelled, line ends inside a message."""

from __future__ import annotations

import pytest

from syncws.testing import LoopbackServer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder


def test_a_line_that_is_not_utf8_is_told_and_the_ones_before_it_are_answered() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, given=b"gut\n" + "schön\n".encode("latin-1") + b"more\n")
    assert (done.status, done.out) == (2, b"gut\n")
    assert done.err.startswith("syncws: line 2 of stdin was not sent: it is not UTF-8 (0xf6 at byte 4)")
    assert "--binary" in done.err and "usage" not in done.err and "Traceback" not in done.err
    assert script.messages == ["gut"]


def test_binary_sends_lines_as_they_are() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, "--binary", given=b"\xff\x00\r\n\xf6\n")
    assert (done.status, done.out) == (0, b"\xff\x00\r\n\xf6\n")
    assert script.messages == [b"\xff\x00\r", b"\xf6"]


@pytest.mark.parametrize(
    ("flag", "given", "messages"),
    [
        ("--hex", b"00ff\nca fe\n\n", [b"\x00\xff", b"\xca\xfe", b""]),
        ("--base64", b"AP8=\n\n", [b"\x00\xff", b""]),
    ],
)
def test_hex_and_base64_spell_binary_messages_both_ways(
    flag: str, given: bytes, messages: list[bytes]
) -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, flag, given=given)
    assert (done.status, script.messages) == (0, messages)
    assert done.out == given.replace(b" ", b"")


@pytest.mark.parametrize(("flag", "given"), [("--hex", b"0g\n"), ("--base64", b"?\n")])
def test_what_does_not_spell_bytes_is_told(flag: str, given: bytes) -> None:
    with LoopbackServer() as server:
        done = syncws(server.url, flag, given=given)
    assert done.status == 2
    assert done.err.startswith("syncws: line 1 of stdin was not sent: it is not ")


def test_null_lets_messages_hold_line_ends() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = syncws(server.url, "-0", given=b"a\nb\0c\r\n\0")
    assert (done.status, done.out) == (0, b"a\nb\0c\r\n\0")
    assert script.messages == ["a\nb", "c\r\n"]
