"""`consumer.inbox`: what is taken, who waits, when reading pauses, and what threads may do at once."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from syncws import Headers
from syncws._engine.consumer import inbox as inbox_module
from syncws._engine.consumer import stream_calls
from syncws._engine.consumer.inbox import LARGEST_UNASKED, Inbox
from syncws._engine.consumer.stream_calls import MAX_PART, InboxEnded
from syncws._engine.reading.records import Closed, CloseReceived, Opened
from syncws._protocol.closing import Outcome
from syncws._protocol.http11 import Response
from syncws._protocol.messages import Message, MessagePart
from tests.support.interleaving import instructions, needs_points, steps
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_until

OPENED = Opened("", "", Response(101, "", Headers()))
ENDING = Outcome(1000, "bye", was_clean=True)

BEFORE, LAST = MessagePart("a", False), MessagePart("b", True)

#: Whose steps are interrupted.
INBOX = (inbox_module, stream_calls)


def make(max_bytes: int | None = None, max_messages: int | None = None) -> tuple[Inbox, list[None]]:
    """An inbox, and a list that grows each time the reader is woken."""
    inbox = Inbox((max_bytes, max_messages))
    wakes: list[None] = []
    inbox.on_room = lambda: wakes.append(None)
    return inbox, wakes


def put(inbox: Inbox, *messages: Message | MessagePart) -> None:
    """What one read from the network brings."""
    size = sum(len(message.data if isinstance(message, MessagePart) else message) for message in messages)
    inbox.put_messages(list(messages), size)


def take(inbox: Inbox) -> Message:
    """As `Connection.recv` does it."""
    if len(inbox.messages) > inbox.fast_above:
        try:
            for message in inbox.source:
                return message
        except IndexError:
            pass
    return inbox.receive(SECONDS)


def read_into(inbox: Inbox, parts: list[Message]) -> None:
    parts += read(inbox)


def take_into(inbox: Inbox, messages: list[Message]) -> None:
    messages.append(take(inbox))


def end(inbox: Inbox) -> None:
    inbox.put_record(CloseReceived(ENDING))
    inbox.put_record(Closed(ENDING))


def is_over(inbox: Inbox) -> bool:
    try:
        inbox.receive(0)
    except InboxEnded:
        return True
    except TimeoutError:
        return False
    raise AssertionError("there was a message")


def read(inbox: Inbox) -> list[Message]:
    """The parts of the next message."""
    return list(inbox.stream(SECONDS))


# Taking whole messages.


def test_messages_come_out_in_order_whatever_batches_they_came_in() -> None:
    inbox, _ = make()
    put(inbox, "a", b"b")
    put(inbox, "c")
    assert [take(inbox) for _ in range(3)] == ["a", b"b", "c"]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_a_time_out_loses_nothing(timeout: float) -> None:
    inbox, _ = make()
    with pytest.raises(TimeoutError):
        inbox.receive(timeout)
    put(inbox, "a")
    assert inbox.receive(timeout) == "a"


def test_a_waiting_thread_gets_what_comes() -> None:
    inbox, _ = make()
    waiting = Task(lambda: inbox.receive(None))
    waiting.wait_blocked()
    put(inbox, "a")
    assert waiting.result() == "a"


def test_after_the_end_come_the_messages_before_it_and_then_its_record_every_time() -> None:
    inbox, _ = make()
    put(inbox, "a", "b")
    inbox.put_record(CloseReceived(ENDING))
    assert (inbox.ending, inbox.closed) == (ENDING, None)
    assert [take(inbox), take(inbox)] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(InboxEnded):
            take(inbox)
    inbox.put_record(Closed(ENDING))
    with pytest.raises(InboxEnded):
        take(inbox)


@pytest.mark.parametrize("record", [CloseReceived(ENDING), Closed(ENDING)])
def test_the_end_frees_every_thread_that_waits(record: CloseReceived | Closed) -> None:
    inbox, _ = make()
    receive: Callable[[], object] = partial(inbox.receive, None)
    stream: Callable[[], object] = partial(next, inbox.stream(None))
    tasks = [Task(call) for call in (receive, receive, receive, stream)]
    for task in tasks:
        task.wait_blocked()
    inbox.put_record(record)
    for task in tasks:
        assert isinstance(task.wait(), InboxEnded)


def test_a_record_can_be_read_from_then_on() -> None:
    inbox, _ = make()
    assert (inbox.opened, inbox.ending, inbox.closed) == (None, None, None)
    inbox.put_record(OPENED)
    assert inbox.opened is OPENED
    closed = Closed(ENDING)
    inbox.put_record(closed)
    assert (inbox.ending, inbox.closed) == (ENDING, closed)


def test_in_a_forked_child_there_is_only_the_end() -> None:
    inbox, _ = make()
    put(inbox, "a")
    put(inbox, BEFORE)
    inbox.after_fork(Closed(ENDING))
    assert is_over(inbox)
    with pytest.raises(InboxEnded):
        read(inbox)


def test_a_stream_that_was_forked_in_its_middle_ends_in_the_child() -> None:
    inbox, _ = make()
    parts = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    assert not is_over(inbox)  # the part is for the stream
    streaming = inbox.stream(SECONDS)
    Task(lambda: put(inbox, BEFORE)).result()
    assert next(streaming) == "a"
    inbox.after_fork(Closed(ENDING))
    assert is_over(inbox)
    with pytest.raises(InboxEnded):
        list(streaming)
    parts.close()


# Messages in parts.


SHAPES: dict[str, list[list[Message | MessagePart]]] = {
    "all in one batch": [["x", BEFORE, LAST, "y"]],
    "a part in each batch": [["x"], [BEFORE], [LAST], ["y"]],
    "the end of one, others, the beginning of the next": [
        ["x", BEFORE],
        [LAST, "y", MessagePart("c", False)],
    ],
    "an empty last part": [["x"], [MessagePart("ab", False), MessagePart("", True), "y"]],
    "one part alone": [["x", MessagePart("ab", True), "y"]],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_that_nobody_streams_become_one_message_in_its_place(shape: str) -> None:
    inbox, _ = make()
    for batch in SHAPES[shape]:
        put(inbox, *batch)
    assert [take(inbox) for _ in range(3)] == ["x", "ab", "y"]
    assert not inbox.messages


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_may_stand_anywhere_in_a_batch_for_a_stream(shape: str) -> None:
    inbox, _ = make()
    for batch in SHAPES[shape]:
        put(inbox, *batch)
    assert ["".join(map(str, read(inbox))) for _ in range(3)] == ["x", "ab", "y"]


def test_binary_parts_are_joined_to_bytes() -> None:
    inbox, _ = make()
    put(inbox, MessagePart(b"a", False), MessagePart(b"", False), MessagePart(b"bc", True))
    assert take(inbox) == b"abc"


@pytest.mark.parametrize("batches", [[[BEFORE], [LAST]], [[BEFORE, LAST]], [[BEFORE, LAST, "next"]]])
def test_a_stream_that_waits_claims_what_comes_between_two_batches(
    batches: list[list[Message | MessagePart]],
) -> None:
    inbox, _ = make()
    streaming = Task(lambda: read(inbox))
    streaming.wait_blocked()
    assert inbox.wants_parts
    for batch in batches:
        put(inbox, *batch)
    assert "".join(map(str, streaming.result())) == "ab"
    assert not inbox.wants_parts
    if len(batches[-1]) == 3:
        assert take(inbox) == "next"


def test_a_message_that_came_before_is_streamed_before_one_in_parts() -> None:
    inbox, _ = make()
    put(inbox, "first", BEFORE)
    assert read(inbox) == ["first"]
    streaming = inbox.stream(SECONDS)
    assert next(streaming) == "a"
    put(inbox, LAST)
    assert list(streaming) == ["b"]


def test_a_message_that_arrived_whole_is_given_in_parts_of_bounded_size() -> None:
    inbox, _ = make()
    data = bytes(range(256)) * 1024 * 3
    put(inbox, data + b"x", "", "y")
    parts = read(inbox)
    assert [len(part) for part in parts] == [MAX_PART] * 3 + [1]
    assert b"".join(parts) == data + b"x"  # type: ignore[arg-type]
    assert (read(inbox), read(inbox)) == ([""], ["y"])


@pytest.mark.parametrize("left", [0, 1, 2])
def test_what_a_stream_leaves_is_dropped_and_what_follows_is_not(left: int) -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, *[BEFORE] * 3)
    for _ in range(3 - left):
        next(streaming)
    streaming.close()
    put(inbox, BEFORE, LAST, "next")
    assert take(inbox) == "next"
    assert not inbox.is_full(0)


def test_a_stream_without_a_part_in_time_leaves_the_message() -> None:
    inbox, _ = make()
    streaming = inbox.stream(0.01)
    put(inbox, BEFORE)
    assert next(streaming) == "a"
    with pytest.raises(TimeoutError):
        next(streaming)
    put(inbox, LAST, "next")
    assert take(inbox) == "next"


def test_a_stream_without_a_message_in_time_leaves_none() -> None:
    inbox, _ = make()
    with pytest.raises(TimeoutError):
        next(inbox.stream(0.01))
    put(inbox, BEFORE, LAST)
    assert take(inbox) == "ab"


def test_the_end_inside_a_message_comes_after_its_parts() -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    assert next(streaming) == "a"
    put(inbox, BEFORE)
    end(inbox)
    assert next(streaming) == "a"
    with pytest.raises(InboxEnded):
        next(streaming)


def test_recv_gets_nothing_of_a_message_that_never_ends() -> None:
    inbox, _ = make()
    put(inbox, BEFORE)
    end(inbox)
    assert is_over(inbox)


def test_other_threads_wait_for_the_end_of_a_stream() -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    next(streaming)
    put(inbox, LAST, "next", "later")
    receiving = Task(lambda: inbox.receive(None))
    second = Task(lambda: read(inbox))
    receiving.wait_blocked()
    second.wait_blocked()
    assert list(streaming) == ["b"]
    assert {str(receiving.result()), str(second.result()[0])} == {"next", "later"}


def test_a_wait_for_the_end_of_a_stream_ends_in_time() -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE, LAST, "next")
    next(streaming)
    for call in (lambda: inbox.receive(0.01), lambda: list(inbox.stream(0.01))):
        assert isinstance(Task(call).wait(), TimeoutError)
    streaming.close()
    assert take(inbox) == "next"


def test_the_thread_that_streams_may_not_wait_for_itself() -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    next(streaming)
    for call in (lambda: inbox.receive(0), lambda: read(inbox)):
        with pytest.raises(RuntimeError, match="streaming"):
            call()
    put(inbox, LAST, "next")
    assert list(streaming) == ["b"]
    assert take(inbox) == "next"


def test_while_a_message_is_streamed_nobody_pops_the_next_one_unasked() -> None:
    inbox, _ = make()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE, LAST, "next")
    next(streaming)
    assert len(inbox.messages) <= inbox.fast_above
    streaming.close()
    assert len(inbox.messages) > inbox.fast_above


# Bounds, pauses, wake-ups.


@pytest.mark.parametrize(
    ("limit", "fits", "fills"),
    [
        ((10, None), ["123456789"], ["0"]),
        ((10, None), [], [b"x" * 10]),
        ((None, 3), ["", ""], [""]),
        ((None, 3), [], ["", "", "", ""]),
        ((10, 3), ["a", "b"], ["c"]),
    ],
)
def test_reading_pauses_at_the_bound_of_bytes_or_messages(
    limit: tuple[int | None, int | None], fits: list[Message], fills: list[Message]
) -> None:
    inbox, _ = make(*limit)
    assert not inbox.is_full(0)
    for message in fits:
        put(inbox, message)
        assert not inbox.is_full(0)
    put(inbox, *fills)
    assert inbox.is_full(0)


def test_without_a_bound_reading_never_pauses() -> None:
    inbox, _ = make()
    inbox.put_messages(["a"] * 100_000, 10**12)
    assert not inbox.is_full(0)


def test_reading_goes_on_when_half_is_taken_and_the_reader_is_woken_then() -> None:
    inbox, wakes = make(None, 8)
    put(inbox, *"abcdefgh")
    assert inbox.is_full(0)
    for _ in range(3):
        take(inbox)
        assert inbox.is_full(0)
    assert not wakes
    take(inbox)
    assert wakes
    assert not inbox.is_full(0)
    put(inbox, *"ijk")
    assert not inbox.is_full(0)
    put(inbox, "l")
    assert inbox.is_full(0)


@pytest.mark.parametrize("limit", [(None, 16_384), (2**20, 1), (4 * 2**20, 16_384)])
def test_reading_goes_on_when_the_last_message_is_taken_without_another_call(
    limit: tuple[int | None, int | None],
) -> None:
    inbox, wakes = make(*limit)
    batch: list[Message | MessagePart] = ["x" * 8] * 17_000 if limit[1] != 1 else ["x"]
    put(inbox, *batch)
    if limit == (4 * 2**20, 16_384):
        put(inbox, b"x" * (5 * 2**20))
        batch.append("")
    assert inbox.is_full(0)
    for _ in batch:
        take(inbox)
    assert wakes
    assert not inbox.is_full(0)


def test_a_stream_that_takes_wakes_a_paused_reader_as_recv_does() -> None:
    inbox, wakes = make(None, 2)
    put(inbox, "a", "b")
    assert inbox.is_full(0)
    assert read(inbox) == ["a"]
    assert wakes
    assert not inbox.is_full(0)


@pytest.mark.parametrize("collected", [40, 60])
def test_what_is_collected_of_a_message_counts_beside_whole_ones(collected: int) -> None:
    inbox, _ = make(100, None)
    put(inbox, "x" * 50)
    assert inbox.is_full(collected) == (collected == 60)
    assert take(inbox)
    assert not inbox.is_full(collected)


def test_a_message_that_is_not_whole_pauses_reading_only_while_nobody_asks_for_it() -> None:
    inbox, wakes = make(100, None)
    assert not inbox.is_full(LARGEST_UNASKED - 1)
    assert inbox.is_full(LARGEST_UNASKED)
    assert not inbox.is_full(LARGEST_UNASKED - 1)
    assert inbox.is_full(LARGEST_UNASKED)
    receiving = Task(lambda: inbox.receive(None))
    receiving.wait_blocked()
    assert wakes
    assert not inbox.is_full(2**40)
    put(inbox, "x")
    assert receiving.result() == "x"
    assert inbox.is_full(LARGEST_UNASKED), "nobody waits for the next one yet"


def test_where_max_queue_is_more_it_bounds_a_message_that_is_not_whole() -> None:
    inbox, _ = make(LARGEST_UNASKED * 2, None)
    assert not inbox.is_full(LARGEST_UNASKED * 2 - 1)
    assert inbox.is_full(LARGEST_UNASKED * 2)


def test_parts_count_until_they_are_taken() -> None:
    inbox, wakes = make(1000, None)
    streaming = inbox.stream(SECONDS)
    put(inbox, MessagePart("x" * 400, False))
    assert next(streaming)
    put(inbox, MessagePart("x" * 400, False), MessagePart("y" * 400, False))
    assert not inbox.is_full(0)
    put(inbox, MessagePart("x" * 400, False))
    assert inbox.is_full(0)
    wakes.clear()
    assert next(streaming)
    assert wakes
    assert not inbox.is_full(0)


@pytest.mark.parametrize("early", [True, False])
def test_parts_count_no_more_once_their_message_is_left(early: bool) -> None:
    inbox, wakes = make(1000, None)
    streaming = inbox.stream(SECONDS)
    put(inbox, MessagePart("x" * 400, False))
    assert next(streaming)
    put(inbox, *[MessagePart("x" * 400, False)] * 4)
    if not early:
        put(inbox, LAST)
    assert inbox.is_full(0)
    wakes.clear()
    streaming.close()
    assert wakes
    assert not inbox.is_full(0)


def test_empty_parts_count_too() -> None:
    inbox, _ = make(1000, None)
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    next(streaming)
    put(inbox, *[MessagePart("", False)] * 1000)
    assert inbox.is_full(0)
    streaming.close()


def test_parts_that_nobody_claimed_hold_up_no_wait_for_the_whole_message() -> None:
    inbox, wakes = make(1000, None)
    put(inbox, "first")
    assert take(inbox) == "first"
    put(inbox, MessagePart("x" * 5000, False))  # a stream had begun, and was left before it could claim this
    assert not inbox.is_full(0)
    put(inbox, MessagePart("x" * LARGEST_UNASKED, False))
    assert inbox.is_full(0), "nobody asks for it"
    receiving = Task(lambda: inbox.receive(None))
    receiving.wait_blocked()
    assert wakes
    put(inbox, MessagePart("x", False))
    assert not inbox.is_full(0)
    put(inbox, LAST)
    assert len(receiving.result()) == 5000 + LARGEST_UNASKED + 2


def test_a_thread_that_waited_before_a_stream_began_in_another_thread_still_asks() -> None:
    inbox, _ = make(1000, None)
    receiving = Task(lambda: inbox.receive(None))
    receiving.wait_blocked()
    streaming = inbox.stream(SECONDS)
    put(inbox, BEFORE)
    next(streaming)
    streaming.close()
    put(inbox, LAST)
    receiving.wait_blocked()
    wait_until(lambda: not inbox.is_full(LARGEST_UNASKED))
    put(inbox, "x")
    assert receiving.result() == "x"


# Whether the application is back for more.


def test_the_application_is_caught_up_when_it_comes_back_for_more() -> None:
    inbox, wakes = make()
    assert not inbox.is_caught_up(), "it has not come yet"
    put(inbox, "a", "b")
    assert [take(inbox), take(inbox)] == ["a", "b"]
    assert not inbox.is_caught_up(), "it may still answer"
    wakes.clear()
    assert not is_over(inbox)
    assert wakes
    assert inbox.is_caught_up()
    put(inbox, "c")
    assert not inbox.is_caught_up()
    assert take(inbox) == "c"
    assert not inbox.is_caught_up()


def test_the_application_that_learns_of_the_end_is_caught_up() -> None:
    inbox, _ = make()
    put(inbox, "a")
    inbox.put_record(CloseReceived(ENDING))
    assert take(inbox) == "a"
    assert not inbox.is_caught_up()
    assert is_over(inbox)
    assert inbox.is_caught_up()


def test_the_reader_is_told_only_if_it_has_asked() -> None:
    inbox, wakes = make()
    assert not is_over(inbox)
    assert not wakes
    assert inbox.is_caught_up()
    assert not is_over(inbox)
    assert not wakes


def test_the_application_is_not_caught_up_while_it_works_on_a_part() -> None:
    inbox, _ = make()
    streaming = inbox.stream(0.01)
    put(inbox, BEFORE)
    assert not inbox.is_caught_up(), "a part is there"
    assert next(streaming) == "a"
    assert not inbox.is_caught_up(), "it works on that"
    with pytest.raises(TimeoutError):
        next(streaming)
    assert inbox.is_caught_up()


def test_a_part_that_a_stream_is_about_to_claim_is_not_dealt_with() -> None:
    for step in instructions(50):
        inbox, _ = make()
        caught_up: list[bool] = []

        def begin(inbox: Inbox = inbox, caught_up: list[bool] = caught_up) -> None:
            wait_until(lambda: inbox.wants_parts)
            put(inbox, BEFORE)
            caught_up.append(inbox.is_caught_up())

        streaming = inbox.stream(SECONDS)
        with step.meanwhile(begin, *INBOX, waits=partial(bool, inbox.waiters)):
            assert next(streaming) == "a"
        assert caught_up == [False]
        assert not inbox.is_caught_up()
        streaming.close()


def test_a_claim_at_each_step_of_the_readers_look_is_seen() -> None:
    for step in steps(10):
        inbox, _ = make()
        streaming = inbox.stream(SECONDS)
        claiming = Task(partial(next, streaming))
        wait_until(partial(bool, inbox.waiters))
        inbox._put_part(BEFORE)  # as `put_messages` does, but the stream is not told yet

        def tell(inbox: Inbox = inbox, claiming: Task[Message] = claiming) -> None:
            inbox.waiters.notify()
            claiming.result()

        with step.meanwhile(tell, *INBOX):
            assert not inbox.is_caught_up()
        if not step.met:
            tell()
        streaming.close()


# What threads can do to each other, at each step.


def test_a_message_that_is_being_put_is_never_taken_for_dealt_with() -> None:
    for step in steps(20):
        inbox, _ = make()
        taken: list[Message] = []

        def look(inbox: Inbox = inbox, taken: list[Message] = taken) -> None:
            with contextlib.suppress(TimeoutError):
                taken.append(inbox.receive(0))

        with step.meanwhile(look, *INBOX):
            put(inbox, "x")
        if not taken:
            assert not inbox.is_caught_up()
            assert take(inbox) == "x"
        assert not inbox.is_caught_up(), "the application works on it"


def test_a_part_that_is_being_put_is_never_taken_for_dealt_with() -> None:
    for step in steps(20):
        inbox, _ = make()
        streaming = inbox.stream(SECONDS)
        put(inbox, BEFORE)
        next(streaming)
        with step.meanwhile(partial(next, streaming), *INBOX, waits=partial(bool, inbox.waiters)):
            put(inbox, BEFORE)
        if not step.met:
            next(streaming)
        assert not inbox.is_caught_up(), "the application works on it"
        streaming.close()


@pytest.mark.parametrize("what", ["whole", "part", "last part"])
def test_the_application_that_came_back_while_something_was_put_is_found_when_it_is_back_again(
    what: str,
) -> None:
    things: dict[str, Message | MessagePart] = {"whole": "x", "part": BEFORE, "last part": LAST}
    for step in steps(20):
        inbox, _ = make()
        streaming = inbox.stream(0.001)
        if what != "whole":
            put(inbox, BEFORE)
            next(streaming)

        def come(inbox: Inbox = inbox, streaming: Iterator[Message] = streaming) -> None:
            for _ in range(3):  # takes what is there, and comes back
                try:
                    inbox.receive(0) if what == "whole" else next(streaming)
                except (TimeoutError, StopIteration):
                    pass

        with step.meanwhile(come, *INBOX):
            put(inbox, things[what])
        come()
        assert not is_over(inbox)
        assert inbox.is_caught_up()


@pytest.mark.parametrize("final", [False, True])
def test_a_message_that_is_left_while_a_part_of_it_is_put_counts_no_more(final: bool) -> None:
    for step in steps(20):
        inbox, _ = make(100, None)
        streaming = inbox.stream(SECONDS)
        put(inbox, BEFORE)
        next(streaming)
        with step.meanwhile(streaming.close, *INBOX):
            put(inbox, MessagePart("x" * 1000, final))
        streaming.close()
        assert not inbox.is_full(0)
        put(inbox, "next" if final else LAST)
        if not final:
            put(inbox, "next")
        assert take(inbox) == "next"
        assert not inbox.is_full(0)


@pytest.mark.parametrize("final", [False, True])
def test_a_part_that_is_put_while_its_message_is_left_counts_no_more(final: bool) -> None:
    for step in steps(20):
        inbox, _ = make(100, None)
        streaming = inbox.stream(SECONDS)
        put(inbox, BEFORE)
        next(streaming)
        part = MessagePart("x" * 1000, final)
        with step.meanwhile(partial(put, inbox, part), *INBOX):
            streaming.close()
        if not step.met:
            put(inbox, part)
        assert not inbox.is_full(0)
        assert not inbox.wants_parts


def test_a_claim_at_each_step_of_a_batch_gets_the_whole_message_or_all_its_parts() -> None:
    for step in instructions(50):
        inbox, _ = make()
        got: list[Message] = []
        claim = partial(read_into, inbox, got)
        with step.meanwhile(claim, *INBOX, waits=partial(bool, inbox.waiters)):
            put(inbox, BEFORE, MessagePart("b", False))
            put(inbox, MessagePart("c", True), "next")
        if not step.met:
            claim()
        assert "".join(map(str, got)) == "abc"
        assert take(inbox) == "next"
        assert not inbox.messages


@pytest.mark.parametrize("receive", [take, read])
def test_a_batch_that_comes_at_each_step_of_a_call_is_met(receive: Callable[[Inbox], object]) -> None:
    for step in steps(20):
        inbox, _ = make()
        batch = partial(put, inbox, BEFORE, LAST, "next")
        with step.meanwhile(batch, *INBOX, take, waits=partial(bool, inbox.waiters)):
            received = receive(inbox)
        assert "".join(received) == "ab" if isinstance(received, list) else received == "ab"
        assert take(inbox) == "next"


def test_the_end_that_comes_at_each_step_of_a_call_comes_after_the_messages() -> None:
    for step in steps(20):
        inbox, _ = make()

        def finish(inbox: Inbox = inbox) -> None:
            put(inbox, "last")
            end(inbox)

        received: list[Message] = []
        with step.meanwhile(finish, *INBOX):
            try:
                received.append(inbox.receive(0))
            except TimeoutError:
                pass
        if not step.met:
            finish()
        while True:
            try:
                received.append(inbox.receive(0))
            except InboxEnded:
                break
        assert received == ["last"]


@pytest.mark.parametrize("take_by", ["recv", "stream"])
def test_a_pause_at_each_step_of_taking_never_stays(take_by: str) -> None:
    """The reader looks, and pauses, while messages are taken: what it is woken for, or finds by itself, lets
    it go on."""
    for step in steps(5):
        inbox, _ = make(None, 1)
        put(inbox, "a")
        with step.meanwhile(partial(inbox.is_full, 0), *INBOX, take):
            assert (take(inbox) if take_by == "recv" else read(inbox)[0]) == "a"
        assert not inbox.is_full(0)


# Handlers that raise.


@needs_points
@pytest.mark.parametrize("paused", [False, True])
def test_a_handler_that_raises_at_any_point_of_recv_loses_and_doubles_nothing(paused: bool) -> None:
    for step in steps(1):
        inbox, _ = make(None, 3 if paused else None)
        put(inbox, "a", "b", "c")
        assert inbox.is_full(0) == paused
        received = []
        with step.interrupted(*INBOX):
            received.append(take(inbox))
            received.append(take(inbox))
            received.append(inbox.receive(None))
        while inbox.messages:
            received.append(take(inbox))
        assert received == ["a", "b", "c"]
        assert not inbox.is_full(0)


@needs_points
def test_a_handler_that_raises_in_a_wait_leaves_the_inbox_whole() -> None:
    for step in steps(3):
        inbox, _ = make()
        with step.interrupted(*INBOX):
            with pytest.raises(TimeoutError):
                inbox.receive(0.001)
        assert not inbox.waiters
        put(inbox, "a")
        assert take(inbox) == "a"


@needs_points
def test_a_handler_that_raises_at_any_point_of_a_stream_skips_that_message_alone() -> None:
    def put_soon(inbox: Inbox, *parts: Message | MessagePart) -> None:
        """No handler runs on the reader's thread."""
        Task(lambda: put(inbox, *parts)).result()

    for step in steps(15):
        inbox, _ = make(1000, None)
        put_soon(inbox, BEFORE)
        got: list[Message] = []
        with step.interrupted(*INBOX):
            streaming = inbox.stream(SECONDS)
            got.append(next(streaming))
            put_soon(inbox, MessagePart("x" * 2000, False))
            got.append(next(streaming))
            put_soon(inbox, LAST, "next")
            got += streaming
        assert got == ["a", "x" * 2000, "b"][: len(got)]
        del streaming
        if inbox._streaming.incoming is not None:
            put_soon(inbox, LAST, "next")
        following = take(inbox)
        if following != "next":  # it had not been claimed yet, so it is a message like any other
            assert (got, following) == ([], "ab")
            assert take(inbox) == "next"
        assert not inbox.wants_parts
        assert len(inbox.messages) == 0 == inbox.fast_above
        assert not inbox.is_full(0)


