"""Floods: of pings and of messages. What is asked for is done, in order, and nothing is lost."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from syncws import ConnectionLost
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import ENDS_WITHIN, Case, HostileServer, Session, one_scheme_each

CLOSE = frame_bytes(Opcode.CLOSE, b"\x03\xe8")


def test_each_ping_of_a_flood_is_answered_with_its_payload_in_order(hostile_server: HostileServer) -> None:
    payloads = [b"", bytes(125), *(b"%d" % number for number in range(2000))]

    def script(peer: Peer) -> None:
        peer.accept(glued=b"".join(frame_bytes(Opcode.PING, payload) for payload in payloads))
        for payload in payloads:
            frame = peer.recv_frame()
            assert (frame.opcode, frame.payload) == (Opcode.PONG, payload)
        peer.send_bytes(CLOSE)

    hostile_server.check(Case("pings", script, sent=1000))


def test_pings_between_and_inside_messages_are_answered(hostile_server: HostileServer) -> None:
    data = b"".join(
        frame_bytes(Opcode.PING, b"%d a" % number)
        + frame_bytes(Opcode.TEXT, b"x", fin=False)
        + frame_bytes(Opcode.PING, b"%d b" % number)
        + frame_bytes(Opcode.PONG, b"unasked")
        + frame_bytes(Opcode.CONTINUATION, b"y")
        for number in range(200)
    )

    def script(peer: Peer) -> None:
        peer.accept(glued=data)
        for number in range(200):
            assert peer.recv_frame().payload == b"%d a" % number
            assert peer.recv_frame().payload == b"%d b" % number
        peer.send_bytes(CLOSE)

    hostile_server.check(Case("pings", script, sent=1000, messages=("xy",) * 200))


@one_scheme_each
def test_a_ping_flood_whose_answers_the_server_does_not_read_at_first_ends_with_the_newest_pong(
    hostile_server: HostileServer,
) -> None:
    count = 40_000  # their pongs are more than the buffers of the system hold
    flooded = threading.Event()

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.accept()
        for start in range(0, count, 1000):
            batch = range(start, start + 1000)
            peer.send_bytes(b"".join(frame_bytes(Opcode.PING, b"%0125d" % number) for number in batch))
        peer.send("flooded")
        assert flooded.wait(ENDS_WITHIN)
        pongs: list[int] = []
        while not pongs or pongs[-1] < count - 1:
            frame = peer.recv_frame()
            if frame.opcode == Opcode.PONG:
                pongs.append(int(frame.payload))
        assert pongs == sorted(set(pongs))  # each but once and in order, even where some are left out
        peer.send_bytes(CLOSE)

    def on_flooded(session: Session, data: object) -> None:
        flooded.set()

    hostile_server.check(Case("unread", script, sent=1000, messages=("flooded",), reply=on_flooded))


def test_a_flood_of_empty_messages_is_delivered(hostile_server: HostileServer) -> None:
    data = frame_bytes(Opcode.TEXT) * 5000 + frame_bytes(Opcode.BINARY) * 5000 + CLOSE
    case = Case(
        "empty", lambda peer: peer.accept(glued=data), sent=1000, messages=("",) * 5000 + (b"",) * 5000
    )
    hostile_server.check(case)


def test_a_flood_of_tiny_messages_with_a_slow_consumer_is_delivered_in_order(
    hostile_server: HostileServer,
) -> None:
    texts = tuple(f"{number}" for number in range(20_000))
    gone_out = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(b"".join(frame_bytes(Opcode.TEXT, text.encode()) for text in texts))
        gone_out.set()
        peer.send_bytes(CLOSE)

    def act(session: Session) -> None:
        assert gone_out.wait(ENDS_WITHIN)  # in onopen, or before the first recv()

    options = {"max_queue": (1000, 10), "ping_interval": 0.05, "ping_timeout": 1}
    hostile_server.check(Case("tiny", script, sent=1000, messages=texts, options=options, act=act))


@pytest.mark.parametrize("scheme", ["ws"])
def test_a_server_that_floods_a_consumer_that_stands_still_is_slowed_by_tcp(
    hostile_server: HostileServer,
) -> None:
    stalled, total = threading.Event(), 0
    frame = frame_bytes(Opcode.BINARY, bytes(50_000))

    def script(peer: Peer) -> None:
        nonlocal total
        peer.accept()
        peer.socket.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while total < 2000:  # 100 MB; the system's buffers hold a few
                peer.send_bytes(frame)
                total += 1
        stalled.set()
        peer.socket.settimeout(None)

    def act(session: Session) -> None:
        assert stalled.wait(ENDS_WITHIN)
        session.close()

    # A pause of our own is no silence of the server's.
    options = {"max_queue": 100_000, "ping_interval": 0.05, "ping_timeout": 0.5, "close_timeout": 0.2}
    outcome = hostile_server.play(Case("still", script, act=act, options=options))
    assert total < 2000
    assert isinstance(outcome.error, ConnectionLost)  # the server leaves: no word of ping_timeout
