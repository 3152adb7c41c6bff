"""`syncws._engine.primitives`: leaves and waiters, by many threads and with a signal at any moment."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial

import pytest

from syncws._engine import primitives
from syncws._engine.primitives import (
    Leaf,
    Waiters,
)
from tests.support.interrupts import Interrupted
from tests.support.leaves import is_locked
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.stress import amount
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_until


class Account:
    """Two numbers that a leaf keeps equal."""

    def __init__(self) -> None:
        self.leaf = Leaf()
        self.first = self.second = 0

    def add(self) -> None:
        with self.leaf:
            self.first += 1
            self.second += 1


# Leaf.


def test_a_leaf_is_one_thread_s_at_a_time() -> None:
    account = Account()
    count, threads = 2000, 8

    def work() -> None:
        for _ in range(count):
            account.add()

    with switching_all_the_time():
        for task in [Task(work) for _ in range(threads)]:
            task.result()
    assert account.first == account.second == count * threads


def test_a_leaf_is_given_back_when_its_block_raises_or_returns() -> None:
    leaf = Leaf()

    def returns() -> int:
        with leaf:
            return 1

    assert returns() == 1
    with pytest.raises(ZeroDivisionError), leaf:
        returns.x = 1 // 0  # type: ignore[attr-defined]
    assert not is_locked(leaf)


@pytest.fixture(params=sorted({True, primitives.LOOKS_AFTER_ENTER}), ids=lambda value: f"in_python_{value}")
def entering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves are entered as on this interpreter, and as on CPython 3.14, which is right on all."""
    monkeypatch.setattr(primitives, "LOOKS_AFTER_ENTER", request.param)


@needs_moments
@pytest.mark.usefixtures("entering")
def test_a_handler_that_raises_at_any_moment_leaves_no_leaf_locked_and_no_block_half_done() -> None:
    account = Account()
    moments = Moments(interrupt, primitives, sys.modules[__name__])
    for delay in moments.each():
        with moments.within(delay):
            for _ in range(20):
                account.add()
        assert not is_locked(account.leaf)
        assert account.first == account.second


@needs_moments
@pytest.mark.usefixtures("entering")
def test_a_handler_never_runs_on_a_thread_that_holds_a_leaf() -> None:
    account = Account()

    def handler() -> None:
        assert not is_locked(account.leaf)
        account.add()

    moments = Moments(handler, primitives, sys.modules[__name__])
    for delay in moments.each():
        with moments.within(delay):
            for _ in range(20):
                account.add()


# Waiters.


@pytest.fixture(params=[True, False], ids=["looks in order", "looks under the leaf"])
def waiters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Waiters:
    """Waiters of both kinds of build, with and without the interpreter's lock."""
    if request.param and not primitives.LOOKS_IN_ORDER:
        pytest.skip("this interpreter has no lock of its own")
    monkeypatch.setattr(primitives, "LOOKS_IN_ORDER", request.param)
    return Waiters()


def test_what_is_true_at_once_is_returned_without_waiting(waiters: Waiters) -> None:
    assert waiters.wait_until(lambda: "there", 0) == "there"
    assert waiters.wait_until(lambda: not waiters, 0) is True  # no name was entered


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_what_was_returned_last_is_returned_when_the_time_is_over(waiters: Waiters, timeout: float) -> None:
    assert waiters.wait_until(lambda: 0, timeout) == 0
    assert not waiters  # time-outs leave nothing behind


def test_a_wait_of_any_length_can_be_asked_for(waiters: Waiters) -> None:
    values = [0, 0, 1]
    task = Task(lambda: waiters.wait_until(lambda: values.pop(0), float("inf")))
    wait_until(lambda: bool(waiters))
    task.wait_blocked()
    waiters.notify()
    assert task.result() == 1


