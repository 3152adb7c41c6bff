"""A person at a terminal: typing, messages that arrive meanwhile, and commands."""

from __future__ import annotations

import re
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)


from syncws.testing import LoopbackServer, Peer
from tests.cli.screen import IS_PYPY, Terminal, needs_line_editing, terminal
from tests.cli.scripts import Recorder, read_to_the_close
from tests.support.stress import amount, turns
from tests.support.waiting import wait_until

COLUMNS = [80, 110]


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


def test_a_program_reads_what_is_typed_when_stdout_is_a_pipe() -> None:
    script = (
        "import os, sys; os.execvp('bash', ['bash', '-c', '\"$0\" -m syncws \"$1\" | cat', *sys.argv[1:]])"
    )
    with LoopbackServer() as server:
        with Terminal([sys.executable, "-c", script, sys.executable, server.url], 80, 24, {}) as person:
            person.type("hello\r")
            person.wait_for("hello\nhello")
            assert person.leave() == 0
