"""`syncws._protocol.closing`: what every input does in every state, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncws._protocol.closing import Closing, Do, Outcome, State, UnlawfulTransition
from syncws._protocol.frames import CloseFrame

URL = "ws://example.org/chat"

# Times are on a clock that began at 1000; each state of the table is entered then.
START = 1000.0
NEVER = START + 10**6

FAULT = ValueError("text is not UTF-8")
SECOND_FAULT = ValueError("a fault that came later")
LOSS = OSError("connection reset by peer")
ABORT = RuntimeError("aborted by the application")

THEIRS = CloseFrame(4001, "session expired")

# How each row's machine comes into its state. A word behind the name tells apart what one state holds.
HISTORIES: dict[str, str] = {
    "CONNECTING": "",
    "OPEN": "opened",
    "DRAINING": "opened close_called",
    "CLOSE_SENT": "opened close_called close_sent",
    "CLOSE_RECEIVED": "opened close_received",
    "ANSWERING": "opened close_received caught_up",
    "ANSWERING/ours": "opened close_called close_received",
    "ANSWERING/ended": "opened close_received caught_up input_ended",
    "FAILING/waits": "opened failed",
    "FAILING/waits/ended": "opened failed input_ended",
    "FAILING": "opened failed caught_up",
    "FAILING/ended": "opened failed caught_up input_ended",
    "FAILING/sent": "opened failed caught_up close_sent",
    "SETTLED": "opened close_called close_sent close_received",
    "SETTLED/theirs": "opened close_received caught_up close_sent",
    "CLOSED": "opened close_called close_sent close_received input_ended",
    "CLOSED/fault": "opened failed lost",
}

# "early" and "expired" are the input `expired` just before the deadline and at it; where there is none, both
# are at some time. An outcome: "theirs", the code and reason of the server's Close without wasClean; "clean",
# the same with it; "fault", "loss", "abort", "time-out", 1006 with that error; "-", none is known yet.
TABLE = """
    state                input           next            do                outcome

    CONNECTING           opened          OPEN            NOTHING           -
    CONNECTING           close_called    unlawful
    CONNECTING           close_sent      unlawful
    CONNECTING           close_received  unlawful
    CONNECTING           caught_up       CONNECTING      NOTHING           -
    CONNECTING           progressed      CONNECTING      NOTHING           -
    CONNECTING           failed          CLOSED          CUT               fault
    CONNECTING           input_ended     unlawful
    CONNECTING           lost            CLOSED          CUT               loss
    CONNECTING           aborted         CLOSED          RESET             abort
    CONNECTING           early           CONNECTING      NOTHING           -
    CONNECTING           expired         CONNECTING      NOTHING           -

    OPEN                 opened          unlawful
    OPEN                 close_called    DRAINING        NOTHING           -
    OPEN                 close_sent      unlawful
    OPEN                 close_received  CLOSE_RECEIVED  NOTHING           theirs
    OPEN                 caught_up       OPEN            NOTHING           -
    OPEN                 progressed      OPEN            NOTHING           -
    OPEN                 failed          FAILING         NOTHING           fault
    OPEN                 input_ended     unlawful
    OPEN                 lost            CLOSED          CUT               loss
    OPEN                 aborted         CLOSED          RESET             abort
    OPEN                 early           OPEN            NOTHING           -
    OPEN                 expired         OPEN            NOTHING           -

    DRAINING             opened          unlawful
    DRAINING             close_called    DRAINING        NOTHING           -
    DRAINING             close_sent      CLOSE_SENT      NOTHING           -
    DRAINING             close_received  ANSWERING       NOTHING           theirs
    DRAINING             caught_up       DRAINING        NOTHING           -
    DRAINING             progressed      DRAINING        NOTHING           -
    DRAINING             failed          FAILING         QUEUE_LAST_CLOSE  fault
    DRAINING             input_ended     unlawful
    DRAINING             lost            CLOSED          CUT               loss
    DRAINING             aborted         CLOSED          RESET             abort
    DRAINING             early           DRAINING        NOTHING           -
    DRAINING             expired         CLOSED          CUT               time-out

    CLOSE_SENT           opened          unlawful
    CLOSE_SENT           close_called    CLOSE_SENT      NOTHING           -
    CLOSE_SENT           close_sent      unlawful
    CLOSE_SENT           close_received  SETTLED         NOTHING           clean
    CLOSE_SENT           caught_up       CLOSE_SENT      NOTHING           -
    CLOSE_SENT           progressed      CLOSE_SENT      NOTHING           -
    CLOSE_SENT           failed          CLOSED          CUT               fault
    CLOSE_SENT           input_ended     unlawful
    CLOSE_SENT           lost            CLOSED          CUT               loss
    CLOSE_SENT           aborted         CLOSED          RESET             abort
    CLOSE_SENT           early           CLOSE_SENT      NOTHING           -
    CLOSE_SENT           expired         CLOSED          CUT               time-out

    CLOSE_RECEIVED       opened          unlawful
    CLOSE_RECEIVED       close_called    ANSWERING       NOTHING           theirs
    CLOSE_RECEIVED       close_sent      unlawful
    CLOSE_RECEIVED       close_received  unlawful
    CLOSE_RECEIVED       caught_up       ANSWERING       QUEUE_CLOSE       theirs
    CLOSE_RECEIVED       progressed      CLOSE_RECEIVED  NOTHING           theirs
    CLOSE_RECEIVED       failed          CLOSED          CUT               theirs
    CLOSE_RECEIVED       input_ended     ANSWERING       QUEUE_CLOSE       theirs
    CLOSE_RECEIVED       lost            CLOSED          CUT               theirs
    CLOSE_RECEIVED       aborted         CLOSED          RESET             abort
    CLOSE_RECEIVED       early           CLOSE_RECEIVED  NOTHING           theirs
    CLOSE_RECEIVED       expired         ANSWERING       QUEUE_CLOSE       theirs

    ANSWERING            opened          unlawful
    ANSWERING            close_called    ANSWERING       NOTHING           theirs
    ANSWERING            close_sent      SETTLED         NOTHING           clean
    ANSWERING            close_received  unlawful
    ANSWERING            caught_up       ANSWERING       NOTHING           theirs
    ANSWERING            progressed      ANSWERING       NOTHING           theirs
    ANSWERING            failed          CLOSED          CUT               theirs
    ANSWERING            input_ended     ANSWERING       NOTHING           theirs
    ANSWERING            lost            CLOSED          CUT               theirs
    ANSWERING            aborted         CLOSED          RESET             abort
    ANSWERING            early           ANSWERING       NOTHING           theirs
    ANSWERING            expired         CLOSED          CUT               theirs

    ANSWERING/ours       opened          unlawful
    ANSWERING/ours       close_called    ANSWERING       NOTHING           theirs
    ANSWERING/ours       close_sent      SETTLED         NOTHING           clean
    ANSWERING/ours       close_received  unlawful
    ANSWERING/ours       caught_up       ANSWERING       NOTHING           theirs
    ANSWERING/ours       progressed      ANSWERING       NOTHING           theirs
    ANSWERING/ours       failed          CLOSED          CUT               theirs
    ANSWERING/ours       input_ended     ANSWERING       NOTHING           theirs
    ANSWERING/ours       lost            CLOSED          CUT               theirs
    ANSWERING/ours       aborted         CLOSED          RESET             abort
    ANSWERING/ours       early           ANSWERING       NOTHING           theirs
    ANSWERING/ours       expired         CLOSED          CUT               theirs

    ANSWERING/ended      opened          unlawful
    ANSWERING/ended      close_called    ANSWERING       NOTHING           theirs
    ANSWERING/ended      close_sent      CLOSED          NOTHING           clean
    ANSWERING/ended      close_received  unlawful
    ANSWERING/ended      caught_up       ANSWERING       NOTHING           theirs
    ANSWERING/ended      progressed      ANSWERING       NOTHING           theirs
    ANSWERING/ended      failed          CLOSED          CUT               theirs
    ANSWERING/ended      input_ended     ANSWERING       NOTHING           theirs
    ANSWERING/ended      lost            CLOSED          CUT               theirs
    ANSWERING/ended      aborted         CLOSED          RESET             abort
    ANSWERING/ended      early           ANSWERING       NOTHING           theirs
    ANSWERING/ended      expired         CLOSED          CUT               theirs

    FAILING/waits        opened          unlawful
    FAILING/waits        close_called    FAILING         QUEUE_LAST_CLOSE  fault
    FAILING/waits        close_sent      FAILING         NOTHING           fault
    FAILING/waits        close_received  unlawful
    FAILING/waits        caught_up       FAILING         QUEUE_LAST_CLOSE  fault
    FAILING/waits        progressed      FAILING         NOTHING           fault
    FAILING/waits        failed          FAILING         NOTHING           fault
    FAILING/waits        input_ended     FAILING         NOTHING           fault
    FAILING/waits        lost            CLOSED          CUT               fault
    FAILING/waits        aborted         CLOSED          RESET             fault
    FAILING/waits        early           FAILING         NOTHING           fault
    FAILING/waits        expired         FAILING         QUEUE_LAST_CLOSE  fault

    FAILING/waits/ended  opened          unlawful
    FAILING/waits/ended  close_called    FAILING         QUEUE_LAST_CLOSE  fault
    FAILING/waits/ended  close_sent      CLOSED          NOTHING           fault
    FAILING/waits/ended  close_received  unlawful
    FAILING/waits/ended  caught_up       FAILING         QUEUE_LAST_CLOSE  fault
    FAILING/waits/ended  progressed      FAILING         NOTHING           fault
    FAILING/waits/ended  failed          FAILING         NOTHING           fault
    FAILING/waits/ended  input_ended     FAILING         NOTHING           fault
    FAILING/waits/ended  lost            CLOSED          CUT               fault
    FAILING/waits/ended  aborted         CLOSED          RESET             fault
    FAILING/waits/ended  early           FAILING         NOTHING           fault
    FAILING/waits/ended  expired         FAILING         QUEUE_LAST_CLOSE  fault

    FAILING              opened          unlawful
    FAILING              close_called    FAILING         NOTHING           fault
    FAILING              close_sent      FAILING         NOTHING           fault
    FAILING              close_received  unlawful
    FAILING              caught_up       FAILING         NOTHING           fault
    FAILING              progressed      FAILING         NOTHING           fault
    FAILING              failed          FAILING         NOTHING           fault
    FAILING              input_ended     FAILING         NOTHING           fault
    FAILING              lost            CLOSED          CUT               fault
    FAILING              aborted         CLOSED          RESET             fault
    FAILING              early           FAILING         NOTHING           fault
    FAILING              expired         CLOSED          CUT               fault

    FAILING/ended        opened          unlawful
    FAILING/ended        close_called    FAILING         NOTHING           fault
    FAILING/ended        close_sent      CLOSED          NOTHING           fault
    FAILING/ended        close_received  unlawful
    FAILING/ended        caught_up       FAILING         NOTHING           fault
    FAILING/ended        progressed      FAILING         NOTHING           fault
    FAILING/ended        failed          FAILING         NOTHING           fault
    FAILING/ended        input_ended     FAILING         NOTHING           fault
    FAILING/ended        lost            CLOSED          CUT               fault
    FAILING/ended        aborted         CLOSED          RESET             fault
    FAILING/ended        early           FAILING         NOTHING           fault
    FAILING/ended        expired         CLOSED          CUT               fault

    FAILING/sent         opened          unlawful
    FAILING/sent         close_called    FAILING         NOTHING           fault
    FAILING/sent         close_sent      FAILING         NOTHING           fault
    FAILING/sent         close_received  unlawful
    FAILING/sent         caught_up       FAILING         NOTHING           fault
    FAILING/sent         progressed      FAILING         NOTHING           fault
    FAILING/sent         failed          FAILING         NOTHING           fault
    FAILING/sent         input_ended     CLOSED          NOTHING           fault
    FAILING/sent         lost            CLOSED          CUT               fault
    FAILING/sent         aborted         CLOSED          RESET             fault
    FAILING/sent         early           FAILING         NOTHING           fault
    FAILING/sent         expired         CLOSED          CUT               fault

    SETTLED              opened          unlawful
    SETTLED              close_called    SETTLED         NOTHING           clean
    SETTLED              close_sent      unlawful
    SETTLED              close_received  unlawful
    SETTLED              caught_up       SETTLED         NOTHING           clean
    SETTLED              progressed      SETTLED         NOTHING           clean
    SETTLED              failed          CLOSED          CUT               clean
    SETTLED              input_ended     CLOSED          NOTHING           clean
    SETTLED              lost            CLOSED          CUT               clean
    SETTLED              aborted         CLOSED          RESET             clean
    SETTLED              early           SETTLED         NOTHING           clean
    SETTLED              expired         CLOSED          CUT               clean

    SETTLED/theirs       opened          unlawful
    SETTLED/theirs       close_called    SETTLED         NOTHING           clean
    SETTLED/theirs       close_sent      unlawful
    SETTLED/theirs       close_received  unlawful
    SETTLED/theirs       caught_up       SETTLED         NOTHING           clean
    SETTLED/theirs       progressed      SETTLED         NOTHING           clean
    SETTLED/theirs       failed          CLOSED          CUT               clean
    SETTLED/theirs       input_ended     CLOSED          NOTHING           clean
    SETTLED/theirs       lost            CLOSED          CUT               clean
    SETTLED/theirs       aborted         CLOSED          RESET             clean
    SETTLED/theirs       early           SETTLED         NOTHING           clean
    SETTLED/theirs       expired         CLOSED          CUT               clean

    CLOSED               opened          unlawful
    CLOSED               close_called    CLOSED          NOTHING           clean
    CLOSED               close_sent      CLOSED          NOTHING           clean
    CLOSED               close_received  unlawful
    CLOSED               caught_up       CLOSED          NOTHING           clean
    CLOSED               progressed      CLOSED          NOTHING           clean
    CLOSED               failed          CLOSED          NOTHING           clean
    CLOSED               input_ended     unlawful
    CLOSED               lost            CLOSED          NOTHING           clean
    CLOSED               aborted         CLOSED          NOTHING           clean
    CLOSED               early           CLOSED          NOTHING           clean
    CLOSED               expired         CLOSED          NOTHING           clean

    CLOSED/fault         opened          unlawful
    CLOSED/fault         close_called    CLOSED          NOTHING           fault
    CLOSED/fault         close_sent      CLOSED          NOTHING           fault
    CLOSED/fault         close_received  unlawful
    CLOSED/fault         caught_up       CLOSED          NOTHING           fault
    CLOSED/fault         progressed      CLOSED          NOTHING           fault
    CLOSED/fault         failed          CLOSED          NOTHING           fault
    CLOSED/fault         input_ended     unlawful
    CLOSED/fault         lost            CLOSED          NOTHING           fault
    CLOSED/fault         aborted         CLOSED          NOTHING           fault
    CLOSED/fault         early           CLOSED          NOTHING           fault
    CLOSED/fault         expired         CLOSED          NOTHING           fault
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:] if line.strip()]

