"""`syncws._protocol.keepalive`: when a ping is due, and when silence is death."""

from __future__ import annotations

import pytest

from syncws._protocol.keepalive import Keepalive

# Times are on a clock that began at 1000; intervals are 20, timeouts 5, so that all sums are exact.
START = 1000.0


def make(interval: float | None = 20, timeout: float | None = 5) -> Keepalive:
    return Keepalive(interval, timeout, START)


def test_first_ping_is_due_after_the_interval_and_each_next_one_after_another() -> None:
    keepalive = make()
    assert keepalive.next_at(0, 0) == 1020
    assert not keepalive.ping_due(1000)
    assert not keepalive.ping_due(1019.9)
    assert keepalive.ping_due(1020)
    assert not keepalive.ping_due(1020)
    assert not keepalive.ping_due(1039.9)
    assert keepalive.ping_due(1040)


def test_ping_that_is_late_is_sent_once_and_the_interval_counts_from_then() -> None:
    keepalive = make()
    assert keepalive.ping_due(1105)
    assert not keepalive.ping_due(1124.9)
    assert keepalive.ping_due(1125)


def test_no_interval_means_no_pings_and_no_deadline() -> None:
    keepalive = make(interval=None)
    assert not keepalive.ping_due(10**9)
    assert keepalive.deadline(0, 0) is None
    assert keepalive.next_at(0, 0) is None


def test_no_timeout_means_pings_without_a_deadline() -> None:
    keepalive = make(timeout=None)
    assert keepalive.ping_due(1020)
    assert keepalive.deadline(1020, 1020) is None
    assert keepalive.next_at(1020, 1020) == 1040


def test_nothing_expires_before_a_ping() -> None:
    assert make().deadline(0, 0) is None
    assert make().deadline(1019, 1019) is None


def test_pong_is_waited_for_from_when_the_ping_left() -> None:
    keepalive = make()
    assert keepalive.ping_due(1020)
    assert keepalive.deadline(left_at=1022, progress_at=1022) == 1027
    assert keepalive.next_at(left_at=1022, progress_at=1022) == 1027


@pytest.mark.parametrize(
    ("progress_at", "expires_at"),
    [
        (0, 1025),  # nothing went out since: from when the ping was asked for
        (1010, 1025),
        (1020, 1025),
        (1030, 1035),  # a slow but living send is ahead of the ping: each byte it takes counts
    ],
)
def test_ping_behind_a_send_expires_when_that_does_not_move(progress_at: float, expires_at: float) -> None:
    keepalive = make()
    assert keepalive.ping_due(1020)
    # The ping before it left long ago.
    assert keepalive.deadline(left_at=1000, progress_at=progress_at) == expires_at


def test_any_byte_is_a_sign_of_life_until_the_next_ping() -> None:
    keepalive = make()
    assert keepalive.ping_due(1020)
    keepalive.activity()
    assert keepalive.deadline(1020, 1020) is None
    assert keepalive.next_at(1020, 1020) == 1040
    assert keepalive.ping_due(1040)
    assert keepalive.deadline(1040, 1040) == 1045


def test_later_pings_do_not_put_off_the_deadline_of_one_that_never_left() -> None:
    keepalive = make(interval=2, timeout=5)
    assert keepalive.ping_due(1002)
    for at in (1004, 1006):
        assert keepalive.ping_due(at)
        assert keepalive.deadline(left_at=0, progress_at=0) == 1007
    assert keepalive.next_at(left_at=0, progress_at=0) == 1007


def test_later_pings_do_not_put_off_the_deadline_of_one_that_left() -> None:
    keepalive = make(interval=2, timeout=5)
    left_at = 0.0
    for at in (1002, 1004, 1006):
        assert keepalive.ping_due(at)
        left_at = at + 0.5
        assert keepalive.deadline(left_at, progress_at=left_at) == 1007.5
    keepalive.activity()
    assert keepalive.deadline(left_at, progress_at=left_at) is None
    assert keepalive.ping_due(1008)
    # It counts from its own leaving, not from that of the pings before.
    assert keepalive.deadline(left_at, progress_at=left_at) == 1013
    assert keepalive.deadline(left_at=1009, progress_at=1009) == 1014


def test_next_time_is_the_earlier_of_ping_and_deadline() -> None:
    keepalive = make(interval=2, timeout=5)
    assert keepalive.ping_due(1002)
    assert keepalive.next_at(left_at=1002, progress_at=1002) == 1004
    assert make(interval=20, timeout=5).next_at(0, 0) == 1020


def test_a_pause_of_our_own_forgives_a_ping_that_has_left_and_no_other() -> None:
    keepalive = make()
    assert keepalive.ping_due(1020)
    keepalive.pause(0)
    assert keepalive.deadline(0, 0) == 1025
    keepalive.pause(1021)
    assert keepalive.deadline(1021, 1021) is None
