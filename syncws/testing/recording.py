"""The record of one connection as the server saw it, for the test.

Owns: the record of one connection, and the waits and assertions on it. Runs on: the script's thread writes
it, any thread reads it. Must not import: sockets, or what plays scripts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .difference import Message, shorten
from .wire import Request

# The memory of a kept message besides its payload, roughly.
_OVERHEAD = 64


class RecordedConnection:
    """One connection as the server saw it; every attribute may be read at any time, from any thread.

    Attributes:
        request: the head of the client's request: ``request.target``, ``request.headers["X-Id"]``; None until
            the script has read it.
        received: the messages that the script received, in order, `str` or `bytes`.
        close_code: of the client's Close frame, 1005 if that had none; 1006 when the connection ended without
            one; None until then.
        close_reason: of the client's Close frame; ``""`` when it had none; None until then.
    """

    def __init__(self, number: int = 1, limit: int = 64 << 20) -> None:
        self.request: Request | None = None
        self.received: list[Message] = []
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._number = number
        self._room = limit
        self._left_out = 0
        self._ended = False
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        target = self.request.target if self.request else "no request yet"
        end = f"closed with {self.close_code}" if self.close_code is not None else "open"
        return f"<connection {self._number}: {target}, {len(self.received)} messages, {end}>"

    def wait(self, timeout: float = 5) -> None:
        """Return when the connection has ended and its script too; TimeoutError when not in ``timeout`` s."""
        self._wait_for(lambda: self._ended, timeout, f"{self!r} has not ended within {timeout} s")

    def assert_received(self, *messages: Message, timeout: float = 5) -> None:
        """Wait until as many messages have come, and compare them all, in order.

        Args:
            messages: all that the client should have sent so far.
            timeout: seconds to wait for as many messages.

        Raises:
            AssertionError: says which message differs, is missing or is one too many.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) >= len(messages) or self._ended, timeout)
            received, left_out = list(self.received), self._left_out
        if left_out:
            raise AssertionError(f"{left_out} messages were beyond the recording's limit and are not known")
        if received != list(messages):
            raise AssertionError(_difference(list(messages), received, timeout))

    def assert_closed(self, code: int = 1000, reason: str | None = None, timeout: float = 5) -> None:
        """Wait for the end of the connection, and compare the client's close code, and reason if given.

        Args:
            code: 1005 stands for a Close frame without a code, 1006 for an end without a Close frame.
            reason: None compares the code alone.
            timeout: seconds to wait for the end.

        Raises:
            AssertionError: another code or reason, or no end in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.close_code is not None, timeout)
        if self.close_code is None:
            raise AssertionError(f"{self!r} was not closed within {timeout} s")
        if self.close_code != code or (reason is not None and self.close_reason != reason):
            wanted = f"{code}" if reason is None else f"{code} {reason!r}"
            raise AssertionError(
                f"the client closed with {self.close_code} {self.close_reason!r}, not with {wanted}"
            )

    def _wait_for(self, condition: Callable[[], bool], timeout: float, text: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(text)

    # The script's thread calls these methods.

    @property
    def _keeps(self) -> bool:
        """Whether a message would be kept; False once the limit is reached, and for a limit of 0 always."""
        return self._room > 0

    def _add_request(self, request: Request) -> None:
        with self._changed:
            self.request = request
            self._changed.notify_all()

    def _add_message(self, message: Message) -> None:
        with self._changed:
            self._room -= len(message) + _OVERHEAD
            if self._room > 0:
                self.received.append(message)
            else:
                self._left_out += 1
            self._changed.notify_all()

    def _leave_out(self) -> None:
        with self._changed:
            self._left_out += 1
            self._changed.notify_all()

    def _add_close(self, code: int, reason: str) -> None:
        with self._changed:
            if self.close_code is None:
                self.close_code, self.close_reason = code, reason
                self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            if self.close_code is None:
                self.close_code, self.close_reason = 1006, ""
            self._ended = True
            self._changed.notify_all()


def _difference(expected: list[Message], received: list[Message], timeout: float) -> str:
    """Every message that came or should have come, one a line, marked as `difflib` marks them."""
    lines = [f"the server received {len(received)} messages, {len(expected)} were expected:"]
    for at in range(max(len(expected), len(received))):
        if at >= len(received):
            lines.append(f"- {at}: {shorten(expected[at])} (did not come within {timeout} s)")
        elif at >= len(expected):
            lines.append(f"+ {at}: {shorten(received[at])} (was not expected)")
        elif expected[at] == received[at]:
            lines.append(f"  {at}: {shorten(received[at])}")
        else:
            lines += [f"- {at}: {shorten(expected[at])}", f"+ {at}: {shorten(received[at])}"]
    return "\n".join(lines)
