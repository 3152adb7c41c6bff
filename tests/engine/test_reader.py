"""`_engine.reading.reader`: from the opening to the one record of the end, whatever happens on the way."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncws import HandshakeError, WebSocketError
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.options.options import check_arguments
from syncws._engine.primitives import is_own_thread
from syncws._engine.reading.read_lease import ReadLease
from syncws._engine.reading.reader import Reader
from syncws._engine.reading.reader_notes import ReaderNotes
from syncws._engine.reading.records import Closed, CloseReceived, Opened, Record
from syncws._engine.tracer import make_tracer
from syncws._engine.writing.pending_pings import PendingPing, PendingPings
from syncws._engine.writing.send_queue import SendQueue
from syncws._protocol.closing import State
from syncws._protocol.encoder import Encoder
from syncws._protocol.frames import CloseFrame
from syncws._protocol.handshake import HandshakeRequest, make_key
from syncws._protocol.messages import Message, MessagePart
from syncws._transport.poller import ForkedError
from syncws._transport.stream import Stream
from syncws.testing import LoopbackServer, Peer
from tests.support.servers import drain, refusing, unanswering
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_until


class Recorder(Inbox):
    """An inbox that notes what the reader puts, with what the test wants to know at that moment."""

    def __init__(self, events: list[str]) -> None:
        super().__init__((None, None))
        self.events = events
        self.records: list[Record] = []
        self.acts: dict[str, Callable[[], object]] = {}

    def _event(self, name: str) -> None:
        self.events.append(name)
        if name in self.acts:
            self.acts.pop(name)()

    def put_record(self, record: Record) -> None:
        self.records.append(record)
        self._event(type(record).__name__)
        super().put_record(record)

    def put_messages(self, messages: list[Message | MessagePart], size: int) -> None:
        self._event("messages")
        super().put_messages(messages, size)


class RecordedOutput:
    """What the reader knows of a writer; a Close goes out at once, on the reader's thread."""

    def __init__(self, events: list[str]) -> None:
        self.ping_sent_at = 0.0
        self.ping_position = 0
        self.close_sent_at: float | None = None
        self.error: BaseException | None = None
        self.close_called = self.close_queued = False
        self.unsent = 0
        self.is_preparing = False
        self.events = events
        self.acts: dict[str, Callable[[], object]] = {}
        self.stream: Stream | None = None
        self.encoder = Encoder()

    def open(self, stream: Stream, encoder: Encoder, on_change: Callable[[], None]) -> None:
        self.stream, self.encoder = stream, encoder
        self._event("output open")

    def send_pong(self, payload: bytes) -> None:
        self._event("pong")

    def send_ping(self, payload: bytes) -> None:
        self._event("ping")

    def server_closed(self) -> None:
        self._event("server closed")

    def close(self, close: CloseFrame, last: bool = False) -> None:
        assert self.stream is not None
        self.stream.send(self.encoder.frames([(0x88, close.payload)]))
        self.close_sent_at = time.monotonic()

    def flush_pending(self) -> None:
        self._event("flush")

    def stop(self) -> None:
        if self.stream is not None:
            assert self.stream.socket.fileno() >= 0, "the descriptor must outlive the writer"
        self._event("stop")

    def _event(self, name: str) -> None:
        self.events.append(name)
        if name in self.acts:
            self.acts.pop(name)()


class Running:
    """A reader with what is around it."""

    def __init__(self, url: str, **options: Any) -> None:
        parsed, protocols, made = check_arguments(url, (), {"ping_interval": None, **options})
        self.events: list[str] = []
        self.inbox = Recorder(self.events)
        self.output = RecordedOutput(self.events)
        self.pings = PendingPings()
        self.notes = ReaderNotes()
        self.inbox.on_room = self.notes.wake
        request = HandshakeRequest(parsed, make_key(), protocols, made.origin, made.headers)
        fields = {"connection": "syncws-test"}
        tracer = make_tracer(None, 1, fields)
        self.reader = Reader(
            request,
            made,
            self.inbox,
            self.output,
            self.pings,
            self.notes,
            ReadLease(SendQueue(None), self.inbox.leaf),
            "syncws-test",
            fields,
            tracer,
        )

    def run(self) -> Closed:
        """Let it run to its end; the record of that."""
        Task(self.reader.run).result()
        return self.closed

    @property
    def closed(self) -> Closed:
        closed = self.reader.closed
        assert closed is not None
        assert self.notes.is_over
        assert self.inbox.records[-1] is closed, "the last record"
        assert [type(record) for record in self.inbox.records].count(Closed) == 1
        return closed

    @property
    def is_socket_free(self) -> bool:
        return self.output.stream is None or self.output.stream.socket.fileno() < 0


