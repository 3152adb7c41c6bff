"""A connection that cannot be opened: the error says what was tried and what came back; `open_timeout`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from syncws import ConnectionLost, HandshakeError, WebSocket, WebSocketError
from syncws.testing import LoopbackServer, Peer, accept_key
from tests.support.clients import Recorder, run
from tests.support.servers import drain, hold, unanswering
from tests.support.waiting import SECONDS, wait_for


def fail(url: str, **options: Any) -> Recorder:
    recorder = Recorder()
    ws = WebSocket(url, **recorder.handlers, **options)
    ws.join(SECONDS)
    assert recorder.types == ["error", "close"]
    assert recorder.failed
    return recorder


def test_refusal_carries_status_headers_and_the_beginning_of_the_body() -> None:
    body = b"<p>no entry</p>" + b"x" * 10_000

    def script(peer: Peer) -> None:
        peer.refuse(403, reason="Forbidden", headers=[("X-Why", "because"), ("X-Why", "so")], body=body)

    error = run(script).error
    assert isinstance(error.error, HandshakeError)
    assert isinstance(error.error, WebSocketError)
    assert error.error.status == 403
    assert error.error.headers.get_all("x-why") == ["because", "so"]
    assert error.error.headers["X-WHY"] == "because, so"
    assert error.error.body == body
    assert len(error.message) < 500
    for word in ("ws://127.0.0.1:", "403", "Forbidden", "no entry"):
        assert word in error.message


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 400, 401, 404, 426, 429, 500, 503, 599])
def test_every_status_but_101_is_a_refusal(status: int) -> None:
    headers = [("Location", "ws://127.0.0.1:1/else"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    connections: list[int] = []

    def script(peer: Peer) -> None:
        connections.append(1)
        peer.refuse(status, reason="", headers=headers)

    error = run(script).error.error
    assert isinstance(error, HandshakeError)
    assert error.status == status
    assert str(status) in str(error)
    assert connections == [1]


def test_body_of_a_refusal_without_a_length_ends_with_tcp() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 500 Oops\r\n\r\npart one, ")
        peer.send_bytes(b"part two")

    error = run(script).error.error
    assert isinstance(error, HandshakeError)
    assert error.body == b"part one, part two"


def answer(**changes: str | None) -> Callable[[Peer], None]:
    """A script whose 101 differs from the right one."""

    def script(peer: Peer) -> None:
        key = peer.read_request().headers.get("Sec-WebSocket-Key")
        assert key is not None
        fields: dict[str, str | None] = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(key),
        }
        fields.update({name.replace("_", "-"): value for name, value in changes.items() if name != "status"})
        lines = [changes.get("status") or "HTTP/1.1 101 Switching Protocols"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        peer.send_bytes("\r\n".join([*lines, "", ""]).encode())
        drain(peer)

    return script


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"Upgrade": None}, "Upgrade"),
        ({"Upgrade": "h2c"}, "h2c"),
        ({"Connection": None}, "Connection"),
        ({"Connection": "close"}, "close"),
        ({"Sec-WebSocket-Accept": None}, "Sec-WebSocket-Accept"),
        ({"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ({"status": "HTTP/0.9 101 Switching Protocols"}, "HTTP/0.9"),
        ({"status": "HTTP/2.0 101 OK"}, "HTTP/2.0"),
        ({"status": "SSH-2.0-OpenSSH_9.6"}, "SSH-2.0"),
        ({"status": "HTTP/1.1 1O1 OK"}, "1O1"),
        ({"X-Bad": "a\r\n folded"}, "folded"),
        ({"No Token": "a"}, "No Token"),
    ],
)
def test_answer_that_is_not_a_right_101_says_what_is_wrong_with_it(changes: Any, says: str) -> None:
    error = run(answer(**changes)).error
    assert isinstance(error.error, HandshakeError)
    assert says in error.message


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, UPGRADE"},
        {"status": "HTTP/1.1 101 "},
        {"status": "HTTP/1.0 101 Switching Protocols"},
        {"status": "HTTP/1.1 101"},
        {"X-More": ""},
    ],
)
def test_answer_may_differ_in_case_and_in_what_does_not_matter(changes: Any) -> None:
    recorder = Recorder()
    with LoopbackServer(answer(**changes)) as server:
        ws = WebSocket(server.url, **recorder.handlers, close_timeout=0.05)
        recorder.wait("open")
        ws.close()
        ws.join(SECONDS)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"HTTP/1.1 101 OK\r\nX: " + b"x" * 2**17, "longer than"),
        (b"HTTP/1.1 " + b"1" * 2**17, "longer than"),
        (b"HTTP/1.1 101 OK\r\n" + b"X: y\r\n" * 5000, "header fields"),
        (b"HTTP/1.1 101 OK\r\n" + b"X: " + b"y" * 8000 + b"\r\n", ""),
        (b"HTTP/1.1 101 OK\r\n" + (b"X: " + b"y" * 8000 + b"\r\n") * 200, "larger than"),
        (b"HTTP/1.1 101 OK\nX: y\n\n", "no Upgrade"),
        (b"\0" * 100, "not HTTP"),
        (b"\x15\x03\x01\0\2\2\x46", "not HTTP"),
    ],
)
def test_answer_beyond_the_limits_or_no_http_is_refused(sent: bytes, says: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(sent)
        peer.half_close()
        drain(peer)

    error = run(script).error
    assert isinstance(error.error, WebSocketError)
    assert says in error.message


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 101 Switch"])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_tcp_that_ends_during_the_handshake_says_so_and_what_came(sent: bytes, how: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(sent)
        if how == "reset":
            peer.reset()

    error = run(script).error
    assert isinstance(error.error, ConnectionLost)
    assert "handshake" in error.message
    if how == "fin":
        assert sent.decode() in error.message


def test_interim_answers_before_the_final_one_are_passed_over() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        peer.refuse(418, reason="I'm a teapot")

    error = run(script).error.error
    assert isinstance(error, HandshakeError) and error.status == 418


def test_port_where_nobody_listens_is_the_systems_error_that_says_where() -> None:
    with unanswering() as url:
        pass  # the port is free again
    error = fail(url).error
    assert isinstance(error.error, ConnectionRefusedError)
    assert "127.0.0.1" in error.message and url.rpartition(":")[2].rstrip("/") in error.message
    assert isinstance(error.error.__cause__, OSError)


def test_name_that_does_not_resolve_is_a_gaierror_that_names_it() -> None:
    error = fail("ws://nowhere.invalid/").error
    assert isinstance(error.error, socket.gaierror)
    assert "'nowhere.invalid'" in error.message


def test_tls_with_a_server_that_speaks_none_says_so() -> None:
    with LoopbackServer(lambda peer: peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        error = fail(server.url.replace("ws:", "wss:")).error
    assert "TLS" in error.message
    assert isinstance(error.error, OSError)


def assert_timed_out(recorder: Recorder, began: float, timeout: float) -> None:
    error = recorder.error
    assert time.monotonic() - began >= timeout
    assert isinstance(error.error, TimeoutError)
    assert f"open_timeout={timeout}" in error.message and "127.0.0.1" in error.message


def test_open_timeout_ends_the_wait_for_an_answer() -> None:
    began = time.monotonic()
    with unanswering() as url:
        assert_timed_out(fail(url, open_timeout=0.1), began, 0.1)


def test_open_timeout_ends_a_tls_handshake_that_nobody_answers() -> None:
    began = time.monotonic()
    with unanswering() as url:
        recorder = fail(url.replace("ws:", "wss:"), open_timeout=0.1)
    assert_timed_out(recorder, began, 0.1)
    assert "TLS" in recorder.error.message


def test_open_timeout_ends_a_name_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: object) -> NoReturn:
        wait_for(release)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    error = fail("ws://slow.test/", open_timeout=0.1).error
    assert isinstance(error.error, TimeoutError)
    assert "looking up 'slow.test'" in error.message
    release.set()


def test_open_timeout_counts_over_everything_though_bytes_keep_coming() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 101 OK\r\n")
        while not peer.closing.wait(0.02):
            peer.send_bytes(b"X: y\r\n")

    recorder, began = Recorder(), time.monotonic()
    with LoopbackServer(script) as server:
        WebSocket(server.url, **recorder.handlers, open_timeout=0.3).join(SECONDS)
    assert_timed_out(recorder, began, 0.3)


def test_open_timeout_ends_a_flood_of_interim_answers() -> None:
    """The bytes never stop, so the client never comes to wait for any."""

    def script(peer: Peer) -> None:
        peer.read_request()
        flood = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2000
        while True:
            peer.send_bytes(flood)

    recorder = run(script, open_timeout=0.3)
    assert recorder.types == ["error", "close"]
    assert recorder.failed


def test_open_timeout_ends_a_request_that_the_server_does_not_take() -> None:
    recorder, began = Recorder(), time.monotonic()
    with LoopbackServer(hold, receive_buffer=4096) as server:
        ws = WebSocket(server.url, **recorder.handlers, headers={"X-Big": "x" * 2**24}, open_timeout=0.3)
        ws.join(SECONDS)
    assert_timed_out(recorder, began, 0.3)


def test_close_ends_a_request_that_the_server_does_not_take() -> None:
    recorder = Recorder()
    with LoopbackServer(hold, receive_buffer=4096) as server:
        ws = WebSocket(server.url, **recorder.handlers, headers={"X-Big": "x" * 2**24}, open_timeout=None)
        ws.close()
        ws.join(SECONDS)
    assert recorder.types == ["error", "close"]
    assert recorder.failed