# What each word of the column "outcome" stands for; the error of a time-out is made by the machine.
OUTCOMES: dict[str, Outcome | None] = {
    "-": None,
    "theirs": Outcome(4001, "session expired", was_clean=False),
    "clean": Outcome(4001, "session expired", was_clean=True),
    "fault": Outcome(1006, error=FAULT),
    "loss": Outcome(1006, error=LOSS),
    "abort": Outcome(1006, error=ABORT),
}

# The views of a state: messages are for the application; bytes mean anything; progress puts a deadline off.
VIEWS = """
    state           takes_messages  decodes  awaits_progress

    CONNECTING      no              no       no
    OPEN            yes             yes      no
    DRAINING        no              yes      yes
    CLOSE_SENT      no              yes      yes
    CLOSE_RECEIVED  no              no       no
    ANSWERING       no              no       yes
    FAILING         no              no       no
    SETTLED         no              no       yes
    CLOSED          no              no       no
"""

# One call of each input. `failed` is not a second fault where the table's machine has had none yet.
INPUTS: dict[str, Callable[[Closing], Do]] = {
    "opened": lambda closing: closing.opened(),
    "close_called": lambda closing: closing.close_called(START),
    "close_sent": lambda closing: closing.close_sent(START),
    "close_received": lambda closing: closing.close_received(THEIRS, START),
    "caught_up": lambda closing: closing.caught_up(START),
    "progressed": lambda closing: closing.progressed(START),
    "failed": lambda closing: closing.failed(SECOND_FAULT if closing.outcome else FAULT, 1007, START),
    "input_ended": lambda closing: closing.input_ended(START),
    "lost": lambda closing: closing.lost(LOSS),
    "aborted": lambda closing: closing.aborted(ABORT),
    "early": lambda closing: closing.expired((closing.deadline() or NEVER) - 0.001, 0),
    "expired": lambda closing: closing.expired(closing.deadline() or NEVER, 0),
}


