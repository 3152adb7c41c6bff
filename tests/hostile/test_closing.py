"""Servers that do not close as they should: every close ends within close_timeout, and tells how it went."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import pytest

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import (
    ENDS_WITHIN,
    Case,
    HostileServer,
    Outcome,
    ServerFor,
    Session,
    case_id,
    check_at_once,
    keep_sending,
    sparing,
    until_gone,
)

SOON = {"close_timeout": 0.1}
LATER = {"close_timeout": 0.4}  # for servers that send something before that
LATE = ("close_timeout=0.1",)
CLOSE = frame_bytes(Opcode.CLOSE, struct.pack(">H", 1000))
TEXT = frame_bytes(Opcode.TEXT, b"late")


def close(session: Session) -> None:
    session.close(3001, "done")


def after_close(then: Callable[[Peer], object]) -> Callable[[Peer], None]:
    """A server that waits for the client's Close frame, and does this instead of what it should."""

    def script(peer: Peer) -> None:
        peer.accept()
        frame = peer.recv_frame()
        assert (frame.opcode, frame.payload) == (Opcode.CLOSE, struct.pack(">H", 3001) + b"done")
        then(peer)

    return script


def say(data: bytes, then: Callable[[Peer], object] = until_gone) -> Callable[[Peer], None]:
    def part(peer: Peer) -> None:
        peer.send_bytes(data)
        then(peer)

    return after_close(part)


def leave(peer: Peer) -> None:
    """End TCP, as every script does at its end."""


NEVER = [
    Case("says nothing", after_close(until_gone)),
    Case("says something else", say(TEXT * 3)),
    Case("drips pings", after_close(lambda peer: keep_sending(peer, frame_bytes(Opcode.PING), 0.02))),
    Case("floods messages", after_close(lambda peer: keep_sending(peer, TEXT * 1000))),
    Case("begins a Close frame", say(CLOSE[:3])),
    Case("begins a message", say(b"\x82\x7f" + (2**20).to_bytes(8, "big"))),
]
UNANSWERED = [replace(case, error=TimeoutError, says=LATE, options=SOON, act=close) for case in NEVER]


# The server's Close frame has come: whatever goes wrong after it, this was an orderly close.
HELD = [
    Case("and holds TCP open", say(CLOSE), options=LATER, act=close),
    Case("and floods", say(CLOSE, lambda peer: keep_sending(peer, TEXT * 1000)), options=LATER, act=close),
    Case("and drips", say(CLOSE, lambda peer: keep_sending(peer, b"x", 0.02)), options=LATER, act=close),
]
ANSWERED = [
    Case("and ends TCP", say(CLOSE, leave)),
    Case("after messages", say(TEXT * 3 + CLOSE, leave)),
    Case("and sends messages", say(CLOSE + TEXT * 3, leave)),
    Case("and sends garbage", say(CLOSE + b"\xff" * 100, leave)),
    Case("twice", say(CLOSE * 2, leave)),
    Case("twice in two segments", say(CLOSE, lambda peer: peer.send_bytes(CLOSE))),
    Case("with another Close", say(CLOSE + frame_bytes(Opcode.CLOSE, struct.pack(">H", 4999)), leave)),
    Case("and resets", say(CLOSE, Peer.reset)),
    Case("and cuts", say(CLOSE, Peer.half_close)),
    Case("with another code", say(frame_bytes(Opcode.CLOSE, struct.pack(">H", 4000) + b"no"), leave),
         close=(4000, "no")),
    Case("without a code", say(frame_bytes(Opcode.CLOSE), leave), close=(1005, "")),
    Case("in the middle of a message", say(frame_bytes(Opcode.TEXT, b"part", fin=False) + CLOSE, leave)),
]  # fmt: skip


@pytest.fixture(scope="module")
def slow(server_for: ServerFor) -> dict[tuple[str, str, str], Future[Outcome]]:
    """All these at once: the answer that some give must come within close_timeout even on a busy machine."""
    return check_at_once([param.values for param in sparing(UNANSWERED) + sparing(HELD)], server_for)


@pytest.mark.parametrize(("api", "scheme", "case"), sparing(UNANSWERED))
def test_a_close_that_is_never_answered_fails_after_close_timeout(
    api: str, scheme: str, case: Case, slow: dict[tuple[str, str, str], Future[Outcome]]
) -> None:
    slow[api, scheme, case.name].result()


@pytest.mark.parametrize(("api", "scheme", "case"), sparing(HELD))
def test_a_close_that_was_answered_ends_after_close_timeout_where_the_server_holds_tcp_open(
    api: str, scheme: str, case: Case, slow: dict[tuple[str, str, str], Future[Outcome]]
) -> None:
    slow[api, scheme, case.name].result()


@pytest.mark.parametrize("case", ANSWERED, ids=case_id)
def test_a_close_that_was_answered_is_orderly_whatever_follows(
    case: Case, hostile_server: HostileServer
) -> None:
    hostile_server.check(Case(case.name, case.script, close=case.close, act=close))


@pytest.mark.parametrize("scheme", ["ws"])
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (frame_bytes(Opcode.CLOSE, b"\x03"), "one byte"),
        (frame_bytes(3), "opcode 3"),
        (frame_bytes(Opcode.TEXT, b"\xff"), "UTF-8"),
    ],
)
def test_a_wrong_answer_to_a_close_frame_is_a_failure_that_names_it(
    bad: bytes, says: str, hostile_server: HostileServer
) -> None:
    hostile_server.check(
        Case("bad answer", say(bad, leave), ProtocolError, (says,), options=LATER, act=close)
    )


@pytest.mark.parametrize("scheme", ["ws"])
def test_a_failure_during_a_close_does_not_wait_for_the_application_to_receive(
    hostile_server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncws._protocol.closing.CATCH_UP_SECONDS", 2 * ENDS_WITHIN)
    began = time.monotonic()
    case = Case("bad answer", say(frame_bytes(3)), ProtocolError, ("opcode 3",), options=LATER, act=close)
    hostile_server.check(case)
    assert time.monotonic() - began < ENDS_WITHIN


def test_what_was_sent_before_close_goes_out_before_the_close_frame(hostile_server: HostileServer) -> None:
    def act(session: Session) -> None:
        for number in range(500):
            session.send(f"{number}")
        session.close()

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(500):
            assert peer.recv() == f"{number}"
        peer.send_bytes(CLOSE)

    hostile_server.check(Case("in order", script, sent=1000, act=act))


def test_a_client_that_has_failed_does_not_wait_for_a_server_that_stays(
    hostile_server: HostileServer,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=frame_bytes(3))
        peer.closing.wait(ENDS_WITHIN)  # neither reads nor ends

    hostile_server.check(Case("stays", script, ProtocolError, ("opcode 3",), options=SOON))
