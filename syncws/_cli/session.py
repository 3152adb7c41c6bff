"""A run without a person at the keys: lines in, messages out, and a status.

Owns: the order of the steps: send, wait for the answers, close. Runs on: the main thread; the receiving has a
thread of its own. Must not import: the engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from .. import Connection, ConnectionClosed
from .inputs import BadLine, Lines
from .outcome import Outcome
from .waiting import Waiter, remaining

if TYPE_CHECKING:
    from .console import Console
    from .goal import Goal
    from .outputs import Printer
    from .progress import Progress
    from .receiving import Receiver

# While more bytes than this are unsent, lines stay in stdin until the network has caught up.
MOST_BUFFERED = 2**20
# How many seconds pass between two looks at the connection while the network catches up.
_SLICE_SECONDS = 0.1
# How long to wait for the pong that shows that the server has seen all our messages.
SETTLE_SECONDS = 1.0
# How long to wait for the server's Close once nobody reads stdout, or the time is up.
QUICK_CLOSE_SECONDS = 1.0


#: The chunks of a file; the function calls its argument with the size of each.
Chunks: TypeAlias = Callable[[Callable[[int], None]], Iterator[str] | Iterator[bytes]]


class TimeUp(Exception):  # noqa: N818 - what happened
    """--timeout is over."""


class Session:
    """Sends what it is given, prints what comes, and decides when that is all."""

    def __init__(
        self,
        console: Console,
        printer: Printer,
        goal: Goal,
        receiver: Receiver,
        waiter: Waiter,
        *,
        wait: float | None,
        deadline: float | None,
        comes_back: bool = False,
    ) -> None:
        """`deadline` ends the whole run, by `time.monotonic()`. `comes_back`: another one may follow."""
        self._console = console
        self._printer = printer
        self._goal = goal
        self._receiver = receiver
        self._waiter = waiter
        self._wait_seconds = wait
        self._deadline = deadline
        self._comes_back = comes_back
        self._refused = False  # whether a message was not sent since the connection was over
        self._bad_input = False
        self._missing = ""

    # Sending.

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come, or nobody wants it."""
        return self._receiver.is_over or self._waiter.output_broken

    def send_lines(self, lines: Lines) -> None:
        """Send what stdin has, up to its end."""
        try:
            while not self.is_over:
                self._pause_for_network()
                self._wait(None, for_input=True)
                if not self._waiter.input_ready:
                    continue
                try:
                    data = self._waiter.read()
                except OSError as error:
                    raise BadLine(f"stdin cannot be read: {error.strerror}") from None
                if data is None:
                    continue
                for message in lines.feed(data) if data else lines.finish():
                    self.send(message)
                if not data:
                    break
        except BadLine as error:
            self._console.say(str(error), "bad")
            self._bad_input = True

    def send(self, message: str | bytes) -> None:
        """Send one message, or note that the connection was over and it was not sent."""

        def send(connection: Connection) -> None:
            with self._printer.sending(message):
                connection.send(message)

        self._send_with(send)

    def send_file(self, chunks: Chunks, progress: Progress | None = None) -> None:
        """Send one message in fragments as its chunks come, and wait until all was handed to the network."""

        def on_chunk(size: int) -> None:
            if remaining(self._deadline) == 0:
                raise TimeUp
            if progress is not None:
                progress.taken += size
                progress.update()

        try:
            self._send_with(lambda connection: connection.send(chunks(on_chunk)), again=False)
        except BadLine as error:
            self._console.say(str(error), "bad")
            self._bad_input = True
        self._flush(progress)

    def _send_with(self, send: Callable[[Connection], None], *, again: bool = True) -> None:
        """Send over the present connection, or over the next one; note it if neither is possible."""
        while not self.is_over:
            connection = self._receiver.connection
            if connection is None or self._receiver.closed is not None:
                self._wait(None)  # There is no connection yet, or none after a loss.
                continue
            try:
                send(connection)
            except ConnectionClosed:
                if again and self._comes_back and not self._receiver.is_over:
                    self._wait(_SLICE_SECONDS)
                    continue
                break
            self._goal.sent += 1
            return
        self._refused = not self._receiver.has_enough and not self._has_no_reader

    def _pause_for_network(self) -> None:
        connection = self._receiver.connection
        while connection is not None and connection.bufferedAmount > MOST_BUFFERED and not self.is_over:
            if connection.readyState == connection.CLOSED:
                return
            self._wait(0)
            _ask(lambda: connection.flush(_SLICE_SECONDS))

    # Waiting.

    def await_answers(self) -> None:
        """Wait until everything was sent and the goal is met, or --wait is over."""
        self._goal.all_sent = True
        self._flush()
        until = None if self._wait_seconds is None else time.monotonic() + self._wait_seconds
        while not self.is_over and not self._goal.is_met:
            left = remaining(until)
            if left == 0:
                self._missing = f"{self._goal.missing()} within {self._wait_seconds:g} s"
                return
            self._wait(left)
        if not self.is_over and not self._goal.is_explicit and self._wait_seconds != 0:
            self._settle()

    def await_end(self) -> None:
        """Wait until the server closes or the goal is met."""
        while not self.is_over:
            self._wait(None)

    def _flush(self, progress: Progress | None = None) -> None:
        while not self.is_over and (connection := self._receiver.connection) is not None:
            if not connection.bufferedAmount or connection.readyState == connection.CLOSED:
                return
            self._wait(0)
            if progress is not None:
                progress.update()
            _ask(lambda: connection.flush(_SLICE_SECONDS))

    def measure(self) -> float | None:
        """The time of a ping and its pong; None when the connection is over."""
        connection = self._receiver.connection
        if connection is None or self._receiver.closed is not None:
            return None
        return _ask(lambda: connection.ping(SETTLE_SECONDS))

    def _settle(self) -> None:
        """Receive what the server sent before it had seen all our messages.

        A ping goes behind our messages, and its pong behind what the server sent before it. So a greeting
        that came first does not take the place of an answer.
        """
        connection = self._receiver.connection
        if self.measure() is None and connection is not None and not self._comes_back:
            # No pong came: the server is silent, or it has closed, which the receiving thread is about to
            # notice.
            while not self.is_over and connection.readyState != Connection.OPEN:
                self._wait(None)

    def _wait(self, seconds: float | None, *, for_input: bool = False) -> None:
        left = remaining(self._deadline)
        if left == 0:
            raise TimeUp
        if left is not None:
            seconds = left if seconds is None else min(seconds, left)
        self._waiter.wait(seconds, for_input=for_input)

    # The end.

    def on_time_up(self) -> None:
        """--timeout is over: what the run still waited for is missing."""
        if not self._goal.is_met:
            self._missing = f"{self._goal.missing()} when --timeout was over"

    def finish(self, *, reads_input: bool) -> Outcome:
        """Close, wait for the end of the receiving, and return the outcome."""
        receiver = self._receiver
        if reads_input and receiver.is_over and not receiver.has_enough and not self._goal.all_sent:
            self._look_for_unsent()
        closed = receiver.closed
        self._close()
        if not receiver.output_closed:  # A thread whose output is closed may be stuck in a write for ever.
            receiver.thread.join(QUICK_CLOSE_SECONDS if self._closes_quickly else None)
        return Outcome(
            failure=receiver.failure,
            closed=receiver.closed,
            was_theirs=closed is not None,
            unsent=receiver.unsent,
            # If there never was a connection, the reason for that is the failure.
            refused=self._refused and receiver.connection is not None,
            bad_input=self._bad_input,
            no_reader=self._has_no_reader,
            missing=self._missing or ("" if receiver.has_enough else self._goal.missing()),
        )

    @property
    def _closes_quickly(self) -> bool:
        return self._has_no_reader or remaining(self._deadline) == 0

    def _close(self) -> None:
        """Close. If nobody waits for further messages, the server gets a second for its Close."""
        if not self._closes_quickly:
            self._receiver.close()
            return
        closing = threading.Thread(target=self._receiver.close, name="syncws-cli-closer", daemon=True)
        closing.start()
        closing.join(QUICK_CLOSE_SECONDS)
        self._receiver.abort()

    def _look_for_unsent(self) -> None:
        """Look whether stdin holds lines that cannot be sent any more."""
        self._waiter.wait(0, for_input=True)
        if self._waiter.input_ready and self._waiter.read():
            self._refused = True

    @property
    def _has_no_reader(self) -> bool:
        return self._receiver.output_closed or self._waiter.output_broken


_T = TypeVar("_T")


def _ask(call: Callable[[], _T]) -> _T | None:
    """Make a call, and ignore a time-out or the end of the connection: other code looks at both."""
    try:
        return call()
    except (TimeoutError, ConnectionClosed):
        return None
