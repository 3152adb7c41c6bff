"""Close frames: codes and reasons that no server may send, and those that are shown and echoed."""

from __future__ import annotations

import pytest

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import frame_bytes
from tests.hostile.bad_frames import BEFORE, CLOSES, case, close_frame
from tests.hostile.hostile_server import Case, HostileServer, case_id


@pytest.mark.parametrize("case", [case(name, BEFORE + bad) for name, (bad, _) in CLOSES.items()], ids=case_id)
def test_a_frame_that_no_server_may_send_fails_with_1002_and_what_came_before_is_delivered(
    case: Case, hostile_server: HostileServer
) -> None:
    hostile_server.check(case)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
def test_a_lawful_close_code_is_shown_and_echoed(code: int, hostile_server: HostileServer) -> None:
    data = BEFORE + close_frame(code, "wärum".encode())
    hostile_server.check(
        Case(
            f"close {code}",
            lambda peer: peer.accept(glued=data),
            sent=code,
            messages=("one", b"two"),
            close=(code, "wärum"),
        )
    )


def test_a_close_without_a_code_is_1005_and_is_answered_without_one(hostile_server: HostileServer) -> None:
    data = BEFORE + frame_bytes(Opcode.CLOSE)
    hostile_server.check(
        Case(
            "empty close",
            lambda peer: peer.accept(glued=data),
            sent=None,
            messages=("one", b"two"),
            close=(1005, ""),
        )
    )


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"ok" * 60 + b"\xf0\x9f"])
def test_a_close_reason_that_is_not_utf8_fails_with_1007(
    reason: bytes, hostile_server: HostileServer
) -> None:
    data = BEFORE + close_frame(1000, reason)
    hostile_server.check(
        Case(
            "bad reason",
            lambda peer: peer.accept(glued=data),
            ProtocolError,
            ("UTF-8",),
            sent=1007,
            messages=("one", b"two"),
        )
    )
