"""Closes, faults, losses and progress in any order: a connection ends in time, once, and as a model says.

The model keeps no states: it notes what happened and when, and reads deadlines and outcome off these facts.
"""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncws._protocol.closing import Closing, Do, Outcome, State
from syncws._protocol.frames import CloseFrame
from tests.property.strategies import number_of_examples

START = 1000.0
ENDLESS = None
THEIRS = CloseFrame(4001, "session expired")

# Times are multiples of 1/64 s, so that every sum is exact.
moments = st.sampled_from([1, 4, 8, 8, 8, 15, 16, 16, 31, 32, 33, 64, 128, 640]).map(lambda n: n / 64)
timeouts = st.sampled_from([10.0, 10.0, 10.0, 1.5, 1.5, 0.75, 0.25, ENDLESS])
patience = st.sampled_from([None, None, 0.25, 1.0, 2.5, 8.0])
usually_not = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 5.0])
# How far it has come when the events in any order begin.
beginnings = st.sampled_from(
    [
        "",
        "open",
        "open application_sends",
        "open application_sends application_closes",
        "open application_closes network_takes",
        "open application_closes network_takes server_closes",
        "open application_sends application_closes server_closes",
        "open application_sends server_closes",
        "open application_sends server_closes application_comes_back",
        "open server_closes application_comes_back network_takes",
        "open application_sends fail",
        "open application_sends application_closes fail",
    ]
)
# Steps that end everything are rare, or few connections would come far.
rarely = st.sampled_from([False, False, False, False, True])


