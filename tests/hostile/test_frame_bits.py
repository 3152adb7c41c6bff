"""Masks, reserved bits and opcodes that no server may send: each is refused with 1002."""

from __future__ import annotations

import pytest

from tests.hostile.bad_frames import BEFORE, BITS, case
from tests.hostile.hostile_server import Case, HostileServer, case_id


@pytest.mark.parametrize("case", [case(name, BEFORE + bad) for name, (bad, _) in BITS.items()], ids=case_id)
def test_a_frame_that_no_server_may_send_fails_with_1002_and_what_came_before_is_delivered(
    case: Case, hostile_server: HostileServer
) -> None:
    hostile_server.check(case)
