"""`_engine.opening.caller_opening` and `handover`: who opens, starts the threads, and does what is left."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import syncws
from syncws import WebSocketError
from syncws._engine import engine, primitives
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.engine import Engine
from syncws._engine.opening import caller_opening, handover, opening, route
from syncws._engine.opening.handover import Handover
from syncws._engine.options.options import check_arguments
from syncws._engine.reading import reader
from syncws._engine.writing.writer_pool import shared_pool
from syncws._exceptions import ThreadStartError
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._transport import dialer, poller
from syncws.testing import LoopbackServer, Peer
from tests.support.leftovers import connection_threads, open_descriptors, wait_for_no_threads
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.proxies import silent
from tests.support.servers import refusing, unanswering
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as made:
        yield made


def make(url: str, **options: Any) -> tuple[Engine, Inbox]:
    parsed, protocols, made = check_arguments(url, (), {"ping_interval": None, "proxy": None, **options})
    inbox = Inbox((None, None))
    return Engine(parsed, protocols, made, inbox), inbox


def started(monkeypatch: pytest.MonkeyPatch, refused: str = "no thread") -> list[str]:
    """The names of the threads that are started from now on; the system has none for one that ends so."""
    names: list[str] = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        if thread.name.startswith("syncws-") and not thread.name.startswith("syncws-loopback"):
            if thread.name.endswith(refused):
                raise RuntimeError("can't start new thread")
            names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)
    return names


# The thread of the caller.


def test_the_caller_opens_and_the_reader_goes_on(server: LoopbackServer) -> None:
    steps: dict[str, str] = {}
    made, inbox = make(
        server.url,
        trace=lambda record: steps.setdefault(record.step, threading.current_thread().name),
    )
    made.open()
    assert made.is_open and inbox.opened is not None
    assert f"{made.name}-reader" in connection_threads()
    made.queue.send(Opcode.TEXT, b"hello")
    assert inbox.receive(SECONDS) == "hello"
    made.close(CloseFrame(1000))
    assert made.wait_closed(SECONDS)
    here = threading.current_thread().name
    assert {steps[step] for step in ("resolve", "connected", "request", "response")} == {here}
    assert steps["closed"] == f"{made.name}-reader"


def test_threads_are_started_before_the_first_wait_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    names = started(monkeypatch)
    with unanswering() as url:
        made, _ = make(url)
        task = Task(made.open)
        wait_until(lambda: f"{made.name}-reader" in names)
        wait_until(lambda: any(name.endswith("-writer") for name in connection_threads()))
        made.abort(WebSocketError("enough"))
        with pytest.raises(WebSocketError, match="enough"):
            task.result()
    wait_for_no_threads()


def test_a_refused_connection_takes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    names = started(monkeypatch)
    with refusing() as url:
        made, inbox = make(url)
        with pytest.raises(ConnectionRefusedError):
            made.open()
    assert made.closed is not None and inbox.closed is made.closed
    assert made.is_output_over and shared_pool()._registered == 0
    assert names == []


def test_no_ended_connection_is_kept_where_no_writer_thread_is_left(server: LoopbackServer) -> None:
    made, inbox = make(server.url)
    made.open()
    made.close(CloseFrame(1000))
    assert made.wait_closed(SECONDS)
    wait_for_no_threads()
    made.wait_flushed(0)
    made._wake_by_writer()
    kept = weakref.ref(made), weakref.ref(made._writer), weakref.ref(made._notes)
    del made, inbox
    gc.collect()
    assert [reference() for reference in kept] == [None] * 3


@pytest.mark.parametrize("which", ["-reader", "-writer"])
def test_a_thread_that_cannot_start_is_told_by_the_call_and_nothing_goes_on(
    which: str, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_pool().wait_surplus_exited(SECONDS)
    started(monkeypatch, which)
    made, _ = make(server.url)
    with pytest.raises(ThreadStartError, match=f"{made.name}{which} cannot be started"):
        made.open()
    made.wait_over(SECONDS)
    assert made.closed is not None and made.is_output_over
    wait_for_no_threads()
    assert shared_pool()._registered == 0


def test_a_failure_is_told_once_all_is_over() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.closing.wait(0.05)  # long enough for the threads to be started
        peer.refuse(503)

    with LoopbackServer(script) as server:
        made, inbox = make(server.url)
        with pytest.raises(syncws.HandshakeError) as caught:
            made.open()
    assert made.closed is not None and made.closed.outcome.error is caught.value
    assert inbox.closed is made.closed


@needs_moments
# In the middle of making a socket it is the count of references that closes it.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_leaves_no_thread_and_no_descriptor(server: LoopbackServer) -> None:
    before = open_descriptors().keys()
    moments = Moments(interrupt, caller_opening, dialer, engine, handover, opening, reader, route)
    with contextlib.ExitStack() as opened:
        for delay in moments.each(50):
            with moments.within(delay * 8):
                connection = syncws.connect(server.url, compression=None)
                moments._inside = False
                opened.callback(connection.close)
    wait_for_no_threads()
    assert shared_pool()._registered == 0
    wait_until(lambda: len(open_descriptors().keys() - before) <= 1, "that the server's ends are closed")


def test_an_interrupt_while_the_answer_is_awaited_has_the_reader_end_it() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.wait_eof(SECONDS)

    def fail() -> None:
        raise KeyboardInterrupt

    with LoopbackServer(script) as server:
        made, inbox = make(server.url)
        task = Task(made.open)
        wait_until(lambda: f"{made.name}-reader" in connection_threads())
        made._notes.check_wanted = fail  # type: ignore[method-assign]
        made._notes.wake()
        with pytest.raises(KeyboardInterrupt):
            task.result()
        assert made.wait_closed(SECONDS)
        assert inbox.closed is not None
        assert str(inbox.closed.outcome.error) == "connect() was interrupted"


@contextlib.contextmanager
def alarm(error: Exception) -> Iterator[None]:
    """What raises `error` in a signal handler, in a moment."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise error

    if not hasattr(signal, "setitimer"):
        pytest.skip("no setitimer here")
    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [TimeoutError("mine"), ConnectionResetError("mine"), ValueError("mine")])