class Lives(RuleBasedStateMachine):
    """One connection: the machine, and what is around it.

    Attributes:
        unsent: bytes that wait ahead of our Close.
        close_waits, close_left: where our Close frame is.
        notes: what application and writer left for the reader and it has not looked at: times or None for
            the calls of close().
        outcome: how it must end, as far as that is certain; an `error` of None beside 1006 is any time-out.
        over: whether it must have ended.
    """

    @initialize(close_timeout=timeouts, beginning=beginnings)
    def connect(self, close_timeout: float | None, beginning: str) -> None:
        self.now = START
        self.limit = math.inf if close_timeout is None else close_timeout
        self.closing = Closing("ws://example.org/", close_timeout)
        self.unsent = 0
        self.close_waits = self.close_left = self.close_left_untold = self.queued = False
        self.notes: list[float | None] = []
        # The facts that the reader knows, and when it learned them.
        self.opened = self.input_ended = self.over = False
        self.we_closed_at: float | None = None
        self.sent_at: float | None = None
        self.they_closed_at: float | None = None
        self.answer_queued_at: float | None = None
        self.fault_at: float | None = None
        self.fault_waits = False
        self.settled_at: float | None = None
        self.progress_at = 0.0
        self.cut_at = math.inf
        self.outcome: tuple[int, bool, BaseException | None] | None = None
        self.settled_outcome: Outcome | None = None
        self.final_outcome: Outcome | None = None
        for name in beginning.split():
            getattr(self, name)()
            self.reader_looks()

    # What the rules of closing say of the facts.

    @property
    def due_at(self) -> float:
        """By when something must happen."""
        if not self.opened or self.over:
            return math.inf
        if self.settled_at is not None:
            due = max(self.settled_at, self.progress_at) + min(self.limit, 1)
        elif self.fault_at is not None:
            due = self.fault_at + min(self.limit, 1, 0.5 if self.fault_waits else 1)
        elif self.they_closed_at is not None:
            due = self.they_closed_at + 0.5
            if self.answer_queued_at is not None:
                due = max(self.they_closed_at, self.progress_at) + min(self.limit, 2)
                due = max(due, self.answer_queued_at + min(self.limit, 0.5))
        elif self.sent_at is not None:
            due = max(self.sent_at, self.progress_at) + self.limit
        elif self.we_closed_at is not None:
            due = max(self.we_closed_at, self.progress_at) + self.limit
        else:
            return math.inf
        return min(due, self.cut_at)

    @property
    def longest_quiet(self) -> float:
        """How long the connection may last at most if nothing else happens."""
        if self.settled_at is not None or self.fault_at is not None:
            return min(self.limit, 1)
        if self.they_closed_at is not None:
            return max(min(self.limit, 2), 0.5 + min(self.limit, 0.5))
        return self.limit

    def end(self, outcome: tuple[int, bool, BaseException | None]) -> None:
        """It must be over; `outcome` counts where nothing earlier does."""
        self.over = True
        if self.outcome is None:
            self.outcome = outcome

    def queue_our_close(self) -> None:
        if not self.close_left:
            self.close_waits = True

    def settle_if_both_have_passed(self) -> None:
        if self.sent_at is not None and self.they_closed_at is not None and not self.over:
            self.settled_at, self.outcome = self.now, (THEIRS.code or 0, True, None)
            self.over = self.input_ended

    def note_do(self, do: Do, expected: Do) -> None:
        assert do is expected
        if do in (Do.QUEUE_CLOSE, Do.QUEUE_LAST_CLOSE):
            assert not self.queued, "our Close was queued twice"
            self.queued = True
            self.queue_our_close()

    # The opening.

    @precondition(lambda self: not self.opened and not self.over)
    @rule()
    def open(self) -> None:
        assert self.closing.opened() is Do.NOTHING
        self.opened = True

    # The application.

    @precondition(lambda self: self.opened and not self.over and not self.close_waits and not self.close_left)
    @rule(size=st.integers(1, 3))
    def application_sends(self, size: int = 3) -> None:
        self.unsent += size

    @precondition(lambda self: self.opened)
    @rule(seconds=patience)
    def application_closes(self, seconds: float | None = None) -> None:
        self.notes.append(None if seconds is None else self.now + seconds)
        self.queue_our_close()

    @rule()
    def application_comes_back(self) -> None:
        expected = Do.NOTHING
        if self.is_application_awaited:
            expected = Do.QUEUE_CLOSE if self.fault_at is None else Do.QUEUE_LAST_CLOSE
        self.note_do(self.closing.caught_up(self.now), expected)
        if expected:
            self.application_is_back()

    @rule(really=rarely)
    def application_aborts(self, really: bool) -> None:
        if really:
            self.abort()

    def abort(self) -> None:
        error = RuntimeError("aborted")
        expected = Do.NOTHING if self.over else Do.RESET
        self.cut_off(error)
        self.note_do(self.closing.aborted(error), expected)

    def cut_off(self, error: BaseException) -> None:
        if self.over:
            return
        if self.settled_at is None and self.fault_at is None:
            self.outcome = (1006, False, error)
        self.over = True

    @property
    def is_application_awaited(self) -> bool:
        if self.over or self.settled_at is not None:
            return False
        if self.fault_at is not None:
            return self.fault_waits
        return self.they_closed_at is not None and self.answer_queued_at is None

    def application_is_back(self) -> None:
        self.fault_waits = False
        if self.they_closed_at is not None and self.answer_queued_at is None:
            self.answer_queued_at = self.now

    @rule()
    def reader_looks(self) -> None:
        """The reader learns of the calls of close(), and then that our Close has left."""
        for cut_at in self.notes:
            replaces = self.fault_waits and not self.over
            error = None if cut_at is None else TimeoutError(f"cut at {cut_at}")
            if cut_at is not None:
                self.cut_at = min(self.cut_at, cut_at)
            self.note_do(
                self.closing.close_called(self.now, cut_at, error),
                Do.QUEUE_LAST_CLOSE if replaces else Do.NOTHING,
            )
            if self.is_application_awaited:
                self.application_is_back()
            elif self.we_closed_at is None:
                self.we_closed_at = self.now
        self.notes.clear()
        if self.close_left_untold:
            self.close_left_untold = False
            if not self.over:
                self.sent_at = self.now
                self.settle_if_both_have_passed()
                if self.fault_at is not None and self.input_ended:
                    self.over = True
            assert self.closing.close_sent(self.now) is Do.NOTHING

    # The network and the writer.

    @precondition(lambda self: self.opened and (self.unsent or self.close_waits))
    @rule(size=st.integers(1, 6), told=st.booleans())
    def network_takes(self, size: int = 6, told: bool = True) -> None:
        self.unsent -= min(size, self.unsent)
        if not self.unsent and self.close_waits:
            self.close_waits = False
            self.close_left = self.close_left_untold = True
        self.kernel_sends()
        if told:
            self.reader_looks()

    @precondition(lambda self: self.opened)
    @rule(ago=st.sampled_from([0.0, 0.0, 0.25, 1.0]))
    def kernel_sends(self, ago: float = 0.0) -> None:
        """The reader learns of progress, perhaps some time after."""
        assert self.closing.progressed(self.now - ago) is Do.NOTHING
        self.progress_at = max(self.progress_at, self.now - ago)

    @rule(really=rarely)
    def link_breaks(self, really: bool) -> None:
        if really:
            self.lose()

    def lose(self) -> None:
        error = OSError("connection reset by peer")
        expected = Do.NOTHING if self.over else Do.CUT
        self.end((1006, False, error))
        self.note_do(self.closing.lost(error), expected)

    # The server. Whatever follows its Close, or a fault, or its end of TCP, nobody reads.

    @precondition(lambda self: self.opened and not self.over and self.is_read)
    @rule()
    def server_closes(self) -> None:
        self.they_closed_at = self.now
        self.outcome = (THEIRS.code or 0, False, None)
        if self.we_closed_at is not None:
            self.answer_queued_at = self.now
        self.settle_if_both_have_passed()
        assert self.closing.close_received(THEIRS, self.now) is Do.NOTHING

    @property
    def is_read(self) -> bool:
        return self.they_closed_at is None and self.fault_at is None

    @rule(really=rarely)
    def something_is_wrong(self, really: bool) -> None:
        """The server breaks the protocol, a ping is not answered, or a thread of ours fails."""
        if really:
            self.fail()

    def fail(self) -> None:
        error = ValueError("a fault")
        expected = Do.NOTHING
        if self.over or self.fault_at is not None:
            pass
        elif not self.opened or self.sent_at is not None or self.they_closed_at is not None:
            expected = Do.CUT
            self.end((1006, False, error))
        else:
            self.fault_at, self.outcome = self.now, (1006, False, error)
            self.fault_waits = self.we_closed_at is None
            expected = Do.NOTHING if self.fault_waits else Do.QUEUE_LAST_CLOSE
        self.note_do(self.closing.failed(error, 1002, self.now), expected)

    @precondition(lambda self: self.opened and not self.over and not self.input_ended)
    @rule(really=rarely)
    def server_ends_tcp(self, really: bool) -> None:
        if self.is_read:
            self.link_breaks(really)
            return
        self.input_ended = True
        expected = Do.NOTHING
        if self.settled_at is not None or (self.fault_at is not None and self.sent_at is not None):
            self.over = True
        elif self.is_application_awaited and self.fault_at is None:
            expected = Do.QUEUE_CLOSE
            self.application_is_back()
        self.note_do(self.closing.input_ended(self.now), expected)

    # The clock.

    @rule(seconds=moments, late=usually_not)
    def time_passes(self, seconds: float, late: float) -> None:
        """The reader sleeps until a deadline at most, but may be woken `late`."""
        self.reader_looks()
        until = self.now + seconds
        for _ in range(5):
            if self.due_at > until:
                break
            self.now = max(self.now, self.due_at + late)
            self.expire()
        else:
            raise AssertionError("the same deadline passed again and again")
        self.now = max(self.now, until)

    @rule()
    def reader_wakes_for_nothing(self) -> None:
        if self.now < self.due_at:
            self.note_do(self.closing.expired(self.now, self.unsent), Do.NOTHING)

    def expire(self) -> None:
        expected = Do.CUT
        if self.now >= self.cut_at and self.settled_at is None:
            expected = Do.RESET
            self.cut_off(TimeoutError(f"cut at {self.cut_at}"))
        elif self.is_application_awaited:
            expected = Do.QUEUE_CLOSE if self.fault_at is None else Do.QUEUE_LAST_CLOSE
            self.application_is_back()
        else:
            self.end((1006, False, None))
        self.note_do(self.closing.expired(self.now, self.unsent), expected)

    # What must hold after each step.

    @invariant()
    def deadline_is_what_the_rules_say(self) -> None:
        assert self.closing.deadline() == (None if self.due_at == math.inf else self.due_at)

    @invariant()
    def nothing_is_waited_for_without_a_deadline(self) -> None:
        if self.closing.deadline() is None and self.limit != math.inf:
            assert self.closing.state in (State.CONNECTING, State.OPEN, State.CLOSED)

    @invariant()
    def application_is_waited_for_as_the_rules_say(self) -> None:
        assert self.closing.is_catching_up is self.is_application_awaited

    @invariant()
    def it_is_over_when_it_must_be(self) -> None:
        assert (self.closing.state is State.CLOSED) is self.over
        assert not self.over or self.closing.outcome is not None

    @invariant()
    def outcome_is_that_of_the_facts(self) -> None:
        seen = self.closing.outcome
        if self.outcome is None or seen is None:
            assert self.outcome is None and seen is None
            return
        code, was_clean, error = self.outcome
        assert (seen.code, seen.was_clean) == (code, was_clean)
        assert seen.reason == ("" if code == 1006 else THEIRS.reason)
        if error is None and code == 1006:
            assert isinstance(seen.error, TimeoutError) and "close_timeout" in str(seen.error)
        elif isinstance(error, TimeoutError):
            assert str(seen.error) == str(error)
        else:
            assert seen.error is error

    @invariant()
    def clean_is_exactly_that_both_close_frames_have_passed(self) -> None:
        seen = self.closing.outcome
        assert (seen is not None and seen.was_clean) is (self.settled_at is not None)

    @invariant()
    def settled_and_final_outcomes_never_change(self) -> None:
        if self.closing.state is State.SETTLED and self.settled_outcome is None:
            self.settled_outcome = self.closing.outcome
        if self.closing.state is State.CLOSED and self.final_outcome is None:
            self.final_outcome = self.closing.outcome
        assert self.settled_outcome in (None, self.closing.outcome)
        assert self.final_outcome in (None, self.closing.outcome)

    def teardown(self) -> None:
        """From here on nothing happens by itself: it ends within what the rules give."""
        if not hasattr(self, "closing"):
            return
        if not self.opened:
            self.abort()
        elif self.due_at == math.inf:
            self.application_closes(None)
        self.reader_looks()
        if self.longest_quiet == math.inf and not self.over:
            self.time_passes(10**6, 0.0)
            if not self.over:  # no time-out of close() either: what is endless ends with the link alone
                self.lose()
        began = self.now
        longest = self.longest_quiet
        while not self.over:
            self.now = max(self.now, self.due_at)
            self.expire()
        assert self.now - began <= longest
        for check in (self.it_is_over_when_it_must_be, self.outcome_is_that_of_the_facts):
            check()
        self.deadline_is_what_the_rules_say()
        self.settled_and_final_outcomes_never_change()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=number_of_examples(400), stateful_step_count=40)
