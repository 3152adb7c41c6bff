"""`syncws._engine.writing.pending_pings`: which pong answers which ping."""

from __future__ import annotations

import time

import pytest

from syncws._engine.writing.pending_pings import MAX_PENDING, PendingPing, PendingPings
from tests.support.interrupts import interrupt, needs_timer_signals
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_until


def sent(pings: PendingPings, count: int = 1) -> list[PendingPing]:
    made = [PendingPing() for _ in range(count)]
    for ping in made:
        pings.sent(ping)
    return made


def test_each_ping_is_told_from_all_others_by_eight_random_bytes() -> None:
    payloads = {PendingPing().payload for _ in range(1000)}
    assert len(payloads) == 1000
    assert {len(payload) for payload in payloads} == {8}


def test_a_pong_that_came_already_is_not_waited_for() -> None:
    pings = PendingPings()
    (ping,) = sent(pings)
    before = time.monotonic()
    pings.pong_received(ping.payload)
    after = time.monotonic()
    pong_at = pings.wait(ping, 0)
    assert pong_at is not None and before <= pong_at <= after


def test_a_wait_ends_with_its_pong() -> None:
    pings = PendingPings()
    (ping,) = sent(pings)
    task = Task(lambda: pings.wait(ping, None))
    task.wait_blocked()
    pings.pong_received(ping.payload)
    assert task.result() == ping.pong_at


def test_a_pong_answers_all_earlier_pings_and_none_of_the_later() -> None:
    pings = PendingPings()
    first, second, third = sent(pings, 3)
    pings.pong_received(second.payload)
    assert first.pong_at == second.pong_at is not None
    assert third.pong_at is None


def test_a_later_pong_does_not_change_the_time_of_earlier_ones() -> None:
    pings = PendingPings()
    first, second = sent(pings, 2)
    pings.pong_received(first.payload)
    answered_at = first.pong_at
    assert answered_at is not None
    wait_until(lambda: time.monotonic() > answered_at)
    pings.pong_received(second.payload)
    pings.pong_received(first.payload)
    assert first.pong_at == answered_at
    assert second.pong_at is not None and second.pong_at > answered_at


@pytest.mark.parametrize("payload", [b"", b"unasked for", bytes(8)])
def test_a_pong_that_nobody_asked_for_answers_nothing(payload: bytes) -> None:
    pings = PendingPings()
    (ping,) = sent(pings)
    pings.pong_received(payload)
    assert ping.pong_at is None
    with pytest.raises(TimeoutError, match="within 0.01 s"):
        pings.wait(ping, 0.01)


def test_what_was_answered_is_kept_no_longer() -> None:
    pings = PendingPings()
    made = sent(pings, 5)
    pings.pong_received(made[3].payload)
    assert list(pings._sent) == made[4:]


def test_a_ping_whose_wait_is_over_early_is_kept_no_longer_than_until_the_next_pong() -> None:
    pings = PendingPings()
    (given_up,) = sent(pings)
    with pytest.raises(TimeoutError):
        pings.wait(given_up, 0)
    (ping,) = sent(pings)
    pings.pong_received(ping.payload)
    assert not pings._sent


def test_of_pings_that_a_server_never_answers_the_newest_are_kept() -> None:
    pings = PendingPings()
    made = sent(pings, MAX_PENDING + 10)
    assert list(pings._sent) == made[10:]
    pings.pong_received(made[0].payload)
    assert made[-1].pong_at is None
    pings.pong_received(made[-1].payload)
    assert pings.wait(made[10], 0) == pings.wait(made[-1], 0) is not None


@needs_timer_signals
def test_a_wait_that_a_handler_s_exception_ends_can_be_made_again() -> None:
    pings = PendingPings()
    (ping,) = sent(pings)
    interrupt(lambda: pings.wait(ping, None))
    pings.pong_received(ping.payload)
    assert pings.wait(ping, 0) == ping.pong_at


def test_the_end_of_the_connection_ends_all_waits_without_a_time() -> None:
    pings = PendingPings()
    answered, waiting = sent(pings, 2)
    pings.pong_received(answered.payload)
    task = Task(lambda: pings.wait(waiting, None))
    task.wait_blocked()
    pings.end()
    assert task.result() is None
    assert pings.wait(waiting, 0) is None
    assert pings.wait(answered, 0) == answered.pong_at


def test_pings_of_many_threads_are_all_answered() -> None:
    pings = PendingPings()
    count, threads = 100, 4
    left: list[PendingPing] = []

    def ping() -> None:
        for _ in range(count):
            one = PendingPing()
            left.append(one)
            assert pings.wait(one, None) is not None

    def answer() -> None:
        """As the writer and the reader do, each on its own thread; the server answers every third at once."""
        done = 0
        until = time.monotonic() + SECONDS
        while done < count * threads and time.monotonic() < until:
            if len(left) > done:
                one = left[done]
                pings.sent(one)
                done += 1
                if done % 3 == 0 or len(left) == done:
                    pings.pong_received(one.payload)

    with switching_all_the_time():
        tasks = [Task(answer), *(Task(ping) for _ in range(threads))]
        for task in tasks:
            task.result()
    assert not pings._sent
