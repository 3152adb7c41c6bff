"""`_engine.consumer.dispatcher`: the order of callbacks, where they run, and the wait of the first events."""

from __future__ import annotations

import contextvars
import gc
import logging
import queue as queues
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from syncws import Headers
from syncws._engine.consumer import dispatcher as dispatcher_module
from syncws._engine.consumer import dispatching
from syncws._engine.consumer.dispatcher import Dispatcher, FirstEvents
from syncws._engine.consumer.dispatching import dispatch_and_wait
from syncws._engine.consumer.event_queue import EventQueue
from syncws._engine.options.option_types import Dispatch
from syncws._engine.reading.control_events import ControlBatch
from syncws._engine.reading.records import Closed, CloseReceived, Opened
from syncws._protocol.closing import Outcome
from syncws._protocol.http11 import Response
from syncws._protocol.messages import Message, MessagePart
from tests.support.interleaving import instructions, needs_points, steps
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_for, wait_until

OPENED = Opened("", "", Response(101, "", Headers()))
ENDING = Outcome(1000, "bye", was_clean=True)
CLOSE, CLOSED = CloseReceived(ENDING), Closed(ENDING)
LOST = Closed(Outcome(1006, error=OSError("lost")))
ALL = ["open", "a", "b", "close received", "failed", "closed", "over"]


