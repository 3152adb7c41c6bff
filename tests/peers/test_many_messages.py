"""Many messages travel between syncws and the servers that people use, over ws and wss."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.support.clients import Client
from tests.support.waiting import SECONDS

Connect = Callable[..., Client]


def test_1000_pipelined_messages_come_back_in_order(connect: Connect) -> None:
    # A server that drains only between messages must not stop us from reading meanwhile.
    sent = [f"{number}:" + "x" * (number * 7 % 3000) for number in range(1000)]
    with connect("/echo") as client:
        ws = client.wait_open()
        for message in sent:
            ws.send(message)
        assert [client.receive() for _ in sent] == sent
        assert ws.bufferedAmount == 0


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


def test_a_buffer_is_sent_as_it_was_at_the_call(connect: Connect) -> None:
    with connect("/echo") as client:
        ws = client.wait_open()
        data = bytearray(b"before" * 50000)
        for _ in range(5):
            ws.send(data)
        expected = bytes(data)
        data[:] = b"after!" * 50000
        assert [client.receive() for _ in range(5)] == [expected] * 5