def make(history: str) -> Closing:
    """A machine that has had these inputs, all at `START`."""
    closing = Closing(URL, close_timeout=10)
    for name in history.split():
        INPUTS[name](closing)
    return closing


def seen(closing: Closing) -> tuple[object, ...]:
    """All that an engine can see of a machine."""
    return (
        *(closing.state, closing.outcome, closing.close_frame, closing.close_sent_at, closing.deadline()),
        *(closing.takes_messages, closing.decodes, closing.awaits_progress, closing.is_catching_up),
    )


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_every_input_in_every_state_does_what_the_table_says(row: list[str]) -> None:
    state, name, following, *rest = row
    closing = make(HISTORIES[state])
    assert closing.state is State[state.partition("/")[0]]
    if following == "unlawful":
        before = seen(closing)
        with pytest.raises(UnlawfulTransition) as refused:
            INPUTS[name](closing)
        assert seen(closing) == before
        assert str(refused.value) == f"{name} in the state {closing.state.value!r}"
        return
    do, outcome = rest
    assert INPUTS[name](closing) is Do[do]
    assert closing.state is State[following]
    if outcome == "time-out":
        assert closing.outcome is not None and isinstance(closing.outcome.error, TimeoutError)
        assert closing.outcome == Outcome(1006, error=closing.outcome.error)
    else:
        assert closing.outcome == OUTCOMES[outcome]


