"""`syncws._engine.event_queue`: order, bounds, waiting, and what the producer is told."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from syncws._engine.event_queue import Closed, Closing, Entry, EventQueue, Opening
from syncws._headers import Headers
from syncws._protocol.http11 import Response
from syncws._protocol.messages import Message, MessagePart
from tests.support.waiting import SECONDS

OPENING = Opening("", "", Response(101, "", Headers()))


def make(max_bytes: int | None = None, max_messages: int | None = None) -> tuple[EventQueue, list[None]]:
    """A queue, and a list that grows with each call of its `on_change`."""
    changes: list[None] = []
    return EventQueue((max_bytes, max_messages), lambda: changes.append(None)), changes


def started(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(SECONDS)
    return not thread.is_alive()


def wait_until_idle(queue: EventQueue) -> None:
    """Until a consumer waits in `take`: then, and only then, an empty queue is caught up."""
    until = threading.Event()
    for _ in range(3000):
        if queue.is_caught_up():
            return
        until.wait(0.01)
    raise TimeoutError("nobody came to take")


def test_entries_come_out_in_order_all_at_once() -> None:
    queue, _ = make()
    entries: list[Entry] = [OPENING, ["a", b"b"], ["c"], Closing(), Closed(1000)]
    for entry in entries:
        queue.put(entry, 1)
    assert queue.take(0) == entries
    assert queue.take(0) == []
    queue.put(["d"])
    assert queue.take(0) == [["d"]]


def test_take_returns_empty_when_its_time_is_over() -> None:
    queue, _ = make()
    for timeout in (0, 0.01):
        assert queue.take(timeout) == []


@pytest.mark.parametrize("timeout", [None, SECONDS])
@pytest.mark.parametrize("entry", [OPENING, ["a"], Closing(), Closed(1006)])
def test_take_waits_for_the_first_entry(timeout: float | None, entry: Entry) -> None:
    queue, _ = make()
    taken: list[list[Entry]] = []
    consumer = started(lambda: taken.append(queue.take(timeout)))
    wait_until_idle(queue)
    queue.put(entry)
    assert ended(consumer)
    assert taken == [[entry]]


def test_take_that_timed_out_loses_nothing() -> None:
    queue, _ = make(max_messages=1)
    assert queue.take(0.001) == []
    queue.put(["a"], 1)
    assert queue.is_full()
    assert queue.take(0) == [["a"]]


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
        ((1, 1), [(OPENING, 0), (Closing(), 0), (Closed(1000), 0)], (["a"], 0)),
    ],
)
def test_queue_is_full_at_its_bound_of_bytes_or_messages(
    limit: tuple[int | None, int | None], fits: list[tuple[Entry, int]], fills: tuple[Entry, int]
) -> None:
    queue, _ = make(*limit)
    assert not queue.is_full()
    for entry, size in fits:
        queue.put(entry, size)
        assert not queue.is_full()
    queue.put(*fills)
    assert queue.is_full()


def test_queue_without_bounds_is_never_full() -> None:
    queue, _ = make()
    queue.put(["a"] * 100_000, 10**12)
    assert not queue.is_full()


@pytest.mark.parametrize(("limit", "size"), [((10, None), 10), ((None, 2), 0)])
def test_what_was_taken_counts_until_the_consumer_is_back(
    limit: tuple[int | None, int | None], size: int
) -> None:
    queue, _ = make(*limit)
    queue.put(["a", "b"], size)
    assert queue.take(0) == [["a", "b"]]
    assert queue.is_full()  # the consumer works on it
    assert queue.take(0) == []
    assert not queue.is_full()
    # Held and waiting count together.
    queue.put(["a"], size // 2)
    queue.take(0)
    assert not queue.is_full()
    queue.put(["b"], size // 2)
    assert queue.is_full()


def test_producer_that_found_the_queue_full_is_told_of_each_take() -> None:
    queue, changes = make(max_messages=1)
    queue.put(["a"])
    queue.take(0)
    assert not changes  # nobody asked
    queue.put(["b"])
    assert queue.is_full()
    queue.take(0)
    assert len(changes) == 1
    assert queue.is_full()  # held now
    queue.take(0)
    assert len(changes) == 2
    assert not queue.is_full()
    queue.take(0)
    assert len(changes) == 2  # it is not waiting any more


def test_caught_up_means_empty_and_the_consumer_back() -> None:
    queue, changes = make()
    assert not queue.is_caught_up()  # nobody has come yet
    queue.put(["a"])
    assert not queue.is_caught_up()
    at_work, go_on = threading.Event(), threading.Event()
    taken: list[Entry] = []

    def consume() -> None:
        taken.extend(queue.take())
        at_work.set()
        assert go_on.wait(SECONDS)
        taken.extend(queue.take())

    consumer = started(consume)
    assert at_work.wait(SECONDS)
    changes.clear()
    assert not queue.is_caught_up()  # all is taken, but not done with
    go_on.set()
    wait_until_idle(queue)
    assert changes
    queue.put(Closed(1000))
    assert ended(consumer)
    assert taken == [["a"], Closed(1000)]
    assert not queue.is_caught_up()  # it has taken the record, and was not back


def test_producer_that_waits_for_the_consumer_is_woken() -> None:
    done = threading.Event()
    queue = EventQueue((None, None), done.set)
    queue.put(["a"])
    assert not queue.is_caught_up()
    queue.take(0)
    assert done.is_set()


def test_after_a_fork_there_is_a_fresh_lock_and_only_the_end() -> None:
    queue, _ = make()
    queue.put(["a"])
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with queue._condition.lock:
            held.set()
            let_go.wait(SECONDS)

    thread = started(hold)
    assert held.wait(SECONDS)
    queue.after_fork(Closed(1006))
    assert queue.take(0) == [Closed(1006)]  # with the old lock it would wait for ever
    let_go.set()
    assert ended(thread)


class Producer:
    """Puts numbers as fast as the bounds let it, and notes how much was out when it did."""

    COUNT = 20_000
    MOST_MESSAGES, MOST_BYTES = 8, 400  # of one entry

    def __init__(self, limit: tuple[int | None, int | None]) -> None:
        self.changed = threading.Event()
        self.queue = EventQueue(limit, self.changed.set)
        self.sizes: list[int] = []
        self.highest_messages = self.highest_bytes = 0
        # Of the consumer: what it has done with; told before it is back, so never too low.
        self.done_messages = self.done_bytes = 0

    def run(self) -> None:
        source = random.Random(9)
        number = total = 0
        while number < self.COUNT:
            while self.queue.is_full():
                assert self.changed.wait(SECONDS)
                self.changed.clear()
            self.highest_messages = max(self.highest_messages, number - self.done_messages)
            self.highest_bytes = max(self.highest_bytes, total - self.done_bytes)
            count = min(source.randint(1, self.MOST_MESSAGES), self.COUNT - number)
            size = source.randint(0, self.MOST_BYTES)
            self.sizes.append(size)
            messages: list[Message | MessagePart] = [str(number + place) for place in range(count)]
            self.queue.put(messages, size)
            number += count
            total += size
        self.queue.put(Closed(1000))


@pytest.mark.parametrize("limit", [(1000, None), (None, 10), (200, 5)])
def test_stress_nothing_is_lost_or_reordered_and_the_bound_holds(
    limit: tuple[int | None, int | None],
) -> None:
    producer = Producer(limit)
    thread = started(producer.run)
    expected = lists = 0
    last = None
    while last is None:
        entries = producer.queue.take(SECONDS)
        assert entries
        for entry in entries:
            if isinstance(entry, list):
                assert entry == [str(number) for number in range(expected, expected + len(entry))]
                expected += len(entry)
                producer.done_bytes += producer.sizes[lists]
                lists += 1
            else:
                last = entry
        producer.done_messages = expected
    assert ended(thread)
    assert last == Closed(1000)
    assert expected == producer.COUNT
    # It put something only while less than the bound was out.
    max_bytes, max_messages = limit
    assert max_bytes is None or producer.highest_bytes < max_bytes
    assert max_messages is None or producer.highest_messages < max_messages
