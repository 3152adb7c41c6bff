"""`syncws._engine.engine`: what both APIs ask of a connection, from its threads' beginnings to their end."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from syncws import ConnectionClosed, WebSocketError
from syncws._engine import engine as engine_module
from syncws._engine import primitives
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.consumer.stream_calls import InboxEnded
from syncws._engine.engine import Engine
from syncws._engine.options.options import check_arguments
from syncws._engine.reading import reader_notes
from syncws._engine.writing import send_queue
from syncws._exceptions import ThreadStartError
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._transport import poller
from syncws.testing import LoopbackServer, Peer
from tests.support.interleaving import needs_points, steps
from tests.support.interrupts import Interrupted
from tests.support.leftovers import connection_threads
from tests.support.servers import drain, hold, unanswering
from tests.support.stress import amount
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until

CLOSE = CloseFrame(1000)


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    """Echoes, and answers a Close."""
    with LoopbackServer() as made:
        yield made


@pytest.fixture(scope="module")
def silent_server() -> Iterator[LoopbackServer]:
    """Accepts, and never says a word."""

    def script(peer: Peer) -> None:
        peer.accept()
        drain(peer)

    with LoopbackServer(script) as made:
        yield made


@pytest.fixture
def deaf_server() -> Iterator[LoopbackServer]:
    """Accepts, and reads nothing."""

    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    with LoopbackServer(script) as made:
        yield made


def make(url: str, **options: Any) -> tuple[Engine, Inbox]:
    parsed, protocols, made = check_arguments(
        url, (), {"ping_interval": None, "compression": None, **options}
    )
    inbox = Inbox((None, None))
    return Engine(parsed, protocols, made, inbox), inbox


def opened(url: str, **options: Any) -> tuple[Engine, Inbox]:
    engine, inbox = make(url, **options)
    engine.start()
    inbox.waiters.wait_until(lambda: inbox.opened is not None or inbox.closed is not None, SECONDS)
    assert inbox.opened is not None, engine.outcome
    return engine, inbox


def ended(engine: Engine) -> ConnectionClosed:
    """How it ended, which must be soon."""
    assert engine.wait_closed(SECONDS)
    engine.wait_over(SECONDS)
    return engine.closed_error()


def end(engine: Engine) -> None:
    engine.abort(WebSocketError("the test is over"))
    ended(engine)


# A life.


def test_it_opens_carries_messages_and_closes(server: LoopbackServer) -> None:
    engine, inbox = opened(server.url)
    assert (engine.is_open, engine.is_closing, engine.closed, engine.outcome) == (True, False, None, None)
    engine.queue.send(Opcode.TEXT, b"hello")
    assert inbox.receive(SECONDS) == "hello"
    engine.close(CloseFrame(4001, "done"))
    assert engine.is_closing
    error = ended(engine)
    assert (error.code, error.reason, error.wasClean, error.unsent) == (4001, "done", True, 0)
    assert (engine.is_open, engine.is_closing, engine.is_output_over) == (False, True, True)
    assert engine.closed is not None
    assert 0 < engine.open_seconds == engine.closed.open_seconds


def test_threads_and_records_have_its_name(server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    another, _ = make(server.url)
    assert engine.name != another.name
    assert f"{engine.name}-reader" in connection_threads()
    assert engine.log_fields["connection"] == engine.name
    assert engine.log_fields["url"] == server.url
    end(engine)
    wait_until(lambda: f"{engine.name}-reader" not in connection_threads())


def test_consumers_threads_are_part_of_it(server: LoopbackServer) -> None:
    engine, _ = make(server.url)
    go_on = threading.Event()
    names: list[str] = []

    def body() -> None:
        names.append(threading.current_thread().name)
        go_on.wait(SECONDS)

    engine.start(("worker", body))
    engine.abort(WebSocketError("enough"))
    assert engine.wait_closed(SECONDS)
    waiting = Task(lambda: engine.wait_over(SECONDS))
    waiting.wait_blocked()
    go_on.set()
    waiting.result()
    assert names == [f"{engine.name}-worker"]


def test_a_wait_for_its_threads_ends_in_time(server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    began = time.monotonic()
    engine.wait_over(0.05)
    assert 0.05 <= time.monotonic() - began < AT_ONCE
    end(engine)


def test_it_is_collected_when_nothing_holds_it_any_more(server: LoopbackServer) -> None:
    engine, inbox = opened(server.url)
    end(engine)
    alive = weakref.ref(engine)
    del engine, inbox

    def is_gone() -> bool:
        gc.collect()
        return alive() is None

    wait_until(is_gone)


# How it says that it is over.


def test_what_is_known_of_the_end_is_said_at_each_moment(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    engine.close(CLOSE)
    error = engine.closed_error()
    assert (error.code, error.wasClean) == (1005, False)
    assert "the server has not answered yet" in str(error.__cause__)
    engine.abort(WebSocketError("aborted"))
    error = ended(engine)
    assert (error.code, error.wasClean, str(error.__cause__)) == (1006, False, "aborted")


def test_an_error_of_writing_is_said_before_the_reader_has_met_it(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    engine._writer.error = BrokenPipeError("gone")
    error = engine.closed_error()
    assert (error.code, str(error.__cause__)) == (1006, "gone")
    end(engine)


def test_unsent_is_what_was_not_handed_to_the_network(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    size = 2**24
    engine.queue.send(Opcode.BINARY, bytes(size))
    engine.queue.send(Opcode.BINARY, bytes(10), True)
    assert 0 < engine.closed_error().unsent <= size + 10
    end(engine)
    unsent = engine.closed_error().unsent
    assert unsent == engine.queue.unsent


# What callers want.


def test_a_time_out_of_close_cuts_and_the_earliest_counts(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    began = time.monotonic()
    engine.close(CLOSE, SECONDS)
    engine.close(CLOSE, 0.1)
    engine.close(CLOSE, SECONDS)
    error = ended(engine)
    assert 0.1 <= time.monotonic() - began < AT_ONCE
    assert "within the timeout of close(), 0.1 s" in str(error.__cause__)


def test_abort_ends_it_at_once(silent_server: LoopbackServer) -> None:
    engine, inbox = opened(silent_server.url)
    engine.abort(WebSocketError("enough"))
    assert engine.is_closing
    assert str(ended(engine).__cause__) == "enough"
    with pytest.raises(InboxEnded):
        inbox.receive(0)
    engine.abort(WebSocketError("again"))
    assert str(engine.closed_error().__cause__) == "enough"


def test_fail_tells_the_server_its_code(server: LoopbackServer) -> None:
    engine, inbox = opened(server.url)
    Task(lambda: inbox.receive(None))  # the application is back for more
    engine.fail(ValueError("a fault"), 1011)
    assert engine.is_closing
    assert str(ended(engine).__cause__) == "a fault"
    recorded = server.connections[-1]
    recorded.wait(SECONDS)
    assert recorded.close_code == 1011


@pytest.mark.parametrize("wish", ["close", "abort", "fail", "close_going_away"])
def test_an_attempt_is_given_up(wish: str) -> None:
    calls: dict[str, Callable[[Engine], object]] = {
        "close": lambda engine: engine.close(CLOSE),
        "abort": lambda engine: engine.abort(WebSocketError("enough")),
        "fail": lambda engine: engine.fail(ValueError("a fault"), 1001),
        "close_going_away": lambda engine: engine.close_going_away(),
    }
    with unanswering() as url:
        engine, _ = make(url, open_timeout=None)
        engine.start()
        assert not engine.is_open
        began = time.monotonic()
        calls[wish](engine)
        assert engine.is_closing
        assert ended(engine).code == 1006
        assert time.monotonic() - began < AT_ONCE


def test_one_that_nobody_holds_warns_and_closes(server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    with pytest.warns(ResourceWarning, match="unclosed 'owner'"):
        engine.close_collected("owner")
    assert ended(engine).code == 1001


def test_one_that_nobody_holds_closes_even_where_the_warning_is_an_error(server: LoopbackServer) -> None:
    def warn(*arguments: object, **keywords: object) -> None:
        raise ResourceWarning

    engine, _ = opened(server.url)
    with pytest.raises(ResourceWarning):
        engine.close_collected("owner", warn)
    assert ended(engine).code == 1001


def test_the_end_of_the_process_closes_by_1001_what_is_open_and_nothing_else(server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    engine.close_going_away()
    assert ended(engine).code == 1001
    engine.close_going_away()
    assert engine.closed_error().code == 1001


def test_ping_tells_how_long_its_pong_took(server: LoopbackServer, silent_server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    seconds = engine.ping(SECONDS)
    assert seconds is not None and 0 <= seconds < AT_ONCE
    end(engine)
    assert engine.ping(SECONDS) is None, "it is over"


def test_ping_without_a_pong_ends_with_its_time_or_with_the_connection() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.closing.wait(SECONDS)  # reads nothing, so that it answers nothing

    with LoopbackServer(script) as server:
        engine, _ = opened(server.url)
        with pytest.raises(TimeoutError):
            engine.ping(0.01)
        waiting = Task(partial(engine.ping, None))
        waiting.wait_blocked()
        end(engine)
        assert waiting.result() is None


def test_a_flush_waits_until_all_is_with_the_network(server: LoopbackServer) -> None:
    engine, _ = opened(server.url)
    engine.queue.send(Opcode.BINARY, bytes(2**20))
    assert engine.wait_flushed(SECONDS)
    assert engine.queue.buffered == 0
    end(engine)


def test_a_flush_ends_with_its_time_or_when_nothing_more_is_sent() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.closing.wait(SECONDS)

    with LoopbackServer(script, receive_buffer=4096) as server:
        engine, _ = opened(server.url)
        engine.queue.send(Opcode.BINARY, bytes(2**24))
        assert not engine.wait_flushed(0.01)
        waiting = Task(partial(engine.wait_flushed, None))
        waiting.wait_blocked()
        end(engine)
        assert waiting.result()
        assert engine.is_output_over
        assert engine.queue.buffered > 0


def test_only_the_thread_that_sends_fragments_is_inside_that(server: LoopbackServer) -> None:
    engine, inbox = opened(server.url)
    seen: list[bool] = []

    def chunks() -> Iterator[str]:
        yield "a"
        seen.append(engine.is_sending_fragments_here())
        seen.append(Task(engine.is_sending_fragments_here).result())
        yield "b"

    engine.send_fragments(chunks())
    assert seen == [True, False]
    assert not engine.is_sending_fragments_here()
    assert inbox.receive(SECONDS) == "ab"
    end(engine)


def test_an_iterable_that_raises_fails_the_connection(server: LoopbackServer) -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        raise KeyError("no more")

    engine, inbox = opened(server.url)
    Task(lambda: inbox.receive(None))  # the application is back for more
    with pytest.raises(KeyError):
        engine.send_fragments(chunks())
    assert "raised KeyError('no more')" in str(ended(engine).__cause__)


# Handlers that raise.


INSIDE = engine_module, reader_notes, send_queue, primitives, poller

WISHES: dict[str, Callable[[Engine], object]] = {
    "close": lambda engine: engine.close(CLOSE, 0.01),
    "abort": lambda engine: engine.abort(WebSocketError("enough")),
    "fail": lambda engine: engine.fail(WebSocketError("a fault"), 1011),
    "release": lambda engine: engine.close_collected("owner", lambda *args, **keywords: None),
}


@needs_points
@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_that_was_noted_is_followed_wherever_a_handler_ends_the_call(
    wish: str, silent_server: LoopbackServer
) -> None:
    check_wish_is_followed(wish, silent_server, b"")


@needs_points
@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_that_a_handler_ends_is_followed_though_the_only_writer_waits_and_nobody_else_does(
    wish: str, deaf_server: LoopbackServer
) -> None:
    check_wish_is_followed(wish, deaf_server, bytes(2**24))


def check_wish_is_followed(wish: str, server: LoopbackServer, message: bytes) -> None:
    """End the call at each of its steps while `message` is sent; the connection ends soon all the same."""
    for step in steps(3, amount(1, 2)):
        # Only the time-out of close() may end that one.
        engine, _ = opened(server.url, close_timeout=SECONDS if wish == "close" else 0.01)
        if message:
            engine.queue.send(Opcode.BINARY, message)
            wait_until(lambda engine=engine: not engine.queue.has_notes)  # type: ignore[misc]
        with step.interrupted(*INSIDE):
            WISHES[wish](engine)
        notes = engine._notes
        if not (notes.cuts if wish == "close" else engine.is_closing or notes.released):
            WISHES[wish](engine)  # the handler came before anything was noted
        began = time.monotonic()
        wait_until(lambda engine=engine: engine.closed is not None)  # type: ignore[misc]
        assert time.monotonic() - began < AT_ONCE, step.number
        assert ended(engine).code == 1006


def test_a_wait_for_the_end_wakes_a_reader_that_was_told_nothing(deaf_server: LoopbackServer) -> None:
    """Two handlers that raise, one after the other, may keep a call from waking it."""
    engine, _ = opened(deaf_server.url, close_timeout=SECONDS)
    engine.queue.send(Opcode.BINARY, bytes(2**24))
    wait_until(lambda: not engine.queue.has_notes)
    engine._notes.abort_error = WebSocketError("the end")
    assert engine.wait_closed(AT_ONCE)
    ended(engine)


@needs_points
def test_a_wait_for_the_end_wakes_the_reader_though_the_only_writer_waits(
    deaf_server: LoopbackServer,
) -> None:
    for step in steps(3):
        engine, _ = opened(deaf_server.url, close_timeout=SECONDS)
        engine.queue.send(Opcode.BINARY, bytes(2**24))
        with step.interrupted(*INSIDE):
            WISHES["close"](engine)
        if not engine._notes.cuts:  # the handler came before that was noted
            WISHES["close"](engine)
        assert engine.wait_closed(AT_ONCE), step.number
        ended(engine)


@needs_points
def test_a_handler_may_flush_from_any_point_of_a_send(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    engine.queue.inline.stream = None  # the writer is to be called
    flushed: list[bool] = []

    def flush() -> None:
        flushed.append(engine.wait_flushed(AT_ONCE))

    for step in steps(3):
        with step.interrupted(send_queue.SendQueue.send, send_queue.SendQueue._write_or_queue, by=flush):
            engine.queue.send(Opcode.TEXT, b"x")
        assert engine.wait_flushed(SECONDS)
    assert flushed == [True] * step.number
    end(engine)


@needs_points
def test_a_wait_for_the_end_that_a_handler_ends_can_be_made_again(silent_server: LoopbackServer) -> None:
    engine, _ = opened(silent_server.url)
    for step in steps(1):
        with step.interrupted(engine_module):
            assert not engine.wait_closed(0)
    assert not engine._notes.waiters
    end(engine)


def test_a_handler_may_close_from_any_point_of_any_wish(silent_server: LoopbackServer) -> None:
    for wish in WISHES.values():
        for step in steps(3, amount(1, 2)):
            engine, _ = opened(silent_server.url, close_timeout=0.01)

            def handle(engine: Engine = engine) -> None:
                engine.close(CLOSE, 0.01)
                assert engine.wait_closed(SECONDS)

            with step.interrupted(*INSIDE, by=handle):
                wish(engine)
            ended(engine)


# Threads that do not start, or end before their time.


def refuse_thread(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """The system has no thread for one whose name ends so."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("syncws-") and thread.name.endswith(ending):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("which", ["-reader", "-worker"])
def test_a_thread_that_cannot_start_is_told_and_nothing_goes_on(
    which: str, silent_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = make(silent_server.url)
    refuse_thread(monkeypatch, which)
    end_worker = threading.Event()  # This must not come sooner, or the reader would have its thread.
    with pytest.raises(ThreadStartError, match=f"{engine.name}{which} cannot be started"):
        engine.start(("worker", lambda: wait_for(end_worker)))
    end_worker.set()
    engine.wait_over(SECONDS)
    assert engine.is_output_over or engine.wait_closed(SECONDS)
    wait_until(lambda: not any(name.startswith(engine.name) for name in connection_threads()))


def test_what_ends_the_start_when_the_reader_runs_already_ends_the_connection(
    silent_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    engine, _ = make(silent_server.url)

    def start_and_raise(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == f"{engine.name}-reader":
            wait_until(lambda: engine._notes.connector is not None)
            raise Interrupted

    monkeypatch.setattr(threading.Thread, "start", start_and_raise)
    with pytest.raises(Interrupted):
        engine.start()
    assert engine.wait_closed(AT_ONCE)


def test_a_fault_of_a_thread_ends_the_connection_with_that_as_its_cause(
    silent_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: hooked.append(arguments.exc_value))
    engine, inbox = make(silent_server.url)
    fault = MemoryError("in the worker")

    def body() -> None:
        inbox.waiters.wait_until(lambda: inbox.opened is not None, SECONDS)
        raise fault

    engine.start(("worker", body))
    Task(lambda: inbox.receive(None))  # the application is back for more
    error = ended(engine)
    assert (error.code, error.__cause__) == (1006, fault)
    wait_until(lambda: hooked == [fault])
