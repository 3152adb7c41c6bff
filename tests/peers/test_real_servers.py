"""What travels between syncws and the servers that people use, over ws and wss."""

from __future__ import annotations

import json
import os
import random
import ssl
import uuid
from collections.abc import Callable
from urllib.parse import quote

import pytest

from syncws import HandshakeError
from tests.support.clients import Client
from tests.support.waiting import SECONDS

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 2**20, 5 * 2**20)
CHAT = "chat.v2"
LONG_REASON = "é" * 61
Connect = Callable[..., Client]


@pytest.fixture
def connect(root: str, client_ssl_context: ssl.SSLContext) -> Connect:
    """Opens a recorded connection to a path of the present server."""

    def connect(path: str, *arguments: object, **options: object) -> Client:
        context = client_ssl_context if root.startswith("wss") else None
        return Client(root + path, *arguments, ssl_context=context, **options)  # type: ignore[arg-type]

    return connect


def make_payload(size: int, seed: int) -> bytes:
    """Bytes of which the first half compresses and the second does not."""
    noise = random.Random(seed).randbytes(size - size // 2)
    return (b"All work and no play. " * (size // 44 + 1))[: size // 2] + noise


@pytest.mark.parametrize("compression", ["deflate", None])
def test_text_and_binary_of_every_size_come_back_as_sent(connect: Connect, compression: str | None) -> None:
    with connect("/echo", compression=compression) as client:
        ws = client.wait_open()
        assert ("permessage-deflate" in ws.extensions) is (compression == "deflate")
        for size in SIZES:
            data = make_payload(size, size)
            text = data[: 2**20].decode("latin-1")  # a quarter of it takes two bytes in UTF-8
            for message in (data, text):
                ws.send(message)
                assert client.receive() == message
        ws.close()
        assert client.wait_closed().wasClean


def test_a_buffer_is_sent_as_it_was_at_the_call(connect: Connect) -> None:
    with connect("/echo") as client:
        ws = client.wait_open()
        data = bytearray(b"before" * 50000)
        for _ in range(5):
            ws.send(data)
        expected = bytes(data)
        data[:] = b"after!" * 50000
        assert [client.receive() for _ in range(5)] == [expected] * 5


def test_1000_pipelined_messages_come_back_in_order(connect: Connect) -> None:
    # A server that drains only between messages must not stop us from reading meanwhile.
    sent = [f"{number}:" + "x" * (number * 7 % 3000) for number in range(1000)]
    with connect("/echo") as client:
        ws = client.wait_open()
        for message in sent:
            ws.send(message)
        assert [client.receive() for _ in sent] == sent
        assert ws.bufferedAmount == 0


@pytest.mark.parametrize(
    "root", ["websockets ws", "websockets wss", "node-ws ws", "node-ws wss"], indirect=True
)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_message_that_the_server_fragments_arrives_whole(connect: Connect, compression: str | None) -> None:
    with connect("/fragments", compression=compression) as client:
        assert client.receive() == "grüße"
        assert client.receive() == b"\0\1" + b"\2" * 70000 + b"\3"
        assert client.wait_closed().wasClean


def test_the_subprotocol_that_the_server_selects_is_shown(connect: Connect) -> None:
    with connect("/echo", ["chat.v1", CHAT]) as client:
        assert client.wait_open().protocol == CHAT


def test_a_server_that_selects_no_subprotocol_of_those_asked_for_fails_the_connection(
    connect: Connect,
) -> None:
    with connect("/echo", ["chat.v1"]) as client:
        error = client.wait_failed()
    assert isinstance(error, HandshakeError)
    assert "chat.v1" in str(error)


def test_a_ping_of_the_server_is_answered_with_its_payload(connect: Connect) -> None:
    with connect("/ping") as client:
        assert client.receive() == "are you there?"


def test_pings_of_ours_keep_the_connection_alive(connect: Connect) -> None:
    # The server answers within the time, or the second ping finds the link dead.
    with connect("/echo", ping_interval=0.05, ping_timeout=SECONDS) as client:
        ws = client.wait_open()
        for number in range(200):
            ws.send(str(number))
            assert client.receive() == str(number)
        assert ws.readyState == ws.OPEN


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1000, "done"), (1001, "bye"), (4999, LONG_REASON)],
    ids=["code", "1000", "1001", "long"],
)
def test_code_and_reason_of_the_server_reach_the_close_event(
    connect: Connect, code: int, reason: str
) -> None:
    with connect(f"/close?code={code}&reason={quote(reason)}") as client:
        closed = client.wait_closed()
    assert (closed.code, closed.reason, closed.wasClean) == (code, reason, True)
    assert client.order == ["open", "close"]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (3001, "bye"), (4999, LONG_REASON)], ids=["code", "3001", "long"]
)
def test_code_and_reason_of_ours_reach_the_server(connect: Connect, code: int, reason: str) -> None:
    name = uuid.uuid4()
    with connect(f"/record?name={name}") as client:
        client.wait_open().close(code, reason)
        closed = client.wait_closed()
    assert closed.wasClean
    assert closed.code in (code, 1000)  # aiohttp answers 1000 to every code; the others echo it
    with connect(f"/recorded?name={name}") as client:
        assert json.loads(client.receive()) == {"code": code, "reason": reason}


def test_close_without_a_code_shows_1005(connect: Connect) -> None:
    with connect("/echo") as client:
        client.wait_open().close(None)
        closed = client.wait_closed()
    assert closed.wasClean
    assert closed.code in (1000, 1005)  # some servers answer 1000 where there was nothing to echo


def test_a_refusal_carries_status_headers_and_body(connect: Connect) -> None:
    with connect("/forbidden") as client:
        error = client.wait_failed()
    assert isinstance(error, HandshakeError)
    assert error.status == 403
    assert error.body.strip() == b"no entry"
    assert error.headers["x-why"] == "closed"
    assert "403" in str(error)
    assert client.order == ["error", "close"]


def test_50_connections_at_once_keep_their_messages_apart(connect: Connect) -> None:
    clients = [connect("/echo") for _ in range(50)]
    try:
        payloads = [os.urandom(1000) for _ in clients]
        for client, payload in zip(clients, payloads, strict=True):
            ws = client.wait_open()
            for number in range(10):
                ws.send(payload + bytes((number,)))
        for client, payload in zip(clients, payloads, strict=True):
            assert [client.receive() for _ in range(10)] == [
                payload + bytes((number,)) for number in range(10)
            ]
    finally:
        for client in clients:
            client.ws.close()
        for client in clients:
            client.ws.join(SECONDS)
    assert all(client.closed is not None and client.closed.wasClean for client in clients)
