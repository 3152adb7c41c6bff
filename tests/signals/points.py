"""Points: where CPython looks for signals inside the code of a package, and a call of ours at one of them.

Owns: the profile, trace and monitoring functions of the process. Runs on: the threads that are watched. Must
not import: the package under test.

CPython looks for signals when a function starts or a generator goes on, after a call of what is not a plain
Python function (C functions, classes; on 3.10 after all calls), and at a jump backwards. A function of
`sys.monitoring` (3.12 and later) or `sys.setprofile` and `sys.settrace` (3.10, 3.11, PyPy) is called by the
interpreter at those places, inside the same instruction, and what it raises goes on from that instruction, as
what a signal handler raises does. So `strike` is called from it directly. Raising a signal there would gain
nothing: the handler would run in the frame of the function that raised it. `test_points.py` compares the
places with those where real signals are met.
"""

from __future__ import annotations

import dis
import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any

Strike = Callable[[FrameType], None]

PYPY = sys.implementation.name == "pypy"
MONITORING = sys.version_info >= (3, 12) and not PYPY
# Here CPython looks for signals after calls of Python functions, too.
RETURNS = PYPY or sys.version_info < (3, 11)

_TOOL = 4
_CALLS = {number for name, number in dis.opmap.items() if name.startswith("CALL")}
# Formatting an int looks for signals.
_FORMATS = {number for name, number in dis.opmap.items() if name.startswith("FORMAT_")}
_UNINTERRUPTED = {number for name, number in dis.opmap.items() if name.endswith("_NO_INTERRUPT")}
# 3.10 does not look before these, but looks where an exception is handled.
_SKIPPING = sys.version_info < (3, 11)
_SKIPPED = {dis.opmap.get(name) for name in ("SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH", "YIELD_FROM")}
_THROUGH_CLASSES = ("__init__", "__new__") if not RETURNS else ()
# From 3.14 on a with-statement enters by an ordinary call; after it 3.14 looks for signals, 3.15 does not.
_ENTERS_QUIETLY = sys.version_info >= (3, 15)


