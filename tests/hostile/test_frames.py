"""Frames that no server may send: each is refused with the right Close code, and what came before is kept."""

from __future__ import annotations

import pytest

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.bad_frames import BEFORE, FAULTS, ORDER, case, close_frame
from tests.hostile.hostile_server import Case, HostileServer, case_id

# More than a socket's buffers hold by default, so that it must be read past for the Close frame to get out.
BEHIND = frame_bytes(Opcode.BINARY, b"x" * 60_000) * 120


@pytest.mark.parametrize("case", [case(name, BEFORE + bad) for name, (bad, _) in ORDER.items()], ids=case_id)
def test_a_frame_that_no_server_may_send_fails_with_1002_and_what_came_before_is_delivered(
    case: Case, hostile_server: HostileServer
) -> None:
    hostile_server.check(case)


SOME = ("masked text", "opcode 3", "length 2^63", "close with the code 1005", "close with one byte")


@pytest.mark.parametrize("case", [case(name, BEFORE + FAULTS[name][0], BEHIND) for name in SOME], ids=case_id)
def test_the_close_code_reaches_a_server_that_sends_on(case: Case, hostile_server: HostileServer) -> None:
    hostile_server.check(case)


@pytest.mark.parametrize("name", SOME)
def test_a_bad_frame_in_the_segment_of_the_101_comes_after_open_and_the_messages_before_it(
    name: str, hostile_server: HostileServer
) -> None:
    bad, says = FAULTS[name]
    hostile_server.check(
        Case(
            name,
            lambda peer: peer.accept(glued=BEFORE + bad),
            ProtocolError,
            (says,),
            sent=1002,
            messages=("one", b"two"),
        )
    )


@pytest.mark.parametrize("name", SOME)
def test_what_follows_a_bad_frame_is_never_delivered(name: str, hostile_server: HostileServer) -> None:
    bad, _ = FAULTS[name]
    hostile_server.check(case(name, BEFORE + bad + BEFORE + close_frame(1000)))


def drip(data: bytes) -> Case:
    def script(peer: Peer) -> None:
        peer.accept()
        for byte in data:
            peer.send_bytes(bytes((byte,)))
            peer.closing.wait(0.002)

    return Case("drip", script, ProtocolError, sent=1002, messages=("one", b"two"))


@pytest.mark.parametrize("name", ["masked text", "length 5 in eight bytes", "ping of 126 bytes"])
def test_a_bad_frame_that_comes_byte_by_byte_is_refused_on_its_header_alone(
    name: str, hostile_server: HostileServer
) -> None:
    bad = FAULTS[name][0]
    hostile_server.check(drip(BEFORE + bad[: 10 if bad[1] == 127 else 2]))
