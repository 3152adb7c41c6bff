"""`_engine.writing.send_queue`: what is taken, how it is counted, whose turn it is, and a signal at any
moments."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest

from syncws import BufferFull
from syncws._engine import primitives
from syncws._engine.writing import send_queue
from syncws._engine.writing.fragmented_send import FragmentedSend
from syncws._engine.writing.outbox import CloseNote, Outbox
from syncws._engine.writing.send_queue import COUNTED, REFUSED, TAKEN, SendQueue
from syncws._engine.writing.writer_turn import (
    ACCEPTING,
    CUT,
    FINISHED,
    FINISHING,
    IDLE,
    REFUSING,
    SCHEDULED,
    SEALED,
    UNOPENED,
    WRITING,
)
from syncws._protocol.frames import FIN, CloseFrame, Opcode
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.outbox_stories import CLOSES, take_all
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS

TEXT = FIN | Opcode.TEXT
TURNS = ["UNOPENED", "IDLE", "SCHEDULED", "WRITING", "STOPPING", "FINISHED"]


class Calls:
    """Counts how often a writer thread was called."""

    def __init__(self, queue: SendQueue) -> None:
        self._calls: list[None] = []
        queue.wake = functools.partial(self._calls.append, None)  # one C function, as in the engine

    def __len__(self) -> int:
        return len(self._calls)


def opened(max_buffered: int | None = None, turn: int = IDLE) -> tuple[SendQueue, Calls]:
    queue = SendQueue(max_buffered)
    queue.turn = turn
    return queue, Calls(queue)


def fragmented_by(queue: SendQueue, thread: int = 0) -> FragmentedSend:
    """A call of `send` with an iterable, by another thread unless one is given; it has the turn at
    fragments."""

    def fail(error: BaseException, close_code: int) -> None:
        raise AssertionError(error)

    fragmented = FragmentedSend(queue, AssertionError, fail)  # type: ignore[arg-type]
    fragmented.thread = thread
    assert queue.begin_fragments(fragmented)
    return fragmented


# What is counted.


def test_what_is_given_to_send_is_counted_until_it_is_sent() -> None:
    queue, _ = opened()
    assert queue.send(Opcode.TEXT, b"12345") == TAKEN
    assert (queue.buffered, queue.unsent) == (5, 5)
    queue.sent += 5
    assert (queue.buffered, queue.unsent) == (0, 0)


def test_what_is_refused_is_counted_as_buffered_where_that_is_asked_for_and_never_as_unsent() -> None:
    queue, calls = opened()
    queue.close(CloseFrame(1000))
    called = len(calls)
    assert queue.send(Opcode.TEXT, b"123") == REFUSED
    assert (queue.buffered, queue.unsent) == (0, 0)
    assert queue.send(Opcode.TEXT, b"123", count_refused=True) == COUNTED
    assert (queue.buffered, queue.unsent) == (3, 0)
    assert len(calls) == called


def test_a_message_is_refused_where_the_caller_knows_of_a_close_already() -> None:
    queue, _ = opened()
    assert queue.send(Opcode.TEXT, b"12", accept=False, count_refused=True) == COUNTED
    assert (queue.buffered, queue.unsent, queue.take_notes()) == (2, 0, ([], False))


def test_what_is_more_than_max_buffered_is_neither_queued_nor_counted() -> None:
    queue, calls = opened(max_buffered=10)
    assert queue.send(Opcode.TEXT, bytes(6)) == TAKEN
    with pytest.raises(BufferFull, match="5 bytes do not fit: 6 bytes .* max_buffered=10"):
        queue.send(Opcode.TEXT, bytes(5))
    assert queue.buffered == 6
    assert queue.send(Opcode.TEXT, bytes(4)) == TAKEN
    queue.sent += 6
    assert queue.send(Opcode.TEXT, bytes(6)) == TAKEN
    assert len(queue.take_notes()[0]) == 3
    assert len(calls) == 1


def test_what_is_taken_and_sent_between_two_looks_makes_no_count_negative() -> None:
    class Racing(SendQueue):
        """One whose writer sends a message that is queued just after each look at what is sent."""

        racing = False

        @property
        def sent(self) -> int:
            before = self._sent
            if self.racing:
                self.racing = False
                self.send(Opcode.TEXT, bytes(100))
                self._sent += 100
            return before

        @sent.setter
        def sent(self, value: int) -> None:
            self._sent = value

    queue = Racing(None)
    for name in ("buffered", "unsent"):
        queue.racing = True
        assert getattr(queue, name) == 100
        assert getattr(queue, name) == 0


def test_what_is_dropped_after_the_count_was_told_for_good_is_not_counted() -> None:
    queue, _ = opened()
    queue.send(Opcode.TEXT, b"1")
    queue.close(CloseFrame(1000))
    queue.send(Opcode.TEXT, b"12", count_refused=True)
    assert queue.seal() == 3
    assert queue.send(Opcode.TEXT, b"1234", count_refused=True) == REFUSED
    assert (queue.buffered, queue.queued) == (3, 3)


# What is accepted.


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.close(CloseFrame(1000)),
        lambda queue: queue.cut_fragments(),
        lambda queue: queue.stop_accepting(),
        lambda queue: queue.refuse(CLOSES["close"]),
        lambda queue: queue.end_fragments(queue.fragmented),
        lambda queue: queue.stop(),
        lambda queue: queue.finish(),
        lambda queue: queue.after_fork(bool),
    ],
    ids=[
        "close",
        "cut_fragments",
        "stop_accepting",
        "refuse",
        "end_fragments",
        "stop",
        "finish",
        "after_fork",
    ],
)
def test_what_is_accepted_never_gets_more(call: Callable[[SendQueue], object]) -> None:
    queue, _ = opened()
    queue.send_fragment(fragmented_by(queue), Opcode.TEXT, b"a")
    queue.seal()
    call(queue)
    assert queue.phase == SEALED


@pytest.mark.parametrize(
    ("before", "queues"),
    [("", True), ("(m a cut", True), ("last", False), ("(m leave", False), ("cut seen", False)],
)
def test_that_the_application_closes_is_told_whatever_was_before(before: str, queues: bool) -> None:
    queue = told(before)[2]
    assert not queue.close_called and not queue.close_queued
    for _ in range(2):
        queue.close(CloseFrame(1000))
        assert queue.close_called
        assert queue.close_queued is queues


def test_pings_are_left_until_the_close_and_those_of_the_keepalive_also_then() -> None:
    queue, calls = opened()
    assert queue.leave_note("ping")
    assert len(calls) == 1
    queue.close(CloseFrame(1000))
    called = len(calls)
    assert not queue.leave_note("late")
    assert len(calls) == called
    assert queue.leave_note("keepalive", always=True)
    notes, mixed = queue.take_notes()
    assert (notes[0], notes[2], mixed) == ("ping", "keepalive", True)


def test_notes_of_messages_alone_are_told_from_others() -> None:
    queue, _ = opened()
    queue.send(Opcode.TEXT, b"a")
    queue.send(Opcode.TEXT, b"b")
    assert queue.take_notes() == ([(TEXT, b"a"), (TEXT, b"b")], False)
    assert queue.take_notes() == ([], False)
    for leave in (
        lambda: queue.leave_note("ping"),
        lambda: queue.send_fragment(fragmented_by(queue), Opcode.TEXT, b"a"),
        queue.cut_fragments,
        lambda: queue.close(CloseFrame(1000)),
        lambda: queue.refuse(CLOSES["last"]),
    ):
        leave()
        notes, mixed = queue.take_notes()
        assert not queue.take_notes()[1]
        assert notes and mixed


# interface: Closing 7. A story as in `outbox_stories`, but told by the calls that are made of the queue:
# "mine" is close() from the iterable's own thread, "cut" the server's Close or a fault, "leave" an iterable
# that ends early, "seen" that the application has seen the server's Close.


def told(story: str) -> tuple[str, str, SendQueue]:
    """What goes out for it; the words that were refused; the queue at its end."""
    queue, outbox = opened()[0], Outbox()
    fragmented: FragmentedSend | None = None
    out: list[str] = []
    refused = []
    for word in story.split():
        taken: object = True
        if word == "|":
            outbox.put(queue.take_notes()[0])
            out += [*take_all(outbox), "|"]
        elif word == "close" or word == "mine":
            if word == "mine":
                assert fragmented is not None
                fragmented.thread = threading.get_ident()
            queue.close(CLOSES["close"].close)
        elif word == "cut":
            queue.cut_fragments()
        elif word == "seen":
            queue.stop_accepting()
        elif word in CLOSES:
            queue.refuse(CLOSES[word])
        elif word == "leave":
            assert fragmented is not None
            queue.end_fragments(fragmented)
        elif word.startswith("(") or word.startswith("x"):
            if word.startswith("("):
                fragmented = fragmented_by(queue)
            assert fragmented is not None
            opcode = Opcode.TEXT if word.startswith("(") else Opcode.CONTINUATION
            head_byte = opcode | (FIN if word.endswith(")") else 0)
            taken = queue.send_fragment(fragmented, head_byte, word.strip("()").encode())
        else:
            taken = queue.send(Opcode.TEXT, word.encode()) == TAKEN
        if not taken:
            refused.append(word)
    outbox.put(queue.take_notes()[0])
    out += take_all(outbox)
    return " ".join(out), " ".join(refused), queue


# story: what goes out, what is refused, bytes unsent in the end (each letter is one), the phase.
CLOSINGS: dict[str, tuple[str, str, str, int, int]] = {
    "no message in fragments": ("a b close c", "a b close", "c", 0, REFUSING),
    "a second close does nothing": ("a close close c", "a close", "c", 0, REFUSING),
    "a: nothing waits behind it": ("(m x close x)", "(m x close", "x)", 0, REFUSING),
    "a: what waited behind one before it is sent": (
        "(m a x) leave (n close b x)",
        "(m x) a (n close",
        "b x)",
        0,
        REFUSING,
    ),
    "a: it has ended, though its call has not": ("(m a x) close b", "(m x) a close", "b", 0, REFUSING),
    "b: messages wait behind it": ("(m a close b x x) leave", "(m x x) a close", "b", 0, REFUSING),
    "b: it has not ended": ("(m a close x", "(m x", "", 1, FINISHING),
    "b: nothing is taken after its end": ("(m a close x) x", "(m x) a close", "x", 0, REFUSING),
    "b: and then the server's Close comes": (
        "(m a close | x cut x) again",
        "(m | x close",
        "x)",
        1,
        REFUSING,
    ),
    "b: and then a fault comes": ("(m a close | x cut last x)", "(m | x last", "x)", 1, REFUSING),
    "b: and then the iterable raises, and a fault is told": (
        "(m a close leave last",
        "(m last",
        "",
        1,
        REFUSING,
    ),
    "c: close() from the iterable's own thread": ("(m a mine x)", "(m close", "x)", 1, REFUSING),
    "c: with nothing behind it": ("(m mine x)", "(m close", "x)", 0, REFUSING),
    "c: it does nothing after another thread's": ("(m a close mine x)", "(m x) a close", "", 0, REFUSING),
    "d: the server's Close": ("(m a cut b x | again", "(m | again", "b x", 1, REFUSING),
    "d: the server's Close, before ours is queued": ("(m a cut b x", "(m", "b x", 1, CUT),
    "d: the server's Close, and then close() here": ("(m a cut close b x", "(m close", "b x", 1, REFUSING),
    "d: the server's Close, ours, and then close() here": (
        "(m a cut again close",
        "(m again",
        "",
        1,
        REFUSING,
    ),
    "d: close() after a fault's Close": ("(m a last close", "(m last", "", 1, REFUSING),
    "d: the server's Close outside of fragments": ("a cut b again c", "a b again", "c", 0, REFUSING),
    "d: the server's Close behind a message in fragments": (
        "(m x) cut b again",
        "(m x) b again",
        "",
        0,
        REFUSING,
    ),
    "d: a fault": ("(m a cut x last", "(m last", "x", 1, REFUSING),
    "d: a fault whose Close is queued at once": ("(m a last x", "(m last", "x", 1, REFUSING),
    "the application has seen the server's Close": ("a cut b seen c again", "a b again", "c", 0, REFUSING),
    "and then it closes": ("a cut b seen close c again", "a b again", "c", 0, REFUSING),
    "it has seen it within a message in fragments": ("(m a cut seen x again", "(m again", "x", 1, REFUSING),
    "the iterable raises": ("(m a leave b last", "(m last", "b", 1, REFUSING),
    "the iterable raises, and close() comes before the fault is told": (
        "(m a leave close last",
        "(m last",
        "",
        1,
        REFUSING,
    ),
    "the iterable ends in order": ("(m x) leave b", "(m x) b", "", 0, ACCEPTING),
}


@pytest.mark.parametrize("rule", CLOSINGS)
def test_closing_inside_a_message_in_fragments(rule: str) -> None:
    story, expected, refused, unsent, phase = CLOSINGS[rule]
    out, was_refused, queue = told(story)
    assert (out, was_refused) == (expected, refused)
    sent = bytes_of(out)
    assert queue.unsent - sent == unsent
    assert queue.phase == phase


def bytes_of(out: str) -> int:
    """How many bytes of the application's went out."""
    return sum(1 for word in out.split() if word != "|" and word not in CLOSES)


