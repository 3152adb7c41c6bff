"""The exit statuses 0 and 1: how the connection was closed, which a line on stderr tells a person."""

from __future__ import annotations

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import finish_all, start, syncws
from tests.cli.scripts import read_to_the_close, say


@pytest.mark.parametrize(
    ("code", "status"), [(1000, 0), (1001, 0), (None, 0), (4001, 1), (1011, 1), (3000, 1)]
)
def test_a_close_of_the_server_counts_by_its_code(code: int | None, status: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(f"echo {peer.recv()!s}")
        peer.send_close(code, "that is all" if code else "")
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, given=b"hello\n")
    assert (done.status, done.out) == (status, b"echo hello\n")
    assert done.err == f"syncws: the server closed: {f'{code} that is all' if code else 1005}\n"


def test_a_close_ends_it_at_once_though_stdin_stays_open() -> None:
    with LoopbackServer(say("bye", code=4001, reason="go away")) as server, start(server.url) as process:
        assert process.wait(60) == 1
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read() == b"bye\n"
        assert process.stderr.read() == b"syncws: the server closed: 4001 go away\n"


def test_a_url_without_a_scheme_is_told_what_was_meant() -> None:
    port, secret = finish_all(start("localhost:8765"), start("user:secret@host/?key=secret"))
    assert "did you mean ws://localhost:8765?" in port.err
    assert "secret" not in secret.err


def test_a_server_that_ends_tcp_at_our_close_does_no_harm() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(f"{peer.recv()!s}")
        while (frame := peer.recv_frame()).opcode != 8:
            peer.pong(frame.payload)

    with LoopbackServer(script) as server:
        done = syncws(server.url, given=b"hello\n")
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")


def test_a_server_that_never_answers_the_close_is_not_waited_for_long() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(f"{peer.recv()!s}")
        peer.wait_eof(60)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "-1", "--close-timeout", "0.1", given=b"hello\n")
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")