def test_what_a_handler_raises_is_no_failure_of_the_network(error: Exception) -> None:
    with unanswering() as url, alarm(error), pytest.raises(type(error)) as caught:
        syncws.connect(url)
    assert caught.value is error and error.args == ("mine",)
    wait_for_no_threads()
    assert shared_pool()._registered == 0


class ProgramError(Exception):
    """What a handler raises, and the network does not."""


@needs_moments
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [TimeoutError, ProgramError])
def test_what_a_handler_raises_at_any_moment_leaves_the_call_as_it_was(
    kind: type[Exception], server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []

    def interrupt() -> None:
        errors.append(kind("mine"))
        raise errors[-1]

    before = open_descriptors().keys()
    modules = [caller_opening, dialer, engine, handover, opening, poller, reader, route]
    moments = Moments(interrupt, *modules)
    with contextlib.ExitStack() as opened:
        for delay in moments.each(50):
            try:
                with moments.within(delay * 8):
                    connection = syncws.connect(server.url, compression=None)
                    moments._inside = False
                    opened.callback(connection.close)
            except kind as error:
                assert error is errors[-1]
                assert error.args == ("mine",)
    errors.clear()
    wait_for_no_threads()
    assert shared_pool()._registered == 0
    assert caplog.records == []
    wait_until(lambda: len(open_descriptors().keys() - before) <= 1, "that the server's ends are closed")


@pytest.mark.parametrize("host", ["127.0.0.1", "name.example"])
def test_a_signal_that_came_right_before_a_wait_for_the_network_is_noticed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call looks for signals at times, also where nothing limits its wait, and then waits on."""

    def wait(*arguments: Any) -> bool:
        if threading.get_ident() == here:
            assert arguments[-1] is not None, "nothing but the network ends this wait"
            waits.append(arguments[-1])
            if waits.count(0.01) == 5:
                raise KeyboardInterrupt
        return wait_once(*arguments)

    def look_up(*_: object) -> list[Any]:
        assert interrupted.wait(SECONDS)
        return []

    here, waits, interrupted = threading.get_ident(), list[float](), threading.Event()
    wait_once = poller.Poller.wait
    monkeypatch.setattr(primitives, "_LONGEST_ON_MAIN", 0.01)
    monkeypatch.setattr(poller.Poller, "wait", wait)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with unanswering() as url:
        made, _ = make(url.replace("127.0.0.1", host), open_timeout=None)
        with pytest.raises(KeyboardInterrupt):
            made.open()
        interrupted.set()
        wait_for_no_threads()
    assert max(waits) == 0.01


def test_what_the_caller_was_about_to_handle_is_no_interrupt() -> None:
    with refusing() as url, alarm(TimeoutError("mine")), pytest.raises(ConnectionRefusedError):
        try:
            threading.Event().wait(SECONDS)
        except TimeoutError:
            syncws.connect(url)


def test_what_a_handler_raises_while_addresses_are_tried_ends_the_call() -> None:
    error = TimeoutError("mine")
    with silent("127.0.0.1") as port, alarm(error), pytest.raises(TimeoutError) as caught:
        syncws.connect(f"ws://127.0.0.1:{port}/")
    assert caught.value is error
    wait_for_no_threads()


# What is handed over.


def test_the_reader_waits_until_the_connection_is_open() -> None:
    made, is_open = Handover(), threading.Event()
    task = Task(lambda: made.wait(is_open.is_set))
    task.wait_blocked()
    made.tell()  # in the name of a caller that is not done
    task.wait_blocked()
    made.rest = b"rest"
    is_open.set()
    made.tell()
    assert task.result() == b"rest"
    assert made.rest == b""


FAILURES: list[tuple[BaseException, type[Exception], str]] = [
    (ConnectionRefusedError("no"), ConnectionRefusedError, "no"),
    (KeyboardInterrupt(), WebSocketError, "connect.. was interrupted"),
]


@pytest.mark.parametrize(("failure", "kind", "text"), FAILURES)
def test_what_ends_an_opening_is_told_to_the_reader(
    failure: BaseException, kind: type[Exception], text: str
) -> None:
    made = Handover()
    made.failure = failure
    with pytest.raises(kind, match=text):
        made.wait(lambda: False)


@pytest.mark.parametrize("change", [lambda made, is_open: is_open.set(), lambda made, _: fail(made)])
def test_the_reader_looks_by_itself(
    change: Callable[[Handover, threading.Event], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "LOOK_SECONDS", 0.001)
    made, is_open = Handover(), threading.Event()
    task = Task(lambda: made.wait(is_open.is_set))
    change(made, is_open)
    with contextlib.suppress(WebSocketError):
        assert task.result() == b""


def fail(made: Handover) -> None:
    made.failure = KeyboardInterrupt()


# The other way, for greenlets and PyPy.


def test_where_the_reader_opens_the_caller_waits_for_it(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    monkeypatch.setattr("syncws._connecting.opens_here", lambda made: False)
    connection = syncws.connect(server.url, trace=lambda record: names.add(threading.current_thread().name))
    connection.close()
    assert threading.current_thread().name not in names
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        syncws.connect(url)