def test_a_turn_at_fragments_is_one_call_s_alone() -> None:
    queue, _ = opened()
    first = fragmented_by(queue)
    second = FragmentedSend(queue, AssertionError, lambda error, code: None)  # type: ignore[arg-type]
    assert queue.begin_fragments(first)
    assert not queue.begin_fragments(second)
    assert not queue.send_fragment(second, Opcode.TEXT, b"a")
    queue.end_fragments(second)
    assert queue.fragmented is first
    queue.end_fragments(first)
    assert queue.begin_fragments(second)


def test_no_turn_at_fragments_begins_once_the_connection_is_closing() -> None:
    queue, _ = opened()
    queue.close(CloseFrame(1000))
    late = FragmentedSend(queue, AssertionError, lambda error, code: None)  # type: ignore[arg-type]
    assert not queue.begin_fragments(late)


def test_bytes_that_wait_behind_are_told_until_the_end_of_the_message() -> None:
    queue, _ = opened()
    fragmented = fragmented_by(queue)
    queue.send(Opcode.TEXT, bytes(3))
    assert fragmented.behind_bytes == 0
    queue.send_fragment(fragmented, Opcode.TEXT, b"a")
    queue.send(Opcode.TEXT, bytes(5))
    queue.send(Opcode.TEXT, bytes(7))
    assert fragmented.behind_bytes == 12
    queue.send_fragment(fragmented, FIN | Opcode.CONTINUATION, b"")
    assert fragmented.behind_bytes == 0
    queue.send(Opcode.TEXT, bytes(9))
    assert fragmented.behind_bytes == 0


