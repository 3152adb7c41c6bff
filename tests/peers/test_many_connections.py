"""Many connections at once to the servers that people use, over ws and wss."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.support.clients import Client
from tests.support.waiting import SECONDS

Connect = Callable[..., Client]


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