def test_table_has_one_row_for_each_pair() -> None:
    pairs = [(row[0], row[1]) for row in ROWS]
    assert pairs == [(state, name) for state in HISTORIES for name in INPUTS]
    assert {state.partition("/")[0] for state in HISTORIES} == set(State.__members__)
    assert all(len(row) == (3 if row[2] == "unlawful" else 5) for row in ROWS)


@pytest.mark.parametrize(
    "row", [line.split() for line in VIEWS.strip().splitlines()[2:]], ids=lambda row: row[0]
)
def test_state_says_what_arrives_means_and_whether_progress_counts(row: list[str]) -> None:
    closing = make(HISTORIES[row[0]])
    views = (closing.takes_messages, closing.decodes, closing.awaits_progress)
    assert ["yes" if view else "no" for view in views] == row[1:]


def test_views_are_told_of_each_state() -> None:
    assert [line.split()[0] for line in VIEWS.strip().splitlines()[2:]] == list(State.__members__)


@pytest.mark.parametrize("state", HISTORIES)
def test_application_is_waited_for_only_until_our_close_is_queued(state: str) -> None:
    closing = make(HISTORIES[state])
    assert closing.is_catching_up is (state == "CLOSE_RECEIVED" or "waits" in state)
    for end in ("lost", "aborted"):
        closing = make(HISTORIES[state])
        INPUTS[end](closing)
        assert not closing.is_catching_up
        assert closing.deadline() is None


