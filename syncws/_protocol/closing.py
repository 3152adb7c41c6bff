"""The life of one connection from its opening to its end, as one state machine (RFC 6455 7, WHATWG 4).

Owns: whether the connection is closing, how far, how it will have ended, and by when something must happen.
Runs on: the reader thread alone. Must not import: anything with I/O or threads; it is told the time.

    CONNECTING --> OPEN --> DRAINING --> CLOSE_SENT -----> SETTLED --> CLOSED      we begin
                    |          | their Close                  ^
                    |          v                              |
                    +-> CLOSE_RECEIVED --> ANSWERING ---------+                    they begin
                    |
                    +-> FAILING --> CLOSED        a fault in OPEN or DRAINING

In DRAINING and ANSWERING our Close waits behind what is queued. In CLOSE_RECEIVED the application may still
send: answers to the messages before the Close go out ahead of ours. In SETTLED both Closes have passed, and
only the end of TCP is awaited. In FAILING a Close frame that names the fault is to go out, within a second; a
fault in another state, an error of the socket and `abort()` lead from each state to CLOSED at once.

Each input is a method. It returns what the engine must do for it; an input that no lawful course of events
can bring in a state raises `UnlawfulTransition`. All times are those of one monotonic clock, in seconds.
Progress is that the network took bytes off our side; it extends each deadline but for those of a fault, of
the application's half second, and of its own time-outs (`cut_at`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .frames import CloseCode, CloseFrame

# How long our Close waits for the application to come back for more, once the server's Close or a fault is
# here.
CATCH_UP_SECONDS = 0.5

# How long what is queued may stand still once the server's Close is here, before it is given up.
STANDSTILL_SECONDS = 2.0

# How long our answer has at least, from when it was queued: with a short close_timeout, or when something
# held this thread up, the time for standing still may be over by then.
ANSWER_SECONDS = 0.5

# How long a fault's Close frame has to get through. Ending TCP with unread data in the socket would reset it,
# and the reset overtakes the frame.
LINGER_SECONDS = 1.0

# How long the server has to end TCP once both Close frames have passed.
TCP_END_SECONDS = 1.0


class State(enum.Enum):
    """Where a connection is; see the head of the module."""

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
    """What an input asks of the engine, in this order."""

    NOTHING = 0
    #: Take nothing more from the application, and queue `Closing.close_frame` behind what waits.
    QUEUE_CLOSE = enum.auto()
    #: As QUEUE_CLOSE, in the place of a Close frame that waits; the output ends with it.
    QUEUE_LAST_CLOSE = enum.auto()
    #: End TCP as it is: what the network has not taken is given up.
    CUT = enum.auto()
    #: End TCP by a reset.
    RESET = enum.auto()


class UnlawfulTransition(Exception):  # noqa: N818 - the standard library's words for such: asyncio.sslproto
    """A fault of this package: an input came in a state in which it cannot."""


@dataclass(frozen=True)
class Outcome:
    """How a connection ended: the one record that everything said about the end derives from.

    Attributes:
        code, reason: the server's, 1005 when its Close frame had none, 1006 after a failure.
        was_clean: whether both Close frames have passed.
        error: what went wrong; None after an orderly end, and where the server's Close stands.
    """

    code: int
    reason: str = ""
    was_clean: bool = False
    error: BaseException | None = None


class Closing:
    """The state machine of one connection.

    Attributes:
        state: where the connection is.
        outcome: how it ended, as far as that is known; None until something is.
        close_frame: what QUEUE_CLOSE is about.
        close_sent_at: when our Close frame was handed to the network; None before.
    """

    def __init__(self, url: str, close_timeout: float | None) -> None:
        """`url` is for texts; `close_timeout` None is endless."""
        self.state = State.CONNECTING
        self.outcome: Outcome | None = None
        self.close_frame = CloseFrame()
        self.close_sent_at: float | None = None
        self._url = url
        self._timeout = float("inf") if close_timeout is None else close_timeout
        self._since = 0.0  # when the present state began
        self._close_received_at = 0.0
        self._progress_at = 0.0
        self._fail_by = 0.0  # in FAILING
        self._cut_at: float | None = None  # the earliest `timeout` of the calls of close()
        self._cut_error: BaseException | None = None
        self._catching_up = False  # our Close is not queued yet: the application may still answer
        self._input_ended = False

    # What follows from the state.

    @property
    def takes_messages(self) -> bool:
        """Whether what arrives is for the application."""
        return self.state is State.OPEN

    @property
    def decodes(self) -> bool:
        """Whether what arrives still means anything: nothing after a Close frame or a fault does (7.1.7)."""
        return self.state in (State.OPEN, State.DRAINING, State.CLOSE_SENT)

    @property
    def is_catching_up(self) -> bool:
        """Whether `caught_up` is awaited."""
        return self._catching_up

    @property
    def awaits_progress(self) -> bool:
        """Whether progress of what was sent puts the next deadline off."""
        return self.state in (State.DRAINING, State.CLOSE_SENT, State.ANSWERING, State.SETTLED)

    def deadline(self) -> float | None:
        """By when something must happen, or `expired` is to be called; None where nothing is waited for."""
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
        """The application closes; its Close frame is in the outbox already.

        `cut_at` is when it wants to wait no longer, `cut_error` what is wrong then; the two go together. Of
        several calls the earliest counts. Once the outcome is settled, it ends TCP alone.
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
        """The server's Close frame is here; nothing follows it."""
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
        """The application has dealt with all that came before, and is back for more."""
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
        """The connection is to be failed for `error` (RFC 6455 7.1.7), telling the server `close_code`."""
        if self.state in (State.FAILING, State.CLOSED):
            return Do.NOTHING
        if self.state in (State.CLOSE_RECEIVED, State.ANSWERING, State.SETTLED):
            return self._cut()  # the server's Close stands
        if self.state in (State.CONNECTING, State.CLOSE_SENT):
            return self._lose(error)
        closing_ourselves = self.state is State.DRAINING
        self.outcome = Outcome(CloseCode.ABNORMAL, error=error)
        self.close_frame = CloseFrame(close_code, _shorten(str(error)))
        self._fail_by = now + min(self._timeout, LINGER_SECONDS)
        self._enter(State.FAILING, now)
        self._catching_up = True
        # What the application has not sent when it closes, it will not send.
        return self._send_last_close() if closing_ourselves else Do.NOTHING

    def input_ended(self, now: float) -> Do:
        """The server ended its side of TCP, in order; what was lost by that is for `lost` to tell.

        Lawful once the server's Close or a fault is here.
        """
        self._expect("input_ended", State.CLOSE_RECEIVED, State.ANSWERING, State.FAILING, State.SETTLED)
        self._input_ended = True
        if self.state is State.CLOSE_RECEIVED:
            # Nobody will answer any more, so nothing is gained by waiting for the application.
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
        """The application wants the end now; once the outcome is settled, that of TCP alone."""
        if self.state is State.CLOSED:
            return Do.NOTHING
        if self.state not in (State.SETTLED, State.FAILING):
            self.outcome = Outcome(CloseCode.ABNORMAL, error=error)
        self._end()
        return Do.RESET

    def expired(self, now: float, unsent: int) -> Do:
        """The deadline has passed, and a last look into the socket brought nothing. `unsent`: bytes that the
        application sent and the network did not take."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return Do.NOTHING
        if self._cut_at is not None and now >= self._cut_at and self.state is not State.SETTLED:
            assert self._cut_error is not None
            return self.aborted(self._cut_error)
        if self._catching_up:
            return self.caught_up(now)
        if self.state is State.DRAINING:
            text = f"{self._url}: the network took nothing for close_timeout={self._timeout:g} s"
            return self._lose(TimeoutError(f"{text}, and {unsent} bytes were not sent"))
        if self.state is State.CLOSE_SENT:
            text = f"{self._url} did not answer the Close frame within close_timeout={self._timeout:g} s"
            return self._lose(TimeoutError(text))
        return self._cut()

    # Inside.

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
    """As much of `text` as fits a Close frame (RFC 6455 5.5: 125 bytes with the code)."""
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")
