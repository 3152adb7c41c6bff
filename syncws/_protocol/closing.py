"""The life of one connection from its opening to its end, as one state machine (RFC 6455 7, WHATWG 4).

Owns: whether the connection is closing, how far it is with that, how it ended, and when the next deadline is.
Runs on: the reader thread alone. Must not import: anything with I/O or threads, nor a clock: the caller
passes the time in.

    CONNECTING --> OPEN --> DRAINING --> CLOSE_SENT -----> SETTLED --> CLOSED      we begin
                    |          | their Close                  ^
                    |          v                              |
                    +-> CLOSE_RECEIVED --> ANSWERING ---------+                    they begin
                    |
                    +-> FAILING --> CLOSED        a fault in OPEN or DRAINING

In DRAINING and ANSWERING our Close waits behind what is queued. In CLOSE_RECEIVED the application may still
send: its answers to the messages before the Close go out ahead of our Close. In SETTLED both Closes have
passed, and the connection waits only for the end of TCP. In FAILING a Close frame that names the fault has a
second to go out. A fault in another state, an error of the socket and `abort()` lead to CLOSED at once, from
every state.

Each input is a method, which returns what the engine must do. An input that cannot happen in the present
state raises `UnlawfulTransition`. All times are seconds of one monotonic clock. Progress means that the
network took bytes from us, or that we ourselves are still making them (compressing, masking). It extends
every deadline except three: that of a fault, the half second that the application has for its answers, and
the application's own time-outs (`cut_at`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .frames import CloseCode, CloseFrame

# How long our Close waits after the server's Close or a fault, so that the application can answer the
# messages received before it.
CATCH_UP_SECONDS = 0.5

# How long the network may take nothing of what is queued, after the server's Close, before that is given up.
STANDSTILL_SECONDS = 2.0

# The least time that our Close has to go out, from when it was queued in answer to the server's. With a short
# close_timeout, or when this thread was held up, the time of STANDSTILL_SECONDS may be over by then.
ANSWER_SECONDS = 0.5

# How long a fault's Close frame has to get through. Ending TCP with unread data in the socket would reset it,
# and the reset overtakes the frame.
LINGER_SECONDS = 1.0

# How long the server has to end TCP once both Close frames have passed.
TCP_END_SECONDS = 1.0


class State(enum.Enum):
    """The state of a connection; see the head of the module."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"
    CLOSE_SENT = "close sent"
    CLOSE_RECEIVED = "close received"
    ANSWERING = "answering"
    FAILING = "failing"
    SETTLED = "settled"
    CLOSED = "closed"


class Do(enum.Flag):
    """What the engine must do after an input, in this order."""

    NOTHING = 0
    #: Take nothing more from the application, and queue `Closing.close_frame` behind what waits.
    QUEUE_CLOSE = enum.auto()
    #: As QUEUE_CLOSE, replacing a Close frame that is queued already; nothing is sent after it.
    QUEUE_LAST_CLOSE = enum.auto()
    #: End TCP at once: what the network has not taken is given up.
    CUT = enum.auto()
    #: End TCP by a reset.
    RESET = enum.auto()


class UnlawfulTransition(Exception):  # noqa: N818 - the standard library's words for such: asyncio.sslproto
    """A bug in this package: an input came in a state in which it cannot happen."""


@dataclass(frozen=True)
class Outcome:
    """How a connection ended. Events, exceptions and log lines about the end are all made from this record.

    Attributes:
        code, reason: the server's; 1005 when its Close frame had no code, 1006 after a failure.
        was_clean: whether both Close frames have passed.
        error: what went wrong; None after an orderly end, and after any end that the server's Close began.
    """

    code: int
    reason: str = ""
    was_clean: bool = False
    error: BaseException | None = None