# The Close frame, and the texts of errors.


@pytest.mark.parametrize("code", [None, 1000, 4001])
def test_answer_repeats_the_code_of_the_server_and_not_its_reason(code: int | None) -> None:
    closing = make("opened")
    closing.close_received(CloseFrame(code, "" if code is None else "bye"), START)
    assert closing.caught_up(START) is Do.QUEUE_CLOSE
    assert closing.close_frame == CloseFrame(code)


@pytest.mark.parametrize("history", ["opened", "opened close_called", "opened close_called close_sent"])
def test_close_of_the_server_without_a_code_is_shown_as_1005(history: str) -> None:
    closing = make(history)
    closing.close_received(CloseFrame(), START)
    assert closing.outcome is not None
    assert (closing.outcome.code, closing.outcome.reason) == (1005, "")


@pytest.mark.parametrize("history", ["opened", "opened close_called"])
def test_close_frame_after_a_fault_has_its_code_and_says_what_is_wrong(history: str) -> None:
    closing = make(history)
    closing.failed(FAULT, 1007, START)
    closing.caught_up(START)
    assert closing.close_frame == CloseFrame(1007, "text is not UTF-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("\u00e9" * 62, "\u00e9" * 61),  # 124 bytes: half a character does not go out
        ("\U0001f600" * 31, "\U0001f600" * 30),
        ("a\ud800b", "a?b"),
    ],
)
def test_reason_of_a_fault_is_cut_to_what_a_close_frame_holds(text: str, reason: str) -> None:
    closing = make("opened")
    closing.failed(ValueError(text), 1002, START)
    assert closing.close_frame.reason == reason
    assert len(closing.close_frame.payload) <= 125


def test_first_fault_is_the_one_that_is_told() -> None:
    closing = make("opened failed")
    closing.failed(SECOND_FAULT, 1002, START)
    closing.caught_up(START)
    assert closing.close_frame == CloseFrame(1007, "text is not UTF-8")
    assert closing.outcome == OUTCOMES["fault"]


def test_standstill_names_the_url_the_option_and_the_bytes_that_were_not_sent() -> None:
    closing = make("opened close_called")
    assert closing.expired(START + 10, unsent=4096) is Do.CUT
    assert closing.outcome is not None
    text = str(closing.outcome.error)
    assert URL in text and "close_timeout=10 s" in text and "4096 bytes were not sent" in text


def test_unanswered_close_names_the_url_and_the_option() -> None:
    closing = make("opened close_called close_sent")
    assert closing.expired(START + 10, unsent=0) is Do.CUT
    assert closing.outcome is not None
    text = str(closing.outcome.error)
    assert URL in text and "close_timeout=10 s" in text and "did not answer the Close frame" in text


@pytest.mark.parametrize(
    "history", ["opened close_called", "opened close_received caught_up", "opened failed caught_up"]
)
def test_time_at_which_our_close_left_is_kept(history: str) -> None:
    closing = make(history)
    assert closing.close_sent_at is None
    closing.close_sent(START + 3)
    assert closing.close_sent_at == START + 3
