"""`EventTarget` as the DOM standard has it: its listeners, their order, and what removes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from syncws import Event, EventTarget, InvalidStateErr
from tests.support.waiting import SECONDS

Call = Callable[[Event], None]


class Target(EventTarget):
    """A target with one event handler attribute, and a count of what was added."""

    added = 0

    @property
    def onping(self) -> Callable[[Any], object] | None:
        return self._get_handler("ping")

    @onping.setter
    def onping(self, callback: Callable[[Any], object] | None) -> None:
        self._set_handler("ping", callback)

    def _listener_added(self) -> None:
        self.added += 1


class Log:
    """Listeners that write down their names."""

    def __init__(self) -> None:
        self.target = Target()
        self.calls: list[str] = []

    def listener(self, name: str, then: Callable[[], object] = lambda: None) -> Call:
        def call(event: Event) -> None:
            self.calls.append(name)
            then()

        return call

    def add(self, name: str, then: Callable[[], object] = lambda: None, *, once: bool = False) -> Call:
        call = self.listener(name, then)
        self.target.addEventListener("ping", call, once=once)
        return call

    def fire(self) -> str:
        """The names of the listeners that one event calls."""
        self.calls.clear()
        assert self.target.dispatchEvent(Event("ping")) is True
        return "".join(self.calls)


@pytest.fixture
def log() -> Log:
    return Log()


def test_listeners_are_called_in_the_order_they_were_added(log: Log) -> None:
    for name in "cab":
        log.add(name)
    assert log.fire() == log.fire() == "cab"


def test_event_without_listeners_goes_nowhere(log: Log) -> None:
    assert log.fire() == ""
    log.target.addEventListener("pong", log.listener("a"))
    assert log.fire() == ""


def test_listener_is_added_once_and_keeps_its_first_place(log: Log) -> None:
    a = log.add("a")
    log.add("b")
    log.target.addEventListener("ping", a)
    log.target.addEventListener("ping", a, once=True)  # `once` is not part of what makes it the same
    assert log.fire() == log.fire() == "ab"
    log.target.addEventListener("pong", a)  # for another type it is another one
    log.target.removeEventListener("pong", a)
    assert log.fire() == "ab"


def test_bound_method_is_the_same_listener_at_each_look_up() -> None:
    class Counter:
        count = 0

        def ping(self, event: Event) -> None:
            self.count += 1

    target, counter = EventTarget(), Counter()
    target.addEventListener("ping", counter.ping)
    target.addEventListener("ping", counter.ping)
    target.dispatchEvent(Event("ping"))
    assert counter.count == 1
    target.removeEventListener("ping", counter.ping)
    target.dispatchEvent(Event("ping"))
    assert counter.count == 1


def test_removed_listener_is_not_called_and_may_come_back_at_the_end(log: Log) -> None:
    a = log.add("a")
    log.add("b")
    log.target.removeEventListener("ping", a)
    log.target.removeEventListener("ping", a)
    log.target.removeEventListener("ping", log.listener("never added"))
    log.target.removeEventListener("other", a)
    log.target.removeEventListener("ping", None)
    assert log.fire() == "b"
    log.target.addEventListener("ping", a)
    assert log.fire() == "ba"


def test_once_listener_is_called_once(log: Log) -> None:
    log.add("a", once=True)
    log.add("b")
    assert log.fire() == "ab"
    assert log.fire() == "b"


def test_once_listener_is_gone_before_its_call(log: Log) -> None:
    # A dispatch from inside the listener does not reach it again, and it may add itself anew.
    def again() -> None:
        if len(log.calls) < 3:
            log.target.dispatchEvent(Event("ping"))
            log.target.addEventListener("ping", a, once=True)

    a = log.add("a", again, once=True)
    log.add("b")
    assert log.fire() == "abb"
    assert log.fire() == "bab"


def test_listener_added_during_a_dispatch_waits_for_the_next_event(log: Log) -> None:
    log.add("a", lambda: log.target.addEventListener("ping", late))
    late = log.listener("c")
    log.add("b")
    assert log.fire() == "ab"
    assert log.fire() == "abc"


def test_listener_removed_during_a_dispatch_is_not_called(log: Log) -> None:
    log.add("a", lambda: log.target.removeEventListener("ping", b))
    b = log.add("b")
    log.add("c")
    assert log.fire() == "ac"


def test_listener_that_removes_itself_skips_no_other(log: Log) -> None:
    a = log.add("a", lambda: log.target.removeEventListener("ping", a))
    log.add("b")
    assert log.fire() == "ab"
    assert log.fire() == "b"


def test_listener_removed_and_added_during_a_dispatch_waits_for_the_next_event(log: Log) -> None:
    def move() -> None:
        log.target.removeEventListener("ping", b)
        log.target.addEventListener("ping", b)

    log.add("a", move)
    b = log.add("b")
    log.add("c")
    assert log.fire() == "ac"
    assert log.fire() == "ac"  # moved once more
    assert log.calls == ["a", "c"]


def test_object_with_handle_event_is_a_listener_looked_up_at_each_call(log: Log) -> None:
    class Listener:
        def __init__(self) -> None:
            self.handleEvent: Call = log.listener("first")

    listener = Listener()
    log.target.addEventListener("ping", listener)
    log.target.addEventListener("ping", listener)
    assert log.fire() == "first"
    listener.handleEvent = log.listener("replaced")
    assert log.fire() == "replaced"
    log.target.removeEventListener("ping", listener)
    assert log.fire() == ""


def test_object_that_is_callable_is_called_even_if_it_has_handle_event(log: Log) -> None:
    class Both:
        def __call__(self, event: Event) -> None:
            log.calls.append("called")

        def handleEvent(self, event: Event) -> None:
            raise AssertionError("not this")

    log.target.addEventListener("ping", Both())
    assert log.fire() == "called"


def test_none_is_no_listener_and_what_cannot_be_called_is_refused(log: Log) -> None:
    log.target.addEventListener("ping", None)
    assert log.target.added == 0
    for wrong in (5, "print", object()):
        with pytest.raises(TypeError, match="callback must be callable or have handleEvent"):
            log.target.addEventListener("ping", wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="onping must be None or callable"):
            log.target.onping = wrong  # type: ignore[assignment]
    assert log.fire() == ""


def test_handler_attribute_is_none_until_set_and_after_it_is_cleared(log: Log) -> None:
    assert log.target.onping is None
    log.target.onping = None
    handler = log.listener("h")
    log.target.onping = handler
    assert log.target.onping is handler
    assert log.fire() == "h"
    log.target.onping = None
    assert log.target.onping is None
    assert log.fire() == ""


def test_handler_takes_its_place_when_first_set_and_keeps_it_when_replaced(log: Log) -> None:
    log.add("a")
    log.target.onping = log.listener("h")
    log.add("b")
    assert log.fire() == "ahb"
    log.target.onping = log.listener("i")
    assert log.fire() == "aib"
    log.target.onping = None
    log.target.onping = log.listener("j")
    assert log.fire() == "abj"


def test_handler_and_listener_may_be_the_same_function_and_are_two(log: Log) -> None:
    for handler_first in (True, False):
        both = log.listener("x")
        if handler_first:
            log.target.onping = both
            log.target.addEventListener("ping", both)
        else:
            log.target.addEventListener("ping", both)
            log.target.onping = both
        assert log.fire() == "xx"
        log.target.removeEventListener("ping", both)
        assert log.fire() == "x"
        assert log.target.onping is both
        log.target.removeEventListener("ping", both)  # it does not take the handler off
        assert log.fire() == "x"
        log.target.onping = None
        assert log.fire() == ""


def test_handler_replaced_during_a_dispatch_is_the_new_one_and_cleared_is_not_called(log: Log) -> None:
    actions: list[Callable[[], None]] = []
    log.add("a", lambda: actions.pop()() if actions else None)
    log.target.onping = log.listener("h")
    new = log.listener("i")

    def replace() -> None:
        log.target.onping = new

    def clear() -> None:
        log.target.onping = None

    def renew() -> None:
        clear()
        replace()

    actions[:] = [replace]
    assert log.fire() == "ai"
    actions[:] = [renew]
    assert log.fire() == "a"  # at the end of the list now, which waits for the next event
    assert log.fire() == "ai"
    actions[:] = [clear]
    assert log.fire() == "a"


def test_subclass_is_told_of_each_listener_and_handler(log: Log) -> None:
    log.add("a")
    assert log.target.added == 1
    log.target.onping = print
    assert log.target.added == 2
    log.target.onping = None
    assert log.target.added == 2


@pytest.mark.parametrize("kind", [ValueError, GeneratorExit])
@pytest.mark.parametrize("as_handler", [True, False])
def test_exception_is_logged_with_its_traceback_and_the_next_listener_runs(
    log: Log, caplog: pytest.LogCaptureFixture, kind: type[BaseException], as_handler: bool
) -> None:
    def broken(event: Event) -> None:
        raise kind("what went wrong")

    log.add("a")
    if as_handler:
        log.target.onping = broken
    else:
        log.target.addEventListener("ping", broken)
    log.add("b")
    with caplog.at_level(logging.ERROR, "syncws"):
        assert log.fire() == "ab"
    (record,) = caplog.records
    assert record.name == "syncws"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is kind
    assert "'ping'" in record.getMessage()
    assert "broken" in record.getMessage()
    assert "what went wrong" in caplog.text
    assert 'raise kind("what went wrong")' in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_on_another_thread_than_the_main_one_each_exception_is_logged(
    log: Log, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def broken(event: Event) -> None:
        raise kind

    log.target.addEventListener("ping", broken)
    log.add("b")
    thread = threading.Thread(target=log.fire)
    thread.start()
    thread.join()
    assert log.calls == ["b"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_and_exit_in_a_listener_go_on_after_the_other_listeners_have_run(
    log: Log, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def interrupt(event: Event) -> None:
        raise kind

    log.add("a")
    log.target.addEventListener("ping", interrupt)
    log.add("b")
    with pytest.raises(kind):
        log.target.dispatchEvent(Event("ping"))
    assert log.calls == ["a", "b"]
    assert not caplog.records
    log.target.removeEventListener("ping", interrupt)
    assert log.fire() == "ab"  # it is told once


def test_dispatch_runs_the_listeners_in_the_calling_thread_before_it_returns(log: Log) -> None:
    seen: list[tuple[int, Any, Any, Any]] = []

    def see(event: Event) -> None:
        seen.append((threading.get_ident(), event, event.target, event.currentTarget))

    log.target.addEventListener("ping", see)
    event: Event[Any] = Event("ping")
    assert (event.target, event.currentTarget) == (None, None)
    assert log.target.dispatchEvent(event)
    assert seen == [(threading.get_ident(), event, log.target, log.target)]
    assert event.target is log.target
    assert event.currentTarget is None


def test_event_may_be_dispatched_again_but_not_while_it_is_being_dispatched(log: Log) -> None:
    event: Event[Any] = Event("ping")
    caught: list[EventTarget] = []
    other = EventTarget()

    def again(event: Event) -> None:
        for target in (log.target, other):
            with pytest.raises(InvalidStateErr, match="being dispatched"):
                target.dispatchEvent(event)
            caught.append(target)

    log.target.addEventListener("ping", again)
    log.target.dispatchEvent(event)
    assert caught == [log.target, other]
    assert event.target is log.target  # the refused ones changed nothing
    other.dispatchEvent(event)
    assert event.target is other
    log.target.dispatchEvent(event)
    assert len(caught) == 4


def test_dispatch_of_what_is_no_event_is_refused(log: Log) -> None:
    log.add("a")
    for wrong in (None, "ping", object(), Event):
        with pytest.raises(TypeError, match="event must be an Event"):
            log.target.dispatchEvent(wrong)  # type: ignore[arg-type]
    assert log.calls == []


def test_listeners_may_come_and_go_from_many_threads(log: Log) -> None:
    stop = threading.Event()
    counts = [0] * 4

    def churn(number: int) -> None:
        def count(event: Event) -> None:
            counts[number] += 1

        for _ in range(300):
            log.target.addEventListener("ping", count)
            log.target.addEventListener("ping", log.listener("x"), once=True)
            log.target.removeEventListener("ping", count)
        log.target.addEventListener("ping", count)

    def fire() -> None:
        while not stop.is_set():
            log.target.dispatchEvent(Event("ping"))

    firing = threading.Thread(target=fire)
    firing.start()
    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
    finally:
        stop.set()
        firing.join(SECONDS)
    log.target.dispatchEvent(Event("ping"))
    assert log.calls.count("x") == 4 * 300  # each called once, none lost
    before = list(counts)
    log.target.dispatchEvent(Event("ping"))
    assert counts == [count + 1 for count in before]
