"""`syncws._engine.primitives`: threads of our own, what is left of it all in a forked child, and tokens."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from syncws._engine import primitives
from syncws._engine.primitives import (
    Flag,
    Leaf,
    Token,
    Waiters,
    give_back_tokens,
    is_own_thread,
    own_thread,
    tokens,
)
from tests.support.interrupts import Interrupted
from tests.support.leaves import is_locked, take
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


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
        try:
            primitives.renew_after_fork()
            os._exit(7 if not is_locked(leaf) and not primitives.own_threads else 8)
        finally:
            os._exit(9)  # What raises must not go on with the tests in the child.
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