class Sink:
    """What the worker dispatches to: notes each call, and does what the test wants in it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: list[Exception] = []
        self.acts: dict[str, Callable[[], object]] = {}
        self.listens = {"open", "message", "error", "close"}
        self.stamps: list[float] = []
        self.called = queues.SimpleQueue[str]()

    def _call(self, name: str) -> None:
        if name in self.acts:
            self.acts.pop(name)()
        self.calls.append(name)
        self.called.put(name)

    def wait_for(self, name: str) -> None:
        while self.called.get(timeout=SECONDS) != name:
            continue

    def on_opened(self, record: Opened) -> None:
        self._call("open")

    def on_messages(self, messages: Iterator[Message | MessagePart], time_stamp: float) -> None:
        self.stamps.append(time_stamp)
        for message in messages:
            self._call(str(message))

    def on_controls(self, batch: ControlBatch, time_stamp: float) -> None:
        self.stamps.append(time_stamp)
        for opcode, payload in batch.frames:
            self._call(f"{opcode} {payload.decode()}")

    def on_close_received(self) -> None:
        self._call("close received")

    def on_failed(self, record: Closed) -> None:
        self._call("failed")

    def on_closed(self, record: Closed) -> None:
        self._call("closed")

    def on_fault(self, error: Exception) -> None:
        self.faults.append(error)

    def raise_interrupt(self) -> None:
        if "interrupt" in self.acts:
            self.acts.pop("interrupt")()

    def listens_to(self, kind: str) -> bool:
        return kind in self.listens

    def on_over(self) -> None:
        self.calls.append("over")

    def on_fork(self) -> None:
        self.calls.append("fork")


class Worker:
    """A dispatcher with its queue, whose worker runs as soon as the test wants."""

    def __init__(self, dispatch: Dispatch | None = None, has_listeners: bool | None = True) -> None:
        self.queue = EventQueue((None, None))
        self.sink = Sink()
        self.dispatcher = Dispatcher(self.queue, self.sink, lambda: 7.0, dispatch, {})
        if has_listeners is not None:
            self.dispatcher.constructor_returned(has_listeners)

    def put_all(self, end: Closed = CLOSED) -> None:
        self.queue.put_record(OPENED)
        self.queue.put_messages(["a", "b"], 2)
        self.queue.put_record(CLOSE)
        self.queue.put_record(end)

    def run_all(self) -> list[str]:
        self.put_all()
        self.dispatcher.run()
        return self.sink.calls


# The order.


def test_events_are_dispatched_in_order_and_over_comes_last() -> None:
    worker = Worker()
    assert worker.run_all() == ALL
    assert worker.dispatcher.over
    assert worker.sink.stamps == [7.0]


@pytest.mark.parametrize("has_listeners", [True, False])
def test_control_frames_are_dispatched_in_their_place_and_wait_for_no_listener(has_listeners: bool) -> None:
    worker = Worker(has_listeners=has_listeners)
    worker.sink.listens = {"open", "message", "close"}
    worker.queue.put_record(OPENED)
    worker.queue.put_controls(ControlBatch([(9, b"1"), (10, b"2")]), 2, 2)
    worker.queue.put_messages(["a"], 1)
    worker.queue.put_record(CLOSED)
    worker.dispatcher.run()
    assert worker.sink.calls == ["open", "9 1", "10 2", "a", "failed", "closed", "over"]
    assert worker.sink.stamps == [7.0, 7.0]


def test_entries_that_come_one_by_one_are_dispatched_as_they_come() -> None:
    worker = Worker()
    running = Task(worker.dispatcher.run)
    for entry, name in ((OPENED, "open"), ("a", "a"), (CLOSE, "close received"), (LOST, "closed")):
        if isinstance(entry, str):
            worker.queue.put_messages([entry], 1)
        else:
            worker.queue.put_record(entry)
        worker.sink.wait_for(name)
    running.result()
    assert worker.sink.calls == ["open", "a", "close received", "failed", "closed", "over"]


def test_a_thread_that_waits_for_the_end_is_woken_after_the_last_callback() -> None:
    worker = Worker()
    assert not worker.dispatcher.wait_over(0.01)
    seen: list[list[str]] = []

    def wait() -> None:
        assert worker.dispatcher.wait_over(SECONDS)
        seen.append(list(worker.sink.calls))

    waiting = Task(wait)
    waiting.wait_blocked()
    worker.sink.acts["closed"] = waiting.wait_blocked
    worker.run_all()
    waiting.result()
    assert seen == [ALL]


def test_waiting_threads_are_woken_after_each_batch() -> None:
    worker = Worker()
    running = Task(worker.dispatcher.run)
    waiting = Task(lambda: worker.dispatcher.waiters.wait_until(lambda: "open" in worker.sink.calls, SECONDS))
    waiting.wait_blocked()
    worker.queue.put_record(OPENED)
    assert waiting.result()
    worker.queue.put_record(CLOSED)
    running.result()


def test_what_was_dispatched_is_not_held_while_the_worker_waits() -> None:
    class Data(str):
        pass

    worker = Worker()
    data = Data("a")
    alive = weakref.ref(data)
    worker.queue.put_messages([data], 1)
    del data
    running = Task(worker.dispatcher.run)
    worker.sink.wait_for("a")

    def is_gone() -> bool:
        gc.collect()
        return alive() is None

    wait_until(is_gone)
    worker.queue.put_record(CLOSED)
    running.result()


# Faults and interrupts.


@pytest.mark.parametrize("where", ["open", "a", "b", "close received", "failed", "closed"])
@pytest.mark.parametrize("has_listeners", [True, False])
def test_a_fault_in_any_call_fails_the_connection_and_the_rest_is_dispatched(
    where: str, has_listeners: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise MemoryError(where)

    worker = Worker(has_listeners=has_listeners)
    worker.sink.acts[where] = fail
    calls = worker.run_all()
    assert [str(error) for error in worker.sink.faults] == [where]
    lost = {"a": ["a", "b"]}.get(where, [where])  # what failed, and the messages of the batch behind it
    assert calls == [name for name in ALL if name not in lost]
    assert "a fault of syncws itself: MemoryError" in caplog.text


def test_a_fault_of_the_worker_itself_ends_all_waits() -> None:
    worker = Worker()
    error = GeneratorExit("of the worker")

    def fail() -> None:
        raise error

    worker.sink.acts["a"] = fail
    waiting = Task(lambda: worker.dispatcher.wait_over(None))
    wait_until(partial(bool, worker.dispatcher.waiters))
    worker.put_all()
    running = Task(worker.dispatcher.run)
    assert running.wait() is error
    assert waiting.result()
    assert worker.sink.calls[-1] == "over"


@pytest.mark.parametrize("where", ["open", "a", "b", "close received", "failed", "closed", "interrupt"])
def test_ctrl_c_in_any_call_loses_and_doubles_nothing(where: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    tasks: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
    worker = Worker(tasks.put)
    worker.put_all()
    worker.sink.acts[where] = interrupt
    running = Task(worker.dispatcher.run)
    interrupts = 0
    while running.running and worker.sink.calls[-1:] != ["over"]:
        try:
            tasks.get(timeout=0.05)()
        except KeyboardInterrupt:
            interrupts += 1
        except queues.Empty:
            continue
    running.result()
    assert interrupts == 1
    # A real batch counts what it has begun; the sink of this test loses the message that it was called for.
    expected = [name for name in ALL if name != where or where not in "ab"]
    assert worker.sink.calls == expected


# Where callbacks run.


def test_callbacks_run_on_the_worker_where_no_dispatch_is_given() -> None:
    worker = Worker()
    threads: list[int | None] = []

    def look() -> None:
        threads.extend((threading.get_ident(), worker.dispatcher.callback_thread))
        assert worker.dispatcher.is_here()

    worker.sink.acts["a"] = look
    worker.put_all()
    running = Task(worker.dispatcher.run)
    running.result()
    assert threads == [running.thread.ident] * 2
    assert worker.dispatcher.callback_thread is None
    assert not worker.dispatcher.is_here()


def test_dispatch_is_given_each_batch_once_and_callbacks_run_where_it_wants() -> None:
    tasks: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
    worker = Worker(tasks.put)
    here: list[bool] = []
    worker.sink.acts["a"] = lambda: here.append(worker.dispatcher.is_here())
    worker.put_all()
    running = Task(worker.dispatcher.run)
    task = tasks.get(timeout=SECONDS)
    assert running.running
    assert not worker.sink.calls
    task()
    running.result()
    assert worker.sink.calls == ALL
    assert here == [True]
    assert tasks.empty()


def test_the_worker_counts_as_here_while_dispatch_runs() -> None:
    seen: list[bool] = []

    def dispatch(task: Callable[[], None]) -> None:
        seen.append(worker.dispatcher.is_here())
        task()

    worker = Worker(dispatch)
    worker.run_all()
    assert seen == [True]


def test_callbacks_see_the_context_of_the_constructors_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    token = variable.set("constructor")
    worker = Worker()
    variable.reset(token)
    seen: list[str] = []

    def change() -> None:
        seen.append(variable.get())
        variable.set("callback")

    worker.sink.acts["open"] = change
    worker.sink.acts["closed"] = lambda: seen.append(variable.get())
    worker.run_all()
    assert seen == ["constructor", "callback"]
    assert variable.get() == "none"


def run_by(dispatch: Dispatch) -> list[str]:
    """The calls of a task that is dispatched."""
    calls: list[str] = []
    dispatch_and_wait(dispatch, lambda: calls.append("task"), {})
    return calls


def test_a_task_whose_dispatch_raises_runs_on_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    def dispatch(task: Callable[[], None]) -> None:
        raise SystemExit

    assert run_by(dispatch) == ["task"]
    assert "dispatch raised" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_task_that_dispatch_calls_before_it_raises_or_more_than_once_runs_once(times: int) -> None:
    def dispatch(task: Callable[[], None]) -> None:
        for _ in range(times):
            task()
        raise ValueError

    assert run_by(dispatch) == ["task"]


def test_the_worker_waits_for_a_task_that_was_scheduled_before_dispatch_raised() -> None:
    started, go_on = threading.Event(), threading.Event()
    ended: list[bool] = []

    def dispatch(task: Callable[[], None]) -> None:
        threading.Thread(target=task, daemon=True).start()
        wait_for(started)
        raise ValueError

    def task() -> None:
        started.set()
        wait_for(go_on)
        ended.append(True)

    waiting = Task(lambda: dispatch_and_wait(dispatch, task, {}))
    waiting.wait_blocked()
    go_on.set()
    waiting.result()
    assert ended


def test_what_a_task_raises_goes_to_the_users_thread_and_the_worker_goes_on() -> None:
    def task() -> None:
        raise KeyboardInterrupt

    tasks: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
    waiting = Task(lambda: dispatch_and_wait(tasks.put, task, {}))
    with pytest.raises(KeyboardInterrupt):
        tasks.get(timeout=SECONDS)()
    waiting.result()


@needs_points
def test_a_handler_that_raises_at_any_point_of_the_users_thread_lets_the_worker_go_on() -> None:
    for step in steps(1):
        tasks: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
        runs: list[None] = []
        waiting = Task(partial(dispatch_and_wait, tasks.put, partial(runs.append, None), {}))
        task = tasks.get(timeout=SECONDS)
        with step.interrupted(dispatching):
            task()
        waiting.result()
        assert len(runs) <= 1


@needs_points
def test_a_handler_that_raises_at_any_point_of_a_batch_loses_none_of_its_entries() -> None:
    for step in steps(10):
        tasks: queues.SimpleQueue[Callable[[], None]] = queues.SimpleQueue()
        worker = Worker(tasks.put)
        worker.put_all()
        running = Task(worker.dispatcher.run)
        with step.interrupted(dispatcher_module, dispatching):
            tasks.get(timeout=SECONDS)()
        while running.running and worker.sink.calls[-1:] != ["over"]:
            try:
                tasks.get(timeout=0.002)()
            except queues.Empty:
                continue
        running.result()
        # An entry that was finished when the handler came may be dispatched again: its sink calls listeners
        # once.
        assert list(dict.fromkeys(worker.sink.calls)) == ALL
        assert [worker.sink.calls.count(name) for name in ("a", "b")] == [1, 1]


# A fork.


def test_in_a_forked_child_nothing_is_dispatched_and_nobody_waits() -> None:
    worker = Worker()
    waiting = Task(lambda: worker.dispatcher.wait_over(None))
    wait_until(partial(bool, worker.dispatcher.waiters))
    worker.queue.put_messages(["a"], 1)
    worker.queue.after_fork(CLOSED)
    assert waiting.result()
    assert worker.dispatcher.over
    assert worker.sink.calls == ["fork"]
    assert type(Task(worker.dispatcher.run).wait()).__name__ == "ForkedError"  # as a greenlet does


# The first events.


KINDS = ("open", "message", "error", "close")


@pytest.fixture(autouse=True)
def _long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", SECONDS)


def passing(first: FirstEvents, *listened: str) -> list[str]:
    """The kinds of events that pass now, where these are listened to."""
    return [kind for kind in KINDS if first._passes(kind, listened.__contains__)]


def test_nothing_passes_before_the_constructor_returns() -> None:
    first = FirstEvents()
    assert passing(first, *KINDS) == []
    first.pass_all()
    assert passing(first, *KINDS) == []
    first.constructor_returned(False)
    assert passing(first) == list(KINDS)


def test_where_the_constructor_was_given_listeners_all_passes() -> None:
    first = FirstEvents()
    first.constructor_returned(True)
    assert passing(first) == list(KINDS)
    assert first.passed


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_passes_when_there_is_a_listener_of_its_own_kind(kind: str) -> None:
    first = FirstEvents()
    first.constructor_returned(False)
    assert passing(first) == []
    assert passing(first, kind) == [kind]
    assert not first.passed


def test_all_passes_when_the_time_after_the_constructor_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", 0.05)
    first = FirstEvents()
    began = time.monotonic()
    first.constructor_returned(False)
    assert passing(first) == []
    first.wait("message", lambda kind: False)
    assert 0.05 <= time.monotonic() - began < SECONDS
    assert passing(first) == list(KINDS)


def test_the_time_begins_when_the_constructor_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", 0)
    first = FirstEvents()
    waiting = Task(lambda: first.wait("open", lambda kind: False))
    waiting.wait_blocked()
    first.constructor_returned(False)
    waiting.result()


@pytest.mark.parametrize("act", ["listener", "join"])
def test_a_wait_ends_at_once_when_there_is_a_reason(act: str) -> None:
    first = FirstEvents()
    first.constructor_returned(False)
    listened: list[str] = []
    waiting = Task(lambda: first.wait("message", listened.__contains__))
    waiting.wait_blocked()
    first.listener_added()
    waiting.wait_blocked()
    if act == "listener":
        listened.append("message")
        first.listener_added()
    else:
        first.pass_all()
    waiting.result()


def test_a_wait_for_the_opening_lets_all_but_messages_through() -> None:
    first = FirstEvents()
    first.constructor_returned(False)
    waiting = Task(lambda: first.wait("open", lambda kind: False))
    waiting.wait_blocked()
    first.begin_wait_open()
    waiting.result()
    assert passing(first) == ["open", "error", "close"]
    assert passing(first, "message") == ["open", "message", "error", "close"]


def test_after_a_wait_for_the_opening_messages_have_the_usual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", 0.02)
    first = FirstEvents()
    first.constructor_returned(False)
    first.begin_wait_open()
    waiting = Task(lambda: first.wait("message", lambda kind: False))
    waiting.wait_blocked()  # longer than the usual time
    ended_at = time.monotonic()
    first.end_wait_open()
    waiting.result()
    assert time.monotonic() - ended_at >= 0.02
    assert first.passed


def test_a_wait_for_the_opening_that_begins_late_holds_messages_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", 0)
    first = FirstEvents()
    first.constructor_returned(False)
    assert first.passed
    monkeypatch.setattr(dispatcher_module, "FIRST_EVENT_SECONDS", SECONDS)
    first.begin_wait_open()
    assert passing(first) == ["open", "error", "close"]
    first.end_wait_open()
    assert passing(first) == ["open", "error", "close"]


def test_each_change_at_each_step_of_a_wait_is_met() -> None:
    def listen(first: FirstEvents, listened: list[str]) -> None:
        listened.append("message")
        first.listener_added()

    def join(first: FirstEvents, listened: list[str]) -> None:
        first.pass_all()

    def wait_open(first: FirstEvents, listened: list[str]) -> None:
        first.begin_wait_open()
        first.end_wait_open()
        listen(first, listened)

    for change in (listen, join, wait_open):
        for step in instructions(20):
            first = FirstEvents()
            first.constructor_returned(False)
            listened: list[str] = []
            call = partial(change, first, listened)
            with step.meanwhile(call, dispatcher_module, waits=partial(bool, first._waiters)):
                first.wait("message", listened.__contains__)


def test_an_event_holds_back_those_behind_it_until_its_listener_comes() -> None:
    worker = Worker(has_listeners=False)
    worker.sink.listens = {"message"}
    worker.put_all()
    running = Task(worker.dispatcher.run)
    running.wait_blocked()
    assert worker.sink.calls == []
    worker.sink.listens = {"open"}
    worker.dispatcher.first_events.listener_added()
    worker.sink.wait_for("open")
    running.wait_blocked()
    assert worker.sink.calls == ["open"]
    worker.sink.listens = {"open", "message"}
    worker.dispatcher.first_events.listener_added()
    worker.sink.wait_for("failed")  # there is no error event to wait for
    running.wait_blocked()
    assert worker.sink.calls == ["open", "a", "b", "close received", "failed"]
    worker.dispatcher.first_events.pass_all()
    running.result()
    assert worker.sink.calls == ALL


def test_an_error_event_waits_for_its_listener() -> None:
    worker = Worker(has_listeners=False)
    worker.sink.listens = {"open", "message", "close"}
    worker.put_all(LOST)
    running = Task(worker.dispatcher.run)
    worker.sink.wait_for("close received")
    running.wait_blocked()
    assert worker.sink.calls == ["open", "a", "b", "close received"]
    worker.dispatcher.first_events.pass_all()
    running.result()
    assert worker.sink.calls == ALL


def test_the_first_event_leaves_time_to_assign_the_new_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "ASSIGNMENT_SECONDS", 0.05)
    for has_listeners in (True, False):
        worker = Worker(has_listeners=None)
        times: list[float] = []
        worker.sink.acts["open"] = partial(lambda times: times.append(time.monotonic()), times)
        worker.put_all()
        running = Task(worker.dispatcher.run)
        running.wait_blocked()
        began = time.monotonic()
        worker.dispatcher.constructor_returned(has_listeners)
        running.result()
        assert not has_listeners or times[0] - began >= 0.05
