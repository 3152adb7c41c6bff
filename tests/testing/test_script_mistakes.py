"""What a script does wrong is told by name, to the test and to the client."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer
from tests.support.waiting import SECONDS


@pytest.fixture(autouse=True)
def closing_on_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs find it: the tests of the client itself turn this off."""
    monkeypatch.setattr(LoopbackServer, "close_on_return", True)


def answer_of(script: Callable[..., Any]) -> syncws.HandshakeError:
    """What a client sees that connects to a server with this script."""
    server = LoopbackServer(script)
    try:
        with pytest.raises(syncws.HandshakeError) as caught:
            syncws.connect(server.url, open_timeout=SECONDS)
    finally:
        server.take_errors()
        server.stop()
    return caught.value


@pytest.mark.parametrize(
    "call",
    [
        lambda peer: peer.send("hello"),
        lambda peer: peer.recv(),
        lambda peer: list(peer),
        lambda peer: peer.echo(),
        lambda peer: peer.ping(),
        lambda peer: peer.pong(),
        lambda peer: peer.close(),
        lambda peer: peer.send_close(),
    ],
    ids=["send", "recv", "iteration", "echo", "ping", "pong", "close", "send_close"],
)
def test_a_message_before_accept_names_accept(call: Callable[[Peer], object]) -> None:
    with pytest.raises(RuntimeError, match=r"must call accept\(\) first"), LoopbackServer(call) as server:
        with pytest.raises(syncws.HandshakeError, match=r"500 .* must call accept\(\) first"):
            syncws.connect(server.url, open_timeout=SECONDS)


def test_a_script_may_write_its_answer_by_hand() -> None:
    def script(peer: Peer) -> None:
        peer.send_bytes(b"HTTP/1.1 101 x\r\n\r\n")
        peer.ping()

    with LoopbackServer(script) as server, pytest.raises(syncws.HandshakeError, match="Upgrade"):
        syncws.connect(server.url, open_timeout=SECONDS)


def test_accept_twice_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.accept()

    with pytest.raises(RuntimeError, match=r"has called accept\(\) before"), LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(syncws.ConnectionClosed, match="1011 RuntimeError"):
                connection.recv(SECONDS)


def test_a_script_that_fails_before_it_reads_the_request_is_told_with_500() -> None:
    answer = answer_of(lambda peer: 1 / 0)
    assert answer.status == 500
    assert answer.body == b"ZeroDivisionError in the server's script: division by zero"


def test_a_script_that_takes_no_peer_is_told_with_500() -> None:
    assert b"takes 0 positional arguments" in answer_of(lambda: None).body


def test_an_async_script_is_refused() -> None:
    async def script(peer: Peer) -> None: ...

    assert b"a script is a plain function" in answer_of(script).body


def test_a_script_with_a_yield_is_refused() -> None:
    def generates(peer: Peer) -> Any:
        peer.accept()
        yield

    async def generates_async(peer: Peer) -> Any:
        peer.accept()
        yield

    for script in (generates, generates_async):
        assert b"with a yield in it does not run" in answer_of(script).body


@pytest.mark.parametrize("script", [lambda peer: None, lambda peer: peer.request], ids=["nothing", "read"])
def test_a_script_that_returns_without_an_answer_is_told_to_the_client(
    script: Callable[[Peer], object],
) -> None:
    with LoopbackServer(script) as server:
        with pytest.raises(syncws.HandshakeError, match=r"returned without accept\(\) or refuse\(\)"):
            syncws.connect(server.url)


@pytest.mark.parametrize(
    "script",
    [lambda peer: peer.cut(), lambda peer: peer.reset(), lambda peer: peer.half_close()],
    ids=["cut", "reset", "half_close"],
)
def test_a_script_that_has_ended_tcp_is_not_taken_for_one_that_forgot_to_answer(
    script: Callable[[Peer], object],
) -> None:
    with LoopbackServer(script) as server:
        with pytest.raises(syncws.ConnectionLost):
            syncws.connect(server.url)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda peer: peer.close(4000, "é" * 62), "123 bytes at most, and this one 124 "),
        (lambda peer: peer.close(99999), "99999 does not fit into"),
        (lambda peer: peer.close(-1), "-1 does not fit into"),
        (lambda peer: peer.send_close(None, "bye"), "without a code there can be no reason"),
    ],
    ids=["long", "large", "negative", "no code"],
)
def test_a_close_that_no_frame_can_hold_is_told(call: Callable[[Peer], object], said: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        call(peer)

    with pytest.raises(ValueError, match=said), LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(syncws.ConnectionClosed, match=f"1011 ValueError .*{said}"):
                connection.recv(SECONDS)


def test_a_refusal_of_what_is_open_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.refuse(503)

    with pytest.raises(RuntimeError, match=r"has called accept\(\) before"), LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(syncws.ConnectionClosed, match="1011 RuntimeError"):
                connection.recv(SECONDS)


def test_one_subprotocol_may_be_a_string() -> None:
    with LoopbackServer(protocols="chat") as server:
        with syncws.connect(server.url, "chat") as connection:
            assert connection.protocol == "chat"


def test_connections_are_counted_from_1() -> None:
    with LoopbackServer() as server, syncws.connect(server.url):
        with pytest.raises(ValueError, match="counted from 1"):
            server.wait_connection(0)


@pytest.mark.parametrize("sent", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"], ids=["line", "field"])
def test_what_is_no_request_is_quoted(sent: bytes) -> None:
    with (
        pytest.raises(ValueError, match="the client sent no HTTP request, but b'"),
        LoopbackServer() as server,
    ):
        with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)  # so that the server does not wait for a request after all
            client.recv(1 << 16)


def test_a_client_that_sends_no_request_does_not_hold_a_script_that_failed() -> None:
    with LoopbackServer(lambda peer: 1 / 0) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.settimeout(SECONDS)
            assert client.recv(1) == b""
        assert [type(error) for error in server.take_errors()] == [ZeroDivisionError]


@pytest.mark.parametrize("data", [{"a": 1}, [1, 2], 5, None])
def test_a_message_that_is_neither_text_nor_bytes_is_a_type_error(data: Any) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(data)

    text = f"data must be a str or a bytes-like object, not {type(data).__name__} .json.dumps makes a str"
    with pytest.raises(TypeError, match=text), LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(syncws.ConnectionClosed, match="1011 TypeError"):
                connection.recv(SECONDS)
