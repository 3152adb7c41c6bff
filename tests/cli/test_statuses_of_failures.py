"""The exit statuses 3 and 4: the network, the time or TLS is the cause, and a line on stderr tells it."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import finish, finish_all, start, syncws
from tests.cli.scripts import answer, say
from tests.support.servers import refusing
from tests.support.waiting import wait_until


def test_3_is_a_port_that_nobody_serves() -> None:
    with refusing() as url:
        done = syncws(url, given=b"hello\n")
    assert (done.status, done.out) == (3, b"")
    assert "Connection refused" in done.err
    assert len(done.err.splitlines()) == 1


def test_3_is_a_name_that_nobody_has() -> None:
    done = syncws("ws://no-such-host.invalid/", given=b"hello\n")
    assert done.status == 3
    assert "no-such-host.invalid" in done.err


def test_3_is_a_loss() -> None:
    def drop(peer: Peer) -> None:
        peer.accept()
        peer.send(f"echo {peer.recv()!s}")

    with LoopbackServer(drop) as server:
        done = syncws(server.url, given=b"hello\n")
    assert (done.status, done.out) == (3, b"echo hello\n")
    assert "1006" in done.err


def test_3_is_a_reset() -> None:
    def reset(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        peer.reset()

    with LoopbackServer(reset) as server:
        assert syncws(server.url, given=b"hello\n").status == 3


def test_3_is_a_message_over_the_limit_which_is_told() -> None:
    with LoopbackServer(say("x" * 2000)) as server:
        done = syncws(server.url, "--listen", "--max-size", "1k")
    assert (done.status, done.out) == (3, b"")
    assert "1024" in done.err


@pytest.mark.parametrize("code", [1000, 4001])
def test_3_is_a_line_that_was_not_sent_though_the_close_was_orderly(code: int, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"line\n" * 5_000_000)  # far more than is on its way when the server closes
    with LoopbackServer(answer(None, code=code)) as server, file.open("rb") as lines:
        with start(server.url, stdin=lines.fileno()) as process:
            done = finish(process)
    assert (done.status, done.out) == (3, b"")
    assert done.err.endswith("not everything was sent: the connection was over\n")


def test_3_is_an_answer_that_does_not_come_to_the_handshake() -> None:
    with LoopbackServer(lambda peer: peer.read_request()) as server:
        assert syncws(server.url).status == 3


def test_3_is_a_handshake_that_takes_too_long() -> None:
    def stall(peer: Peer) -> None:
        peer.read_request()
        peer.wait_eof(60)

    with LoopbackServer(stall) as server:
        opening, done = finish_all(
            start(server.url, "--open-timeout", "0.2"), start(server.url, "--timeout", "0.2")
        )
        assert (opening.status, done.status) == (3, 3)
        assert re.search(r"was not open within 0\.\d{1,3} s", done.err)
    assert done.err


def test_4_is_a_certificate_that_does_not_verify(server_ssl_context: ssl.SSLContext) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        done, insecure = finish_all(start(server.url), start(server.url, "--insecure"), given=b"hello\n")
        assert (done.status, done.out) == (4, b"")
        assert "certificate verify failed" in done.err and "--ca file.pem" in done.err
        assert (insecure.status, insecure.out) == (0, b"hello\n")
        assert "warning: the certificate is not verified" in insecure.err


def test_4_is_tls_on_a_port_without_it() -> None:
    with LoopbackServer(lambda peer: peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        done = syncws(server.url.replace("ws:", "wss:"))
    assert done.status == 4


def test_what_the_network_does_not_take_is_not_done() -> None:
    ready = []

    def script(peer: Peer) -> None:
        peer.accept()
        ready.append(peer)
        peer.closing.wait(60)  # reads nothing

    with LoopbackServer(script, receive_buffer=65536) as server:
        arguments = ("--ping", "0.1", "--ping-timeout", "0.2", "--close-timeout", "0.1")
        with start(server.url, *arguments) as process:
            wait_until(lambda: bool(ready))
            done = finish(process, b"x" * 20_000_000 + b"\n")
    assert done.status == 3
    assert "not sent" in done.err or "1006" in done.err
