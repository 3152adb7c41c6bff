"""`syncws._engine.caller_opening` and `handover`: who opens, starts the threads, and does what is left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import syncws
from syncws import WebSocketError
from syncws._engine import caller_opening, engine, handover, opening, reader, route
from syncws._engine.engine import Engine
from syncws._engine.handover import Handover
from syncws._engine.inbox import Inbox
from syncws._engine.options import check_arguments
from syncws._engine.writer_pool import shared_pool
from syncws._exceptions import ThreadStartError
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._transport import dialer
from syncws.testing import LoopbackServer, Peer
from tests.support.leftovers import connection_threads, open_descriptors, wait_for_no_threads
from tests.support.moments import Moments, interrupt, needs_moments
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
    monkeypatch.setattr("syncws._connecting.opens_here", lambda: False)
    connection = syncws.connect(server.url, trace=lambda record: names.add(threading.current_thread().name))
    connection.close()
    assert threading.current_thread().name not in names
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        syncws.connect(url)
