"""`syncws._engine.process`: whom a fork and the end of the process are told of, and in what order."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable

import pytest

from syncws._engine import process
from syncws._engine.primitives import Flag, Leaf, Waiters
from syncws._engine.writing.writer_pool import shared_pool
from tests.support.programs import run, run_silently
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_for

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


class Engine:
    """Something that has threads, as `process` knows it."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls
        self.timeouts: list[float] = []
        self.acts: dict[str, Callable[[], object]] = {}

    def close_going_away(self) -> None:
        self._call("goodbye")

    def wait_over(self, timeout: float) -> None:
        self.timeouts.append(timeout)
        self._call("wait")

    def after_fork(self) -> None:
        self._call("fork")

    def _call(self, what: str) -> None:
        self.calls.append(f"{what} {self.name}")
        if what in self.acts:
            self.acts[what]()


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Two, which are all that there are."""
    monkeypatch.setattr(process, "_live", set())
    monkeypatch.setattr(process, "_exiting", False)
    calls: list[str] = []
    made = [Engine("a", calls), Engine("b", calls)]
    for engine in made:
        process.remember(engine)
    return made


def test_the_list_holds_nobody_alive(engines: list[Engine]) -> None:
    assert sorted(engine.name for engine in process._all_live() if isinstance(engine, Engine)) == ["a", "b"]
    engines.pop()
    gc.collect()
    assert len(process._all_live()) == 1
    assert len(process._live) == 1


# The end of the process.


def test_all_say_goodbye_before_any_is_waited_for(engines: list[Engine]) -> None:
    assert not process.is_process_exiting()
    seen: list[bool] = []
    engines[0].acts["goodbye"] = lambda: seen.append(process.is_process_exiting())
    process._at_exit()
    calls = engines[0].calls
    assert sorted(calls[:2]) == ["goodbye a", "goodbye b"]
    assert sorted(calls[2:]) == ["wait a", "wait b"]
    assert seen == [True]


def test_all_together_are_waited_for_a_second_at_most(
    engines: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EXIT_SECONDS", 0.05)
    for engine in engines:
        engine.acts["wait"] = lambda: threading.Event().wait(0.05)
    process._at_exit()
    first, second = sorted((engine.timeouts[0] for engine in engines), reverse=True)
    assert 0 < first <= 0.05
    assert second == 0


def test_a_goodbye_that_raises_keeps_no_other(engines: list[Engine]) -> None:
    def fail() -> None:
        raise MemoryError

    for engine in engines:
        engine.acts["goodbye"] = fail
    with pytest.raises(MemoryError):
        process._at_exit()
    assert sorted(engines[0].calls) == ["goodbye a", "goodbye b"]


def test_a_process_without_connections_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_live", set())
    monkeypatch.setattr(process, "_exiting", False)
    began = time.monotonic()
    process._at_exit()
    assert time.monotonic() - began < AT_ONCE


def test_the_hook_is_called_by_the_interpreter_at_its_end() -> None:
    program = """
from syncws._engine import process

class Engine:
    def close_going_away(self): print("goodbye", process.is_process_exiting())
    def wait_over(self, timeout): print("wait", timeout > 0)

engine = Engine()
process.remember(engine)
print("end")
"""
    assert run_silently("-c", program).split("\n")[:3] == ["end", "goodbye True", "wait True"]


# A child of `multiprocessing`, which ends without the interpreter's hooks.


@pytest.fixture
def finalizers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What is installed at the end of a child of `multiprocessing`, which this process is for the test."""
    installed: list[tuple[object, ...]] = []
    util = types.SimpleNamespace(Finalize=lambda *args, **keywords: installed.append((*args, keywords)))
    parent = types.SimpleNamespace(parent_process=lambda: object())
    monkeypatch.setitem(sys.modules, "multiprocessing.util", util)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", parent)
    monkeypatch.setattr(process, "_hooked_child", 0)
    monkeypatch.setattr(process, "_live", set())
    return installed


