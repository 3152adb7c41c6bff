"""`syncws._engine.primitives`: mailboxes and flags, by many threads and with a signal at any moment."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import pytest

from syncws._engine import primitives
from syncws._engine.primitives import (
    Flag,
    Mailbox,
    make_mailbox,
)
from tests.support.interrupts import alarms, needs_timer_signals
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.stress import amount
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS


@pytest.fixture(params=[make_mailbox, primitives._PythonMailbox], ids=["the usual one", "the one in Python"])
def mailbox(request: pytest.FixtureRequest) -> Mailbox:
    made: Mailbox = request.param()
    return made


def test_what_is_put_into_a_mailbox_comes_out_in_order(mailbox: Mailbox) -> None:
    for number in range(10):
        mailbox.put(number)
    assert mailbox.qsize() == 10
    assert [mailbox.get() for _ in range(10)] == list(range(10))
    assert mailbox.qsize() == 0


def test_an_empty_mailbox_is_told(mailbox: Mailbox) -> None:
    with pytest.raises(queue.Empty):
        mailbox.get(timeout=0.01)
    with pytest.raises(queue.Empty):
        mailbox.get(block=False)
    with pytest.raises(queue.Empty):
        mailbox.get(timeout=0)


def test_a_thread_that_waits_at_a_mailbox_is_woken(mailbox: Mailbox) -> None:
    task = Task(mailbox.get)
    task.wait_blocked()
    mailbox.put("letter")
    assert task.result() == "letter"


def test_of_what_many_threads_put_and_get_nothing_is_lost_or_doubled(mailbox: Mailbox) -> None:
    count, threads = 500, 4

    def put(number: int) -> None:
        for serial in range(count):
            mailbox.put((number, serial))

    def get() -> list[tuple[int, int]]:
        return [mailbox.get(timeout=SECONDS) for _ in range(count)]

    with switching_all_the_time():
        getting = [Task(get) for _ in range(threads)]
        putting = [Task(lambda number=number: put(number)) for number in range(threads)]  # type: ignore[misc]
        for task in putting:
            task.result()
        got = [task.result() for task in getting]
    everything = [(number, serial) for number in range(threads) for serial in range(count)]
    assert sorted(itertools.chain(*got)) == everything
    for letters in got:
        for number in range(threads):
            serials = [serial for sender, serial in letters if sender == number]
            assert serials == sorted(serials)
    assert mailbox.qsize() == 0


def test_two_letters_wake_two_threads(mailbox: Mailbox) -> None:
    tasks = [Task(mailbox.get), Task(mailbox.get)]
    for task in tasks:
        task.wait_blocked()
    mailbox.put(1)
    mailbox.put(2)
    assert sorted(task.result() for task in tasks) == [1, 2]


@needs_timer_signals
def test_a_handler_may_put_while_its_thread_puts(mailbox: Mailbox) -> None:
    runs = 0
    taken = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal runs
        runs += 1
        mailbox.put("handler's")

    until = time.monotonic() + SECONDS
    puts = 0
    with alarms(0.0001, 0.00013, handler):
        while runs < amount(4000, 500) and time.monotonic() < until:
            mailbox.put("own")
            puts += 1
    while mailbox.qsize():
        mailbox.get(timeout=SECONDS)
        taken += 1
    assert taken == puts + runs and runs > 100


@pytest.mark.parametrize("kind", ["flag", "mailbox"])
def test_other_waits_of_the_main_thread_are_over_at_times_too(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def next_wait(until: float | None) -> float:
        waits.append(None)
        if len(waits) == 2:  # What changes here wakes nobody, as a signal in the wrong moment does.
            change()
        return take_slice(until)

    flag, mailbox, waits = Flag(), primitives._PythonMailbox(), list[None]()
    wait: Callable[..., object] = flag.wait if kind == "flag" else mailbox.get
    change: Callable[[], object] = partial(setattr, flag, "_set", True)
    if kind == "mailbox":
        change = partial(mailbox._items.append, "letter")
    take_slice = primitives.next_wait
    monkeypatch.setattr(primitives, "_LONGEST_ON_MAIN", 0.01)
    monkeypatch.setattr(primitives, "next_wait", next_wait)
    assert wait(timeout=SECONDS)
    assert len(waits) == 2


def test_a_flag_is_set_once_for_all_waiting_threads_and_for_good() -> None:
    flag = Flag()
    assert not flag.is_set()
    assert not flag.wait(0)
    assert not flag.wait(0.01)
    tasks = [Task(flag.wait) for _ in range(5)]
    for task in tasks:
        task.wait_blocked()
    flag.set()
    assert all(task.result() for task in tasks)
    assert flag.is_set() and flag.wait() and flag.wait(0)


def test_waits_for_a_flag_that_is_set_leave_nothing_behind() -> None:
    flag = Flag()
    flag.set()
    for _ in range(100):
        assert flag.wait(SECONDS)
    assert not flag._gate.locked()


@needs_timer_signals
def test_a_handler_that_outlasts_the_time_of_a_wait_for_a_flag_does_not_keep_it_waiting() -> None:
    """As it does with `queue.SimpleQueue.get` on CPython 3.10 to 3.12."""
    flag = Flag()

    def handler(number: int, frame: FrameType | None) -> None:
        threading.Event().wait(0.05)

    late = threading.Timer(SECONDS, flag.set)
    late.start()
    for _ in range(5):
        with alarms(0.005, 0, handler):
            assert not flag.wait(0.01)
    late.cancel()
    late.join()


@needs_moments
def test_an_exception_from_a_handler_in_a_wait_for_a_flag_keeps_nobody_else_waiting() -> None:
    moments = Moments(interrupt, primitives)
    for delay in moments.each(amount(20, 8)):
        flag = Flag()
        task = Task(lambda flag=flag: flag.wait())  # type: ignore[misc]
        setting = Task(flag.set)
        with moments.within(delay):
            flag.wait()
        setting.result()
        assert task.result()


@needs_moments
def test_a_flag_that_a_handler_s_exception_meets_while_it_is_set_can_be_set_again() -> None:
    moments = Moments(interrupt, primitives)
    for delay in moments.each(amount(100, 25)):
        flags = [Flag() for _ in range(20)]  # since one would be set before most signals come
        with moments.within(delay):
            for flag in flags:
                flag.set()
        for flag in flags:
            if flag.is_set():
                assert not flag._gate.locked(), "it is set, and nobody was woken"
            flag.set()
            assert flag.wait(0)