@pytest.mark.parametrize(
    "ends",
    [
        lambda queue, fragmented: queue.close(CloseFrame(1000)),
        lambda queue, fragmented: queue.refuse(CLOSES["last"]),
        lambda queue, fragmented: queue.stop_accepting(),
        lambda queue, fragmented: queue.end_fragments(fragmented),
    ],
    ids=["close", "refuse", "stop_accepting", "end_fragments"],
)
def test_a_thread_that_waits_to_send_in_fragments_is_told_though_the_network_stands_still(
    ends: Callable[[SendQueue, FragmentedSend], None],
) -> None:
    queue, _ = opened(turn=WRITING)  # by a thread that waits for the network
    fragmented = fragmented_by(queue)
    late = FragmentedSend(queue, AssertionError, lambda error, code: None)  # type: ignore[arg-type]
    task = Task(
        lambda: queue.waiters.wait_until(lambda: queue.begin_fragments(late) or queue.phase != ACCEPTING)
    )
    task.wait_blocked()
    ends(queue, fragmented)
    assert task.result()


# Whose turn it is. For each call: how to make it, what it returns, and the turns that it leads from and to,
# with "!" where it calls a writer.
TABLE: list[tuple[str, Callable[[SendQueue], object], object, str]] = [
    ("send", lambda queue: queue.send(Opcode.TEXT, b"a"), TAKEN, "IDLE>SCHEDULED!"),
    ("send", lambda queue: queue.send(Opcode.TEXT, b"a"), TAKEN, "UNOPENED SCHEDULED WRITING STOPPING"),
    ("leave_note", lambda queue: queue.leave_note("ping"), True, "IDLE>SCHEDULED!"),
    ("leave_note", lambda queue: queue.leave_note("ping"), True, "UNOPENED SCHEDULED WRITING STOPPING"),
    ("refuse", lambda queue: queue.refuse(CLOSES["close"]), None, "IDLE>SCHEDULED!"),
    (
        "refuse",
        lambda queue: queue.refuse(CLOSES["close"]),
        None,
        "UNOPENED SCHEDULED WRITING STOPPING FINISHED",
    ),
    ("schedule", lambda queue: queue.schedule(), None, "IDLE>SCHEDULED!"),
    ("schedule", lambda queue: queue.schedule(), None, "UNOPENED SCHEDULED WRITING STOPPING FINISHED"),
    (
        "close",
        lambda queue: queue.close(CloseFrame(1000)),
        None,
        "UNOPENED! IDLE! SCHEDULED! WRITING! STOPPING!",
    ),
    ("open", lambda queue: queue.open(), None, "UNOPENED>IDLE FINISHED"),
    ("take_turn", lambda queue: queue.take_turn(), True, "IDLE>WRITING SCHEDULED>WRITING"),
    ("take_turn", lambda queue: queue.take_turn(), False, "UNOPENED WRITING STOPPING FINISHED"),
    ("rest", lambda queue: queue.rest(), True, "WRITING>IDLE"),
    ("rest", lambda queue: queue.rest(), False, "STOPPING"),
    ("yield_turn", lambda queue: queue.yield_turn(), True, "WRITING>SCHEDULED!"),
    ("yield_turn", lambda queue: queue.yield_turn(), False, "STOPPING"),
    ("stop", lambda queue: queue.stop(), True, "UNOPENED>FINISHED IDLE>FINISHED SCHEDULED>FINISHED"),
    ("stop", lambda queue: queue.stop(), False, "WRITING>STOPPING STOPPING FINISHED"),
    ("finish", lambda queue: queue.finish(), None, "WRITING>FINISHED STOPPING>FINISHED"),
]
CASES = [(name, call, returns, step) for name, call, returns, steps in TABLE for step in steps.split()]


