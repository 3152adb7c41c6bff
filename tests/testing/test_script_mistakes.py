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

    with pytest.raises(TypeError, match="bytes-like"), LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(syncws.ConnectionClosed, match="1011 TypeError"):
                connection.recv(SECONDS)
