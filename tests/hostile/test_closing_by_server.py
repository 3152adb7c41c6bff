"""Servers that close first, and what they do then: it was an orderly close all the same."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import (
    Case,
    HostileServer,
    answer,
    keep_sending,
    until_gone,
)

SOON = {"close_timeout": 0.1}
CLOSE = frame_bytes(Opcode.CLOSE, struct.pack(">H", 1000))
TEXT = frame_bytes(Opcode.TEXT, b"late")


def test_a_close_in_the_segment_of_the_101_comes_after_open_and_the_messages(
    hostile_server: HostileServer,
) -> None:
    case = Case(
        "at once", lambda peer: peer.accept(glued=TEXT * 3 + CLOSE), sent=1000, messages=("late",) * 3
    )
    hostile_server.check(case)


SERVER_CLOSES: dict[str, Callable[[Peer], object]] = {
    "holds TCP open": until_gone,
    "floods": lambda peer: keep_sending(peer, TEXT * 1000),
    "closes twice": lambda peer: peer.send_bytes(CLOSE),
    "resets": Peer.reset,
    "cuts": Peer.half_close,
}


@pytest.mark.parametrize("name", SERVER_CLOSES)
def test_a_server_that_closes_first_is_an_orderly_close_whatever_follows(
    name: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=TEXT)
        assert peer.recv() == "got 'late'"  # without this a reset could overtake the Close frame
        peer.send_bytes(CLOSE)
        SERVER_CLOSES[name](peer)

    # A reset may come before our own Close has left.
    clean = None if name == "resets" else True
    hostile_server.check(Case(name, script, messages=("late",), clean=clean, options=SOON, reply=answer))


def test_a_server_that_ends_tcp_half_way_still_reads_the_answer_to_its_close(
    hostile_server: HostileServer,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=CLOSE)
        peer.half_close()

    hostile_server.check(Case("half", script, sent=1000))