@pytest.mark.parametrize(
    ("name", "call", "returns", "step"), CASES, ids=[f"{name}-{step}" for name, _, _, step in CASES]
)
def test_each_call_in_each_turn(
    name: str, call: Callable[[SendQueue], object], returns: object, step: str
) -> None:
    before, _, after = step.rstrip("!").partition(">")
    queue, calls = opened(turn=TURNS.index(before))
    assert call(queue) == returns
    assert TURNS[queue.turn] == (after or before)
    assert (len(calls) > 0) == step.endswith("!")
    assert queue.phase == REFUSING or name not in ("stop", "finish", "refuse", "close")


@pytest.mark.parametrize(
    "comes",
    [
        lambda queue: queue.send(Opcode.TEXT, b"a"),
        lambda queue: queue.leave_note("ping"),
        lambda queue: queue.refuse(CLOSES["close"]),
        lambda queue: queue.schedule(),
        lambda queue: queue.take_turn(),
    ],
    ids=["send", "leave_note", "refuse", "schedule", "take_turn"],
)
def test_a_writer_does_not_rest_while_something_has_come_that_it_has_not_seen(
    comes: Callable[[SendQueue], object],
) -> None:
    queue, _ = opened(turn=WRITING)
    comes(queue)
    assert not queue.rest()
    assert queue.turn == WRITING
    queue.take_notes()
    queue.rest()
    assert queue.rest() or queue.turn == IDLE