@needs_points
def test_what_a_stream_that_was_cut_off_has_claimed_holds_up_no_reading() -> None:
    def put_soon(inbox: Inbox, *parts: Message | MessagePart) -> None:
        Task(lambda: put(inbox, *parts)).result()

    for step in steps():
        inbox, _ = make(1000, None)
        put_soon(inbox, MessagePart("x" * 2000, False))
        streaming = inbox.stream(SECONDS)
        with step.interrupted(*INBOX):
            next(streaming)
        streaming.close()
        put_soon(inbox, MessagePart("y" * 2000, False))
        assert not inbox.is_full(0)
        put_soon(inbox, LAST)
        while inbox.messages:  # it had not been claimed
            take(inbox)
        assert not inbox.is_full(0)


@needs_points
def test_a_handler_at_any_point_may_receive_itself() -> None:
    for step in steps(1):
        inbox, _ = make(None, 2)
        put(inbox, "a", "b", "c", "d")
        inbox.is_full(0)
        inside: list[Message] = []
        with step.interrupted(*INBOX, by=partial(take_into, inbox, inside)):
            received = [take(inbox), inbox.receive(SECONDS)]
        left = [take(inbox) for _ in range(4 - len(inside) - len(received))]
        assert sorted(map(str, received + inside + left)) == ["a", "b", "c", "d"]


