"""Ctrl-C ends it quietly where nobody answers: neither the server, nor who should read what it prints."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import start
from tests.support.threads import Task, all_at_once
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


ENDS: dict[str, Callable[[], None]] = {
    "a full pipe": fill_the_pipe,
    "no answer to the close": answer_no_close,
    "no answer to the goodbye": answer_no_goodbye,
}


@pytest.fixture(scope="module")
def ends() -> dict[str, Task[None]]:
    """All of them, at once: each takes the second that a server has for its answer after Ctrl-C."""
    return all_at_once(ENDS)


def test_ctrl_c_ends_it_though_nobody_reads_the_pipe_that_is_full(ends: dict[str, Task[None]]) -> None:
    ends["a full pipe"].result()


def test_ctrl_c_ends_it_though_the_server_does_not_answer_the_close(ends: dict[str, Task[None]]) -> None:
    ends["no answer to the close"].result()


def test_a_second_ctrl_c_ends_the_goodbye(ends: dict[str, Task[None]]) -> None:
    ends["no answer to the goodbye"].result()
