"""Pipes: readers that leave, or are slow; answers that come while stdin is open, or long after its end."""

from __future__ import annotations

import sys

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import finish, start, syncws
from tests.cli.scripts import Recorder, answer, read_to_the_close, say, send
from tests.cli.shell import shell
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell's ways with pipes are POSIX")


def talkative(peer: Peer) -> None:
    """Send as fast as the client takes it, until it closes."""
    peer.accept()
    try:
        while True:
            peer.send("line of a server that does not stop")
    except OSError:
        return


def test_head_ends_it_quietly() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        done = shell("seq 1 100000 | syncws $url | head -1", server.url)
    assert (done.stdout, done.stderr) == (b"1\n", b"")
    assert script.close_codes == [1000]


def test_head_ends_it_quietly_though_the_server_never_stops() -> None:
    with LoopbackServer(talkative) as server:
        done = shell("syncws --listen $url | head -2; echo ${PIPESTATUS[0]}", server.url)
    assert done.stdout.splitlines()[1:] == [b"line of a server that does not stop", b"0"]
    assert done.stderr == b""


def test_head_ends_it_though_no_second_message_comes_and_stdin_stays_open() -> None:
    with LoopbackServer(say("only one")) as server, start(server.url) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(9) == b"only one\n"
        process.stdout.close()
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == b""


def test_answers_come_while_stdin_is_still_open() -> None:
    with LoopbackServer() as server, start(server.url) as process:
        assert process.stdin is not None and process.stdout is not None
        for word in (b"one\n", b"two\n", b"three\n"):
            process.stdin.write(word)
            assert process.stdout.read(len(word)) == word
        assert finish(process).status == 0


def test_slow_answers_are_waited_for_after_the_end_of_stdin() -> None:
    released = []

    def slow(peer: Peer) -> None:
        peer.accept()
        first, second = peer.recv(), peer.recv()
        peer.closing.wait(0.1)
        send(peer, first)
        peer.closing.wait(0.1)
        released.append(True)
        send(peer, second)
        read_to_the_close(peer)

    with LoopbackServer(slow) as server:
        done = syncws(server.url, given=b"a\nb\n")
    assert (done.status, done.lines) == (0, ["a", "b"])


def test_a_reader_that_is_slow_gets_everything() -> None:
    count = 3000
    with LoopbackServer(answer(*[f"{number} {'x' * 100}" for number in range(count)])) as server:
        done = shell(f"seq {count} | syncws $url | (sleep 0.5; cat) | wc -l", server.url)
    assert (done.returncode, int(done.stdout)) == (0, count)
