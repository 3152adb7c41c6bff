"""`syncws._engine.writing.fragmented_send`: one message, sent as its chunks come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncws import ConnectionClosed
from syncws._engine import primitives
from syncws._engine.writing import fragmented_send, send_queue
from syncws._engine.writing.fragmented_send import STREAM_WINDOW, FragmentedSend
from syncws._engine.writing.send_queue import SendQueue
from syncws._engine.writing.writer_pool import WriterPool
from syncws._engine.writing.writer_turn import ACCEPTING, FINISHED, REFUSING
from syncws._protocol.frames import CloseFrame, Opcode
from tests.support.interrupts import Interrupted, needs_timer_signals
from tests.support.interrupts import interrupt as interrupt_call
from tests.support.links import Frame, Link
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_until

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION


@pytest.fixture
def link() -> Iterator[Link]:
    """A link whose writer has a thread of a pool."""
    pool = WriterPool()
    with Link(pool) as link:
        yield link
    assert pool.wait_surplus_exited(SECONDS)


def still_link() -> Link:
    """A link whose writer does not run: what is queued stays there."""
    return Link()


def payloads(link: Link) -> list[bytes]:
    """What waits in the queue of a still link, in its order."""
    notes: list[Any] = link.queue.take_notes()[0]
    return [note[1] if isinstance(note, tuple) else note.frame[1] for note in notes]


def test_each_chunk_is_a_fragment_and_the_end_is_one_of_its_own(link: Link) -> None:
    link.fragments().run(iter(["one", "", "two"]))
    assert [link.read() for _ in range(4)] == [
        Frame(TEXT, False, b"one"),
        Frame(CONTINUATION, False, b""),
        Frame(CONTINUATION, False, b"two"),
        Frame(CONTINUATION, True, b""),
    ]
    assert link.queue.fragmented is link.queue.nobody
    assert link.told_error is None


def test_each_chunk_is_sent_before_the_next_one_is_asked_for(link: Link) -> None:
    def chunks() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert link.read().payload == b"%d" % number

    link.fragments().run(chunks())
    assert link.read() == Frame(CONTINUATION, True, b"")


def test_a_chunk_that_is_larger_than_the_window_goes_in_pieces_of_it(link: Link) -> None:
    task = Task(lambda: link.fragments().run(iter([bytes(2 * STREAM_WINDOW + 10)])))
    frames = [link.read() for _ in range(4)]
    task.result()
    assert [(frame.opcode, len(frame.payload)) for frame in frames] == [
        (BINARY, STREAM_WINDOW),
        (CONTINUATION, STREAM_WINDOW),
        (CONTINUATION, 10),
        (CONTINUATION, 0),
    ]


@pytest.mark.parametrize(
    ("max_buffered", "window"), [(None, STREAM_WINDOW), (2 * STREAM_WINDOW, STREAM_WINDOW), (10, 10), (0, 1)]
)
def test_no_more_than_a_window_is_unsent(max_buffered: int | None, window: int) -> None:
    with Link(max_buffered=max_buffered) as link:
        task = Task(lambda: link.fragments().run(iter([bytes(window), b"more"])))
        wait_until(lambda: bool(link.queue.waiters))
        assert link.queue.unsent == window
        link.queue.sent += min(window, 4)
        link.queue.waiters.notify()
        wait_until(lambda: (link.queue.unsent == window and bool(link.queue.waiters)) or not task.running)
        link.queue.close(CloseFrame(1000))
        task.wait()


def test_messages_of_others_that_wait_behind_it_do_not_hold_it_up() -> None:
    with still_link() as link:

        def chunks() -> Iterator[bytes]:
            yield b"begun"
            link.queue.send(BINARY, bytes(2 * STREAM_WINDOW))
            yield b"more"

        link.fragments().run(chunks())
        assert payloads(link) == [b"begun", bytes(2 * STREAM_WINDOW), b"more", b""]


def test_a_message_that_comes_between_two_looks_at_the_counts_does_not_hold_it_up() -> None:
    class Racing(SendQueue):
        """One to which another thread gives a message just after each look at what is unsent."""

        @property
        def unsent(self) -> int:
            before = super().unsent
            self.send(BINARY, bytes(2 * STREAM_WINDOW))
            return before

    with still_link() as link:
        link.queue = Racing(None)
        fragments = link.fragments()
        task = Task(lambda: fragments.run(iter([b"a", b"b"])))
        assert task.wait() is None
        link.queue = SendQueue(None)


def test_an_iterable_without_a_chunk_is_refused_and_harms_nothing() -> None:
    with still_link() as link:
        with pytest.raises(ValueError, match="without a chunk"):
            link.fragments().run(iter([]))
        link.fragments().run(iter(["next"]))
        assert payloads(link) == [b"next", b""]


@pytest.mark.parametrize("chunk", [1, None, ["nested"], "\ud800"])
def test_a_first_chunk_that_is_no_message_is_refused_and_harms_nothing(chunk: Any) -> None:
    with still_link() as link:
        with pytest.raises((TypeError, ValueError)):
            link.fragments().run(iter([chunk]))
        assert link.queue.fragmented is link.queue.nobody
        assert payloads(link) == []
        assert link.told_error is None


@pytest.mark.parametrize(
    ("chunks", "error"),
    [(["a", b"b"], TypeError), (["a", 1], TypeError), (["a", "\ud800"], ValueError)],
    ids=["another type", "no message", "a lone surrogate"],
)
def test_a_later_chunk_that_is_wrong_fails_the_connection(chunks: list[Any], error: type[Exception]) -> None:
    with still_link() as link:
        with pytest.raises(error) as raised:
            link.fragments().run(iter(chunks))
        assert link.told_error == (raised.value, 1011)
        assert link.queue.phase == REFUSING
        assert link.queue.fragmented is link.queue.nobody


def raising(error: BaseException, after: int) -> Iterator[str]:
    for number in range(after):
        yield str(number)
    raise error


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), Interrupted(), ConnectionClosed(1006, "", False)],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_iterable_that_raises_fails_the_connection_once_the_message_has_begun(
    error: BaseException, after: int
) -> None:
    """Also with a `ConnectionClosed`, which is that of another connection."""
    with still_link() as link:
        with pytest.raises(type(error)) as raised:
            link.fragments().run(raising(error, after))
        assert raised.value is error
        assert link.told_error == ((error, 1011) if after else None)
        assert link.queue.phase == (REFUSING if after else ACCEPTING)
        assert link.queue.fragmented is link.queue.nobody


def test_where_a_close_has_cut_it_off_what_the_iterable_raises_fails_nothing() -> None:
    with still_link() as link:

        def chunks() -> Iterator[str]:
            yield "begun"
            link.queue.close(CloseFrame(1000))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            link.fragments().run(chunks())
        assert link.told_error is None


@pytest.mark.parametrize(
    "end",
    [
        lambda link: link.queue.close(CloseFrame(1000)),
        lambda link: link.writer.close(CloseFrame(1002), last=True),
        lambda link: link.writer.server_closed(),
        lambda link: link.writer.stop(),
    ],
    ids=["close", "fault", "the server's Close", "the end"],
)
@pytest.mark.parametrize("place", ["between chunks", "waiting for room"])
def test_it_raises_at_its_next_chunk_once_no_more_is_taken(end: Callable[[Link], None], place: str) -> None:
    with still_link() as link:
        asked: list[int] = []

        def chunks() -> Iterator[bytes]:
            yield b"begun"
            if place == "between chunks":
                end(link)
                asked.append(1)
                yield b"too late"
            else:
                yield bytes(STREAM_WINDOW)
            asked.append(2)
            yield b"never asked for"

        task = Task(lambda: link.fragments().run(chunks()))
        if place == "waiting for room":
            task.wait_blocked()
            end(link)
        assert isinstance(task.wait(), ConnectionClosed)
        assert 2 not in asked
        assert link.told_error is None
        assert link.queue.fragmented is link.queue.nobody


def test_messages_behind_it_are_sent_after_a_close_once_it_is_finished(link: Link) -> None:
    begun, closed = threading.Event(), threading.Event()

    def chunks() -> Iterator[str]:
        yield "begun, "
        begun.set()
        assert closed.wait(SECONDS)
        yield "ended"

    task = Task(lambda: link.fragments().run(chunks()))
    assert begun.wait(SECONDS)
    link.queue.send(TEXT, b"behind")
    link.queue.close(CloseFrame(1000))
    closed.set()
    task.result()
    assert [link.read().payload for _ in range(5)] == [b"begun, ", b"ended", b"", b"behind", b"\x03\xe8"]
    wait_until(lambda: link.queue.turn == FINISHED)
    assert link.queue.unsent == 0


def test_calls_of_several_threads_take_turns(link: Link) -> None:
    count, threads = 20, 4

    def send(number: int) -> None:
        for _ in range(count):
            link.fragments().run(iter([b"%d" % number] * 3))

    tasks = [Task(lambda number=number: send(number)) for number in range(threads)]  # type: ignore[misc]
    seen = []
    for _ in range(count * threads):
        frames = [link.read() for _ in range(4)]
        assert [frame.opcode for frame in frames] == [BINARY] + 3 * [CONTINUATION]
        assert len({frame.payload for frame in frames[:3]}) == 1
        seen.append(frames[0].payload)
    for task in tasks:
        task.result()
    assert sorted(seen) == sorted(b"%d" % number for number in range(threads) for _ in range(count))


def test_a_call_from_inside_its_own_iterable_is_told_that_it_would_wait_for_itself() -> None:
    with still_link() as link:

        def chunks() -> Iterator[str]:
            yield "outer"
            link.fragments().run(iter(["inner"]))

        with pytest.raises(RuntimeError, match="inside one"):
            link.fragments().run(chunks())
        assert link.queue.fragmented is link.queue.nobody, "the outer one ended all the same"


def test_a_call_that_waits_for_its_turn_raises_once_the_connection_closes() -> None:
    with still_link() as link:
        begun, over = threading.Event(), threading.Event()

        def chunks() -> Iterator[str]:
            yield "first"
            begun.set()
            assert over.wait(SECONDS)

        first = Task(lambda: link.fragments().run(chunks()))
        assert begun.wait(SECONDS)
        second = Task(lambda: link.fragments().run(iter(["second"])))
        second.wait_blocked()
        link.queue.close(CloseFrame(1000))
        assert isinstance(second.wait(), ConnectionClosed)
        over.set()
        assert isinstance(first.wait(), ConnectionClosed)


@needs_timer_signals
def test_a_wait_for_the_turn_that_a_handler_ends_fails_nothing() -> None:
    with still_link() as link:
        begun, over = threading.Event(), threading.Event()

        def chunks() -> Iterator[str]:
            yield "first"
            begun.set()
            assert over.wait(SECONDS)

        first = Task(lambda: link.fragments().run(chunks()))
        assert begun.wait(SECONDS)
        interrupt_call(lambda: link.fragments().run(iter(["second"])))
        assert link.told_error is None
        over.set()
        assert first.wait() is None
        assert payloads(link) == [b"first", b""]


def test_a_handler_s_exception_within_the_failing_keeps_nothing_from_being_told() -> None:
    with still_link() as link:
        told: list[BaseException] = []

        def fail(error: BaseException, close_code: int) -> None:
            told.append(error)
            if len(told) == 1:
                raise Interrupted

        fragments = FragmentedSend(link.queue, AssertionError, fail)  # type: ignore[arg-type]
        error = ZeroDivisionError()
        with pytest.raises(Interrupted):
            fragments.run(raising(error, 1))
        assert told == [error, error]
        assert link.queue.fragmented is link.queue.nobody


@needs_moments
def test_a_handler_that_raises_at_any_moment_gives_the_turn_back_and_fails_what_has_begun() -> None:
    moments = Moments(interrupt, fragmented_send, send_queue, primitives)
    begun = 0
    for delay in moments.each():
        link = still_link()
        before = moments.runs
        with moments.within(delay):
            link.fragments().run(iter(["a", "b", "c"]))
        assert link.queue.fragmented is link.queue.nobody, "the next call would wait for this one for ever"
        if moments.runs > before:
            notes = payloads(link)
            if notes and notes[-1] != b"":
                begun += 1
                assert link.told_error is not None, "it cannot be ended, and nobody was told"
                assert link.queue.phase == REFUSING
        link.close()
    assert begun > 10
