"""Interrupts a call at each of its steps in turn, by another thread's call or an exception of a signal
handler.

The effect of one thread on another depends on where the other one stands in its call. A test that only lets
them run meets these moments by luck; these tests meet each of them. A test repeats its story again and again,
and each time the other call comes one step later, until there is no such step.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from syncws._engine.primitives import Leaf
from tests.support.interrupts import Interrupted
from tests.support.stress import amount
from tests.support.waiting import SECONDS

#: A module or a function, whose code is interrupted.
Code = ModuleType | Callable[..., Any]

# How many seconds a step waits for the other call. It is short, since at some steps that call waits for the
# interrupted one, as for a lock that it holds, and must be left waiting. If that is seen, the wait ends
# sooner.
_MEANWHILE = 0.02

# The code of a leaf's `__enter__`, if that is in Python.
_ENTER = getattr(Leaf().__enter__, "__code__", None)

# The number of our tool for `sys.monitoring`: neither debuggers, nor coverage, nor the signals' sweep use it.
_TOOL = 3

# More steps than the longest call has.
_MANY = 20_000

# On PyPy handlers run between any two steps, so that one that raises may leave a leaf locked.
needs_points = pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="handlers run between any two steps there"
)


class Step:
    """One repetition of a story.

    Attributes:
        number: at which step of the interrupted call the other one comes.
        met: whether there was such a step.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.met = False
        self._left = number
        self._act: Callable[[], object] = bool
        self._began = threading.Lock()  # The thread that makes the other call takes this.
        self._over = threading.Event()
        self._error: BaseException | None = None

    # Another thread.

    @contextlib.contextmanager
    def meanwhile(
        self, call: Callable[[], object], *where: Code, waits: Callable[[], bool] = bool
    ) -> Iterator[None]:
        """Run `call` in a thread of its own, before one instruction of this thread in the block.

        The instruction is one of the code of `where`. If the call waits for this thread, both go on; the call
        has ended after the block. `waits` says whether one of the two waits for the other. If this thread
        waits before the step has come, the call is made then.
        """
        helper = threading.Thread(target=self._watch, args=(call, waits), daemon=True)
        threads = [helper]

        def act() -> None:
            thread = threading.Thread(target=self._run, args=(call,), daemon=True)
            threads.append(thread)
            thread.start()
            until = time.monotonic() + _MEANWHILE
            looks = 0
            while thread.is_alive() and not waits() and looks < 2 and time.monotonic() < until:
                thread.join(0.0005)
                looks = looks + 1 if _waits(thread) else 0

        self._act = act
        if waits is not bool:
            helper.start()
        else:
            threads.clear()
        try:
            with _instructions(self._pass, _codes(where)):
                yield
        finally:
            self._over.set()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), f"step {self.number}: the other call does not end"
        if self._error is not None:
            raise self._error

    def _watch(self, call: Callable[[], object], waits: Callable[[], bool]) -> None:
        while not self._over.wait(0.001):
            if waits() and self._began.acquire(False):
                self._run(call)
                return

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            self._error = error

    # A signal handler.

    @contextlib.contextmanager
    def interrupted(self, *where: Code, by: Callable[[], object] | None = None) -> Iterator[None]:
        """Run a handler at one of the places in the block at which CPython looks for signals.

        These are the beginnings of functions and the ends of calls of C functions, in the code of `where`.
        Without `by` the handler raises, which ends the block.
        """
        self._act = by or _raise
        codes = _codes(where)

        def profile(frame: FrameType, event: str, argument: object) -> None:
            if event not in ("call", "c_return") or frame.f_code not in codes:
                return
            # Up to 3.10 an exception where a generator goes on would not run its `finally`.
            if event == "call" and frame.f_lasti > 0 and sys.version_info < (3, 11):
                return
            self._pass()

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            yield
        except Interrupted as error:
            # Otherwise the objects of the frames would live until a collection.
            traceback.clear_frames(error.__traceback__)
        finally:
            sys.setprofile(before)

    # Both.

    def _pass(self) -> None:
        if self._began.locked():
            return
        if self._left:
            self._left -= 1
            return
        if self._began.acquire(False):
            self.met = True
            self._act()


def steps(at_least: int = 5, every: int = 1, first: int = 0) -> Iterator[Step]:
    """The repetitions of a story, up to one in which the interrupted call has no step left.

    At least so many steps are expected: a story in which nothing is interrupted shows nothing.
    """
    for number in range(first, _MANY, every):
        step = Step(number)
        yield step
        if not step.met:
            assert number >= at_least, f"only {number} steps"
            return
    raise AssertionError("the call has no end")


def instructions(at_least: int = 5, number: int = 0) -> Iterator[Step]:
    """As `steps`, for a story in which the other call is another thread's: it comes before an instruction.

    There are hundreds of these, so a short run takes every fifth. Stories of the same call with different
    numbers take different ones.
    """
    every = amount(1, 5)
    return steps(at_least, every, number % every)


@contextlib.contextmanager
def _instructions(act: Callable[[], None], codes: frozenset[CodeType]) -> Iterator[None]:
    """Call `act` before each instruction of this thread in `codes`."""
    if sys.version_info >= (3, 12) and sys.implementation.name != "pypy":
        with _monitored(act, codes):
            yield
        return

    def begin(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return go_on

    def go_on(frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            act()
        return go_on

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def _monitored(act: Callable[[], None], codes: frozenset[CodeType]) -> Iterator[None]:
    """On CPython 3.12 and later, where `f_trace_opcodes` counts from the next call of a function on only."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    thread = threading.get_ident()

    def pass_instruction(code: CodeType, offset: int) -> None:
        if threading.get_ident() == thread:
            act()

    monitoring.use_tool_id(_TOOL, "interleaving")
    try:
        monitoring.register_callback(_TOOL, monitoring.events.INSTRUCTION, pass_instruction)
        for code in codes:
            monitoring.set_local_events(_TOOL, code, monitoring.events.INSTRUCTION)
        yield
    finally:
        for code in codes:
            monitoring.set_local_events(_TOOL, code, 0)
        monitoring.free_tool_id(_TOOL)


@functools.cache
def _codes(where: tuple[Code, ...]) -> frozenset[CodeType]:
    """The code of functions, and of all functions of modules, those inside others too."""
    found: set[CodeType] = set()
    left: list[Any] = []
    for place in where:
        if isinstance(place, ModuleType):
            inside = vars(place).values()
            left += [value for value in inside if getattr(value, "__module__", None) == place.__name__]
        else:
            left.append(place)
    while left:
        value = left.pop()
        if isinstance(value, type):
            left += vars(value).values()
        elif isinstance(value, property):
            left += [value.fget, value.fset]
        elif isinstance(value, CodeType):
            found.add(value)
            left += value.co_consts
        elif isinstance(value, FunctionType):
            left.append(value.__code__)
    return frozenset(found)


def _waits(thread: threading.Thread) -> bool:
    """Whether a thread waits: for a leaf, or for an event, as a test's own loop does between two looks."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None or frame.f_code is threading.Condition.wait.__code__:
        return frame is not None
    if frame.f_code is _ENTER and frame.f_back is not None:
        frame = frame.f_back
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0).lstrip().startswith("with ")


def _raise() -> None:
    raise Interrupted
