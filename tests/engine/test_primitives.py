"""`syncws._engine.primitives`: waiting for a change, and a Ctrl-C at any moment of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from syncws._engine import primitives
from syncws._engine.primitives import Condition
from tests.support.interrupts import Interrupted
from tests.support.waiting import SECONDS


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    assert frame is not None
    if frame.f_code.co_filename == primitives.__file__:
        raise Interrupted
    signal.setitimer(signal.ITIMER_REAL, 0.00002)  # it met the test, or the measuring of coverage


@pytest.fixture
def alarm() -> Iterator[None]:
    """The alarm signal raises `Interrupted` in the main thread."""
    before = signal.signal(signal.SIGALRM, raise_interrupted)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_what_is_true_at_once_is_returned_without_waiting() -> None:
    assert Condition().wait_until(lambda: "there", 0) == "there"


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_what_was_returned_last_is_returned_when_the_time_is_over(timeout: float) -> None:
    condition = Condition()
    assert condition.wait_until(lambda: 0, timeout) == 0
    assert condition._waiters == []  # time-outs leave nothing behind


def test_a_wait_of_any_length_can_be_asked_for() -> None:
    values = [0, 1]
    condition = Condition()
    timer = threading.Timer(0.05, lambda: notify(condition))
    timer.start()
    assert condition.wait_until(lambda: values.pop(0), float("inf")) == 1
    timer.join()


def notify(condition: Condition) -> None:
    with condition.lock:
        condition.notify()


def test_each_of_many_threads_gets_what_it_waits_for_once() -> None:
    def take() -> None:
        taken.append(condition.wait_until(lambda: items and items.pop(), SECONDS))

    condition = Condition()
    items: list[int] = []
    taken: list[object] = []
    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for number in range(1, 17):
        with condition.lock:
            items.append(number)
            condition.notify()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(map(str, taken)) == sorted(map(str, range(1, 17)))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")
def test_an_exception_from_a_signal_handler_at_any_moment_comes_out_as_it_is(alarm: None) -> None:
    condition = Condition()
    interrupted = 0
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00002 + interrupted % 50 * 0.000004)
            while True:
                condition.wait_until(lambda: False, 0.00001)
        except Interrupted:
            interrupted += 1
        assert condition.lock.acquire(timeout=SECONDS)  # never left locked
        condition.lock.release()
    assert interrupted > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_wait_that_a_signal_handler_forks_out_of_looks_again_in_the_child() -> None:
    condition = Condition()
    ended = False
    children: list[int] = []

    def fork(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        child = os.fork()
        if child == 0:
            signal.alarm(int(SECONDS))  # ends the child, should it wait for ever
            ended = True
            condition.after_fork()
        else:
            children.append(child)

    before = signal.signal(signal.SIGUSR1, fork)
    parent = os.getpid()
    timer = threading.Timer(0.05, lambda: os.kill(parent, signal.SIGUSR1))
    timer.start()
    try:
        condition.wait_until(lambda: ended or bool(children), 0.5)
        if os.getpid() != parent:
            os._exit(7)
    finally:
        signal.signal(signal.SIGUSR1, before)
    timer.join()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
