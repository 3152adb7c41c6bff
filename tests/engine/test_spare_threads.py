"""Threads that have nothing more to do for one connection, and take the work of the next."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from syncws import connect
from syncws._engine import spare_threads
from syncws._engine.spare_threads import MOST, SpareThreads, shared_spares, start_thread
from syncws.testing import LoopbackServer, echo
from tests.support.interleaving import needs_points, steps
from tests.support.interrupts import start_cut_off
from tests.support.threads import needs_spares
from tests.support.waiting import SECONDS, wait_for, wait_until

# Longer than any test waits.
LONG = 3 * SECONDS


def spare_names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("spare")]


@pytest.fixture
def spares(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpareThreads]:
    """Their threads stay until the test is over."""
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", LONG)
    spares = SpareThreads()
    yield spares
    end(spares, monkeypatch)


def start(spares: SpareThreads, work: spare_threads.Work) -> None:
    threading.Thread(target=spares.stay, args=([work],), daemon=True).start()


def end(spares: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the threads end that wait."""
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 0.0)

    def is_over() -> bool:
        spares.give(("spare-last", bool))
        return not spares._waiting and not spare_names()

    wait_until(is_over)


def wait_for_spare(spares: SpareThreads, count: int = 1) -> None:
    wait_until(lambda: len(spares._waiting) == count)


