"""`reading.read_lease` with the reader's loop, the writer, and all that goes with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from syncws import WebSocketError
from syncws._engine.consumer import inbox
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.consumer.stream_calls import InboxEnded
from syncws._engine.engine import Engine
from syncws._engine.reading import read_lease
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.messages import Message
from syncws.testing import LoopbackServer, Peer
from tests.support.engines import end, made_engines, make_engine
from tests.support.interleaving import Step, needs_points
from tests.support.lent_link import FOR_THE_READER, text
from tests.support.stress import amount
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")

TEXT = Opcode.TEXT

# More than a call that reads by lease has. How many it has depends on what the reader does meanwhile.
STEPS = 60


@pytest.fixture(autouse=True)
def no_engine_is_left() -> Iterator[None]:
    """Where a test fails, its connections end all the same."""
    yield
    while made_engines:
        end(made_engines.pop())


def steps_of_engine() -> Iterator[Step]:
    """Tellings of a story, of which at least some are interrupted."""
    met = 0
    for number in range(STEPS):
        step = Step(number)
        yield step
        met += step.met
    assert met > 5, f"only {met} steps"


def receive_by_lease(engine: Engine, taken: Inbox) -> None:
    """Go on until a message was read by lease. The server echoes."""
    lease = engine._lease
    before = lease.input.messages_received
    until = time.monotonic() + SECONDS
    while lease.input.messages_received == before:
        assert time.monotonic() < until, "nothing is read by lease"
        engine.queue.send(TEXT, b"again")
        assert taken.receive(SECONDS) == "again"


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as made:
        yield made


@pytest.mark.parametrize("wire", FOR_THE_READER.values(), ids=FOR_THE_READER)
def test_what_comes_out_and_how_it_ends_is_as_without_a_lease(wire: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("first")
        assert go_on.acquire(timeout=SECONDS)
        peer.send_bytes(text("before") + wire)
        peer.half_close()
        peer.wait_eof(SECONDS)

    def story(lends: bool) -> object:
        engine, taken = make_engine(made.url, lends)
        came: list[object] = [taken.receive(SECONDS)]
        receiving = Task(partial(take_all, taken, came))
        receiving.wait_blocked()
        go_on.release()
        receiving.result()
        assert engine.wait_closed(SECONDS)
        engine.wait_over(SECONDS)
        error, stats = engine.closed_error(), engine.stats
        counts = stats.messages_received, stats.bytes_received, stats.wire_bytes_received
        return came, error.code, error.reason, error.wasClean, type(error.__cause__), counts

    go_on = threading.Semaphore(0)
    with LoopbackServer(script) as made:
        assert story(True) == story(False)


def take_all(taken: Inbox, came: list[object]) -> None:
    try:
        while True:
            came.append(taken.receive(SECONDS))
    except InboxEnded:
        pass


def test_an_idle_consumer_leaves_the_reader_asleep(server: LoopbackServer) -> None:
    engine, taken = make_engine(server.url)
    receive_by_lease(engine, taken)
    waiting = Task(partial(taken.receive, None))
    waiting.wait_blocked()
    began = time.process_time()
    threading.Event().wait(0.3)
    assert time.process_time() - began < 0.15
    engine.queue.send(TEXT, b"x")
    assert waiting.result() == "x"
    end(engine)


def test_several_threads_receive_each_message_once(server: LoopbackServer) -> None:
    count, came = amount(1500, 500), []

    def receive() -> None:
        try:
            while True:
                came.append(taken.receive(SECONDS))
        except InboxEnded:
            pass

    engine, taken = make_engine(server.url)
    with switching_all_the_time():
        tasks = [Task(receive) for _ in range(3)]
        for number in range(count):
            engine.queue.send(TEXT, b"%d" % number)
            if number % 7 == 0:
                wait_until(lambda number=number: len(came) > number)  # type: ignore[misc]
        wait_until(lambda: len(came) == count)
    assert sorted(came, key=int) == [str(number) for number in range(count)]
    assert engine.wait_flushed(SECONDS)  # An answer may be here before its message counts as sent.
    stats = engine.stats
    assert (stats.messages_received, stats.messages_sent) == (count, count)
    assert stats.bytes_received == stats.bytes_sent == sum(map(len, came))
    end(engine)
    for task in tasks:
        task.wait()


@pytest.mark.parametrize("how", ["close", "abort"])
def test_another_thread_ends_the_connection_while_one_reads(server: LoopbackServer, how: str) -> None:
    for _ in range(20):
        engine, taken = make_engine(server.url)
        receive_by_lease(engine, taken)
        waiting = Task(partial(taken.receive, None))
        if how == "close":
            engine.close(CloseFrame(1000))
        else:
            engine.abort(WebSocketError("enough"))
        assert isinstance(waiting.wait(AT_ONCE), InboxEnded)
        assert engine.wait_closed(SECONDS)
        assert engine.closed_error().wasClean == (how == "close")
        end(engine)


@pytest.mark.parametrize("call", ["receive", "flush", "ping"])
@needs_points
def test_a_handler_that_waits_on_the_same_connection_is_served(server: LoopbackServer, call: str) -> None:
    def wait() -> None:
        if call == "receive":
            engine.queue.send(TEXT, b"inner")
            got.append(taken.receive(SECONDS))
        elif call == "flush":
            engine.queue.send(TEXT, b"inner")
            assert engine.wait_flushed(SECONDS)
        else:
            assert engine.ping(SECONDS) is not None

    engine, taken = make_engine(server.url)
    for step in steps_of_engine():
        receive_by_lease(engine, taken)
        got: list[Message] = []
        with step.interrupted(read_lease, inbox.Inbox.receive, inbox.Inbox.put_by_lease, by=wait):
            engine.queue.send(TEXT, b"outer")
            got.append(taken.receive(SECONDS))
        while len(got) < 1 + (step.met and call != "ping"):
            got.append(taken.receive(SECONDS))
        assert sorted(map(str, got)) == ["inner"] * (step.met and call != "ping") + ["outer"]
    assert engine.wait_flushed(SECONDS)  # An answer may be here before its message counts as sent.
    stats = engine.stats
    assert stats.messages_received == stats.messages_sent
    end(engine)


@needs_points
def test_a_handler_may_close_the_connection_and_wait_for_the_end(server: LoopbackServer) -> None:
    def close() -> None:
        engine.close(CloseFrame(1000))
        assert engine.wait_closed(SECONDS)

    for step in steps_of_engine():
        engine, taken = make_engine(server.url)
        receive_by_lease(engine, taken)
        engine.queue.send(TEXT, b"outer")
        with step.interrupted(read_lease, inbox.Inbox.receive, inbox.Inbox.put_by_lease, by=close):
            try:
                taken.receive(SECONDS)
            except InboxEnded:
                assert step.met
        error = end(engine)
        assert error.wasClean == step.met


@needs_points
def test_a_handler_that_raises_leaves_the_connection_whole(server: LoopbackServer) -> None:
    engine, taken = make_engine(server.url)
    for step in steps_of_engine():
        receive_by_lease(engine, taken)
        engine.queue.send(TEXT, b"outer")
        with step.interrupted(read_lease, inbox.Inbox.put_by_lease):
            taken.receive(SECONDS)
        if step.met:
            assert taken.receive(SECONDS) == "outer"
    assert not taken.messages
    assert engine.wait_flushed(SECONDS)  # An answer may be here before its message counts as sent.
    stats = engine.stats
    assert stats.messages_received == stats.messages_sent
    end(engine)


def test_a_stream_that_begins_while_another_thread_reads_by_lease_gets_whole_messages(
    server: LoopbackServer,
) -> None:
    engine, taken = make_engine(server.url)
    for _ in range(20):
        receive_by_lease(engine, taken)
        waiting = Task(partial(taken.receive, SECONDS))
        streaming = Task(lambda: "".join(map(str, taken.stream(SECONDS))))
        for number in (1, 2):
            engine.queue.send(TEXT, b"%d" % number)
        assert {waiting.result(), streaming.result()} == {"1", "2"}
    end(engine)
