"""A person at a terminal: typing, messages that arrive meanwhile, commands, and text that a server chose."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import signal
import termios

from syncws.testing import LoopbackServer, Peer
from tests.cli.screen import Screen, Terminal, terminal
from tests.cli.scripts import Recorder, read_to_the_close, say
from tests.support.stress import amount, turns
from tests.support.waiting import wait_for, wait_until

COLUMNS = [80, 110]

IS_PYPY = sys.implementation.name == "pypy"
needs_line_editing = pytest.mark.skipif(IS_PYPY, reason="its readline cannot show lines above the one typed")


class Prompter:
    """A script that sends when the test says so."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.messages: list[str | bytes] = []

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        self.peer = peer
        while True:
            self.messages.append(peer.recv())

    def send(self, text: str) -> None:
        wait_until(lambda: self.peer is not None)
        assert self.peer is not None
        self.peer.send(text)


@pytest.mark.parametrize("columns", COLUMNS)
@needs_line_editing
def test_what_is_typed_is_sent_and_what_comes_has_a_mark(columns: int) -> None:
    with LoopbackServer() as server, terminal(server.url, columns=columns) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("Grüße 漢字\r")
        person.wait_for("< Grüße")
        assert person.leave() == 0
    assert person.screen.lines[1:3] == ["> Grüße 漢字", "< Grüße 漢字"]


@pytest.mark.parametrize(("rows", "columns"), turns([24, 4], COLUMNS))
@needs_line_editing
def test_messages_do_not_tear_the_line_that_is_being_typed(columns: int, rows: int) -> None:
    script = Prompter()
    with LoopbackServer(script) as server, terminal(server.url, columns=columns, rows=rows) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("hello wrld")
        person.wait_for("> hello wrld")
        person.type("\x1b[D" * 3)  # the cursor stands before "rld"
        script.send("first")
        person.wait_for("< first\n> hello wrld")
        long = "x" * (columns * 2)
        script.send(long)
        script.send("last")
        person.wait_for("< last\n> hello wrld")
        seen = person.screen
        person.wait_until(lambda: seen.cursor == (len(seen.lines) - 1, len("> hello w")))
        person.type("o\r")
        wait_until(lambda: script.messages == ["hello world"])
        script.send("after")
        person.wait_for("> hello world\n< after")
        assert person.leave() == 0
    joined = "".join(person.screen.lines)
    assert f"< {long}" in joined


@pytest.mark.skipif(not IS_PYPY, reason="elsewhere a line is edited")
def test_on_pypy_lines_are_sent_as_they_are_typed_without_a_prompt() -> None:
    with LoopbackServer() as server, terminal(server.url) as person:
        person.wait_for("connected to ws:")
        person.type("hello\r")
        person.wait_for("< hello")
        assert person.leave() == 0
    assert not [line for line in person.screen.lines if line.startswith(">")]


def test_a_flood_of_messages_leaves_what_is_typed_whole() -> None:
    def flood(peer: Peer) -> None:
        peer.accept()
        for number in range(300):
            peer.send(f"message {number}")
        assert peer.recv() == "typed in the flood"
        peer.send("got it")
        read_to_the_close(peer)

    with LoopbackServer(flood) as server, terminal(server.url) as person:
        person.type("typed in the flood\r")
        person.wait_for("< got it")
        assert person.leave() == 0
    received = [line for line in person.screen.lines if line.startswith("< message")]
    assert received == [f"< message {number}" for number in range(300)]


@needs_line_editing
def test_many_lines_typed_in_a_flood_leave_every_message_a_row_of_its_own() -> None:
    """A message that comes just when Enter was typed, too, where no prompt is to be drawn again."""
    typed = [f"line {number}" for number in range(40)]

    def flood(peer: Peer) -> None:
        peer.accept()
        for line in typed:
            for number in range(40):
                peer.send(f"{line}, message {number}")
            assert peer.recv() == line
        peer.send("got it")
        read_to_the_close(peer)

    with LoopbackServer(flood) as server, terminal(server.url, rows=100) as person:
        person.wait_for(r"line 0, message 39\n>")
        person.type("".join(f"{line}\r" for line in typed))
        person.wait_for("< got it")
        assert person.leave() == 0
    assert [line for line in person.screen.lines if line.startswith("> <")] == []
    # What is typed between Enter and the next prompt the terminal itself shows, perhaps before a message.
    rows = (re.fullmatch(r"(?:line \d+)?(< line .*)", line) for line in person.screen.lines)
    received = [found[1] for found in rows if found]
    assert received == [f"< {line}, message {number}" for line in typed for number in range(40)]


