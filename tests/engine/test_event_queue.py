"""`syncws._engine.consumer.event_queue`: order, bounds, waiting, and what the reader is told."""

from __future__ import annotations

import random
import threading
from functools import partial

import pytest

from syncws import Headers
from syncws._engine.consumer import event_queue
from syncws._engine.consumer.event_queue import Entry, EventQueue
from syncws._engine.reading.control_events import ControlBatch
from syncws._engine.reading.records import Closed, CloseReceived, Opened
from syncws._protocol.closing import Outcome
from syncws._protocol.http11 import Response
from syncws._protocol.messages import Message, MessagePart
from tests.support.interleaving import steps
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_until

OPENED = Opened("", "", Response(101, "", Headers()))
ENDING = Outcome(1000, was_clean=True)
CLOSE, CLOSED = CloseReceived(ENDING), Closed(ENDING)


def make(max_bytes: int | None = None, max_messages: int | None = None) -> tuple[EventQueue, list[None]]:
    """A queue, and a list that grows each time the reader is woken."""
    queue = EventQueue((max_bytes, max_messages))
    wakes: list[None] = []
    queue.on_room = lambda: wakes.append(None)
    return queue, wakes


def put(queue: EventQueue, entry: Entry, size: int = 0) -> None:
    assert not isinstance(entry, ControlBatch)
    if isinstance(entry, list):
        queue.put_messages(entry, size)
    else:
        queue.put_record(entry)


def come_back(queue: EventQueue) -> Task[list[Entry]]:
    """The worker, which comes for more and finds nothing."""
    worker = Task(queue.take)
    wait_until(partial(bool, queue.waiters))
    return worker


def test_entries_come_out_in_order_all_at_once() -> None:
    queue, _ = make()
    entries: list[Entry] = [OPENED, ["a", b"b"], ["c"], CLOSE, CLOSED]
    for entry in entries:
        put(queue, entry, 1)
    assert queue.take() == entries
    put(queue, ["d"])
    assert queue.take() == [["d"]]


@pytest.mark.parametrize("entry", [OPENED, ["a"], CLOSE, CLOSED])
def test_take_waits_for_the_first_entry(entry: Entry) -> None:
    queue, _ = make()
    worker = come_back(queue)
    put(queue, entry)
    assert worker.result() == [entry]


def test_control_frames_have_their_place_and_count_like_messages() -> None:
    queue, _ = make(10, 3)
    assert not queue.wanted_controls
    queue.ask_wanted = lambda: (9,)
    assert queue.wanted_controls == (9,)
    batch = ControlBatch([(9, b"12345"), (9, b"")])
    queue.put_messages(["a"], 1)
    assert not queue.is_full(0)
    queue.put_controls(batch, 2, 5)
    assert queue.is_full(0)
    assert queue.take() == [["a"], batch]
    assert list(batch.frames) == [(9, b"12345"), (9, b"")]
    worker = come_back(queue)
    assert not queue.is_full(0)
    queue.put_controls(ControlBatch([(10, bytes(10))]), 1, 10)
    assert queue.is_full(0)
    worker.result()


def test_no_message_is_taken_in_parts() -> None:
    assert not make()[0].wants_parts


@pytest.mark.parametrize(
    ("limit", "fits", "fills"),
    [
        ((10, None), [(["a"], 9), (["b"] * 1000, 0)], (["c"], 1)),
        ((10, None), [], ([b"x"], 10)),
        ((10, None), [], ([b"x"], 10_000_000)),
        ((None, 3), [(["a", "b"], 10**9)], (["c"], 0)),
        ((None, 3), [], (["a", "b", "c", "d"], 0)),
        ((10, 3), [(["a", "b"], 9)], (["c"], 0)),
        ((10, 3), [(["a", "b"], 9)], ([], 1)),
        ((1, 1), [(OPENED, 0), (CLOSE, 0), (CLOSED, 0)], (["a"], 0)),
    ],
)
def test_queue_is_full_at_its_bound_of_bytes_or_messages(
    limit: tuple[int | None, int | None], fits: list[tuple[Entry, int]], fills: tuple[Entry, int]
) -> None:
    queue, _ = make(*limit)
    assert not queue.is_full(0)
    for entry, size in fits:
        put(queue, entry, size)
        assert not queue.is_full(0)
    put(queue, *fills)
    assert queue.is_full(0)


