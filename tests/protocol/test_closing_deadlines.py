"""`syncws._protocol.closing`: by when something must happen in each state, and what puts that off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncws._protocol.closing import Closing, Do, Outcome, State
from syncws._protocol.frames import CloseFrame

# Times are on a clock that began at 1000, and all are sums of powers of two, so that they are exact.
START = 1000.0

FAULT = ValueError("text is not UTF-8")
CUT_OFF = TimeoutError("close() was given 3 s")
LATER_CUT_OFF = TimeoutError("close() was given 5 s")
THEIRS = CloseFrame(4001, "session expired")
ENDLESS = None

Make = Callable[..., Closing]


def opened(close_timeout: float | None = 8) -> Closing:
    closing = Closing("ws://example.org/", close_timeout)
    closing.opened()
    return closing


def draining(close_timeout: float | None = 8) -> Closing:
    """We close; what is queued goes first."""
    closing = opened(close_timeout)
    closing.close_called(START)
    return closing


def close_sent(close_timeout: float | None = 8) -> Closing:
    closing = draining(close_timeout)
    closing.close_sent(START)
    return closing


def close_received(close_timeout: float | None = 8) -> Closing:
    closing = opened(close_timeout)
    closing.close_received(THEIRS, START)
    return closing


def answering(close_timeout: float | None = 8) -> Closing:
    """The server closes, and the application is back for more at once."""
    closing = close_received(close_timeout)
    closing.caught_up(START)
    return closing


def failing(close_timeout: float | None = 8) -> Closing:
    """A fault, and the application is back for more at once."""
    closing = opened(close_timeout)
    closing.failed(FAULT, 1007, START)
    closing.caught_up(START)
    return closing


def settled(close_timeout: float | None = 8) -> Closing:
    closing = close_sent(close_timeout)
    closing.close_received(THEIRS, START)
    return closing


# How long each state lasts while nothing happens, by close_timeout.
DURATIONS = [
    # state        8       1.5     0.25    endless
    (draining,     8,      1.5,    0.25,   None),
    (close_sent,   8,      1.5,    0.25,   None),
    (answering,    2,      1.5,    0.25,   2),
    (failing,      1,      1,      0.25,   1),
    (settled,      1,      1,      0.25,   1),
]  # fmt: skip


@pytest.mark.parametrize(("make", "long", "middle", "short", "endless"), DURATIONS)
def test_state_lasts_so_long_while_nothing_happens(
    make: Make, long: float, middle: float, short: float, endless: float | None
) -> None:
    for close_timeout, seconds in ((8, long), (1.5, middle), (0.25, short), (None, endless)):
        closing = make(close_timeout)
        assert closing.deadline() == (None if seconds is None else START + seconds)
        if seconds is None:
            assert closing.expired(START + 10**9, 0) is Do.NOTHING
            continue
        state = closing.state
        assert closing.expired(START + seconds - 0.125, 0) is Do.NOTHING
        assert closing.state is state
        assert closing.expired(START + seconds, 0) is Do.CUT
        assert closing.state is State.CLOSED
        assert closing.deadline() is None


@pytest.mark.parametrize(("make", "seconds"), [(draining, 8), (close_sent, 8), (answering, 2), (settled, 1)])
def test_progress_puts_the_deadline_off_every_time(make: Make, seconds: float) -> None:
    closing = make()
    at = START
    for _ in range(5):
        at += seconds - 0.125
        closing.progressed(at)
        assert closing.deadline() == at + seconds
        assert closing.expired(at + seconds - 0.125, 0) is Do.NOTHING
    assert closing.expired(at + seconds, 0) is Do.CUT


@pytest.mark.parametrize("make", [draining, close_sent, answering, settled])
def test_progress_before_the_state_or_out_of_order_brings_no_deadline_forward(make: Make) -> None:
    closing = make()
    deadline = closing.deadline()
    assert deadline is not None
    closing.progressed(START - 4)
    assert closing.deadline() == deadline
    closing.progressed(START + 0.5)
    closing.progressed(START + 0.25)
    assert closing.deadline() == deadline + 0.5


@pytest.mark.parametrize("close_timeout", [8, 0.25, ENDLESS])
def test_nothing_is_waited_for_while_connecting_open_or_closed(close_timeout: float | None) -> None:
    connecting = Closing("ws://example.org/", close_timeout)
    assert connecting.deadline() is None
    assert opened(close_timeout).deadline() is None
    closed = settled(close_timeout)
    closed.input_ended(START)
    assert (closed.state, closed.deadline()) == (State.CLOSED, None)


# 1 and 2: we close.


def test_server_has_the_whole_close_timeout_from_when_our_close_left() -> None:
    closing = draining()
    closing.progressed(START + 7)
    closing.close_sent(START + 12)
    assert closing.deadline() == START + 20


def test_second_close_of_the_application_puts_nothing_off() -> None:
    for closing in (draining(), close_sent(), answering(), settled()):
        deadline = closing.deadline()
        closing.close_called(START + 0.25)
        assert closing.deadline() == deadline


def test_close_that_stands_still_fails_the_connection() -> None:
    closing = draining()
    closing.expired(START + 8, unsent=7)
    assert closing.outcome is not None and not closing.outcome.was_clean
    assert closing.outcome.code == 1006 and isinstance(closing.outcome.error, TimeoutError)


# 3: the server closes.


@pytest.mark.parametrize("close_timeout", [8, 0.25, ENDLESS])
def test_application_has_half_a_second_for_its_answers(close_timeout: float | None) -> None:
    closing = close_received(close_timeout)
    assert closing.deadline() == START + 0.5
    closing.progressed(START + 0.25)
    assert closing.deadline() == START + 0.5
    assert closing.expired(START + 0.375, 0) is Do.NOTHING
    assert closing.expired(START + 0.5, 0) is Do.QUEUE_CLOSE
    assert closing.state is State.ANSWERING


@pytest.mark.parametrize(
    "come_back",
    [
        lambda closing: closing.caught_up(START + 0.5),
        lambda closing: closing.close_called(START + 0.5),
        lambda closing: closing.input_ended(START + 0.5),
        lambda closing: closing.expired(START + 0.5, 0),
    ],
    ids=["caught up", "closes", "input ended", "expired"],
)
def test_standstill_counts_from_the_arrival_of_the_close_and_not_from_the_answer(
    come_back: Callable[[Closing], Do],
) -> None:
    closing = close_received()
    come_back(closing)
    assert (closing.state, closing.deadline()) == (State.ANSWERING, START + 2)


def test_standstill_counts_from_the_last_progress_also_from_that_before_the_answer() -> None:
    closing = close_received()
    closing.progressed(START + 0.25)
    closing.caught_up(START + 0.5)
    assert closing.deadline() == START + 2.25


def test_standstill_counts_from_the_arrival_of_the_close_when_we_were_closing() -> None:
    closing = draining()
    closing.progressed(START + 1)
    closing.close_received(THEIRS, START + 7)
    assert closing.deadline() == START + 9


@pytest.mark.parametrize(
    ("close_timeout", "seconds"), [(0.25, 0.25), (0.75, 0.5), (8, 2 - 0.5), (ENDLESS, 1.5)]
)
def test_answer_that_is_queued_late_gets_a_chance_with_a_short_close_timeout(
    close_timeout: float | None, seconds: float
) -> None:
    closing = close_received(close_timeout)
    assert closing.expired(START + 0.5, 0) is Do.QUEUE_CLOSE
    assert closing.deadline() == START + 0.5 + seconds


def test_answer_gets_a_chance_when_the_thread_was_held_up() -> None:
    closing = close_received()
    assert closing.expired(START + 60, 0) is Do.QUEUE_CLOSE
    assert closing.deadline() == START + 60.5
    closing.close_sent(START + 60.25)
    assert closing.outcome == Outcome(4001, "session expired", was_clean=True)


def test_answer_that_stands_still_is_given_up_and_the_close_of_the_server_stands() -> None:
    closing = answering()
    assert closing.expired(START + 2, unsent=7) is Do.CUT
    assert closing.outcome == Outcome(4001, "session expired", was_clean=False, error=None)


# 4: both Close frames have passed.


def test_end_of_tcp_has_a_second_from_when_both_close_frames_have_passed() -> None:
    closing = answering()
    closing.close_sent(START + 1)
    assert closing.deadline() == START + 2
    closing.progressed(START + 1.5)
    assert closing.deadline() == START + 2.5
    assert closing.expired(START + 2.5, 0) is Do.CUT
    assert closing.outcome == Outcome(4001, "session expired", was_clean=True)


# 5: a fault.


def test_application_has_half_a_second_for_answers_before_a_fault_is_told() -> None:
    closing = opened()
    assert closing.failed(FAULT, 1007, START) is Do.NOTHING
    assert closing.deadline() == START + 0.5
    assert closing.expired(START + 0.5, 0) is Do.QUEUE_LAST_CLOSE
    assert closing.deadline() == START + 1


@pytest.mark.parametrize(("close_timeout", "seconds"), [(8, 1), (0.75, 0.75), (0.25, 0.25), (ENDLESS, 1)])
def test_fault_is_over_within_a_second_whatever_progress_there_is(
    close_timeout: float | None, seconds: float
) -> None:
    closing = opened(close_timeout)
    closing.failed(FAULT, 1007, START)
    closing.progressed(START + 0.125)
    if seconds > 0.5:
        assert closing.expired(START + 0.5, 0) is Do.QUEUE_LAST_CLOSE
        closing.progressed(START + 0.625)
    else:
        assert closing.expired(START + seconds, 0) is Do.QUEUE_LAST_CLOSE
    assert closing.deadline() == START + seconds
    closing.close_sent(START + seconds - 0.0625)
    closing.progressed(START + seconds - 0.03125)
    assert closing.deadline() == START + seconds
    assert closing.expired(START + seconds, 0) is Do.CUT
    assert closing.outcome == Outcome(1006, error=FAULT)


def test_fault_replaces_a_close_frame_that_waits_at_once() -> None:
    closing = draining()
    assert closing.failed(FAULT, 1007, START + 4) is Do.QUEUE_LAST_CLOSE
    assert closing.close_frame == CloseFrame(1007, "text is not UTF-8")
    assert closing.deadline() == START + 5


def test_fault_does_not_wait_for_an_application_that_closes() -> None:
    closing = opened()
    closing.failed(FAULT, 1007, START)
    assert closing.close_called(START + 0.25) is Do.QUEUE_LAST_CLOSE
    assert closing.close_frame.code == 1007
    assert closing.deadline() == START + 1


def test_fault_cuts_at_once_where_our_close_has_left() -> None:
    closing = close_sent()
    assert closing.failed(FAULT, 1007, START + 1) is Do.CUT
    assert (closing.state, closing.outcome) == (State.CLOSED, Outcome(1006, error=FAULT))


def test_second_fault_puts_nothing_off() -> None:
    closing = failing()
    assert closing.failed(ValueError("another"), 1002, START + 0.75) is Do.NOTHING
    assert closing.deadline() == START + 1


# 8 and 9: the application waits no longer.


@pytest.mark.parametrize("make", [draining, close_sent, close_received, answering, failing])
@pytest.mark.parametrize("close_timeout", [8, ENDLESS])
def test_time_out_of_close_cuts_as_abort_does(make: Make, close_timeout: float | None) -> None:
    closing = make(close_timeout)
    closing.close_called(START, START + 0.25, CUT_OFF)
    closing.progressed(START + 0.125)
    assert closing.deadline() == START + 0.25
    assert closing.expired(START + 0.1875, 0) is Do.NOTHING
    assert closing.expired(START + 0.25, 0) is Do.RESET
    assert closing.state is State.CLOSED
    # A fault is what went wrong first.
    assert closing.outcome == Outcome(1006, error=FAULT if make is failing else CUT_OFF)


def test_time_out_of_close_puts_no_other_deadline_off() -> None:
    for closing in (draining(), close_sent(), answering(), failing(), settled()):
        deadline = closing.deadline()
        closing.close_called(START, START + 60, CUT_OFF)
        assert closing.deadline() == deadline
        assert closing.expired(START + 8, 0) is Do.CUT


@pytest.mark.parametrize("order", [(3, 5), (5, 3), (None, 5, 3), (3, None), (5, None, 3)])
def test_earliest_time_out_of_all_calls_of_close_counts_with_its_own_error(
    order: tuple[int | None, ...],
) -> None:
    closing = opened()
    for seconds in order:
        if seconds is None:
            closing.close_called(START)
        else:
            closing.close_called(START, START + seconds, CUT_OFF if seconds == 3 else LATER_CUT_OFF)
    assert closing.deadline() == START + 3
    assert closing.expired(START + 3, 0) is Do.RESET
    assert closing.outcome is not None and closing.outcome.error is CUT_OFF


def test_time_out_of_close_holds_through_all_states() -> None:
    closing = opened()
    closing.close_called(START, START + 3, CUT_OFF)
    closing.progressed(START + 2)
    closing.close_received(THEIRS, START + 2.5)
    assert closing.deadline() == START + 3
    assert closing.expired(START + 3, 0) is Do.RESET
    assert closing.outcome == Outcome(1006, error=CUT_OFF)


def test_time_out_of_close_only_ends_tcp_once_the_outcome_is_settled() -> None:
    closing = draining()
    closing.close_called(START, START + 0.5, CUT_OFF)
    closing.close_sent(START + 0.125)
    closing.close_received(THEIRS, START + 0.25)
    assert closing.deadline() == START + 0.5
    assert closing.expired(START + 0.5, 0) is Do.CUT  # not RESET: that could overtake our Close frame
    assert closing.outcome == Outcome(4001, "session expired", was_clean=True)


def test_time_out_of_close_that_has_passed_already_counts_at_once() -> None:
    closing = opened()
    closing.close_called(START, START - 1, CUT_OFF)
    assert closing.expired(START, 0) is Do.RESET


# Whatever deadline it was: looking late is as good as looking in time.


@pytest.mark.parametrize("make", [draining, close_sent, answering, failing, settled])
def test_deadline_that_is_looked_at_late_still_counts(make: Make) -> None:
    closing = make()
    assert closing.expired(START + 3600, 0) is Do.CUT
    assert closing.state is State.CLOSED
