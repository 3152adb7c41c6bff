"""Links that break: a reset or an end of TCP at any place is a failure that is told at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from syncws import ConnectionClosed, ConnectionLost
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import Case, HostileServer, Outcome, Session, answer, until_gone

# What the server has begun to say when the link breaks.
CUTS: dict[str, bytes] = {
    "between frames": b"",
    "after one byte": b"\x81",
    "in a header": b"\x82\x7f\x00\x00",
    "after a header": b"\x81\x05",
    "in a payload": b"\x81\x05he",
    "in a long payload": b"\x82\x7e\xff\xff" + b"x" * 30_000,
    "in a ping": b"\x89\x05he",
    "in a close": b"\x88\x02\x03",
    "in a message": frame_bytes(Opcode.TEXT, b"part", fin=False),
    "in a compressed message": frame_bytes(Opcode.TEXT, b"\x00", fin=False, rsv=4),
}


def finish(peer: Peer) -> None:
    """What a script does at its end: FIN, and under TLS a close_notify before it."""


def half_close(peer: Peer) -> None:
    """FIN alone: under TLS the stream is cut without a word."""
    peer.half_close()
    until_gone(peer)


ENDS: dict[str, Callable[[Peer], object]] = {"FIN": finish, "cut": half_close, "RST": Peer.reset}


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("name", CUTS)
def test_a_link_that_breaks_without_a_close_frame_is_lost_and_whole_messages_are_kept(
    name: str, ending: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate", glued=frame_bytes(Opcode.TEXT, b"one"))
        assert peer.recv() == "got 'one'"  # without this the reset could overtake it
        peer.send_bytes(CUTS[name])
        ENDS[ending](peer)

    error = hostile_server.check(Case(name, script, ConnectionLost, messages=("one",), reply=answer)).error
    assert isinstance(error, ConnectionError)
    if ending != "RST":
        assert "without a Close frame" in str(error)


@pytest.mark.parametrize("ending", ["FIN", "cut"])
def test_messages_that_arrive_with_the_end_are_all_delivered_first(
    ending: str, hostile_server: HostileServer
) -> None:
    count = 3000

    def script(peer: Peer) -> None:
        peer.accept(glued=b"".join(frame_bytes(Opcode.BINARY, b"%d" % n) for n in range(count)))
        ENDS[ending](peer)

    messages = tuple(b"%d" % n for n in range(count))
    hostile_server.check(Case("glued", script, ConnectionLost, ("without a Close frame",), messages=messages))


def test_a_reset_right_after_the_101_fails_in_the_opening_or_right_after_it(
    hostile_server: HostileServer,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.reset()

    outcome: Outcome = hostile_server.play(Case("reset", script))
    assert isinstance(outcome.error, ConnectionLost)
    assert (outcome.code, outcome.reason, outcome.clean) == (1006, "", False)
    assert outcome.messages == []


def test_an_end_right_after_the_101_comes_after_open(hostile_server: HostileServer) -> None:
    hostile_server.check(Case("end", Peer.accept, ConnectionLost, ("without a Close frame",)))


@pytest.mark.parametrize("ending", ["FIN", "RST"])
def test_a_link_that_breaks_while_the_client_sends_is_lost(
    ending: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv_bytes(1000)
        ENDS[ending](peer)

    def act(session: Session) -> None:
        with contextlib.suppress(ConnectionClosed):  # the blocking API may know of the end already
            for _ in range(20):
                session.send(bytes(1_000_000))

    hostile_server.check(Case("sending", script, ConnectionLost, act=act))


def test_a_reset_during_the_closing_handshake_is_a_loss(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert peer.recv_frame().opcode == Opcode.CLOSE
        peer.reset()

    hostile_server.check(Case("reset", script, ConnectionLost, act=lambda session: session.close()))


def test_an_end_of_tcp_in_answer_to_a_close_frame_is_a_loss(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert peer.recv_frame().opcode == Opcode.CLOSE

    says = ("without a Close frame",)
    hostile_server.check(Case("end", script, ConnectionLost, says, act=lambda session: session.close()))
