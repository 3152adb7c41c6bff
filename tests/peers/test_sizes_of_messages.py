"""Messages of every size and form travel between syncws and the servers that people use, over ws and wss."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.support.clients import Client

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 2**20, 5 * 2**20)
Connect = Callable[..., Client]


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


@pytest.mark.parametrize(
    "root", ["websockets ws", "websockets wss", "node-ws ws", "node-ws wss"], indirect=True
)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_message_that_the_server_fragments_arrives_whole(connect: Connect, compression: str | None) -> None:
    with connect("/fragments", compression=compression) as client:
        assert client.receive() == "grüße"
        assert client.receive() == b"\0\1" + b"\2" * 70000 + b"\3"
        assert client.wait_closed().wasClean
