"""The end of a conversation at a terminal, and how it goes on over a loss."""

from __future__ import annotations

import sys
import threading

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import signal
import termios

from syncws.testing import LoopbackServer, Peer
from tests.cli.screen import needs_line_editing, terminal
from tests.cli.scripts import Recorder, read_to_the_close
from tests.support.waiting import wait_for, wait_until


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


def test_what_was_typed_without_a_connection_is_told_by_the_status_too() -> None:
    visits: list[Peer] = []

    def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) > 1:
            peer.refuse(503)
        else:
            peer.accept()

    with (
        LoopbackServer(script) as server,
        terminal(server.url, "--reconnect", "--max-pause", "0.01") as person,
    ):
        wait_until(lambda: len(visits) > 2)
        person.type("/ping\r")
        person.wait_for("no ping: ")
        person.type("hello\r")
        person.wait_for("not sent: ")
        assert person.leave() == 3