def test_queue_without_bounds_is_never_full() -> None:
    queue, _ = make()
    put(queue, ["a"] * 100_000, 10**12)
    assert not queue.is_full(10**12)


@pytest.mark.parametrize(("limit", "size"), [((10, None), 10), ((None, 2), 0)])
def test_what_was_taken_counts_until_the_worker_is_back(
    limit: tuple[int | None, int | None], size: int
) -> None:
    queue, wakes = make(*limit)
    put(queue, ["a", "b"], size)
    assert queue.take() == [["a", "b"]]
    assert queue.is_full(0), "the worker works on it"
    assert not wakes
    worker = come_back(queue)
    assert wakes
    assert not queue.is_full(0)
    # Entries that wait and entries that are being dispatched count together.
    put(queue, ["a"], size // 2)
    assert worker.result() == [["a"]]
    assert not queue.is_full(0)
    put(queue, ["b"], size // 2)
    assert queue.is_full(0)


def test_the_reader_that_found_the_queue_full_is_told_of_each_take_until_it_is_not() -> None:
    queue, wakes = make(max_messages=1)
    put(queue, ["a"])
    queue.take()
    assert not wakes, "nobody asked"
    put(queue, ["b"])
    assert queue.is_full(0)
    queue.take()
    assert len(wakes) == 1
    assert queue.is_full(0), "it is worked on now"
    put(queue, CLOSE)
    queue.take()
    assert len(wakes) == 2
    assert not queue.is_full(0)
    put(queue, CLOSED)
    queue.take()
    assert len(wakes) == 2, "it waits no more"


def test_caught_up_means_empty_and_the_worker_back() -> None:
    queue, wakes = make()
    assert not queue.is_caught_up(), "it has not come yet"
    put(queue, ["a"])
    assert not queue.is_caught_up()
    assert queue.take() == [["a"]]
    assert not queue.is_caught_up(), "all is taken, but not done with"
    wakes.clear()
    worker = come_back(queue)
    assert wakes
    assert queue.is_caught_up()
    put(queue, CLOSE)
    assert worker.result() == [CLOSE]
    assert not queue.is_caught_up(), "it works on the record"
    put(queue, CLOSED)
    assert not queue.is_caught_up()


def test_in_a_forked_child_there_is_only_the_end_and_the_worker_is_told_of_the_fork() -> None:
    queue, _ = make()
    forks: list[None] = []
    queue.on_fork = lambda: forks.append(None)
    put(queue, ["a"])
    queue.after_fork(CLOSED)
    assert forks
    assert queue.take() == [CLOSED]


# What the two threads can do to each other, at each step.


@pytest.mark.parametrize("limit", [(10, None), (None, 1)])
def test_a_take_at_each_step_of_the_readers_look_hides_nothing(
    limit: tuple[int | None, int | None],
) -> None:
    for step in steps(10):
        queue, _ = make(*limit)
        put(queue, ["a"], 10)
        with step.meanwhile(queue.take, event_queue):
            full = queue.is_full(0)
        assert full, "it waits, or is worked on"


def test_a_look_at_each_step_of_a_take_sees_what_is_taken() -> None:
    for step in steps(10):
        queue, _ = make(10, None)
        put(queue, ["a"], 10)
        seen: list[bool] = []

        def look(queue: EventQueue = queue, seen: list[bool] = seen) -> None:
            seen.extend((queue.is_full(0), queue.is_caught_up()))

        with step.meanwhile(look, event_queue):
            queue.take()
        assert seen in ([True, False], []), "it waits, or is worked on"


def test_a_batch_that_is_taken_at_each_step_of_the_readers_look_is_not_dealt_with() -> None:
    for step in steps(10):
        queue, _ = make()
        worker = Task(queue.take)
        wait_until(lambda queue=queue: bool(queue.waiters))  # type: ignore[misc]
        entry: list[Entry] = [["a"]]
        queue._entries += entry  # as it is put, but the worker is not told yet

        def tell(queue: EventQueue = queue, worker: Task[list[Entry]] = worker) -> None:
            queue.waiters.notify()
            worker.result()

        with step.meanwhile(tell, event_queue):
            assert not queue.is_caught_up()
        if not step.met:
            tell()
        assert not queue.is_caught_up()


@pytest.mark.parametrize("what", ["full", "caught up"])
def test_the_worker_that_comes_back_at_each_step_of_the_readers_look_is_seen_or_wakes_it(what: str) -> None:
    for step in steps(10):
        queue, wakes = make(max_messages=1)
        put(queue, ["a"])
        queue.take()
        worker: list[Task[list[Entry]]] = []

        def come(queue: EventQueue = queue, worker: list[Task[list[Entry]]] = worker) -> None:
            worker.append(come_back(queue))

        with step.meanwhile(come, event_queue):
            goes_on = not queue.is_full(0) if what == "full" else queue.is_caught_up()
        if not step.met:
            come()
        assert goes_on or wakes
        put(queue, CLOSED)
        assert worker[0].result() == [CLOSED]


@pytest.mark.parametrize("entry", [["a"], CLOSED])
def test_an_entry_that_comes_at_each_step_of_a_take_is_met(entry: Entry) -> None:
    for step in steps(10):
        queue, _ = make()
        waits = partial(bool, queue.waiters)
        with step.meanwhile(partial(put, queue, entry), event_queue, waits=waits):
            taken = queue.take()
        assert taken == [entry]


# Many of them.


class Reader:
    """Puts numbers as fast as the bounds let it, and notes how much was out when it did."""

    COUNT = 8_000
    MOST_MESSAGES, MOST_BYTES = 8, 400  # of one entry

    def __init__(self, limit: tuple[int | None, int | None]) -> None:
        self.room = threading.Event()
        self.queue = EventQueue(limit)
        self.queue.on_room = self.room.set
        self.sizes: list[int] = []
        self.highest_messages = self.highest_bytes = 0
        # The entries that the worker has finished. It says so before it comes back, so these numbers are
        # never too low.
        self.done_messages = self.done_bytes = 0

    def run(self) -> None:
        source = random.Random(9)
        number = total = 0
        while number < self.COUNT:
            while self.queue.is_full(0):
                assert self.room.wait(SECONDS)
                self.room.clear()
            self.highest_messages = max(self.highest_messages, number - self.done_messages)
            self.highest_bytes = max(self.highest_bytes, total - self.done_bytes)
            count = min(source.randint(1, self.MOST_MESSAGES), self.COUNT - number)
            size = source.randint(0, self.MOST_BYTES)
            self.sizes.append(size)
            messages: list[Message | MessagePart] = [str(number + place) for place in range(count)]
            self.queue.put_messages(messages, size)
            number += count
            total += size
        self.queue.put_record(CLOSED)


@pytest.mark.parametrize("switching", [False, True])
@pytest.mark.parametrize("limit", [(1000, None), (None, 10), (200, 5)])
def test_nothing_is_lost_or_reordered_and_the_bound_holds(
    limit: tuple[int | None, int | None], switching: bool
) -> None:
    reader = Reader(limit)
    expected = lists = 0
    last = None
    with switching_all_the_time(1e-6 if switching else 0.005):
        reading = Task(reader.run)
        while last is None:
            entries = reader.queue.take()
            for entry in entries:
                if isinstance(entry, list):
                    assert entry == [str(number) for number in range(expected, expected + len(entry))]
                    expected += len(entry)
                    reader.done_bytes += reader.sizes[lists]
                    lists += 1
                else:
                    last = entry
            reader.done_messages = expected
        reading.result()
    assert last == CLOSED
    assert expected == reader.COUNT
    # It put something only while less than the bound was out.
    max_bytes, max_messages = limit
    assert max_bytes is None or reader.highest_bytes < max_bytes
    assert max_messages is None or reader.highest_messages < max_messages
