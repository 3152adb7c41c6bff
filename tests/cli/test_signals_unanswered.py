"""A signal ends it quietly where nobody answers: neither the server, nor who should read what it prints."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import start
from tests.support.threads import all_at_once
from tests.support.waiting import AT_ONCE, SECONDS, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def fill_the_pipe() -> None:
    full = threading.Event()

    def flood(peer: Peer) -> None:
        peer.accept()
        peer.socket.settimeout(0.2)
        try:
            while True:
                peer.send("x" * 1000)
        except TimeoutError:
            full.set()
        peer.socket.settimeout(None)
        peer.wait_eof(SECONDS)

    with LoopbackServer(flood) as server, start(server.url, "--listen") as process:
        wait_for(full)
        process.send_signal(signal.SIGINT)
        assert process.wait(AT_ONCE) == 130
        assert process.stderr is not None and process.stderr.read() == b""


def answer_no_close() -> None:
    def stubborn(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        peer.wait_eof(SECONDS)

    with LoopbackServer(stubborn) as server, start(server.url, "--close-timeout", "none") as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"hello\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(AT_ONCE) == 130


def answer_no_goodbye() -> None:
    closing = threading.Event()

    def stubborn(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        while (frame := peer.recv_frame()).opcode != 8:
            peer.pong(frame.payload)
        closing.set()
        peer.wait_eof(SECONDS)

    with LoopbackServer(stubborn) as server, start(server.url, "-1", "--close-timeout", "none") as process:
        wait_for(closing)
        process.send_signal(signal.SIGINT)
        assert process.wait(AT_ONCE) == 130
        assert process.stderr is not None and process.stderr.read() == b""


def answer_no_ping(number: signal.Signals, status: int) -> None:
    got = threading.Event()

    def mute(peer: Peer) -> None:
        peer.accept()
        peer.recv_frame()  # its ping
        got.set()
        peer.wait_eof(SECONDS)

    arguments = ("--check", "--wait", "none", "--close-timeout", "none")
    with LoopbackServer(mute) as server, start(server.url, *arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        wait_for(got)
        process.send_signal(number)
        assert process.wait(AT_ONCE) == status
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


ENDS: dict[str, Callable[[], None]] = {
    "a full pipe": fill_the_pipe,
    "no answer to the close": answer_no_close,
    "no answer to the goodbye": answer_no_goodbye,
    "a check, SIGINT": partial(answer_no_ping, signal.SIGINT, 130),
    "a check, SIGTERM": partial(answer_no_ping, signal.SIGTERM, 143),
}


@pytest.fixture(scope="module")
def ends() -> dict[str, Future[None]]:
    """All of them, at once: each takes the second that a server has for its answer after a signal."""
    return all_at_once(ENDS)


def test_ctrl_c_ends_it_though_nobody_reads_the_pipe_that_is_full(ends: dict[str, Future[None]]) -> None:
    ends["a full pipe"].result()


def test_ctrl_c_ends_it_though_the_server_does_not_answer_the_close(ends: dict[str, Future[None]]) -> None:
    ends["no answer to the close"].result()


def test_a_second_ctrl_c_ends_the_goodbye(ends: dict[str, Future[None]]) -> None:
    ends["no answer to the goodbye"].result()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_check_that_waits(name: str, ends: dict[str, Future[None]]) -> None:
    """It does not wait for the server's Close, as long as --close-timeout says."""
    ends[f"a check, {name}"].result()
