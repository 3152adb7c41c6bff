"""What a signal handler raises while a caller opens the connection on its own thread: that is the program's
own, and no failure of the network, though it may well be a `TimeoutError` or another `OSError`.

Owns: nothing. Runs on: the thread that opens the connection. Must not import: anything of the package.

It is known by its traceback, which goes through the function that is the handler. So a step that takes an
error for a failure and goes on with another address lets that one pass; and where a step has made another
error of it, the call finds it among the causes, and raises it as it was.
"""

from __future__ import annotations

import traceback


def is_raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler that is written in Python raised it."""
    import signal

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def pass_on(error: BaseException) -> None:
    """Raise it again, if a signal handler raised it."""
    if is_raised_by_handler(error):
        raise error


def find_interrupt(error: BaseException, handled: BaseException | None = None) -> BaseException | None:
    """What has interrupted the caller, where `error` is that, or has come of it; None for a failure.

    `handled` is what the caller was about to handle before.
    """
    seen: list[BaseException | None] = [None, handled]  # errors may lead in circles
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is None or found in seen:
            continue
        if not isinstance(found, Exception) or is_raised_by_handler(found):
            # Who keeps the error keeps its frames, and these would keep a descriptor open.
            traceback.clear_frames(found.__traceback__)
            return found
        seen.append(found)
        left += [found.__context__, found.__cause__]
    return None