# Many threads at once.


def test_two_consumers_at_once_lose_and_double_nothing_and_each_keeps_the_order() -> None:
    inbox, _ = make(None, 50)
    room = threading.Event()
    inbox.on_room = room.set
    total = 6000

    def produce() -> None:
        numbers = iter(range(total))
        for size in itertools.cycle((1, 7, 40)):
            batch: list[Message | MessagePart] = [str(number) for number in itertools.islice(numbers, size)]
            if not batch:
                break
            put(inbox, *batch)
            while inbox.is_full(0):
                room.wait(0.01)
                room.clear()
        end(inbox)

    def consume() -> list[int]:
        received = []
        while True:
            try:
                received.append(int(take(inbox)))
            except InboxEnded:
                return received

    with switching_all_the_time():
        tasks = [Task(consume) for _ in range(3)]
        producing = Task(produce)
        results = [task.result() for task in tasks]
        producing.result()
    assert sorted(itertools.chain(*results)) == list(range(total))
    assert all(numbers == sorted(numbers) for numbers in results)


def test_streams_and_recv_at_once_lose_and_double_nothing() -> None:
    inbox, _ = make(4000, None)
    room = threading.Event()
    inbox.on_room = room.set
    total = 1200

    def produce() -> None:
        for number in range(total):
            text = str(number)
            if inbox.wants_parts:
                for digit in text:
                    put(inbox, MessagePart(digit, False))
                put(inbox, MessagePart("", True))
            else:
                put(inbox, text)
            while inbox.is_full(0):
                room.wait(0.01)
                room.clear()
        end(inbox)

    def receive() -> list[int]:
        received = []
        while True:
            try:
                received.append(int(take(inbox)))
            except InboxEnded:
                return received

    def stream() -> list[int]:
        received = []
        while True:
            try:
                received.append(int("".join(map(str, read(inbox)))))
            except InboxEnded:
                return received

    with switching_all_the_time():
        tasks = [Task(receive), Task(stream), Task(stream)]
        producing = Task(produce)
        results = [task.result() for task in tasks]
        producing.result()
    assert sorted(itertools.chain(*results)) == list(range(total))
    assert not inbox.is_full(0)