def test_a_call_before_the_stream_is_there_is_no_reason_to_look_again_later() -> None:
    queue, calls = opened(turn=UNOPENED)
    assert not queue.take_turn()
    queue.open()
    assert (queue.turn, len(calls)) == (IDLE, 0)
    assert queue.take_turn()
    assert queue.rest()


def test_a_note_from_before_the_stream_is_there_calls_a_writer_once_it_is() -> None:
    queue, calls = opened(turn=UNOPENED)
    queue.close(CloseFrame(1000))
    assert (queue.turn, len(calls)) == (UNOPENED, 1)
    queue.open()
    assert (queue.turn, len(calls)) == (SCHEDULED, 2)
    assert queue.take_turn()
    assert len(queue.take_notes()[0]) == 1
    assert queue.rest()


def test_in_a_forked_child_nothing_is_accepted_and_waiting_threads_are_woken() -> None:
    queue, _ = opened()
    fragmented = fragmented_by(queue)
    task = Task(lambda: queue.waiters.wait_until(lambda: queue.turn == FINISHED))
    task.wait_blocked()
    queue.after_fork(bool)
    assert task.result()
    assert not queue.send_fragment(fragmented, Opcode.TEXT, b"a")
    assert queue.fragmented is queue.nobody
    assert queue.send(Opcode.TEXT, b"a") == REFUSED
    queue.close(CloseFrame(1000))


