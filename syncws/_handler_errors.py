"""Exceptions of signal handlers: a handler that interrupts one of our calls may raise a `TimeoutError` or
another `OSError`, which is no failure of the network and must reach the program.

Owns: the code of the handlers that were there when a connection was opened. Runs on: any thread; handlers run
on the main one alone. Must not import: anything of the package.

Such an exception is recognised by its traceback, which goes through the function of the handler. So a step
that catches errors and goes on, such as with another address, raises this one again; and if a step has made
another error of it, the call finds it among the causes, and raises it unchanged.

A handler that is written in C leaves no such trace. If there is one, the main thread makes only single calls
in which no handler runs, and leaves everything else that may fail to our threads; see `can_tell_handlers`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import functools
import threading
import traceback
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar

T = TypeVar("T")

# The code of the handlers that were installed when a connection was opened: a handler may restore the one
# before it before it raises. Each is listed once, however often it is installed.
_codes: set[CodeType] = set()

# The handlers that Python itself installs. Theirs raises KeyboardInterrupt, which no step takes for a
# failure.
_harmless = _signal.default_int_handler


def can_tell_handlers() -> bool:
    """Whether an exception of a signal handler can be recognised on this thread.

    `connect()` asks this before it opens a connection on the caller's thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return True  # No handler runs on this thread.
    # This calls the function in C: that of `signal` takes twenty times as long, since it makes members of an
    # enum.
    can_tell = True
    for handler in map(_signal.getsignal, range(1, _signal.NSIG)):
        if callable(handler) and handler is not _harmless:
            code = _code_of(handler)
            if code is None:
                can_tell = False
            else:
                _codes.add(code)
    return can_tell


def _code_of(handler: Any) -> CodeType | None:
    """The code that runs when `handler` is called; None if it is written in C."""
    for _ in range(100):  # A partial of a partial may hold itself.
        if isinstance(handler, FunctionType):
            return handler.__code__
        if isinstance(handler, MethodType):
            handler = handler.__func__
        elif isinstance(handler, functools.partial):
            handler = handler.func
        else:
            handler = getattr(type(handler), "__call__", None)  # noqa: B004 - what is there
            if not isinstance(handler, (FunctionType, functools.partial)):
                return None
    return None


def is_raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler that is written in Python raised it."""
    if error.__traceback__ is None or error.__traceback__.tb_next is None:
        return False  # The error comes from the very step that was tried.
    codes = _codes | {_code_of(handler) for handler in map(_signal.getsignal, range(1, _signal.NSIG))}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def is_interrupt_of_python(error: BaseException) -> bool:
    """Whether this is a KeyboardInterrupt of Python's own handler in C: then no statement raised it."""
    import opcode

    traceback_ = error.__traceback__
    if not isinstance(error, KeyboardInterrupt) or traceback_ is None:
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    while traceback_.tb_next is not None:
        traceback_ = traceback_.tb_next
    step = traceback_.tb_frame.f_code.co_code[traceback_.tb_lasti :][:1]
    return step != bytes([opcode.opmap["RAISE_VARARGS"]])


def pass_on(error: BaseException) -> None:
    """Raise `error` again if a signal handler raised it."""
    if is_raised_by_handler(error):
        raise error


def find_interrupt(error: BaseException, handled: BaseException | None = None) -> BaseException | None:
    """The exception that interrupted the caller, if `error` is that or was caused by it; None for a failure.

    `handled` is the exception that the caller was handling before.
    """
    seen: list[BaseException | None] = [None, handled]  # Errors may lead in circles.
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is None or found in seen:
            continue
        if not isinstance(found, Exception) or is_raised_by_handler(found):
            # A reference to the error keeps its frames alive, and these would keep a descriptor open.
            traceback.clear_frames(found.__traceback__)
            return found
        seen.append(found)
        left += [found.__context__, found.__cause__]
    return None


def start_daemon(name: str, body: Callable[[list[T]], object], given: list[T]) -> None:
    """Start a daemon thread that calls `body` with `given`, or raise what a handler raises meanwhile.

    Then `given` is emptied, unless the thread was quicker. A handler that cuts `Thread.start` off may leave
    the thread in the list of `threading`, or waiting, for ever: so it must hold no connection.
    """
    thread = threading.Thread(target=body, args=(given,), name=name, daemon=True)
    try:
        thread.start()
    except BaseException as error:
        given.clear()
        # If the thread has begun already, `threading` cannot take it off its list, and raises this instead.
        if isinstance(error, KeyError) and error.args == (thread,) and error.__context__ is not None:
            raise error.__context__ from error.__context__.__cause__
        raise