@needs_line_editing
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no count says that a thread waits again")
def test_a_terminal_that_takes_nothing_for_a_while_gets_all_of_the_line_that_is_typed() -> None:
    """Messages interrupt the main thread, which waits there to write what readline draws."""
    script = Prompter()
    typed = "0123456789" * 20
    drawn = amount(6000, 2000)  # rows: far more than a terminal holds that nobody reads
    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type(typed)
        for _ in range(drawn // 200):
            person.type("\x01\x05" * 100)  # the row is drawn from its beginning, and from its end
        wait_until(lambda: person.is_full)
        waits = person.waits()
        script.send("in between")
        wait_until(lambda: person.waits() > waits + 3)
        person.wait_for("< in between")
        person.type("\r")
        wait_until(lambda: script.messages == [typed])
        script.send("after")
        person.wait_for(r"\n< after")
        assert person.leave() == 0
    # Each key drew one of these, whole.
    assert len(re.findall(r"\r<" + typed[-51:] + r"\x1b\[K", person.raw)) == drawn // 2
    assert len(re.findall(r" " + typed[:77] + r">\r", person.raw)) >= drawn // 2


@needs_line_editing
def test_history_brings_lines_back_and_editing_keys_work() -> None:
    script = Recorder()
    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("first\r")
        person.type("\x1b[A\x01the \x05 again\r")
        wait_until(lambda: script.messages == ["first", "the first again"])
        assert person.leave() == 0


@needs_line_editing
def test_the_server_ends_it_at_once_in_the_middle_of_a_line() -> None:
    released = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(released)
        peer.send_close(4001, "go away")
        read_to_the_close(peer)

    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("half a li")
        person.wait_for("half a li")
        released.set()
        assert person.wait_end() == 1
        assert termios.tcgetattr(person.theirs)[:4] == person.settings[:4]
    assert person.screen.lines[-1] == "syncws: the server closed: 4001 go away"


@needs_line_editing
def test_ctrl_c_closes_and_gives_the_terminal_back() -> None:
    script = Recorder()
    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"\n>")
        person.type("half")
        person.wait_for("half")
        person.type("\x03")
        assert person.wait_end() == 130
        assert termios.tcgetattr(person.theirs)[:4] == person.settings[:4]
    assert script.close_codes == [1001]
    assert "Traceback" not in person.raw


@needs_line_editing
def test_sigterm_closes_and_gives_the_terminal_back() -> None:
    script = Recorder()
    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"\n>")
        person.process.send_signal(signal.SIGTERM)
        assert person.wait_end() == 143
        assert termios.tcgetattr(person.theirs)[:4] == person.settings[:4]
    assert script.close_codes == [1001]


@needs_line_editing
def test_commands_ping_close_help_and_a_slash_that_is_none() -> None:
    script = Recorder()
    with LoopbackServer(script) as server, terminal(server.url) as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("/ping\r")
        person.wait_for(r"pong after \d+\.\d ms")
        person.type("/help\r")
        person.wait_for("/close .*\n")
        person.type("/pong\r")
        person.wait_for("no such command: /pong")
        person.type("//ping\r")
        wait_until(lambda: script.messages == ["/ping"])
        person.type("/close 999\r")
        person.wait_for("999")
        person.type("/close 4002 thank you\r")
        assert person.wait_end() == 0
    assert script.close_codes == [4002]


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


def test_the_time_is_up_in_a_conversation() -> None:
    with LoopbackServer() as server, terminal(server.url, "--timeout", "0.5") as person:
        assert person.wait_end() == 0
        assert termios.tcgetattr(person.theirs)[:4] == person.settings[:4]


@needs_line_editing
def test_the_message_that_is_wanted_ends_a_conversation() -> None:
    with LoopbackServer() as server, terminal(server.url, "--expect", "^ready") as person:
        person.wait_for(r"connected to ws:.*\n>")
        person.type("not yet\r")
        person.wait_for("< not yet")
        person.type("ready\r")
        assert person.wait_end() == 0
    assert person.screen.lines[-1] == "< ready"


def test_a_conversation_goes_on_over_a_loss_with_reconnect() -> None:
    visits: list[Peer] = []

    def script(peer: Peer) -> None:
        visits.append(peer)
        peer.accept()
        peer.send(f"visit {len(visits)}")
        if len(visits) > 1:
            peer.echo()

    arguments = ("--reconnect", "--max-pause", "0.01")
    with LoopbackServer(script) as server, terminal(server.url, *arguments) as person:
        person.wait_for("< visit 2")
        person.type("hello\r")
        person.wait_for("< hello")
        assert person.leave() == 0


def test_ctrl_d_leaves_while_there_is_no_connection() -> None:
    visits: list[Peer] = []

    def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) > 1:
            peer.refuse(503, [("Retry-After", "1000")])
        else:
            peer.accept()

    with (
        LoopbackServer(script) as server,
        terminal(server.url, "--reconnect", "--max-pause", "0.01") as person,
    ):
        wait_until(lambda: len(visits) > 2)
        assert person.leave() in (0, 3)


def test_a_program_reads_what_is_typed_when_stdout_is_a_pipe() -> None:
    script = (
        "import os, sys; os.execvp('bash', ['bash', '-c', '\"$0\" -m syncws \"$1\" | cat', *sys.argv[1:]])"
    )
    with LoopbackServer() as server:
        with Terminal([sys.executable, "-c", script, sys.executable, server.url], 80, 24, {}) as person:
            person.type("hello\r")
            person.wait_for("hello\nhello")
            assert person.leave() == 0