@pytest.fixture(autouse=True)
def no_answers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer of these tests answers no message; test_open_link_closing has that wait."""
    monkeypatch.setattr("syncws._protocol.closing.CATCH_UP_SECONDS", 0.02)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """Sends a message, and its Close."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        peer.close(4001, "bye")

    with LoopbackServer(script) as made:
        yield made


@pytest.fixture
def silent_server() -> Iterator[LoopbackServer]:
    def script(peer: Peer) -> None:
        peer.accept()
        drain(peer)

    with LoopbackServer(script) as made:
        yield made


# The order.


def test_one_life_from_the_opening_to_the_end(server: LoopbackServer) -> None:
    running = Running(server.url)
    closed = running.run()
    assert running.events == [
        *("output open", "Opened", "messages", "server closed", "CloseReceived", "stop", "Closed")
    ]
    opened, received, _ = running.inbox.records
    assert isinstance(opened, Opened) and opened.response.status == 101
    assert isinstance(received, CloseReceived)
    assert (received.outcome.code, received.outcome.was_clean) == (4001, False)
    assert (closed.outcome.code, closed.outcome.reason, closed.outcome.was_clean) == (4001, "bye", True)
    assert 0 < closed.open_seconds < SECONDS
    assert running.inbox.receive(0) == "hello"


def test_the_outcome_is_there_when_the_writer_is_stopped_and_the_socket_free_before_it_is_told(
    server: LoopbackServer,
) -> None:
    running = Running(server.url)
    seen: list[object] = []
    running.output.acts["stop"] = lambda: seen.append(running.reader.closing.outcome)
    running.inbox.acts["Closed"] = lambda: seen.append((running.is_socket_free, running.reader.closed))
    closed = running.run()
    assert seen == [closed.outcome, (True, closed)]


def test_what_was_not_sent_is_asked_for_when_the_writer_has_ended(silent_server: LoopbackServer) -> None:
    running = Running(silent_server.url)
    running.output.acts["stop"] = lambda: setattr(running.output, "unsent", 123)
    running.inbox.acts["Opened"] = lambda: setattr(running.notes, "abort_error", WebSocketError("enough"))
    assert running.run().unsent == 123


def test_the_outcome_is_published_before_anything_is_logged(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "syncws")  # looked at when the connection is made
    running = Running(server.url)
    published: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "closed" in record.getMessage():
                published.append(running.notes.is_over)

    handler = Handler()
    logger = logging.getLogger("syncws")
    logger.addHandler(handler)
    try:
        running.run()
    finally:
        logger.removeHandler(handler)
    assert published == [True]
    record = caplog.records[-1]
    assert (record.__dict__["code"], record.__dict__["reason"], record.__dict__["was_clean"]) == (
        *(4001, "bye", True),
    )


def test_pings_that_wait_are_freed_before_the_end_is_told(server: LoopbackServer) -> None:
    running = Running(server.url)
    ping = PendingPing()
    waiting = Task(lambda: running.pings.wait(ping, SECONDS))
    waiting.wait_blocked()
    running.inbox.acts["Closed"] = lambda: waiting.result()
    running.run()
    assert waiting.result() is None


def test_it_runs_on_a_thread_that_must_not_wait_for_connections(server: LoopbackServer) -> None:
    running = Running(server.url)
    seen: list[bool] = []
    running.inbox.acts["messages"] = lambda: seen.append(is_own_thread())
    running.run()
    assert seen == [True]
    assert not is_own_thread()


# Openings that fail.


def test_a_port_that_refuses_is_told_as_the_end() -> None:
    with refusing() as url:
        closed = Running(url).run()
    assert isinstance(closed.outcome.error, ConnectionRefusedError)
    assert (closed.outcome.code, closed.open_seconds) == (1006, 0)


def test_an_answer_that_refuses_is_told_as_the_end() -> None:
    with LoopbackServer(lambda peer: peer.refuse(403)) as server:
        running = Running(server.url)
        closed = running.run()
    assert isinstance(closed.outcome.error, HandshakeError)
    assert running.events == ["stop", "Closed"]


WISHES: dict[str, Callable[[Running], object]] = {
    "abort": lambda running: setattr(running.notes, "abort_error", WebSocketError("aborted")),
    "failure": lambda running: setattr(running.notes, "failure", (WebSocketError("failed"), 1001)),
    "release": lambda running: setattr(running.notes, "released", True),
    "close": lambda running: setattr(running.output, "close_called", True),
}


