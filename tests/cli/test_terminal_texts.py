"""What a terminal shows: text that a server chose, colours, and the bar of a file."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)


from syncws.testing import LoopbackServer, Peer
from tests.cli.screen import Screen, terminal
from tests.cli.scripts import read_to_the_close, say
from tests.support.stress import turns
from tests.support.waiting import wait_for

COLUMNS = [80, 110]


HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1;1Hforged\r\nsyncws: the server closed: 1000\t\x9b31m\x7f\u202eabc\u2028\0"
)


@pytest.mark.parametrize(
    ("arguments", "columns"),
    turns([(), ("--listen",), ("--listen", "--jsonl"), ("--listen", "--pretty")], COLUMNS),
)
def test_control_characters_of_a_server_are_written_out(arguments: tuple[str, ...], columns: int) -> None:
    script = say(HOSTILE, '{"a": "\x9b"}', code=4001, reason="bye\r\n\x1b[31mforged\x9b")
    with LoopbackServer(script) as server, terminal(server.url, *arguments, columns=columns) as person:
        assert person.wait_end() == 1  # the screen fails at control characters
    assert "\x9b" not in person.raw and "\x1b[2J" not in person.raw and "\x1b]" not in person.raw
    assert not [
        line for line in person.screen.lines if line.startswith(("forged", "syncws: the server closed: 1000"))
    ]
    assert person.screen.lines[-1] == "syncws: the server closed: 4001 bye\\r\\n\\x1b[31mforged\\x9b"


def test_control_characters_in_a_refusal_are_written_out() -> None:
    def refuse(peer: Peer) -> None:
        headers = [("X-Evil", "\x9b2J")]
        peer.refuse(403, headers, reason="No\x1b[2J", body=b"\x1b[2J<h1>\xff\r\nnext\x9b")

    with LoopbackServer(refuse) as server, terminal("-v", server.url) as person:
        assert person.wait_end() == 5
    assert "\x1b[2J" not in person.raw and "\x9b" not in person.raw


def test_control_characters_in_a_binary_message_are_hexadecimal() -> None:
    with LoopbackServer(say(b"\x1b[2J", code=1000)) as server, terminal("--listen", server.url) as person:
        assert person.wait_end() == 0
    assert person.screen.lines[0] == "(binary, 4 bytes) 1b 5b 32 4a"


@pytest.mark.parametrize(
    ("environment", "arguments", "coloured"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"TERM": "dumb"}, (), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({}, ("--color", "never"), False),
    ],
)
def test_colour_can_be_refused(
    environment: dict[str, str], arguments: tuple[str, ...], coloured: bool
) -> None:
    with LoopbackServer() as server, terminal(server.url, *arguments, environment=environment) as person:
        person.wait_for("connected to ws:")
        person.type("hello\r")
        person.wait_for("< hello")
        assert person.leave() == 0
    assert ("\x1b[36m" in person.raw) is coloured


def test_the_screen_of_these_tests_obeys() -> None:
    screen = Screen(10, 3)
    screen.feed("one\r\ntwo\r\nthree\x1bD\x1b[A\x1b7\r\x1b[Lnew\x1b8\x1b[B!")
    assert screen.lines == ["one", "two", "new", "three!"]
    with pytest.raises(AssertionError):
        screen.feed("\x1b]0;title\x07")


def test_a_file_that_is_sent_shows_a_bar_and_messages_above_it(tmp_path: Path) -> None:
    file = tmp_path / "film\x1b[2J.mkv"
    file.write_bytes(bytes(8_000_000))
    begun = threading.Event()

    def slow(peer: Peer) -> None:
        peer.accept()
        peer.send("coming")
        wait_for(begun)
        assert len(peer.recv()) == 8_000_000
        peer.send("all of it")
        read_to_the_close(peer)

    with LoopbackServer(slow, receive_buffer=65536) as server:
        with terminal(server.url, "--file", str(file), "--color", "never") as person:
            person.wait_for(r"coming\n.*%")
            begun.set()
            assert person.wait_end() == 0
    last = person.screen.lines[-2:]  # the answer may come before the bar is done, and stands above it then
    (bar,), (answer,) = [line for line in last if "%" in line], [line for line in last if "%" not in line]
    assert "[" + "#" * 8 in bar and "100%  7.6 MiB" in bar
    assert answer == "all of it"
    assert len(bar) < 80