def test_a_wait_of_the_main_thread_notices_a_signal_that_came_right_before_it(
    waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over at times, since Python looks for signals only between waits; other threads sleep on."""

    def looks() -> bool:
        seen.append(threading.get_ident())
        return seen.count(here) == 5 and bool(released)

    monkeypatch.setattr(primitives, "_LONGEST_ON_MAIN", 0.01)
    here, seen, released = threading.get_ident(), list[int](), list[None]()
    elsewhere = Task(partial(waiters.wait_until, looks))
    elsewhere.wait_blocked()
    released.append(None)
    assert waiters.wait_until(looks, SECONDS)
    assert len(seen) == 5 + 2
    waiters.notify()
    assert elsewhere.result()


def test_the_waiters_say_that_a_thread_waits_until_it_is_notified(waiters: Waiters) -> None:
    values: list[int] = []
    task = Task(lambda: waiters.wait_until(lambda: values))
    wait_until(lambda: bool(waiters))
    values.append(1)
    waiters.notify()
    assert not waiters
    assert task.result() == [1]


def test_a_change_between_the_first_look_and_the_sleep_is_not_missed(waiters: Waiters) -> None:
    looks: list[int] = []

    def predicate() -> bool:
        looks.append(1)
        if len(looks) == 1:
            waiters.notify()  # nobody is there yet: by the next look the change must be seen
            return False
        return True

    began = time.monotonic()
    assert waiters.wait_until(predicate, SECONDS)
    assert time.monotonic() - began < AT_ONCE


def test_a_notice_between_the_second_look_and_the_sleep_is_not_missed(waiters: Waiters) -> None:
    looks: list[int] = []

    def predicate() -> bool:
        looks.append(1)
        if len(looks) == 2:
            waiters.notify()  # this one's name is there, and it does not sleep yet
        return len(looks) > 2

    began = time.monotonic()
    assert waiters.wait_until(predicate, SECONDS)
    assert time.monotonic() - began < AT_ONCE


def test_a_predicate_that_raises_leaves_nothing_behind(waiters: Waiters) -> None:
    looks: list[int] = []

    def predicate() -> bool:
        looks.append(1)
        if len(looks) == 2:
            raise Interrupted
        return False

    with pytest.raises(Interrupted):
        waiters.wait_until(predicate, SECONDS)
    assert not waiters


def test_each_of_many_threads_gets_what_it_waits_for_once(waiters: Waiters) -> None:
    items: list[int] = []

    def take() -> object:
        def one() -> list[int]:
            try:
                return [items.pop()]
            except IndexError:
                return []

        return waiters.wait_until(one)

    with switching_all_the_time():
        tasks = [Task(take) for _ in range(16)]
        for number in range(1, 17):
            items.append(number)
            waiters.notify()
        taken = [task.result() for task in tasks]
    assert sorted(map(str, taken)) == sorted(str([number]) for number in range(1, 17))


def test_no_wake_up_is_lost_between_two_threads_that_take_turns(waiters: Waiters) -> None:
    both = [waiters, Waiters()]
    turn = [0]
    rounds = 3000

    def play(number: int) -> None:
        for _ in range(rounds):
            both[number].wait_until(lambda: turn[0] % 2 == number)
            turn[0] += 1
            both[1 - number].notify()

    with switching_all_the_time():
        for task in [Task(lambda: play(0)), Task(lambda: play(1))]:
            task.result()
    assert turn[0] == 2 * rounds


@needs_moments
def test_an_exception_from_a_handler_at_any_moment_of_a_wait_comes_out_as_it_is(waiters: Waiters) -> None:
    moments = Moments(interrupt, primitives)
    for delay in moments.each():
        with moments.within(delay):
            for _ in range(3):
                waiters.wait_until(lambda: False, 0.000005)
        assert not is_locked(waiters._leaf)
    waiters.notify()
    assert not waiters  # what interrupts have left behind, the next notice takes away


@needs_moments
def test_a_handler_that_raises_in_notify_keeps_no_thread_from_being_told(waiters: Waiters) -> None:
    rounds = [0]
    seen = [0, 0, 0]

    def wait(number: int) -> None:
        while rounds[0] >= 0:
            seen[number] = rounds[0]
            waiters.wait_until(lambda: rounds[0] != seen[number])

    tasks = [Task(lambda number=number: wait(number)) for number in range(len(seen))]  # type: ignore[misc]
    moments = Moments(interrupt, primitives)
    for delay in moments.each(amount(50, 20)):
        wait_until(lambda: len(waiters._sleeping) == len(seen), "all sleep")
        before = moments.runs
        with moments.within(delay / 4):
            rounds[0] += 1
            waiters.notify()
        if moments.runs > before:
            waiters.notify()  # as a later call does, where the first was cut off at its beginning
        wait_until(lambda: min(seen) == rounds[0], "a thread was not told")
    rounds[0] = -1
    waiters.notify()
    for task in tasks:
        task.result()


@needs_moments
def test_a_handler_may_wait_and_notify_at_any_moment_of_both(waiters: Waiters) -> None:

    def handler() -> None:
        waiters.notify()
        assert not waiters.wait_until(lambda: False, 0.0001)

    moments = Moments(handler, primitives)
    for delay in moments.each():
        with moments.within(delay):
            for _ in range(3):
                waiters.wait_until(lambda: False, 0.000005)
                waiters.notify()
    assert not is_locked(waiters._leaf)
