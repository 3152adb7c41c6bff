"""`syncws._protocol.keepalive`: what the other side takes off the kernel is a sign of life."""

from __future__ import annotations

import pytest

from syncws._protocol.keepalive import Keepalive


@pytest.mark.parametrize(
    ("left_at", "progress_at", "acknowledged_at", "expected"),
    [
        (1021, 1021, 0, 1026),  # nothing is known of the kernel
        (1021, 1021, 1020.5, 1026),  # only before the ping left
        (1021, 1021, 1024, 1029),  # megabytes lay ahead of the ping: they are taken
        (0, 1022, 1024, 1029),  # the ping has not left; the later of the two counts
        (0, 1024, 1022, 1029),
        (0, 0, 0, 1025),
    ],
)
def test_deadline_runs_from_the_last_progress_also_after_the_ping_has_left(
    left_at: float, progress_at: float, acknowledged_at: float, expected: float
) -> None:
    keepalive = Keepalive(20, 5, 1000.0)
    assert keepalive.ping_due(1020)
    assert keepalive.deadline(left_at, progress_at, acknowledged_at) == expected
    assert keepalive.next_at(left_at, progress_at, acknowledged_at) == expected
    keepalive.activity()
    assert keepalive.deadline(left_at, progress_at, acknowledged_at) is None