@dataclass(frozen=True)
class Place:
    """Where a call was interrupted."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.function}"

    @classmethod
    def of(cls, frame: FrameType, line: int = 0) -> Place:
        code = frame.f_code
        file = code.co_filename.replace("\\", "/")
        return cls("/".join(file.split("/")[-3:]), line or frame.f_lineno or 0, code.co_name)


class Points:
    """Counts the points that are passed, and calls `strike` at the one numbered `at`.

    Make it when the package has been imported, and before any thread is started; one in a process.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.count = 0
        self.struck: Place | None = None
        self._at = -1
        self._strike: Strike | None = None
        self._threads: Callable[[], bool] | None = None
        self._main = 0
        self._codes: dict[CodeType, bool] = {}
        self._quiet: dict[CodeType, set[int]] = {}
        if MONITORING:
            self._monitor()

    @contextmanager
    def watching(self, at: int, strike: Strike, threads: Callable[[], bool] | None = None) -> Iterator[None]:
        """Strike at point `at` (never, when it is negative) of what the block does on this thread, or on
        the threads for which `threads()`, called on each, is true."""
        self.count, self.struck, self._at, self._strike = 0, None, at, strike
        self._threads = threads
        self._main = threading.get_ident()
        try:
            self._begin()
            yield
        finally:
            self._end()
            self._main, self._threads = 0, None

    # The part that all interpreters share.

    def _is_watched(self) -> bool:
        if self._threads is None:
            return threading.get_ident() == self._main
        return self._main != 0 and self._threads()

    def _pass(self, frame: FrameType, line: int = 0) -> None:
        number = self.count
        self.count = number + 1
        if number == self._at and self._strike is not None:
            self.struck = Place.of(frame, line)
            self._strike(frame)

    def _is_ours(self, code: CodeType) -> bool:
        try:
            return self._codes[code]
        except KeyError:
            ours = self._codes[code] = code.co_filename.startswith(self.prefix)
            return ours

    def _begin(self) -> None:
        if not MONITORING and self._threads is None:
            sys.setprofile(self._profile)
            sys.settrace(self._trace)

    def _end(self) -> None:
        if not MONITORING and self._threads is None:
            sys.settrace(None)
            sys.setprofile(None)

    def watch_new_threads(self) -> None:
        """Let threads that are started from now on be watched; needed once in a process, for `threads`."""
        if not MONITORING:
            threading.setprofile(self._profile)

    # The part for CPython 3.12 and later. The events are set once, for the code of the package alone.

    def _monitor(self) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        events = monitoring.events
        monitoring.use_tool_id(_TOOL, "signals")
        for event in (events.PY_START, events.PY_RESUME, events.C_RETURN):
            monitoring.register_callback(_TOOL, event, self._on_event)
        monitoring.register_callback(_TOOL, events.JUMP, self._on_jump)
        monitoring.register_callback(_TOOL, events.INSTRUCTION, self._on_instruction)
        self._event_set = events.PY_START | events.PY_RESUME | events.CALL | events.JUMP
        self._monitored: set[CodeType] = set()
        # This is done now: on free-threaded 3.13 the collector forgets all functions once a second thread is
        # started.
        gc.unfreeze()  # Frozen objects are not among those that the collector lists.
        for function in gc.get_objects():
            if type(function) is FunctionType and self._is_ours(function.__code__):
                self._add(function.__code__)
        for code in self._monitored:
            instructions = list(dis.get_instructions(code))
            formats = any(instruction.opcode in _FORMATS for instruction in instructions)
            more = monitoring.events.INSTRUCTION if formats else 0
            monitoring.set_local_events(_TOOL, code, self._event_set | more)
            if _ENTERS_QUIETLY:
                self._quiet[code] = {
                    call.offset
                    for special, call in itertools.pairwise(instructions)
                    if special.opname == "LOAD_SPECIAL" and special.argrepr == "__enter__"
                }

    def leave(self) -> None:
        """Stop watching, so that another object can."""
        if MONITORING:
            monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
            for code in self._monitored:
                monitoring.set_local_events(_TOOL, code, 0)
            monitoring.free_tool_id(_TOOL)

    def _add(self, code: CodeType) -> None:
        if code not in self._monitored:
            self._monitored.add(code)
            for constant in code.co_consts:
                if isinstance(constant, CodeType):
                    self._add(constant)

    def _on_event(self, code: CodeType, offset: int, *_: object) -> None:
        if self._is_watched() and not (_ENTERS_QUIETLY and offset in self._quiet[code]):
            self._pass(sys._getframe(1))

    def _on_instruction(self, code: CodeType, offset: int) -> Any:
        if code.co_code[offset] not in _FORMATS:
            return sys.monitoring.DISABLE  # type: ignore[attr-defined, unused-ignore]
        if self._is_watched():
            self._pass(sys._getframe(1))
        return None

    def _on_jump(self, code: CodeType, offset: int, destination: int) -> None:
        if destination < offset and self._is_watched():
            positions: Any = code.co_positions()  # type: ignore[attr-defined, unused-ignore]
            line = next(itertools.islice(positions, offset // 2, None))[0]
            self._pass(sys._getframe(1), line or 0)

    # The part for CPython 3.10, 3.11 and PyPy. Calls of classes have no event of their own: there, and at
    # jumps, the trace function finds itself at the next instruction of a frame, with no end of a C function
    # in between.

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "return":
            caller = frame.f_back
            # A call through a class ends in a C function.
            self._done = None if frame.f_code.co_name in _THROUGH_CLASSES else caller
            if not RETURNS or caller is None:
                return
            if not PYPY and caller.f_code.co_code[caller.f_lasti] not in _CALLS:
                return  # It was called by a with-statement, a property or a loop.
            frame = caller
        elif event == "c_return":
            self._done = frame
        elif event != "call" or (_SKIPPING and frame.f_lasti >= 0 and self._threads is None):
            return  # An exception where a generator goes on would end all of it; `_Steps` passes that place.
        if self._is_ours(frame.f_code) and self._is_watched() and not (event != "call" and _skips(frame)):
            self._pass(frame)

    _done: FrameType | None = None

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not self._is_ours(frame.f_code):
            return None
        if PYPY:
            return self._trace_line
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return _Steps(self, frame.f_code.co_code).trace

    def _trace_line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._pass(frame)
        return self._trace_line


def _skips(frame: FrameType) -> bool:
    code = frame.f_code.co_code
    return _SKIPPING and len(code) > frame.f_lasti + 2 and code[frame.f_lasti + 2] in _SKIPPED


class _Steps:
    """The instructions of one frame."""

    def __init__(self, points: Points, code: bytes) -> None:
        self._points, self._code = points, code
        self._last = -1
        self._line = 0  # the line of that instruction

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        points, last = self._points, self._last
        if event == "exception":
            self._last = -2
        elif event == "opcode":
            self._last = now = frame.f_lasti
            if _SKIPPING and self._code[now] in _SKIPPED:
                pass
            elif last == -2 or (last == -1 and now > 0):
                if _SKIPPING:  # 3.10 looks before the first step of a handler, and where a generator goes on.
                    points._pass(frame, self._line)
            elif last >= 0:
                operation = self._code[last]
                jumped = now < last and operation not in _UNINTERRUPTED
                called = operation in _CALLS and points._done is not frame
                if jumped or called or operation in _FORMATS:
                    points._pass(frame, self._line)
            self._line = frame.f_lineno or 0
            points._done = None
        return self.trace