# Threads, and signals.


def test_what_many_threads_leave_is_all_taken_in_each_one_s_order_and_no_call_is_forgotten() -> None:
    queue, _ = opened()
    called = threading.Semaphore(0)
    queue.wake = called.release
    count, senders = 300, 4

    def send(number: int) -> None:
        for serial in range(count):
            assert queue.send(Opcode.TEXT, bytes([number]) + b"%d" % serial) == TAKEN

    seen: list[bytes] = []

    def write() -> None:
        while len(seen) < senders * count:
            assert called.acquire(timeout=SECONDS), "a message was left, and no writer called"
            if not queue.take_turn():
                continue
            while True:
                notes, _ = queue.take_notes()
                payloads = [note[1] for note in notes if isinstance(note, tuple)]
                seen.extend(payloads)
                queue.sent += sum(map(len, payloads))
                if not notes and queue.rest():
                    break

    with switching_all_the_time():
        tasks = [Task(write), *(Task(lambda number=number: send(number)) for number in range(senders))]  # type: ignore[misc]
        for task in tasks:
            task.result()
    for number in range(senders):
        assert [p for p in seen if p[0] == number] == [
            bytes([number]) + b"%d" % serial for serial in range(count)
        ]
    assert queue.buffered == 0


def is_locked(leaf: primitives.Leaf) -> bool:
    """Whether a leaf is held; by this thread, which is in no call of the queue's."""
    taken = leaf.__exit__.__self__.acquire(False)  # type: ignore[attr-defined]
    if taken:
        leaf.__exit__(None, None, None)
    return not taken


CALLS: dict[str, Callable[[SendQueue, FragmentedSend], object]] = {
    "send": lambda queue, fragmented: queue.send(Opcode.TEXT, b"a"),
    "close": lambda queue, fragmented: queue.close(CloseFrame(1000)),
    "leave_note": lambda queue, fragmented: queue.leave_note("ping"),
    "send_fragment": lambda queue, fragmented: queue.send_fragment(fragmented, Opcode.TEXT, b"a"),
}


@needs_moments
@pytest.mark.parametrize("name", CALLS)
def test_a_signal_handler_that_raises_at_any_moment_finds_all_done_or_nothing(name: str) -> None:
    call = CALLS[name]
    moments = Moments(interrupt, send_queue, primitives)
    for delay in moments.each():
        queue, calls = opened()
        fragmented = fragmented_by(queue)
        with moments.within(delay):
            for _ in range(4):
                call(queue, fragmented)
        assert not is_locked(queue.leaf)
        turn, taken = queue.turn, queue.taken
        notes, _ = queue.take_notes()
        if name == "close":
            assert len(notes) == (queue.phase == REFUSING)
        elif name != "leave_note":
            assert taken == len(notes)
        if notes:
            assert turn == SCHEDULED or name == "close"
            assert len(calls), "a note was left, and no writer called"


@needs_moments
@pytest.mark.parametrize("name", CALLS)
def test_a_signal_handler_that_makes_every_call_at_any_moment_waits_for_nothing_and_loses_nothing(
    name: str,
) -> None:
    call = CALLS[name]

    def handler() -> None:
        assert not is_locked(queue.leaf)
        for again in CALLS.values():
            again(queue, fragmented)

    moments = Moments(handler, send_queue, primitives)
    for delay in moments.each():
        queue, calls = opened()
        fragmented = fragmented_by(queue)
        before = moments.runs
        with moments.within(delay):
            for _ in range(4):
                call(queue, fragmented)
        notes, _ = queue.take_notes()
        assert len(calls), "a note was left, and no writer called"
        closes = [number for number, note in enumerate(notes) if isinstance(note, CloseNote)]
        assert len(closes) == (queue.phase != ACCEPTING)
        if moments.runs > before:
            (close,) = closes
            assert not [note for note in notes[close:] if isinstance(note, tuple) or note == "ping"]
        elif name != "close":
            assert len(notes) == 4
