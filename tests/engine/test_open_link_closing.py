"""`syncws._engine.reading.open_link`: how a connection ends, and when, by a clock that goes by a script."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from syncws._exceptions import ConnectionLost, WebSocketError
from syncws._protocol.closing import State
from syncws._protocol.frames import CloseCode, Opcode
from tests.support.scripted_link import ScriptedLink

CLEAN = (1000, "", True, "")
LOST = (1006, "", False, "ConnectionLost")
CALL = "close() took too long"


# We begin (1, 2 and 4 of the rules of closing).


def test_a_close_that_the_server_answers_is_clean_and_tcp_has_a_second_to_end() -> None:
    with ScriptedLink() as link:
        link.at(1, link.output.call_close)
        link.at(3, link.serve_close)
        assert link.run() == 4
        assert link.ended == CLEAN


def test_the_end_of_tcp_behind_both_closes_is_the_end() -> None:
    with ScriptedLink() as link:
        link.at(1, link.output.call_close)
        link.at(3, link.serve_close, 4001, "why")
        link.at(3.25, link.end)
        assert link.run() == 3.25
        assert link.ended == (4001, "why", True, "")


def test_the_outcome_is_told_when_it_is_known_and_not_when_tcp_ends() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.at(3, link.serve_close, 4001, "why")
        link.run_until(3.5)
        assert link.inbox.ending is not None
        assert (link.inbox.ending.code, link.inbox.ending.was_clean) == (4001, True)
        assert link.closing.state is State.SETTLED


def test_while_what_is_queued_goes_on_closing_goes_on() -> None:
    with ScriptedLink(close_timeout=3) as link:
        link.output.stands = True
        link.output.unsent = 10**7
        link.output.call_close()
        link.every(2, 40, lambda: setattr(link.stream, "handed", link.stream.handed + 1000))
        link.at(41, link.output.let_close_go)
        link.at(43, link.serve_close)
        assert link.run() == 44
        assert link.ended == CLEAN


def test_a_writer_that_takes_its_time_is_no_standstill_of_the_network() -> None:
    """As where the machine is busy, or compresses slowly."""
    with ScriptedLink(close_timeout=3) as link:
        link.output.stands = True
        link.output.unsent = 4321
        link.output.call_close()
        link.at(1, setattr, link.output, "is_preparing", True)
        link.at(30, setattr, link.output, "is_preparing", False)
        assert link.run() == pytest.approx(33, abs=0.6)
        assert link.ended == (1006, "", False, "TimeoutError")


def test_a_writer_at_work_does_not_put_off_a_servers_answer() -> None:
    with ScriptedLink(close_timeout=3) as link:
        link.output.is_preparing = True
        link.output.call_close()
        assert link.run() == 3
        assert link.ended == (1006, "", False, "TimeoutError")


def test_a_standstill_of_what_is_queued_is_the_end_and_says_how_much_is_lost() -> None:
    with ScriptedLink(close_timeout=3) as link:
        link.output.stands = True
        link.output.unsent = 4321
        link.output.call_close()
        link.every(1, 5, lambda: setattr(link.stream, "handed", link.stream.handed + 1000))
        assert link.run() == pytest.approx(8, abs=0.6)  # progress is looked for four times in what is left
        assert link.ended == (1006, "", False, "TimeoutError")
        assert "4321 bytes were not sent" in str(link.closing.outcome and link.closing.outcome.error)


def test_once_our_close_has_left_only_what_the_network_takes_is_progress() -> None:
    def move(network: bool) -> None:
        link.stream.handed += 1000
        assert link.stream.held is not None
        link.stream.held += 0 if network else 1000

    for network in (True, False):
        with ScriptedLink(close_timeout=3) as link:
            link.stream.handed = link.stream.held = 100_000
            link.output.call_close()
            link.every(1, 10, move, network)
            ended_at = link.run()
            assert (12.4 < ended_at < 13.6) if network else ended_at == 3
            assert "did not answer the Close frame" in str(
                link.closing.outcome and link.closing.outcome.error
            )


def test_close_timeout_none_waits_as_long_as_it_takes() -> None:
    with ScriptedLink(close_timeout=None) as link:
        link.output.call_close()
        link.at(10**6, link.serve_close)
        assert link.run() == 10**6 + 1
        assert link.ended == CLEAN


def test_after_close_no_message_is_kept_and_nothing_holds_up_the_servers_close() -> None:
    with ScriptedLink(max_queue=(None, 1)) as link:
        link.at(0, link.serve_text, "before")
        link.at(1, link.output.call_close)
        for number in range(100):
            link.at(2, link.serve_text, f"after {number}")
        link.at(3, link.serve_close)
        assert link.run() == 4
        assert link.take() == "before"
        link.come_back()
        assert link.ended == CLEAN


def test_a_ping_that_comes_while_we_close_is_answered() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.at(1, link.serve, Opcode.PING, b"still there?")
        link.at(2, link.serve_close)
        link.run()
        assert link.told("pong") == [(1, "pong", b"still there?")]


def test_both_closes_that_pass_each_other_are_clean() -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        link.at(1, link.output.call_close)
        link.at(2, link.serve_close, 4001)
        link.at(2.5, link.output.let_close_go)
        assert link.run() == 3.5
        assert link.ended == (4001, "", True, "")
        assert link.told("close", "last close") == [], "ours is in the queue already"


# They begin (3 and 4).


def test_the_servers_close_is_answered_when_the_application_is_back_for_more() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "last")
        link.at(1, link.serve_close, 4001, "session expired")
        link.at(1.1, link.take)
        link.at(1.3, link.come_back)
        assert link.run() == pytest.approx(2.3)
        assert link.told("server closed", "close") == [(1, "server closed", None), (1.3, "close", 4001)]
        assert link.ended == (4001, "session expired", True, "")


def test_the_servers_close_is_answered_after_half_a_second_all_the_same() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "last")
        link.at(1, link.serve_close)
        assert link.run() == 2.5
        assert link.told("close") == [(1.5, "close", 1000)]
        assert link.ended == CLEAN


def test_an_application_that_waits_for_a_message_is_back_already() -> None:
    with ScriptedLink() as link:
        link.come_back()
        link.at(1, link.serve_close)
        assert link.run() == 2
        assert link.told("close") == [(1, "close", 1000)]


def test_a_close_without_a_code_is_answered_by_one() -> None:
    with ScriptedLink() as link:
        link.come_back()
        link.at(1, link.serve, Opcode.CLOSE)
        link.run()
        assert link.told("close") == [(1, "close", None)]
        assert link.ended == (1005, "", True, "")


def test_an_application_that_closes_after_the_servers_close_answers_it() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "unread")
        link.at(1, link.serve_close, 4001)
        link.at(1.2, link.output.call_close)
        assert link.run() == pytest.approx(2.2)
        assert link.told("close") == [], "its own Close is the answer"
        assert link.ended == (4001, "", True, "")


def test_an_application_that_closes_after_it_was_told_of_the_end_has_ours_for_its_close() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "unread")
        link.at(1, link.serve_close, 4001)
        # The notes so far have stopped the queue, so its call finds no place for a Close of its own.
        link.at(1.2, setattr, link.output, "close_called", True)
        link.at(1.2, link.notes.wake)
        assert link.run() == pytest.approx(2.2)
        assert link.told("close") == [(1.2, "close", 4001)]
        assert link.ended == (4001, "", True, "")


@pytest.mark.parametrize(("close_timeout", "seconds"), [(10, 2.0), (0.75, 0.75)])
def test_after_the_servers_close_a_standstill_of_what_is_queued_is_given_up(
    close_timeout: float, seconds: float
) -> None:
    with ScriptedLink(close_timeout=close_timeout) as link:
        link.output.stands = True
        link.output.unsent = 65_000_000
        link.at(1, link.serve_close, 1009, "too big")
        assert link.run() == pytest.approx(max(1 + seconds, 1.5 + min(seconds, 0.5)))
        assert link.ended == (1009, "too big", False, "")


def test_after_the_servers_close_progress_of_what_is_queued_goes_on() -> None:
    with ScriptedLink() as link:
        link.come_back()
        link.output.stands = True
        link.output.unsent = 65_000_000
        link.at(1, link.serve_close, 1001)
        link.every(1.5, 15, lambda: setattr(link.stream, "handed", link.stream.handed + 1000))
        link.at(15.5, link.output.let_close_go)
        assert link.run() == 16.5
        assert link.ended == (1001, "", True, "")


def test_the_servers_close_and_the_end_of_tcp_are_answered_at_once() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "unread")
        link.at(1, link.serve_close, 4001)
        link.at(1, link.end)
        assert link.run() == 1
        assert link.told("close") == [(1, "close", 4001)]
        assert link.ended == (4001, "", True, "")


def test_the_end_of_tcp_after_the_servers_close_gives_up_only_at_a_standstill() -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        link.at(1, link.serve_close, 4001)
        link.at(1, link.end)
        assert link.run() == 3
        assert link.ended == (4001, "", False, "")


def test_a_loss_after_the_servers_close_leaves_its_code() -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        link.at(1, link.serve_close, 4001)
        link.at(1, link.end)
        link.at(1.5, link.output.fail, OSError("reset"))
        assert link.run() == 1.5
        assert link.ended == (4001, "", False, "")


def test_the_time_for_tcp_s_end_runs_from_the_last_progress() -> None:
    with ScriptedLink() as link:
        link.stream.handed = link.stream.held = 100_000
        link.come_back()
        link.at(1, link.serve_close)
        for at in (1.5, 2.25, 3):
            link.at(at, lambda: setattr(link.stream, "held", (link.stream.held or 0) - 1000))
        ended_at = link.run()
        assert 4 <= ended_at < 4.3
        assert link.ended == CLEAN


# Faults (5).


def test_a_fault_is_told_to_the_server_after_half_a_second_for_answers() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "before")
        link.at(1, link.serve, 3)
        assert link.run() == 2
        assert link.told("last close") == [(1.5, "last close", 1002)]
        assert link.ended == (1006, "", False, "ProtocolError")
        assert link.take() == "before"


def test_a_fault_is_told_at_once_to_an_application_that_is_back_for_more() -> None:
    with ScriptedLink() as link:
        link.come_back()
        link.at(1, link.serve, 3)
        link.at(1.25, link.end)
        assert link.run() == 1.25, "the frame has left, and the server has ended"
        assert link.told("last close") == [(1, "last close", 1002)]


@pytest.mark.parametrize(("close_timeout", "seconds"), [(10, 1.0), (0.25, 0.25)])
def test_a_fault_has_a_second_at_most_in_all(close_timeout: float, seconds: float) -> None:
    with ScriptedLink(close_timeout=close_timeout) as link:
        link.output.stands = True
        link.every(0.1, 5, lambda: setattr(link.stream, "handed", link.stream.handed + 1000))
        link.at(1, link.serve, 3)
        assert link.run() == pytest.approx(1 + seconds)
        assert link.ended == (1006, "", False, "ProtocolError")


def test_a_fault_takes_the_place_of_a_close_that_waits() -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        link.output.call_close()
        link.at(1, link.serve, 3)
        link.run()
        assert link.told("close", "last close") == [(1, "last close", 1002)]


def test_a_fault_after_our_close_is_the_end_at_once() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.at(1, link.serve, 3)
        assert link.run() == 1
        assert link.told("close", "last close") == []
        assert link.ended == (1006, "", False, "ProtocolError")


def test_what_comes_after_a_fault_means_nothing() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve, 3)
        link.at(1.1, link.serve_text, "later")
        link.at(1.2, link.serve_close, 4001)
        link.run()
        assert link.ended == (1006, "", False, "ProtocolError")
        link.come_back()


def test_a_fault_of_the_application_s_tells_the_server_its_code() -> None:
    with ScriptedLink() as link:
        link.come_back()
        link.at(1, lambda: link.leave(failure=(ValueError("chunk"), CloseCode.INTERNAL_ERROR)))
        link.at(1.25, link.end)
        assert link.run() == 1.25
        assert link.told("last close") == [(1, "last close", 1011)]
        assert link.ended == (1006, "", False, "ValueError")


def test_a_fault_of_the_writer_ends_the_connection_with_that_as_its_cause() -> None:
    with ScriptedLink() as link:
        error = MemoryError("zlib")
        link.at(1, link.output.fail, error)
        assert link.run() == 1
        assert link.closing.outcome is not None
        assert link.closing.outcome.error is error
        assert link.ended[0] == 1006


# The end of TCP, and errors of the socket (6).


@pytest.mark.parametrize("begun", [False, True])
def test_the_end_of_tcp_before_the_servers_close_is_a_loss(begun: bool) -> None:
    with ScriptedLink() as link:
        if begun:
            link.output.call_close()
        link.at(1, link.end)
        assert link.run() == 1
        assert link.ended == LOST
        assert "without a Close frame" in str(link.closing.outcome and link.closing.outcome.error)


def test_what_came_before_the_end_of_tcp_is_received() -> None:
    with ScriptedLink() as link:
        link.at(1, link.serve_text, "last")
        link.at(1, link.end)
        assert link.run() == 1
        assert link.take() == "last"


def test_an_error_of_the_socket_is_a_loss_with_that_as_its_cause() -> None:
    with ScriptedLink() as link:
        error = ConnectionResetError(errno.ECONNRESET, "reset")

        def reset() -> None:
            link.stream.error = error
            link.serve_text("so that it reads")

        link.at(1, reset)
        assert link.run() == 1
        assert link.closing.outcome is not None
        assert isinstance(link.closing.outcome.error, ConnectionLost)
        assert link.closing.outcome.error.__cause__ is error


def test_an_error_of_writing_is_a_loss_once_what_the_server_had_sent_is_read() -> None:
    with ScriptedLink() as link:
        error = BrokenPipeError("peer is gone")
        for number in range(5):
            link.serve_text(f"{number}" * 3000)
        link.at(0, link.output.fail, error)
        assert link.run() == 0
        assert [str(link.take())[0] for _ in range(5)] == list("01234")
        assert link.ended == LOST
        assert link.closing.outcome is not None and link.closing.outcome.error is not None
        assert link.closing.outcome.error.__cause__ is error


def test_a_close_that_the_server_had_sent_counts_more_than_an_error_of_writing() -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        link.serve_close(4001, "go away")
        link.at(0, link.output.fail, BrokenPipeError("peer is gone"))
        assert link.run() == 0
        assert link.ended == (4001, "go away", False, "")


# The application's own time-outs, abort, a connection that nobody holds (8 and 10).


def cut_after(link: ScriptedLink, seconds: float, text: str = CALL) -> None:
    """A call of close() with a `timeout`."""
    link.notes.note_cut(link.clock() + seconds, TimeoutError(text))
    link.output.call_close()


def test_a_time_out_of_close_cuts() -> None:
    with ScriptedLink() as link:
        link.at(1, cut_after, link, 0.5)
        assert link.run() == 1.5
        assert link.ended == (1006, "", False, "TimeoutError")
        assert CALL in str(link.closing.outcome and link.closing.outcome.error)
        link.link.cut()
        assert link.stream.was_reset


def test_of_several_time_outs_of_close_the_earliest_cuts() -> None:
    with ScriptedLink() as link:
        link.at(1, cut_after, link, 5, "late")
        link.at(2, cut_after, link, 1, "early")
        link.at(2.5, cut_after, link, 2, "later")
        assert link.run() == 3
        assert str(link.closing.outcome and link.closing.outcome.error) == "early"


def test_a_time_out_of_close_once_both_closes_have_passed_ends_tcp_alone() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.at(1, link.serve_close)
        link.at(1.1, cut_after, link, 0.25)
        assert link.run() == pytest.approx(1.35)
        assert link.ended == CLEAN


@pytest.mark.parametrize("begun", ["", "ours", "theirs"])
def test_abort_resets_at_once(begun: str) -> None:
    with ScriptedLink() as link:
        link.output.stands = True
        if begun == "ours":
            link.output.call_close()
        if begun == "theirs":
            link.serve_close(4001)
        link.at(0.25, lambda: link.leave(abort_error=WebSocketError("aborted")))
        assert link.run() == 0.25
        assert link.ended == (1006, "", False, "WebSocketError")
        assert not link.stream.was_reset, "the writer may be in a call"
        link.link.cut()
        assert link.stream.was_reset
        link.link.close()
        assert link.stream.was_closed


def test_abort_once_both_closes_have_passed_ends_tcp_alone() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.at(1, link.serve_close, 4001)
        link.at(1.25, lambda: link.leave(abort_error=WebSocketError("aborted")))
        assert link.run() == 1.25
        assert link.ended == (4001, "", True, "")


def test_an_orderly_end_resets_nothing() -> None:
    with ScriptedLink() as link:
        link.output.call_close()
        link.serve_close()
        link.run()
        link.link.cut()
        assert not link.stream.was_reset


def test_a_connection_that_nobody_holds_closes_by_1001() -> None:
    with ScriptedLink() as link:
        link.at(1, lambda: link.leave(released=True))
        link.at(2, link.serve_close, 1001)
        assert link.run() == 3
        assert link.told("close") == [(1, "close", 1001)]
        assert link.ended == (1001, "", True, "")


def test_a_connection_that_nobody_holds_and_the_server_closes_is_answered_at_once() -> None:
    with ScriptedLink() as link:
        link.serve_text("unread")
        link.serve_close(4001)
        link.at(0.25, lambda: link.leave(released=True))
        assert link.run() == 1.25
        assert link.ended == (4001, "", True, "")


# What others do between any two looks of the reader.


def at_each_look(act: Callable[[ScriptedLink], object]) -> Iterator[ScriptedLink]:
    """Links that have run to their end, in which `act` happened before the first look of the reader's at what
    others may change, or before the second, and so on through some traffic."""
    for number in range(1000):
        with ScriptedLink() as link:
            link.serve_text("first")
            link.at(1, link.serve, Opcode.PING)
            link.at(2, link.serve_text, "second")
            link.before_look(number, partial(act, link))
            link.at(10, _end_of_script)
            try:
                link.run()
            except EndOfScript:
                assert number > 20
                assert link.looks <= number
                return
            yield link
    raise AssertionError("the script has no end")


class EndOfScript(BaseException):
    pass


def _end_of_script() -> None:
    raise EndOfScript


def test_a_close_that_has_left_before_the_note_of_it_is_seen_and_its_answer_are_clean() -> None:
    def act(link: ScriptedLink) -> None:
        began.append(link.seconds)
        link.output.call_close()
        link.serve_close(4001)
        link.end()

    began: list[float] = []
    for link in at_each_look(act):
        assert link.ended == (4001, "", True, "")
        assert link.seconds == began[-1]
        assert link.told("close", "last close") == []


def test_after_a_close_between_any_two_looks_no_message_that_comes_later_is_kept() -> None:
    def act(link: ScriptedLink) -> None:
        link.output.call_close()
        link.serve_text("late")
        link.serve_close()
        link.end()

    for link in at_each_look(act):
        assert link.ended == CLEAN
        assert "late" not in link.inbox.messages


def test_a_close_that_is_left_between_two_looks_is_met_when_it_leaves_later() -> None:
    def act(link: ScriptedLink) -> None:
        link.output.stands = True
        link.output.call_close()
        left_at.append(link.seconds + 0.25)
        link.at(left_at[-1], link.output.let_close_go)
        link.at(left_at[-1], link.serve_close)

    left_at: list[float] = []
    for link in at_each_look(act):
        assert link.ended == CLEAN
        assert link.seconds == pytest.approx(left_at[-1] + 1)


def test_an_abort_between_any_two_looks_ends_it_at_once() -> None:
    def act(link: ScriptedLink) -> None:
        began.append(link.seconds)
        link.leave(abort_error=WebSocketError("aborted"))

    began: list[float] = []
    for link in at_each_look(act):
        assert link.ended == (1006, "", False, "WebSocketError")
        assert link.seconds == began[-1]


def test_a_time_out_of_close_between_any_two_looks_is_kept() -> None:
    def act(link: ScriptedLink) -> None:
        began.append(link.seconds)
        cut_after(link, 0.5)

    began: list[float] = []
    for link in at_each_look(act):
        assert link.ended == (1006, "", False, "TimeoutError")
        assert link.seconds == pytest.approx(began[-1] + 0.5)


def test_a_failure_between_any_two_looks_is_told_to_the_server() -> None:
    def act(link: ScriptedLink) -> None:
        link.leave(failure=(ValueError("chunk"), CloseCode.INTERNAL_ERROR))
        link.at(link.seconds + 0.75, link.end)

    for link in at_each_look(act):
        assert link.ended == (1006, "", False, "ValueError")
        assert [code for _, _, code in link.told("last close")] == [1011]


def test_a_release_between_any_two_looks_closes_by_1001() -> None:
    def act(link: ScriptedLink) -> None:
        link.leave(released=True)
        link.at(link.seconds + 0.25, link.serve_close, 1001)

    for link in at_each_look(act):
        assert link.ended == (1001, "", True, "")
        assert {code for _, _, code in link.told("close")} == {1001}


def test_an_error_of_writing_between_any_two_looks_is_a_loss_at_once() -> None:
    def act(link: ScriptedLink) -> None:
        began.append(link.seconds)
        link.output.fail(BrokenPipeError("peer is gone"))

    began: list[float] = []
    for link in at_each_look(act):
        assert link.ended == LOST
        assert link.seconds == began[-1]


def test_the_servers_close_and_ours_at_once_are_answered_by_one_of_them() -> None:
    """The application closes between any two looks, with the server's Close in the socket already."""

    def act(link: ScriptedLink) -> None:
        link.output.call_close()

    for number in range(1000):
        with ScriptedLink() as link:
            link.serve_text("unread")
            link.serve_close(4001)
            link.end()
            link.before_look(number, partial(act, link))
            link.run()
            assert link.ended == (4001, "", True, "")
            if link.looks <= number:
                break
    assert number > 10
