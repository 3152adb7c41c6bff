"""`addEventListener`, `removeEventListener`, `dispatchEvent` and the handler attributes, as in DOM."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncws import Event, EventTarget, InvalidStateErr, MessageEvent, WebSocket
from tests.support.servers import unanswering
from tests.support.waiting import SECONDS


@pytest.fixture
def ws() -> Iterator[WebSocket]:
    with unanswering() as url:
        ws = WebSocket(url)
        yield ws
        ws.close()
        ws.join(SECONDS)


def caller(calls: list[Any], name: Any) -> Callable[[Event], None]:
    return lambda event: calls.append(name)


def test_listeners_are_called_in_the_order_in_which_they_were_added(ws: WebSocket) -> None:
    calls: list[int] = []
    for number in range(5):
        ws.addEventListener("x", caller(calls, number))
    assert ws.dispatchEvent(Event("x")) is True
    assert calls == [0, 1, 2, 3, 4]


def test_listener_is_not_added_twice(ws: WebSocket) -> None:
    calls: list[str] = []
    first, second = caller(calls, "first"), caller(calls, "second")
    for listener in (first, second, first):
        ws.addEventListener("x", listener)
    ws.addEventListener("x", first, once=True)
    ws.dispatchEvent(Event("x"))
    ws.dispatchEvent(Event("x"))
    assert calls == ["first", "second"] * 2


def test_bound_method_is_one_listener_however_often_it_is_looked_up(ws: WebSocket) -> None:
    calls: list[Event] = []

    class Owner:
        def method(self, event: Event) -> None:
            calls.append(event)

    owner = Owner()
    ws.addEventListener("x", owner.method)
    ws.addEventListener("x", owner.method)
    ws.dispatchEvent(Event("x"))
    assert len(calls) == 1
    ws.removeEventListener("x", owner.method)
    ws.dispatchEvent(Event("x"))
    assert len(calls) == 1


def test_one_callback_may_listen_for_several_types(ws: WebSocket) -> None:
    seen: list[str] = []
    for kind in ("x", "y"):
        ws.addEventListener(kind, lambda event: seen.append(event.type))
    for kind in ("y", "z", "x"):
        ws.dispatchEvent(Event(kind))
    assert seen == ["y", "x"]


def test_once_is_called_once_even_if_it_dispatches_again_itself(ws: WebSocket) -> None:
    calls: list[int] = []

    def listener(event: Event) -> None:
        calls.append(1)
        ws.dispatchEvent(Event("x"))

    ws.addEventListener("x", listener, once=True)
    ws.dispatchEvent(Event("x"))
    ws.dispatchEvent(Event("x"))
    assert calls == [1]


def test_listener_added_during_a_dispatch_waits_for_the_next_event(ws: WebSocket) -> None:
    calls: list[str] = []
    late = caller(calls, "late")

    def adder(event: Event) -> None:
        calls.append("adder")
        ws.addEventListener("x", late)

    ws.addEventListener("x", adder)
    ws.dispatchEvent(Event("x"))
    assert calls == ["adder"]
    ws.dispatchEvent(Event("x"))
    assert calls == ["adder", "adder", "late"]


def test_listener_removed_during_a_dispatch_is_not_called(ws: WebSocket) -> None:
    calls: list[str] = []
    second = caller(calls, "second")

    def remover(event: Event) -> None:
        calls.append("remover")
        ws.removeEventListener("x", second)
        ws.removeEventListener("x", remover)

    ws.addEventListener("x", remover)
    ws.addEventListener("x", second)
    ws.addEventListener("x", caller(calls, "third"))
    ws.dispatchEvent(Event("x"))
    assert calls == ["remover", "third"]
    ws.dispatchEvent(Event("x"))
    assert calls == ["remover", "third", "third"]


def test_listener_removed_and_added_again_during_a_dispatch_waits_for_the_next_event(ws: WebSocket) -> None:
    calls: list[str] = []
    second = caller(calls, "second")

    def shuffle(event: Event) -> None:
        ws.removeEventListener("x", second)
        ws.addEventListener("x", second)

    ws.addEventListener("x", shuffle)
    ws.addEventListener("x", second)
    ws.dispatchEvent(Event("x"))
    assert calls == []


def test_removing_what_is_not_there_does_nothing(ws: WebSocket) -> None:
    ws.removeEventListener("x", print)
    ws.removeEventListener("x", None)
    ws.addEventListener("x", print)
    ws.removeEventListener("y", print)
    ws.removeEventListener("x", print)
    ws.removeEventListener("x", print)


def test_object_with_handle_event_is_a_listener_and_its_method_is_looked_up_at_each_call(
    ws: WebSocket,
) -> None:
    class Listener:
        def handleEvent(self, event: Event) -> None:
            calls.append("first")

    calls: list[str] = []
    listener = Listener()
    ws.addEventListener("x", listener)
    ws.addEventListener("x", listener)
    ws.dispatchEvent(Event("x"))
    listener.__dict__["handleEvent"] = caller(calls, "replaced")
    ws.dispatchEvent(Event("x"))
    ws.removeEventListener("x", listener)
    ws.dispatchEvent(Event("x"))
    assert calls == ["first", "replaced"]


@pytest.mark.parametrize("callback", [5, "f", object(), []])
def test_listener_that_cannot_be_called_is_a_type_error_that_names_it(ws: WebSocket, callback: Any) -> None:
    with pytest.raises(TypeError, match="callback"):
        ws.addEventListener("x", callback)


def test_dispatch_event_runs_the_listeners_in_the_calling_thread_before_it_returns(ws: WebSocket) -> None:
    threads: list[threading.Thread] = []
    ws.addEventListener("x", lambda event: threads.append(threading.current_thread()))
    assert ws.dispatchEvent(Event("x")) is True
    assert threads == [threading.current_thread()]


def test_dispatch_event_sets_target_and_while_listeners_run_current_target(ws: WebSocket) -> None:
    seen: list[tuple[Any, Any]] = []
    event: Event[Any] = Event("x")
    assert (event.target, event.currentTarget) == (None, None)
    ws.addEventListener("x", lambda event: seen.append((event.target, event.currentTarget)))
    ws.dispatchEvent(event)
    assert seen == [(ws, ws)]
    assert (event.target, event.currentTarget) == (ws, None)


def test_dispatch_event_without_a_listener_is_lawful(ws: WebSocket) -> None:
    event = Event("nobody listens")
    assert ws.dispatchEvent(event) is True
    assert event.target is ws


def test_dispatch_event_takes_one_event_again_but_not_while_it_is_being_dispatched(ws: WebSocket) -> None:
    errors: list[InvalidStateErr] = []

    def again(event: Event) -> None:
        with pytest.raises(InvalidStateErr) as caught:
            ws.dispatchEvent(event)
        errors.append(caught.value)

    event = Event("x")
    ws.addEventListener("x", again)
    ws.dispatchEvent(event)
    ws.dispatchEvent(event)
    assert [error.code for error in errors] == [11, 11]


@pytest.mark.parametrize("event", [None, "x", 5, object()])
def test_dispatch_event_of_no_event_is_a_type_error_that_names_it(ws: WebSocket, event: Any) -> None:
    with pytest.raises(TypeError, match="event"):
        ws.dispatchEvent(event)


def test_dispatched_events_reach_handlers_and_change_no_state(ws: WebSocket) -> None:
    seen: list[Any] = []
    ws.onmessage = lambda event: seen.append(event.data)
    ws.onclose = lambda event: seen.append("close")
    ws.dispatchEvent(MessageEvent("message", "made here"))
    ws.dispatchEvent(Event("close"))
    assert seen == ["made here", "close"]
    assert ws.readyState == ws.CONNECTING


def test_dispatched_listener_that_raises_is_logged_and_the_next_one_runs(
    ws: WebSocket, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise ValueError("in the listener")

    calls: list[str] = []
    ws.addEventListener("x", broken)
    ws.addEventListener("x", caller(calls, "next"))
    assert ws.dispatchEvent(Event("x")) is True
    assert calls == ["next"]
    assert "in the listener" in caplog.text


@pytest.mark.parametrize("kind", ["open", "message", "error", "close"])
def test_handler_takes_its_place_when_first_set_and_keeps_it_when_replaced(ws: WebSocket, kind: str) -> None:
    calls: list[str] = []
    ws.addEventListener(kind, caller(calls, "before"))
    setattr(ws, f"on{kind}", caller(calls, "handler"))
    ws.addEventListener(kind, caller(calls, "after"))
    ws.dispatchEvent(Event(kind))
    replaced = caller(calls, "replaced")
    setattr(ws, f"on{kind}", replaced)
    assert getattr(ws, f"on{kind}") is replaced
    ws.dispatchEvent(Event(kind))
    assert calls == ["before", "handler", "after", "before", "replaced", "after"]


def test_handler_set_to_none_is_cleared_and_set_again_comes_last(ws: WebSocket) -> None:
    calls: list[str] = []
    handler = caller(calls, "handler")
    ws.onmessage = handler
    ws.addEventListener("message", caller(calls, "listener"))
    ws.onmessage = None
    assert ws.onmessage is None
    ws.onmessage = None
    ws.dispatchEvent(Event("message"))
    ws.onmessage = handler
    ws.dispatchEvent(Event("message"))
    assert calls == ["listener", "listener", "handler"]


def test_handler_cleared_during_a_dispatch_is_not_called_and_replaced_is_called_as_replaced(
    ws: WebSocket,
) -> None:
    calls: list[str] = []
    ws.addEventListener("open", lambda event: setattr(ws, "onopen", None))
    ws.onopen = caller(calls, "cleared")
    ws.dispatchEvent(Event("open"))
    assert calls == []
    ws.addEventListener("close", lambda event: setattr(ws, "onclose", caller(calls, "replaced")))
    ws.onclose = caller(calls, "handler")
    ws.dispatchEvent(Event("close"))
    assert calls == ["replaced"]


def test_handler_and_listener_of_the_same_callable_are_two(ws: WebSocket) -> None:
    calls: list[str] = []
    both = caller(calls, "both")
    ws.onmessage = both
    ws.addEventListener("message", both)
    ws.dispatchEvent(Event("message"))
    assert calls == ["both", "both"]
    ws.removeEventListener("message", both)
    assert ws.onmessage is both
    ws.dispatchEvent(Event("message"))
    assert calls == ["both", "both", "both"]


@pytest.mark.parametrize("value", [5, "f", object()])
def test_handler_that_cannot_be_called_is_a_type_error_that_names_it(ws: WebSocket, value: Any) -> None:
    for kind in ("onopen", "onmessage", "onerror", "onclose"):
        with pytest.raises(TypeError, match=kind):
            setattr(ws, kind, value)
        assert getattr(ws, kind) is None


def test_event_target_may_stand_alone() -> None:
    target, calls = EventTarget(), []
    target.addEventListener("x", lambda event: calls.append(event.target))
    target.dispatchEvent(Event("x"))
    assert calls == [target]


def test_listeners_may_be_added_and_removed_from_many_threads_while_events_are_dispatched(
    ws: WebSocket,
) -> None:
    def churn(number: int) -> None:
        for _ in range(100):
            listener = caller([], number)
            removed.add(listener)
            ws.addEventListener("x", listener)
            ws.removeEventListener("x", listener)

    calls: list[str] = []
    removed: weakref.WeakSet[Callable[[Event], object]] = weakref.WeakSet()
    ws.addEventListener("x", caller(calls, "stays"))
    threads = [threading.Thread(target=churn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        ws.dispatchEvent(Event("x"))
    for thread in threads:
        thread.join(SECONDS)
    calls.clear()
    ws.dispatchEvent(Event("x"))
    assert calls == ["stays"]
    gc.collect()
    assert not list(removed)  # nothing holds a listener that was removed
