"""`syncws._engine.primitives`: locks, waits and wake-ups, by many threads and with a signal at any moment."""

from __future__ import annotations

import gc
import itertools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from syncws._engine import primitives
from syncws._engine.primitives import (
    Flag,
    Leaf,
    Mailbox,
    Token,
    Waiters,
    give_back_tokens,
    is_own_thread,
    make_mailbox,
    own_thread,
    tokens,
)
from tests.support.interrupts import Interrupted, alarms, needs_timer_signals
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.stress import amount
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def is_locked(leaf: Leaf) -> bool:
    """Whether a leaf is held, by whomsoever."""
    taken = take(leaf)
    if taken:
        leaf.__exit__(None, None, None)
    return not taken


def take(leaf: Leaf) -> bool:
    """Take a leaf, for good, unless it is held."""
    lock = leaf.__exit__.__self__  # type: ignore[attr-defined]
    return bool(lock.acquire(False))


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


# Mailboxes and flags.


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


# Threads of our own, and forks.


def test_the_body_of_a_thread_of_our_own_is_known_while_it_runs() -> None:
    def body() -> list[bool]:
        known = [is_own_thread()]
        with pytest.raises(Interrupted), own_thread():
            known.append(is_own_thread())
            raise Interrupted
        return [*known, is_own_thread()]

    assert Task(body).result() == [False, True, False]
    assert not is_own_thread()


def test_what_a_fork_must_renew_is_remembered_for_as_long_as_it_lives() -> None:
    before = len(primitives._renewables)
    kept: list[Any] = [Leaf(), Waiters(), Flag()]
    assert len(primitives._renewables) == before + 4  # waiters have a leaf of their own
    kept.clear()
    gc.collect()
    assert len(primitives._renewables) <= before


def test_waiters_whose_leaf_was_held_at_a_fork_wake_those_that_are_there() -> None:
    waiters = Waiters()
    sleeper = threading.Lock()
    sleeper.acquire()
    waiters.enter(sleeper)
    assert take(waiters._leaf)
    Task(waiters.renew).result(AT_ONCE)
    assert sleeper.acquire(False)


def test_all_is_whole_after_it_was_renewed() -> None:
    leaf, waiters, flag = Leaf(), Waiters(), Flag()
    with leaf, waiters._leaf:
        with own_thread():
            Task(primitives.renew_after_fork).result()
            assert not is_own_thread()
        assert not is_locked(leaf)
        assert not is_locked(waiters._leaf)
        assert take(leaf) and take(waiters._leaf)
    flag.set()
    assert flag.wait(0)


def in_child_of_handler(wait: Callable[[], object], end: Callable[[], None]) -> None:
    """`wait` is interrupted by a handler that forks; in the child `end` makes it come back, in the parent
    too."""
    children: list[int] = []
    parent = os.getpid()

    def fork(number: int, frame: FrameType | None) -> None:
        child = os.fork()
        if child == 0:
            signal.alarm(int(SECONDS))  # ends the child, should it wait for ever
            primitives.renew_after_fork()
        else:
            children.append(child)
        end()

    before = signal.signal(signal.SIGUSR1, fork)
    timer = threading.Timer(0.05, lambda: os.kill(parent, signal.SIGUSR1))
    timer.start()
    try:
        wait()
        if os.getpid() != parent:
            os._exit(7)
    finally:
        if os.getpid() != parent:
            os._exit(8)
        signal.signal(signal.SIGUSR1, before)
    timer.join()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_wait_that_a_handler_forks_out_of_looks_again_in_the_child() -> None:
    waiters = Waiters()
    ended: list[int] = []
    parent = os.getpid()

    def end() -> None:
        ended.append(1)
        if os.getpid() == parent:
            waiters.notify()

    in_child_of_handler(lambda: waiters.wait_until(lambda: ended), end)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_wait_for_a_flag_that_a_handler_forks_out_of_goes_on_in_the_child() -> None:
    flag = Flag()
    in_child_of_handler(flag.wait, flag.set)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_leaf_that_another_thread_held_at_a_fork_is_free_in_the_child() -> None:
    leaf = Leaf()
    leave = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with leaf:
            held.set()
            leave.wait(SECONDS)

    task = Task(hold)
    assert held.wait(SECONDS)
    child = os.fork()
    if child == 0:
        primitives.renew_after_fork()
        os._exit(7 if not is_locked(leaf) and not primitives.own_threads else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    leave.set()
    task.result()


# Tokens.


def hold(wake: Callable[[], object]) -> Token:
    """A token that a call of this thread holds, in its system call."""
    token = Token(wake)
    token.held = token.in_call = True
    tokens[token] = None
    return token


@pytest.fixture
def woken() -> Iterator[list[int]]:
    """What was woken; in the end no token is left."""
    before = set(tokens)
    yield []
    for token in set(tokens) - before:
        tokens.pop(token)


def wait_for_waiters() -> None:
    Waiters().wait_until(bool, 0)


def wait_for_flag() -> None:
    Flag().wait(0)


@pytest.mark.parametrize("wait", [give_back_tokens, wait_for_waiters, wait_for_flag])
def test_a_thread_that_is_about_to_wait_gives_its_tokens_back_and_wakes_the_thread_that_goes_on(
    wait: Callable[[], None], woken: list[int]
) -> None:
    held = [hold(partial(woken.append, number)) for number in range(3)]
    wait()
    assert woken == [0, 1, 2]
    assert not any(token.held or token.in_call for token in held)
    assert not set(held) & set(tokens)


def test_a_thread_that_does_not_wait_keeps_its_token(woken: list[int]) -> None:
    token = hold(partial(woken.append, 1))
    assert Waiters().wait_until(lambda: True)
    assert token.held
    assert not woken


def test_what_another_thread_holds_stays_its_own(woken: list[int]) -> None:
    token = Task(partial(hold, partial(woken.append, 1))).result()
    token.thread += 1  # its thread has ended, and this one may have its number
    give_back_tokens()
    assert token.held
    assert token in tokens
    assert not woken


def test_in_a_forked_child_no_token_is_held() -> None:
    token = hold(bool)
    primitives.renew_after_fork()
    assert not token.held
    assert token not in tokens
