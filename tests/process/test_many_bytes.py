"""Tens of megabytes in both directions at once."""

from __future__ import annotations

import hashlib
import random
import threading
from typing import Any

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.clients import Client

TOTAL = 50 * 2**20
SIZE = 2**18


def make_data(seed: int) -> list[bytes]:
    block = random.Random(seed).randbytes(2**20)
    return [block[at % 2**19 :][:SIZE] for at in range(0, TOTAL, SIZE)]


def digest(messages: list[Any]) -> tuple[int, str]:
    return len(messages), hashlib.sha256(b"".join(messages)).hexdigest()


def test_50_mb_each_way_at_once_do_not_block_each_other() -> None:
    """The server sends with one thread and reads with another; the client's callback is never hurried."""

    def script(peer: Peer) -> None:
        def send_all() -> None:
            for message in from_server:
                peer.send(message)

        peer.accept()
        sender = threading.Thread(target=send_all)
        sender.start()
        received.append(digest([peer.recv() for _ in from_client]))
        sender.join()
        with pytest.raises(PeerClosed):
            peer.recv()
        peer.send_close(1000)

    from_server, from_client = make_data(1), make_data(2)
    received: list[tuple[int, str]] = []
    with LoopbackServer(script) as server:
        with Client(server.url, compression=None) as client:
            ws = client.wait_open()
            for message in from_client:
                ws.send(message)
            assert digest([client.receive() for _ in from_server]) == digest(from_server)
            ws.close()
            assert client.wait_closed().wasClean
    assert received == [digest(from_client)]


def test_50_mb_sent_back_from_the_message_callback_do_not_block() -> None:
    """The server reads nothing while it sends: only a client that goes on reading frees it."""

    def script(peer: Peer) -> None:
        peer.accept()
        for message in data:
            peer.send(message)
        received.append(digest([peer.recv() for _ in data]))
        peer.send_close(1000)
        with pytest.raises(PeerClosed):
            peer.recv()

    data = make_data(3)
    received: list[tuple[int, str]] = []
    with LoopbackServer(script) as server:
        with Client(
            server.url, compression=None, onmessage=lambda event: event.target.send(event.data)
        ) as client:
            assert client.wait_closed().wasClean
    assert received == [digest(data)]
