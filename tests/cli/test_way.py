"""Options of the command line that stand for one option of `connect` each: they work where that is there."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, read_to_the_close
from tests.support.waiting import SECONDS


def test_a_proxy_is_asked_for_the_server() -> None:
    asked: list[str] = []

    def proxy(peer: Peer) -> None:
        request = peer.read_request()
        asked.append(f"{request.method} {request.target}")
        peer.send_bytes(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.read_request()  # from here on it is the server
        peer.accept()
        peer.echo()

    with LoopbackServer(proxy) as server:
        proxy_url = f"http://127.0.0.1:{server.port}"
        done = syncws("ws://chat.invalid/", "--proxy", proxy_url, given=b"hello\n")
        assert (done.status, done.out, done.err) == (0, b"hello\n", "")
        assert asked == ["CONNECT chat.invalid:80"]
    refused = syncws("ws://chat.invalid/", "--proxy", proxy_url)
    assert refused.status == 3


def test_a_proxy_of_the_environment_can_be_refused() -> None:
    environment = {"http_proxy": "http://127.0.0.1:1", "ws_proxy": "http://127.0.0.1:1", "no_proxy": "none"}
    with LoopbackServer() as server:
        done = syncws(server.url, "--proxy", "none", given=b"hello\n", environment=environment)
    assert (done.status, done.out) == (0, b"hello\n")


@contextlib.contextmanager
def unix_door(path: Path, port: int) -> Iterator[None]:
    """A Unix socket that leads to a port, for one connection."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with listener.accept()[0] as near, socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=carry, args=(far, near))
            back.start()
            carry(near, far)
            back.join(SECONDS)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(SECONDS)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server, unix_door(tmp_path / "door", server.port):
        done = syncws("ws://chat.invalid/", "--unix", str(tmp_path / "door"), given=b"hello\n")
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")
    assert script.headers["host"] == "chat.invalid"


def test_addresses_of_one_kind_alone_are_used() -> None:
    with LoopbackServer() as server:
        url = f"ws://localhost:{server.port}/"
        assert syncws(url, "-4", given=b"hello\n").out == b"hello\n"
        assert syncws(url, "-6").status == 3


def test_cookies_are_sent_and_stored(tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    seen: list[str | None] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request().headers.get("Cookie"))
        peer.accept(headers=[("Set-Cookie", "session=42; Max-Age=1000")])
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        for _ in range(2):
            done = syncws(server.url, "--cookies", str(jar))
            assert (done.status, done.err) == (0, "")
    assert seen == [None, "session=42"]
    assert "session\t42" in jar.read_text()


def test_cookies_that_cannot_be_stored_are_no_success(tmp_path: Path) -> None:
    with LoopbackServer() as server:
        done = syncws(server.url, "--cookies", str(tmp_path / "none" / "cookies.txt"), given=b"hello\n")
    assert (done.status, done.out) == (2, b"hello\n")
    assert "the cookies cannot be stored: No such file" in done.err


def test_a_file_that_holds_no_cookies_is_told(tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    jar.write_text("session=42\n")
    done = syncws("ws://127.0.0.1:8765/", "--cookies", str(jar))
    assert (done.status, done.out) == (2, b"")
    assert "Netscape" in done.err


def test_redirects_are_followed_when_that_is_asked_for() -> None:
    with LoopbackServer() as there:

        def redirect(peer: Peer) -> None:
            peer.refuse(302, [("Location", there.url)])

        with LoopbackServer(redirect) as here:
            assert syncws(here.url).status == 5
            done = syncws(here.url, "--redirects", "1", given=b"hello\n")
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")


def test_a_server_that_selects_no_subprotocol_can_be_taken() -> None:
    with LoopbackServer() as server:
        refused = syncws(server.url, "-s", "chat")
        assert (refused.status, "(--any-subprotocol lets such a connection open)" in refused.err) == (5, True)
        assert syncws(server.url, "-s", "chat", "--any-subprotocol", given=b"hello\n").out == b"hello\n"


def test_a_port_that_browsers_block_can_be_used() -> None:
    assert syncws("ws://127.0.0.1:6667/").status == 2
    assert syncws("ws://127.0.0.1:6667/", "--allow-blocked-port", "--timeout", "5").status == 3