@pytest.mark.parametrize("wish", WISHES)
def test_an_opening_that_nobody_wants_any_more_is_given_up_at_once(wish: str) -> None:
    with unanswering() as url:
        running = Running(url, open_timeout=None)
        task = Task(running.reader.run)
        wait_until(lambda: running.notes.connector is not None and running.notes.connector.stream is not None)
        began = time.monotonic()
        WISHES[wish](running)
        running.notes.wake()
        task.result()
    assert time.monotonic() - began < AT_ONCE
    assert isinstance(running.closed.outcome.error, WebSocketError)


@pytest.mark.parametrize("wish", WISHES)
def test_what_nobody_wants_from_the_beginning_is_not_tried(wish: str) -> None:
    with unanswering() as url:
        running = Running(url)
        WISHES[wish](running)
        running.run()
    assert running.notes.connector is None
    assert isinstance(running.closed.outcome.error, WebSocketError)


@pytest.mark.parametrize("wish", ["abort", "close", "release"])
def test_a_wish_that_comes_with_the_opening_is_followed(wish: str, silent_server: LoopbackServer) -> None:
    running = Running(silent_server.url, close_timeout=0.2)
    running.output.acts["output open"] = lambda: WISHES[wish](running)
    closed = running.run()
    assert closed.outcome.code in (1006, 1001)
    assert running.is_socket_free


# Faults.


@pytest.mark.parametrize("where", ["output open", "Opened", "messages", "server closed", "CloseReceived"])
def test_a_fault_anywhere_is_the_cause_of_the_end_and_leaves_nothing_open(
    where: str, server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    fault = MemoryError(where)

    def fail() -> None:
        raise fault

    running = Running(server.url)
    running.output.acts[where] = running.inbox.acts[where] = fail
    closed = running.run()
    if where != "CloseReceived":  # else the server's Close stands
        assert closed.outcome.error is fault
        assert closed.outcome.code == 1006
    assert running.is_socket_free
    assert "a fault of syncws itself: MemoryError" in caplog.text


def test_a_fault_before_there_is_a_loop_closes_the_stream(
    silent_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("syncws._engine.reading.reader.Decoder", fail)
    running = Running(silent_server.url)
    closed = running.run()
    assert isinstance(closed.outcome.error, MemoryError)
    assert running.notes.connector is not None
    assert running.notes.connector.stream is not None
    assert running.notes.connector.stream.socket.fileno() < 0


@pytest.mark.parametrize("where", ["stop", "Closed"])
def test_a_fault_at_the_end_keeps_nobody_waiting(
    where: str, server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise MemoryError(where)

    running = Running(server.url)
    running.output.acts[where] = running.inbox.acts[where] = fail
    Task(running.reader.run).result()
    assert running.reader.closed is not None
    assert running.reader.closed.outcome.code == 4001
    assert running.notes.is_over
    assert "a fault of syncws itself: MemoryError" in caplog.text
    assert running.output.stream is not None
    if where == "stop":  # a writer may still use it
        assert not running.is_socket_free
        running.output.stream.close()


# Forks.


def test_in_a_forked_child_it_is_closed_and_the_link_left_alone(silent_server: LoopbackServer) -> None:
    running = Running(silent_server.url)
    before = running.reader.after_fork()
    assert before is running.reader.closed
    assert "forked" in str(before.outcome.error)
    assert running.reader.after_fork() is before
    assert running.reader.closing.state is State.CONNECTING


def test_a_greenlet_that_a_fork_took_along_tells_nobody_anything(silent_server: LoopbackServer) -> None:
    def fork() -> None:
        raise ForkedError

    running = Running(silent_server.url)
    running.inbox.acts["Opened"] = fork
    task = Task(running.reader.run)
    assert isinstance(task.wait(), ForkedError)
    assert running.reader.closed is None
    assert "Closed" not in running.events
    assert not running.is_socket_free
    assert running.output.stream is not None
    running.output.stream.close()
    running.notes.close_poller()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_notes_free_copies_of_descriptors_in_a_forked_child(silent_server: LoopbackServer) -> None:
    running = Running(silent_server.url)
    opened = threading.Event()
    running.inbox.acts["Opened"] = opened.set
    task = Task(running.reader.run)
    assert opened.wait(SECONDS)
    assert running.output.stream is not None
    child_reads, child_writes = os.pipe()
    number = running.output.stream.socket.fileno()
    with warnings.catch_warnings():
        # From CPython 3.12 on a fork beside threads warns. This child runs only what a fork must not break.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            running.notes.after_fork()
            closed = running.output.stream.socket.fileno() < 0
            os.write(child_writes, b"ok" if closed and running.notes.is_over else b"no")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(child_reads, 2) == b"ok"
    os.close(child_reads)
    os.close(child_writes)
    assert running.output.stream.socket.fileno() == number
    assert running.output.stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    running.notes.abort_error = WebSocketError("enough")
    running.notes.wake()
    task.result()