class Closing:
    """The state machine of one connection.

    Attributes:
        state: where the connection is.
        outcome: how it ended, as far as that is known; None while nothing is known.
        close_frame: the frame that QUEUE_CLOSE and QUEUE_LAST_CLOSE send.
        close_sent_at: when our Close frame was handed to the network; None before.
    """

    def __init__(self, url: str, close_timeout: float | None) -> None:
        """`url` is for the texts of errors; None as `close_timeout` means no limit."""
        self.state = State.CONNECTING
        self.outcome: Outcome | None = None
        self.close_frame = CloseFrame()
        self.close_sent_at: float | None = None
        self.url = url
        self._timeout = float("inf") if close_timeout is None else close_timeout
        self._since = 0.0  # when the present state began
        self._close_received_at = 0.0
        self._progress_at = 0.0
        self._fail_by = 0.0  # when FAILING ends at the latest
        self._cut_at: float | None = None  # when the earliest `timeout` of the calls of close() is over
        self._cut_error: BaseException | None = None
        self._catching_up = False  # Our Close is not queued yet: the application may still answer.
        self._input_ended = False

    # Questions about the state.

    @property
    def takes_messages(self) -> bool:
        """Whether what arrives is for the application."""
        return self.state is State.OPEN

    @property
    def decodes(self) -> bool:
        """Whether bytes that arrive are decoded: after a Close frame or a fault they are not (7.1.7)."""
        return self.state in (State.OPEN, State.DRAINING, State.CLOSE_SENT)

    @property
    def is_catching_up(self) -> bool:
        """Whether our Close waits for `caught_up`."""
        return self._catching_up

    @property
    def awaits_progress(self) -> bool:
        """Whether the next deadline is put off when the network takes bytes from us."""
        return self.state in (State.DRAINING, State.CLOSE_SENT, State.ANSWERING, State.SETTLED)

    def deadline(self) -> float | None:
        """When to call `expired` unless another input comes first; None when there is no deadline."""
        deadline = self._deadline()
        if self._cut_at is not None and self.state is not State.CLOSED:
            deadline = min(deadline, self._cut_at)
        return None if deadline == float("inf") else deadline

    def _deadline(self) -> float:
        state = self.state
        moved_at = max(self._since, self._progress_at)
        if state in (State.DRAINING, State.CLOSE_SENT):
            return moved_at + self._timeout
        if state is State.CLOSE_RECEIVED:
            return self._since + CATCH_UP_SECONDS
        if state is State.ANSWERING:
            standstill = min(self._timeout, STANDSTILL_SECONDS)
            stood_since = max(self._close_received_at, self._progress_at)
            return max(stood_since + standstill, self._since + min(standstill, ANSWER_SECONDS))
        if state is State.FAILING:
            return min(self._fail_by, self._since + CATCH_UP_SECONDS) if self._catching_up else self._fail_by
        if state is State.SETTLED:
            return moved_at + min(self._timeout, TCP_END_SECONDS)
        return float("inf")

    # Inputs.

    def opened(self) -> Do:
        """The opening handshake is done."""
        self._expect("opened", State.CONNECTING)
        self.state = State.OPEN
        return Do.NOTHING

    def close_called(self, now: float, cut_at: float | None = None, cut_error: Exception | None = None) -> Do:
        """The application has called close(); its Close frame is in the outbox already.

        `cut_at` is when the application stops waiting, and `cut_error` is the error that is reported then;
        the two go together, and the earliest of several calls counts. Once the outcome is settled, `cut_at`
        only ends TCP.
        """
        if self.state is State.CONNECTING:
            raise self._unlawful("close_called")
        if cut_at is not None and cut_error is not None:
            self.cut_wanted(cut_at, cut_error)
        if self.state is State.OPEN:
            self._enter(State.DRAINING, now)
        elif self.state is State.CLOSE_RECEIVED:
            self._answer(now)
        elif self.state is State.FAILING and self._catching_up:
            return self._send_last_close()
        return Do.NOTHING

    def cut_wanted(self, at: float, error: Exception) -> Do:
        """The application wants to wait no longer than until `at`; `error` is what is wrong then."""
        if self._cut_at is None or at < self._cut_at:
            self._cut_at, self._cut_error = at, error
        return Do.NOTHING

    def close_sent(self, now: float) -> Do:
        """Our Close frame was handed to the network."""
        self._expect("close_sent", State.DRAINING, State.ANSWERING, State.FAILING, State.CLOSED)
        self.close_sent_at = now
        if self.state is State.DRAINING:
            self._enter(State.CLOSE_SENT, now)
        elif self.state is State.ANSWERING:
            assert self.outcome is not None
            self._settle(Outcome(self.outcome.code, self.outcome.reason, was_clean=True), now)
        elif self.state is State.FAILING:
            return self._end() if self._input_ended else Do.NOTHING
        return Do.NOTHING

    def close_received(self, frame: CloseFrame, now: float) -> Do:
        """The server's Close frame has arrived; nothing follows it."""
        self._expect("close_received", State.OPEN, State.DRAINING, State.CLOSE_SENT)
        code = CloseCode.NO_STATUS if frame.code is None else frame.code
        if self.state is State.CLOSE_SENT:
            self._settle(Outcome(code, frame.reason, was_clean=True), now)
            return Do.NOTHING
        self.outcome = Outcome(code, frame.reason)
        self._close_received_at = now
        if self.state is State.DRAINING:
            self._enter(State.ANSWERING, now)
            return Do.NOTHING
        self.close_frame = CloseFrame(frame.code)
        self._enter(State.CLOSE_RECEIVED, now)
        self._catching_up = True
        return Do.NOTHING

    def caught_up(self, now: float) -> Do:
        """The application has handled all messages received so far, and asks for more."""
        if not self._catching_up:
            return Do.NOTHING
        if self.state is State.FAILING:
            return self._send_last_close()
        self._answer(now)
        return Do.QUEUE_CLOSE

    def progressed(self, at: float) -> Do:
        """The network took bytes of ours at `at`."""
        self._progress_at = max(self._progress_at, at)
        return Do.NOTHING

    def failed(self, error: BaseException, close_code: int, now: float) -> Do:
        """Fail the connection for `error` (RFC 6455 7.1.7), with `close_code` for the server."""
        if self.state in (State.FAILING, State.CLOSED):
            return Do.NOTHING
        if self.state in (State.CLOSE_RECEIVED, State.ANSWERING, State.SETTLED):
            return self._cut()  # The code and reason of the server's Close stay the outcome.
        if self.state in (State.CONNECTING, State.CLOSE_SENT):
            return self._lose(error)
        closing_ourselves = self.state is State.DRAINING
        self.outcome = Outcome(CloseCode.ABNORMAL, error=error)
        self.close_frame = CloseFrame(close_code, _shorten(str(error)))
        self._fail_by = now + min(self._timeout, LINGER_SECONDS)
        self._enter(State.FAILING, now)
        self._catching_up = True
        # An application that has called close() sends no answers, so our Close need not wait for any.
        return self._send_last_close() if closing_ourselves else Do.NOTHING

    def input_ended(self, now: float) -> Do:
        """The server ended its side of TCP, after its Close frame or after a fault.

        An end of TCP before either of them is a loss: see `lost`.
        """
        self._expect("input_ended", State.CLOSE_RECEIVED, State.ANSWERING, State.FAILING, State.SETTLED)
        self._input_ended = True
        if self.state is State.CLOSE_RECEIVED:
            # The server reads no answers any longer, so our Close need not wait for them.
            self._answer(now)
            return Do.QUEUE_CLOSE
        if self.state is State.SETTLED or (self.state is State.FAILING and self.close_sent_at is not None):
            return self._end()
        return Do.NOTHING

    def lost(self, error: BaseException) -> Do:
        """TCP is gone: an error of the socket, in either direction, or an end before the server's Close."""
        if self.state in (State.OPEN, State.DRAINING, State.CLOSE_SENT, State.CONNECTING):
            return self._lose(error)
        if self.state is State.CLOSED:
            return Do.NOTHING
        return self._cut()

    def aborted(self, error: BaseException) -> Do:
        """The application wants the connection to end now. A settled outcome stays; only TCP ends then."""
        if self.state is State.CLOSED:
            return Do.NOTHING
        if self.state not in (State.SETTLED, State.FAILING):
            self.outcome = Outcome(CloseCode.ABNORMAL, error=error)
        self._end()
        return Do.RESET

    def expired(self, now: float, unsent: int) -> Do:
        """The deadline has passed, and a last look at the socket found nothing to read.

        `unsent` is how many bytes the application sent that the network did not take.
        """
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return Do.NOTHING
        if self._cut_at is not None and now >= self._cut_at and self.state is not State.SETTLED:
            assert self._cut_error is not None
            return self.aborted(self._cut_error)
        if self._catching_up:
            return self.caught_up(now)
        if self.state is State.DRAINING:
            text = f"{self.url}: the network took nothing for close_timeout={self._timeout:g} s"
            return self._lose(TimeoutError(f"{text}, and {unsent} bytes were not sent"))
        if self.state is State.CLOSE_SENT:
            text = f"{self.url} did not answer the Close frame within close_timeout={self._timeout:g} s"
            return self._lose(TimeoutError(text))
        return self._cut()

    # Transitions.

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self._since = now

    def _answer(self, now: float) -> None:
        self._catching_up = False
        self._enter(State.ANSWERING, now)

    def _send_last_close(self) -> Do:
        self._catching_up = False
        return Do.QUEUE_LAST_CLOSE

    def _settle(self, outcome: Outcome, now: float) -> None:
        self.outcome = outcome
        self._enter(State.SETTLED, now)
        if self._input_ended:
            self._end()

    def _lose(self, error: BaseException) -> Do:
        self.outcome = Outcome(CloseCode.ABNORMAL, error=error)
        return self._cut()

    def _cut(self) -> Do:
        self._end()
        return Do.CUT

    def _end(self) -> Do:
        self.state = State.CLOSED
        self._catching_up = False
        return Do.NOTHING

    def _expect(self, name: str, *states: State) -> None:
        if self.state not in states:
            raise self._unlawful(name)

    def _unlawful(self, name: str) -> UnlawfulTransition:
        return UnlawfulTransition(f"{name} in the state {self.state.value!r}")


def _shorten(text: str) -> str:
    """As much of `text` as fits into a Close frame (RFC 6455 5.5: 125 bytes with the code)."""
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
