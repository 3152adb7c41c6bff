"""What a server says or sends cannot make the client's memory swell; measured in a process of its own."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.hostile.hostile_server import APIS, ENDS_WITHIN, UNSEEN, read_to_end
from tests.hostile.memory import LIMIT_KB, greet, run_client
from tests.support.memory import STATUS
from tests.support.stress import turns

GIB = 2**30

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")


def bomb(block: bytes, count: int, first: bytes = b"") -> bytes:
    """Compressed data that inflates to `first` and `count` times the block."""
    stream = zlib.compressobj(9, wbits=-15)
    head = stream.compress(first) + stream.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers to what came before, so that the block's data may be repeated.
    return head + (stream.compress(block) + stream.flush(zlib.Z_FULL_FLUSH)) * count


ZEROS = bomb(bytes(2**24), 64)
SLICE = bomb(bytes(2**20), 1)


def huge(opcode: int, length: int) -> bytes:
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")


def sends(*parts: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        for part in parts:
            peer.send_bytes(part)

    return script


def again(part: bytes, count: int) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        for _ in range(count):
            peer.send_bytes(part)

    return script


def fragmented_bomb(peer: Peer) -> None:
    peer.send_frame(Opcode.BINARY, SLICE, fin=False, rsv=4)
    again(frame_bytes(0, SLICE, fin=False), 1023)(peer)


@dataclass(frozen=True)
class Attack:
    """What is sent once the client is idle, what its error then says, and the Close code that it sends."""

    script: Callable[[Peer], object]
    says: str
    sent: int | str | None = 1009
    options: str = "{}"


ATTACKS: dict[str, Attack] = {
    "a frame that inflates to a gibibyte": Attack(
        sends(frame_bytes(Opcode.BINARY, ZEROS, rsv=4)), "max_size=16777216"
    ),
    "a text that inflates to a gibibyte": Attack(
        sends(frame_bytes(Opcode.TEXT, bomb(b"x" * 2**24, 64), rsv=4)), "max_size=16777216"
    ),
    "a text that inflates to a gibibyte of wide characters": Attack(
        sends(frame_bytes(Opcode.TEXT, bomb("ä".encode() * 2**23, 64), rsv=4)), "max_size=16777216"
    ),
    "fragments that inflate to a gibibyte": Attack(fragmented_bomb, "max_size=16777216"),
    "10 GiB announced": Attack(sends(huge(Opcode.BINARY, 10 * GIB)), "max_size=16777216"),
    "10 GiB announced and begun": Attack(
        sends(huge(Opcode.TEXT, 10 * GIB), bytes(2**24)), "max_size=16777216"
    ),
    "10 GiB announced without a limit": Attack(
        sends(huge(Opcode.BINARY, 10 * GIB), bytes(2**20)), "ended TCP", UNSEEN, '{"max_size": null}'
    ),
    "2^63 - 1 announced without a limit": Attack(
        sends(huge(Opcode.TEXT, 2**63 - 1), b"x"), "ended TCP", UNSEEN, '{"max_size": null}'
    ),
    "endless empty fragments": Attack(
        sends(
            frame_bytes(Opcode.TEXT, fin=False),
            frame_bytes(0, fin=False) * 300_000,
            frame_bytes(Opcode.CLOSE),
        ),
        "",
        None,
    ),
    "tiny fragments up to the limit": Attack(
        again(frame_bytes(Opcode.BINARY, b"x", fin=False) + frame_bytes(0, b"x", fin=False) * 10**5, 1),
        "max_size=100000",
        1009,
        '{"max_size": 100000}',
    ),
}


@pytest.mark.parametrize(("name", "api"), turns(ATTACKS, sorted(APIS)))
def test_no_message_makes_memory_swell(name: str, api: str) -> None:
    attack = ATTACKS[name]
    codes: list[int | None] = []

    def script(peer: Peer) -> None:
        greet(peer)
        with contextlib.suppress(ConnectionError):
            attack.script(peer)
        if attack.sent != UNSEEN:
            closes = [
                frame.payload for frame in read_to_end(peer, 4 * ENDS_WITHIN) if frame.opcode == Opcode.CLOSE
            ]
            codes.extend(int.from_bytes(payload[:2], "big") if payload else None for payload in closes)

    with LoopbackServer(script) as server, run_client(api, server.url, attack.options) as client:
        said, complaint = client.communicate(timeout=4 * ENDS_WITHIN)
    assert not complaint
    result = json.loads(said)
    assert result["messages"] == 0
    assert attack.says in result["error"]
    assert result["rise"] < LIMIT_KB
    assert codes == ([] if attack.sent == UNSEEN else [attack.sent])