def test_a_child_of_multiprocessing_has_the_hook_once(finalizers: list[tuple[object, ...]]) -> None:
    for name in "ab":
        process.remember(Engine(name, []))
    assert finalizers == [(None, process._at_exit, {"exitpriority": 0})]


def test_a_process_that_is_no_child_of_multiprocessing_has_no_such_hook(
    finalizers: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = types.SimpleNamespace(parent_process=lambda: None)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", nobody)
    process.remember(Engine("a", []))
    assert finalizers == []


def test_a_program_without_multiprocessing_does_not_import_it() -> None:
    program = """
import sys
before = "multiprocessing" in sys.modules  # as where coverage measures this program
import syncws
from syncws._engine import process

class Engine:
    def close_going_away(self): pass
    def wait_over(self, timeout): pass

engine = Engine()
process.remember(engine)
print(before == ("multiprocessing" in sys.modules))
"""
    assert run_silently("-c", program).split() == ["True"]


# Forks.


def in_child(check: Callable[[], bool]) -> bool:
    """What `check` finds in a forked child."""
    with warnings.catch_warnings():
        # From CPython 3.12 on a fork beside threads warns. This child runs only what a fork must not break.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) in (0, 2)
            return status == 0
        threading.Event().wait(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@needs_fork
def test_each_is_told_of_a_fork_in_the_child_alone(engines: list[Engine]) -> None:
    calls = engines[0].calls
    assert in_child(lambda: sorted(calls) == ["fork a", "fork b"])
    assert calls == []


@needs_fork
def test_one_that_raises_keeps_no_other_from_being_told(engines: list[Engine]) -> None:
    def fail() -> None:
        raise MemoryError

    for engine in engines:
        engine.acts["fork"] = fail
    calls = engines[0].calls
    assert in_child(lambda: sorted(calls) == ["fork a", "fork b"])


@needs_fork
def test_locks_are_free_in_the_child_before_any_is_told(engines: list[Engine]) -> None:
    leaf, waiters, flag = Leaf(), Waiters(), Flag()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with leaf:
            held.set()
            let_go.wait(SECONDS)

    holding = Task(hold)
    waiting = Task(lambda: waiters.wait_until(let_go.is_set, SECONDS))
    wait_for(held)
    waiting.wait_blocked()
    taken: list[bool] = []

    def take() -> None:
        # This would wait for ever if the lock were not renewed: its holder does not exist in the child.
        with leaf:
            taken.append(True)
        flag.set()
        taken.append(flag.wait(0))

    engines[0].acts["fork"] = take
    try:
        assert in_child(lambda: taken == [True, True])
    finally:
        let_go.set()
        waiters.notify()
    holding.result()
    waiting.result()


@needs_fork
def test_a_child_has_a_pool_of_its_own(engines: list[Engine]) -> None:
    pool = shared_pool()
    seen: list[bool] = []
    engines[0].acts["fork"] = lambda: seen.append(shared_pool() is not pool)
    assert in_child(lambda: seen == [True])
    assert shared_pool() is pool


FORKED_WITH_A_CONNECTION = """
import os, sys, warnings
import syncws
from syncws._engine.writing import writer_pool
from syncws.testing import LoopbackServer

warnings.simplefilter("ignore", DeprecationWarning)  # of a fork where there are threads
with LoopbackServer() as server, syncws.connect(server.url) as connection:
    connection.send("hello")
    connection.recv(20)
    made = []
    pool = writer_pool.WriterPool
    writer_pool.WriterPool = lambda: made.append("a pool") or pool()
    child = os.fork()
    if not child:
        os._exit(len(made))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_makes_no_pool_of_writers_since_the_child_may_be_patched_after_it() -> None:
    out, _ = run("-c", FORKED_WITH_A_CONNECTION, warnings="default")
    assert out == "0\n"
