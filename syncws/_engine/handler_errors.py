"""What a signal handler raises while a caller opens the connection: that is the program's own, and no failure
of the network, though it may be an `OSError` such as `TimeoutError`.

Owns: nothing. Runs on: the caller's thread, which opens the connection. Must not import: sockets, what
programs call.

An opening spends its time in waiting. So what a handler raises there goes through all its steps as
`HandlerRaised`, which none of them takes for a failure, and leaves the call as itself.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from .._transport.poller import Poller


class HandlerRaised(BaseException):
    """See the head of the module.

    Attributes:
        error: what the handler raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class CallersPoller:
    """A poller for the waits of an opening on the caller's thread."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.wake = poller.wake

    def wait(self, sock: socket.socket | None, events: int, timeout: float | None) -> bool:
        """See `Poller`."""
        try:
            return self._poller.wait(sock, events, timeout)
        except BaseException as error:
            _pass_on(error)
            raise

    def wait_any(self, socks: list[socket.socket], events: int, timeout: float | None) -> list[socket.socket]:
        """See `Poller`."""
        try:
            return self._poller.wait_any(socks, events, timeout)
        except BaseException as error:
            _pass_on(error)
            raise


def _pass_on(error: BaseException) -> None:
    """Raise it as `HandlerRaised`, if it is of that kind."""
    # Who keeps the error keeps its frames, and these would keep the poller's descriptor open.
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, Exception) and is_raised_by_handler(error):
        raise HandlerRaised(error) from error


def is_raised_by_handler(error: BaseException) -> bool:
    """Whether a signal handler that is written in Python raised it."""
    import signal

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))
