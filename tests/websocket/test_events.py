"""The events of a connection: what they carry, their order, and callbacks that raise."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from syncws import CloseEvent, ErrorEvent, Event, MessageEvent, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, echo, frame_bytes
from tests.support.clients import TYPES, Recorder, connected, run, socket_of
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_for


def two_messages(peer: Peer) -> None:
    peer.accept(glued=frame_bytes(Opcode.TEXT, b"text") + frame_bytes(Opcode.BINARY, b"binary"))
    peer.send_close(3001, "bye")
    finish(peer)


def lost(peer: Peer) -> None:
    peer.accept(glued=frame_bytes(Opcode.TEXT, b"text"))


def test_order_is_open_messages_close() -> None:
    recorder = run(two_messages)
    assert recorder.types == ["open", "message", "message", "close"]
    assert recorder.data == ["text", b"binary"]
    assert recorder.ending == (3001, "bye", True)


def test_order_is_open_messages_error_close_when_the_connection_fails() -> None:
    recorder = run(lost)
    assert recorder.types == ["open", "message", "error", "close"]
    assert recorder.failed


def test_order_is_error_close_when_the_connection_could_not_be_made() -> None:
    recorder = run(Peer.refuse)
    assert recorder.types == ["error", "close"]
    assert recorder.failed


def test_events_are_of_their_classes() -> None:
    kinds = {"open": Event, "message": MessageEvent, "error": ErrorEvent, "close": CloseEvent}
    for recorder in (run(two_messages), run(lost)):
        assert all(type(event) is kinds[event.type] for event in recorder.events)


def test_every_event_has_type_target_current_target_and_time_stamp() -> None:
    def note(event: Event) -> None:
        seen.append((event.type, event.target, event.currentTarget, event.timeStamp))
        kept.append(event)

    seen: list[tuple[str, Any, Any, float]] = []
    kept: list[Event] = []
    with LoopbackServer(lost) as server:
        ws = WebSocket(server.url, onopen=note, onmessage=note, onerror=note, onclose=note)
        ws.join(SECONDS)
    assert [row[:3] for row in seen] == [(type, ws, ws) for type in TYPES]
    stamps = [row[3] for row in seen]
    assert stamps == sorted(stamps) and stamps[0] > 0
    assert all(event.target is ws and event.currentTarget is None for event in kept)


@pytest.mark.parametrize("path", ["", "/a/b?c", "/?"])
def test_message_origin_is_scheme_host_and_port_of_the_url(path: str) -> None:
    recorder = Recorder()
    with LoopbackServer(two_messages) as server:
        port = server.port
        ws = WebSocket(f"http://user:secret@127.0.0.1:{port}{path}", **recorder.handlers)
        ws.join(SECONDS)
    origins = [event.origin for event in recorder.events if isinstance(event, MessageEvent)]
    assert origins == [f"ws://127.0.0.1:{port}"] * 2


def test_error_carries_the_exception_and_its_text() -> None:
    error = run(lost).error
    assert isinstance(error.error, Exception)
    assert error.message == str(error.error)


def test_error_event_never_has_an_empty_message() -> None:
    assert ErrorEvent("error", ValueError()).message == "ValueError"
    assert ErrorEvent("error", ValueError("why")).message == "why"
    assert ErrorEvent("error", ValueError("why"), "said").message == "said"


@pytest.mark.parametrize(
    "event",
    [
        Event("custom"),
        MessageEvent("message", "x" * 1000, "ws://h"),
        MessageEvent("message", b"x" * 1000),
        MessageEvent("message"),
        MessageEvent("message", 5),
        MessageEvent("message", {"a": 1}),
        CloseEvent("close", 1000, "bye", True),
        ErrorEvent("error", ValueError("why")),
    ],
)
def test_repr_of_an_event_is_short_and_names_class_and_type(event: Event) -> None:
    shown = repr(event)
    assert shown.startswith(f"{type(event).__name__}('{event.type}'")
    assert len(shown) < 200


def test_nothing_comes_after_close() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert peer.recv_frame().opcode == Opcode.CLOSE
        peer.send_bytes(frame_bytes(Opcode.CLOSE) + frame_bytes(Opcode.TEXT, b"late") + b"\xff" * 100)

    with connected(script) as (ws, recorder, _):
        ws.close()
        ws.join(SECONDS)
        ws.send("late")
        ws.close()
    assert recorder.types == ["open", "close"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, StopIteration])
def test_callback_that_raises_is_logged_with_its_traceback_and_the_next_one_runs(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise error(f"raised in {event.type}")

    recorder = Recorder()
    with caplog.at_level(logging.ERROR, "syncws"), LoopbackServer(lost) as server:
        ws = WebSocket(server.url, onopen=broken, onmessage=broken, onerror=broken, onclose=broken)
        for kind in TYPES:
            ws.addEventListener(kind, recorder.note)
        ws.join(SECONDS)
    assert recorder.types[-3:] == ["message", "error", "close"]
    assert recorder.failed
    records = [record for record in caplog.records if record.name == "syncws"]
    assert len(records) == 4
    for kind, record in zip(TYPES, records, strict=True):
        assert record.exc_info is not None and record.exc_info[0] is error
        assert f"raised in {kind}" in str(record.exc_info[1])
        assert record.exc_info[2] is not None


def test_callback_that_raises_does_not_end_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("in the callback")

    with connected(echo) as (ws, recorder, _):
        ws.onopen = broken
        ws.addEventListener("message", broken)
        ws.send("one")
        recorder.wait("message")
        assert ws.readyState == ws.OPEN
        ws.send("two")
        recorder.wait("message", 2)
    assert recorder.data == ["one", "two"]
    assert recorder.ending == (1000, "", True)
    assert len(caplog.records) == 2


def test_callbacks_run_one_after_the_other_on_one_thread_that_is_not_the_callers() -> None:
    def note(event: Event) -> None:
        threads.append(threading.current_thread())
        assert not running
        running.append(1)
        running.pop()

    threads: list[threading.Thread] = []
    running: list[int] = []
    with LoopbackServer(two_messages) as server:
        ws = WebSocket(server.url, onopen=note, onmessage=note, onerror=note, onclose=note)
        ws.join(SECONDS)
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert threads[0].name.startswith("syncws-") and threads[0].daemon


def test_callbacks_see_the_context_variables_of_the_constructors_caller() -> None:
    import contextvars

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    token = variable.set("at the constructor")
    with LoopbackServer(two_messages) as server:
        ws = WebSocket(server.url, onclose=lambda event: seen.append(variable.get()))
        variable.reset(token)
        ws.join(SECONDS)
    assert seen == ["at the constructor"]


def test_thousand_small_messages_arrive_in_order() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=b"".join(frame_bytes(Opcode.TEXT, str(n).encode()) for n in range(1000)))
        peer.send_close()
        finish(peer)

    recorder = run(script)
    assert recorder.data == [str(n) for n in range(1000)]
    assert recorder.ending == (1000, "", True)


def test_dispatch_is_given_every_batch_and_callbacks_run_only_where_it_runs_them() -> None:
    def dispatch(batch: Any) -> None:
        threads.append(threading.current_thread())
        batches.append(batch)
        handed.release()

    def note(event: Event) -> None:
        recorder.note(event)
        runners.append(threading.current_thread())

    threads: list[threading.Thread] = []
    runners: list[threading.Thread] = []
    batches: list[Any] = []
    handed = threading.Semaphore(0)
    recorder = Recorder()
    with LoopbackServer(two_messages) as server:
        ws = WebSocket(server.url, onopen=note, onmessage=note, onerror=note, onclose=note, dispatch=dispatch)
        while "close" not in recorder.types:
            assert handed.acquire(timeout=SECONDS)
            batches.pop(0)()
        ws.join(SECONDS)
    assert recorder.types == ["open", "message", "message", "close"]
    assert set(runners) == {threading.current_thread()}
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize("first", ["runs the batch", "does not"])
def test_dispatch_that_raises_is_logged_and_each_event_still_comes_once(
    first: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def dispatch(batch: Any) -> None:
        if first == "runs the batch":
            batch()
        raise error("in dispatch")

    recorder = run(two_messages, dispatch=dispatch)
    assert recorder.types == ["open", "message", "message", "close"]
    assert caplog.records
    assert "dispatch raised" in caplog.text


def test_dispatch_that_runs_a_batch_twice_dispatches_it_once() -> None:
    def dispatch(batch: Any) -> None:
        batch()
        batch()

    recorder = run(two_messages, dispatch=dispatch)
    assert recorder.types == ["open", "message", "message", "close"]


def test_handler_that_closes_and_reopens_another_connection_disturbs_neither() -> None:
    def again(event: Event) -> None:
        others.append(WebSocket(socket_of(event).url, **second.handlers))
        done.set()

    others: list[WebSocket] = []
    done = threading.Event()
    second = Recorder()
    with LoopbackServer(two_messages) as server:
        ws = WebSocket(server.url, onclose=again)
        ws.join(SECONDS)
        wait_for(done)
        others[0].join(SECONDS)
    assert second.types == ["open", "message", "message", "close"]