class Work:
    """Something to do, which says which thread has done it, and by what name."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.thread: tuple[int, str] | None = None

    def run(self) -> None:
        self.thread = threading.get_ident(), threading.current_thread().name
        self.done.set()


def test_a_thread_takes_work_after_work_under_the_name_of_each(spares: SpareThreads) -> None:
    works = [Work(), Work(), Work()]
    start(spares, ("spare-0", works[0].run))
    for number, work in enumerate(works[1:], 1):
        wait_for_spare(spares)
        assert spares.give((f"spare-{number}", work.run))
        wait_for(work.done)
    threads = [work.thread for work in works]
    assert [thread[1] for thread in threads if thread] == ["spare-0", "spare-1", "spare-2"]
    assert len({thread[0] for thread in threads if thread}) == 1


def test_nothing_is_given_where_no_thread_waits(spares: SpareThreads) -> None:
    assert not spares.give(("spare-1", bool))
    go_on = threading.Event()
    start(spares, ("spare-1", lambda: wait_for(go_on)))
    assert not spares.give(("spare-2", bool)), "that one is busy"
    go_on.set()
    wait_for_spare(spares)
    assert not spares._works


def test_a_thread_that_waits_holds_nothing_of_its_last_work(spares: SpareThreads) -> None:
    works = [Work(), Work()]
    held = [weakref.ref(work) for work in works]
    start(spares, ("spare-1", works[0].run))
    wait_for_spare(spares)
    assert spares.give(("spare-2", works[1].run))
    wait_for(works[1].done)
    works.clear()
    wait_for_spare(spares)

    def is_gone() -> bool:
        gc.collect()
        return not any(work() for work in held)

    wait_until(is_gone)


def test_a_thread_stays_for_a_moment(spares: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 0.001)
    start(spares, ("spare-1", bool))
    wait_until(lambda: not spare_names() and not spares._waiting)
    assert not spares.give(("spare-2", bool))


def test_work_is_done_though_the_time_of_its_thread_is_over_just_then(
    spares: SpareThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 0.2)
    start(spares, ("spare-1", bool))
    wait_for_spare(spares)
    lock = spares._waiting.pop()  # the first step of `give`
    thread = next(thread for thread in threading.enumerate() if thread.name == "spare-1")
    thread.join(0.5)
    assert thread.is_alive(), "the work is on its way"
    work = Work()
    spares._works.append(("spare-2", work.run))
    lock.release()
    wait_for(work.done)


def test_more_than_a_few_do_not_stay(spares: SpareThreads) -> None:
    go_on = threading.Event()
    for number in range(MOST + 3):
        start(spares, (f"spare-{number}", lambda: wait_for(go_on)))
    wait_until(lambda: len(spare_names()) == MOST + 3)
    go_on.set()
    wait_for_spare(spares, MOST)
    wait_until(lambda: len(spare_names()) == MOST)


@needs_points
def test_a_handler_that_raises_while_work_is_given_leaves_no_thread_waiting(
    spares: SpareThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in steps(1):
        monkeypatch.setattr(spare_threads, "STAY_SECONDS", LONG)
        start(spares, ("spare-1", bool))
        wait_for_spare(spares)
        work = Work()
        given = False
        with step.interrupted(spare_threads):
            given = spares.give(("spare-2", work.run))
        if given:
            wait_for(work.done)
        wait_for_spare(spares)
        assert not spares._works
        end(spares, monkeypatch)


def test_an_index_error_of_a_handler_is_no_lack_of_a_thread(
    spares: SpareThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise IndexError("a handler's, which runs where this call ends")

    with monkeypatch.context() as patched:
        patched.setattr(spare_threads, "zip", interrupted, raising=False)
        with pytest.raises(IndexError, match="a handler's"):
            spares.give(("spare-1", bool))


def test_a_fault_ends_the_thread(spares: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    hooked: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: hooked.append(arguments.exc_value))
    fault = MemoryError("a fault")

    def fail() -> None:
        raise fault

    start(spares, ("spare-1", fail))
    wait_until(lambda: not spare_names())
    assert hooked == [fault] and not spares._waiting
    hooked.clear()


# A start that a signal handler cuts off.


@needs_spares
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_thread_that_a_handler_keeps_from_starting_holds_none_of_its_work(
    kind: type[BaseException],
) -> None:
    """`threading` keeps such a thread in its list for ever."""
    work, error = Work(), kind("mine")
    held = weakref.ref(work)
    threads: list[threading.Thread] = []

    def begins(thread: threading.Thread, function: Any) -> bool:
        threads.append(thread)
        return True

    with pytest.raises(kind) as caught:
        with start_cut_off(error, begins):
            start_thread("spare-1", work.run)
    assert caught.value is error
    assert [thread.name for thread in threads] == ["spare-1"]
    del work, caught, error
    wait_until(lambda: gc.collect() >= 0 and held() is None)
    threads[0].start()  # as if the handler had come a little later
    threads[0].join(SECONDS)
    assert not threads[0].is_alive()


@needs_spares
@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError])
def test_what_a_handler_raises_right_after_a_thread_has_begun_is_raised(kind: type[Exception]) -> None:
    """`threading` looks for the thread in the list of those that have not begun, and misses it there."""
    work, error = Work(), kind("mine")

    def has_begun(thread: threading.Thread, function: Any) -> bool:
        return function is not None and function.__name__.startswith("start_") and work.done.wait(SECONDS)

    with pytest.raises(kind) as caught:
        with start_cut_off(error, has_begun):
            start_thread("spare-1", work.run)
    assert caught.value is error
    wait_until(lambda: not spare_names())


# Connections.


@needs_spares
def test_the_next_connection_has_the_threads_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 5.0)
    spares = shared_spares()
    assert spares is not None
    idents: list[set[int | None]] = []
    with LoopbackServer(echo) as server:
        for _ in range(3):
            with connect(server.url) as connection:
                connection.send("1")
                assert connection.recv(SECONDS) == "1"
                ours = [t for t in threading.enumerate() if t.name.endswith(("-reader", "-writer"))]
                idents.append({thread.ident for thread in ours})
            wait_for_spare(spares, 2)
        end(spares, monkeypatch)
    assert idents[0] == idents[1] == idents[2] and len(idents[0]) == 2


@needs_spares
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "STAY_SECONDS", 5.0)
    spares = shared_spares()
    assert spares is not None
    start(spares, ("spare-1", bool))
    wait_for_spare(spares)
    child = os.fork()
    if not child:
        try:
            theirs = shared_spares()
            os._exit(0 if theirs is not None and not theirs.give(("spare-1", bool)) else 1)
        finally:
            os._exit(2)  # What raises must not go on with the tests in the child.
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    end(spares, monkeypatch)


def test_greenlets_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_threads, "is_patched", lambda: True)
    assert shared_spares() is None
