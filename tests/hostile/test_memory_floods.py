"""Floods cannot make the client's memory swell; measured in a process of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import zlib

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.hostile.hostile_server import APIS, ENDS_WITHIN, read_to_end
from tests.hostile.memory import LIMIT_KB, greet, run_client
from tests.support.memory import STATUS
from tests.support.stress import amount, turns

# What these tests look at, both APIs share.
one_api = pytest.mark.parametrize("api", sorted(APIS)[: amount(2, 1)])

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")


def until_stalled(peer: Peer, data: bytes, limit: int) -> int:
    """Send the same again and again until the client takes no more; how often it went out whole."""
    sent = 0
    peer.socket.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while sent < limit:
            sent += peer.socket.send(data[sent % len(data) :])
    peer.socket.settimeout(None)
    return sent // len(data)


@one_api
def test_a_ping_flood_whose_answers_are_not_read_does_not_make_memory_swell(api: str) -> None:
    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        greet(peer)
        for _ in range(200):
            peer.send_bytes(frame_bytes(Opcode.PING, bytes(125)) * 1000)
        peer.send_close()
        read_to_end(peer, 4 * ENDS_WITHIN)

    with LoopbackServer(script) as server, run_client(api, server.url, "{}") as client:
        said, complaint = client.communicate(timeout=4 * ENDS_WITHIN)
    assert not complaint
    result = json.loads(said)
    assert result["error"] == ""
    assert result["rise"] < LIMIT_KB


@one_api
def test_small_messages_that_each_inflate_to_max_size_come_one_after_the_other(api: str) -> None:
    size, count = 2**23, amount(32, 24)  # far more than the limit, if all were there at once
    small = zlib.compress(bytes(size), 9)[2:-4]  # one final block and more, which RFC 7692 7.2.3.4 allows

    def script(peer: Peer) -> None:
        greet(peer)
        peer.send_bytes(frame_bytes(Opcode.BINARY, small, rsv=4) * count)  # few reads of the client's
        peer.send_close()
        read_to_end(peer, 4 * ENDS_WITHIN)

    options = json.dumps({"max_size": size})
    with LoopbackServer(script) as server, run_client(api, server.url, options) as client:
        said, complaint = client.communicate(timeout=4 * ENDS_WITHIN)
    assert not complaint
    result = json.loads(said)
    assert (result["error"], result["messages"]) == ("", count)
    assert result["rise"] < LIMIT_KB


# A block of frames, and how many messages it is.
FLOODS = {
    "tiny messages": (frame_bytes(Opcode.BINARY, bytes(20)) * 2000, 2000),
    "long messages": (frame_bytes(Opcode.BINARY, bytes(60_000)), 1),
}


@pytest.mark.parametrize(("name", "api"), turns(FLOODS, sorted(APIS)))
def test_a_flood_of_messages_before_a_consumer_that_stands_still_is_held_up_and_then_delivered(
    name: str, api: str
) -> None:
    block, count = FLOODS[name]
    limit = 10**8  # far more than the buffers of the system hold
    stalled = threading.Event()
    blocks = []

    def script(peer: Peer) -> None:
        greet(peer)
        blocks.append(until_stalled(peer, block, limit))
        stalled.set()

    with LoopbackServer(script) as server, run_client(api, server.url, "{}", "wait") as client:
        said, complaint = client.communicate(
            "go\n" if stalled.wait(ENDS_WITHIN) else "", timeout=4 * ENDS_WITHIN
        )
    assert not complaint
    result = json.loads(said)
    assert 0 < blocks[0] < limit // len(block)
    assert "ended TCP" in result["error"]
    assert 0 <= result["messages"] - blocks[0] * count < count
    assert result["rise"] < LIMIT_KB
