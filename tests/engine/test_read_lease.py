"""`reading.read_lease`: what a consumer reads in the reader's place, and how the two change places."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from syncws import WebSocketError
from syncws._engine import primitives
from syncws._engine.consumer import event_queue, inbox
from syncws._engine.consumer.event_queue import EventQueue
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.consumer.stream_calls import InboxEnded
from syncws._engine.engine import Engine
from syncws._engine.primitives import give_back_tokens, tokens
from syncws._engine.reading import read_lease
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.messages import Message
from syncws.testing import LoopbackServer, Peer
from syncws.testing.wire import frame_bytes
from tests.support.engines import end, made_engines, make_engine
from tests.support.interleaving import Step, needs_points, steps
from tests.support.lent_link import LentLink
from tests.support.stress import turns
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")

TEXT, BINARY, CONTINUATION = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION

#: Whose steps are interrupted.
READING = (read_lease, inbox, event_queue)

CONSUMERS: dict[str, Callable[[], Any]] = {
    "inbox": partial(Inbox, (None, None)),
    "event queue": partial(EventQueue, (None, None)),
}


@pytest.fixture(params=CONSUMERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes a consumer: what holds for one of the two holds for the other."""
    return CONSUMERS[request.param]


def text(payload: str) -> bytes:
    return frame_bytes(TEXT, payload.encode())


# What a consumer reads.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535])
def test_what_arrives_is_the_consumers_and_the_reader_is_left_alone(
    make: Callable[[], Any], size: int
) -> None:
    wire = frame_bytes(BINARY, bytes(size)) + text("é" * (size // 2))
    with LentLink(make(), wire) as link:
        while len(link.messages) < 2:
            assert link.read()
        assert link.messages == [bytes(size), "é" * (size // 2)]
        assert link.counted == (2, size + size // 2 * 2)
        assert link.stream.received == len(wire)
        assert not link.lease.input.needs_reader
        assert not link.lease.input.unfed
        assert link.lease.recent


def test_one_read_may_bring_thousands_of_messages(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a") * 5000) as link:
        assert link.read()
        assert link.messages == ["a"] * 5000
        assert not link.wakes


@pytest.mark.parametrize("reader_looks", [False, True])
def test_where_nothing_comes_the_turn_goes_back_with_one_wake_up(
    make: Callable[[], Any], reader_looks: bool
) -> None:
    with LentLink(make()) as link:
        link.lease.reader_looks = reader_looks
        assert not link.read()
        # A reader that waits for the socket needs no wake-up.
        assert len(link.wakes) == reader_looks
        assert not link.lease.is_used()
        assert link.lease.take_if_free()


@pytest.mark.parametrize("taker", [Inbox((100, None)), EventQueue((100, None))], ids=["inbox", "event queue"])
def test_what_is_read_by_lease_counts_for_the_bound(taker: Any) -> None:
    with LentLink(taker) as link:
        for full in (False, True):
            link.serve(text("x" * 50))
            assert link.read()
            assert taker.is_full(0) == full


def test_a_time_out_is_kept(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_lease, "LEASE_SECONDS", SECONDS)
    with LentLink(make()) as link:
        began = time.monotonic()
        assert not link.read(0.01)
        assert 0.005 < time.monotonic() - began < AT_ONCE


def test_while_the_reader_has_the_turn_nobody_reads(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.take()
        assert not link.read()
        assert link.lease.wanted
        assert not link.messages
        link.take_turns()
        assert link.messages == ["a"]
        assert not link.lease.wanted


def test_only_one_consumer_reads_at_a_time() -> None:
    with LentLink(Inbox((None, None))) as link:
        link.lease._token.held = True
        link.serve(text("a"))
        assert not link.read()
        assert not link.messages
        link.lease._token.held = False
        assert link.read()


def test_the_reader_leaves_a_consumer_the_turn_that_it_has(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.lease._token.held = True
        assert not link.lease.take_if_free()
        link.lease._token.held = False
        assert link.read(), "the reader has taken the turn all the same"
        assert link.lease.take_if_free()


def test_a_call_that_is_over_leaves_no_token(make: Callable[[], Any]) -> None:
    here = threading.get_ident()
    with LentLink(make(), text("a")) as link:
        for _ in range(3):  # there is something, there is nothing, and the reader has the turn
            link.read(0.001)
            assert not [token for token in tokens if token.thread == here]
            if link.messages:
                link.take()


FOR_THE_READER = {
    "ping": frame_bytes(Opcode.PING, b"x"),
    "pong": frame_bytes(Opcode.PONG, b"x"),
    "close": frame_bytes(Opcode.CLOSE, b"\x03\xe8bye"),
    "fragments": frame_bytes(TEXT, b"ab", fin=False) + frame_bytes(CONTINUATION, b"cd"),
    "first fragment": frame_bytes(TEXT, b"ab", fin=False),
    "large": frame_bytes(BINARY, bytes(65_536)),
    "beginning of a large one": frame_bytes(BINARY, bytes(65_536))[:100],
    "not UTF-8": frame_bytes(TEXT, b"ab\xff"),
    "masked": frame_bytes(TEXT, b"ab", key=b"1234"),
    "compressed": frame_bytes(TEXT, b"ab", rsv=4),
    "length in too many bytes": b"\x81\x7e\x00\x05hello",
    "unknown opcode": frame_bytes(3, b""),
}


@pytest.mark.parametrize("wire", FOR_THE_READER.values(), ids=FOR_THE_READER)
@pytest.mark.parametrize("before", [b"", text("a") + text("b")], ids=["alone", "behind others"])
def test_what_is_no_plain_frame_goes_to_the_reader_as_it_came(
    make: Callable[[], Any], before: bytes, wire: bytes
) -> None:
    alone = Decoder(None)
    messages = alone.feed(before + wire)
    with LentLink(make(), before + wire) as link:
        for _ in range(8):  # a large one comes in several reads
            if not link.read() or link.lease.input.needs_reader:
                break
        assert link.lease.input.needs_reader
        assert link.wakes
        assert not link.read(), "what comes behind that is the reader's, too"
        link.take_over()
        assert link.messages == messages
        assert link.decoder.controls == alone.controls
        assert str(link.decoder.ended) == str(alone.ended)
        assert link.counted == (alone.messages_received, alone.bytes_received)
        assert link.stream.received == len(before + wire)


def test_nobody_reads_on_while_the_reader_has_not_looked(make: Callable[[], Any]) -> None:
    with LentLink(make(), frame_bytes(Opcode.PING, b"x")) as link:
        link.read()
        link.serve(text("a"))
        for _ in range(read_lease.REFUSED_AFTER + 2):
            assert not link.read(0.001)
        assert link.stream.recv(100) == text("a")


def test_where_bytes_for_the_reader_came_the_next_requests_are_refused() -> None:
    with LentLink(Inbox((None, None)), frame_bytes(Opcode.PING)) as link:
        link.read()
        link.take_turns()
        link.serve(text("a"))
        refused = 0
        while not link.read():
            refused += 1
        assert refused == read_lease.REFUSED_AFTER
        assert link.messages == ["a"]


def test_the_end_of_tcp_is_the_readers_to_find(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.server.shutdown(socket.SHUT_WR)
        assert link.read()
        assert not link.read()
        assert link.wakes
        link.take()
        assert link.lease.take_chunks() == b""
        assert link.stream.recv(1) == b""
        assert link.messages == ["a"]


def test_an_error_of_the_socket_is_kept_for_the_reader(make: Callable[[], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with LentLink(make()) as link:
        link.stream.socket.close()
        link.stream.socket = ours
        ours.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert not link.read()
        assert isinstance(link.lease.input.error, ConnectionResetError)
        assert link.lease.input.needs_reader
        assert link.wakes
        assert link.lease.take()


def test_a_closed_socket_is_no_fault_of_the_consumer(make: Callable[[], Any]) -> None:
    with LentLink(make()) as link:
        link.stream.socket.close()
        assert not link.read()


# Half a frame.

HALVES = [text("hello"), frame_bytes(BINARY, bytes(range(256)) * 2)]


@pytest.mark.parametrize("by", ["lease", "reader", "reader that lends again"])
@pytest.mark.parametrize("wire", HALVES, ids=["short", "of 16 bits"])
def test_the_rest_of_half_a_frame_may_be_read_by_either(
    make: Callable[[], Any], wire: bytes, by: str
) -> None:
    whole = Decoder(None).feed(wire)
    for cut in range(1, len(wire)):
        with LentLink(make(), text("before") + wire[:cut]) as link:
            assert link.read()
            assert link.messages == ["before"]
            assert link.lease.input.unfed
            if by == "reader":
                link.take_over()
                link.serve(wire[cut:] + text("after"))
                link.take_over()
            elif by == "lease":
                link.serve(wire[cut:] + text("after"))
                assert link.read()
            else:
                link.decoder.keeps_beginning = True
                link.take_turns()
                link.serve(wire[cut:] + text("after"))
                assert link.read()
            assert link.messages == ["before", *whole, "after"], cut
            assert link.counted == (3, 11 + len(wire) - (2 if len(wire) < 128 else 4)), cut
            assert link.stream.received == link.sent, cut


def test_random_pieces_are_read_by_either_by_chance(make: Callable[[], Any]) -> None:
    choose = random.Random(7)
    for _ in range(50):
        messages: list[Message] = [
            choose.choice([bytes, lambda size: "x" * size])(choose.choice([0, 3, 125, 126, 900]))
            for _ in range(12)
        ]
        wire = b"".join(
            text(message) if isinstance(message, str) else frame_bytes(BINARY, message)
            for message in messages
        )
        with LentLink(make()) as link:
            link.decoder.keeps_beginning = True
            start = 0
            while start < len(wire):
                stop = start + choose.randrange(1, 200)
                link.serve(wire[start:stop])
                start = stop
                if choose.random() < 0.3 or not link.read():
                    link.take_turns()
            link.take_over()
            assert link.messages == messages
            assert link.stream.received == len(wire)


# At each step of a read.

WIRES: dict[str, tuple[bytes, bytes, list[Message]]] = {
    "whole": (text("one") + text("two"), b"", ["one", "two"]),
    "half": (text("one") + text("two")[:3], text("two")[3:], ["one", "two"]),
    "for the reader": (text("one") + frame_bytes(Opcode.PING, b"x"), text("two"), ["one", "two"]),
    "nothing": (b"", text("one"), ["one"]),
}


LENDS = {"keeps the turn": False, "lends again": True}


def take_back(link: LentLink[Any], lends: bool) -> None:
    """What the reader does: it takes the turn back, and may lend it again."""
    link.take_over()
    if lends:
        link.decoder.clear_controls()
        link.decoder.keeps_beginning = True
        link.lend()


def check_all_is_there(link: LentLink[Any], rest: bytes, messages: list[Message]) -> None:
    """The reader is served last: nothing is lost or doubled, and the counts are right."""
    if link.lease.input.chunks and not link.lease._reader_has and not link.lease.input.unfed:
        assert not link.lease.input.needs_reader or link.wakes, "nobody tells the reader"
    if rest:
        link.serve(rest)
    link.take_over()
    assert not link.lease.input.unfed, "the reader would spin"
    assert link.messages == messages
    assert link.counted == (len(messages), sum(map(len, messages)))
    assert link.stream.received == link.sent
    link.decoder.clear_controls()


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@needs_points
def test_a_handler_that_raises_loses_and_doubles_nothing(
    make: Callable[[], Any], wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    for step in steps():
        with LentLink(make(), wire) as link:
            with step.interrupted(*READING):
                link.read(0.001)
            if link.lease.input.needs_reader:
                assert link.wakes, step.number
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize("kind", [TimeoutError, InterruptedError, ValueError])
@needs_points
def test_no_error_of_a_handler_is_taken_for_the_sockets(
    make: Callable[[], Any], kind: type[Exception]
) -> None:
    def fail() -> None:
        raise kind("mine")

    for wire in (text("one"), b""):
        for step in steps():
            with LentLink(make(), wire) as link:
                caught: list[Exception] = []
                try:
                    with step.interrupted(*READING, by=fail):
                        link.read(0.001)
                except kind as error:
                    caught.append(error)
                assert len(caught) == step.met, step.number
                assert link.lease.input.error is None
                link.take_over()
                assert link.messages == ["one"] * bool(wire)


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("lends", LENDS.values(), ids=LENDS)
@needs_points
def test_while_a_handler_waits_the_reader_goes_on(
    make: Callable[[], Any], lends: bool, wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    def wait() -> None:
        give_back_tokens()
        take_back(link, lends)

    for step in steps():
        with LentLink(make(), wire) as link:
            with step.interrupted(*READING, by=wait):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@needs_points
def test_a_handler_may_read_itself(
    make: Callable[[], Any], wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    def read_again() -> None:
        link.read(0.001)
        give_back_tokens()
        link.read(0.001)

    for step in steps():
        with LentLink(make(), wire) as link:
            with step.interrupted(*READING, by=read_again):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.skipif(not primitives.LOOKS_IN_ORDER, reason="threads may change at each instruction there")
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("lends", LENDS.values(), ids=LENDS)
def test_the_reader_takes_the_turn_back_wherever_threads_may_change(
    make: Callable[[], Any], lends: bool, wire: str
) -> None:
    sent, rest, messages = WIRES[wire]
    for step in steps():
        with LentLink(make(), sent) as link:
            with step.interrupted(*READING, by=partial(take_back, link, lends)):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize(
    ("story", "make"), turns(itertools.product(LENDS, WIRES), CONSUMERS), indirect=["make"], ids=str
)
def test_the_reader_takes_the_turn_back_at_each_instruction(
    make: Callable[[], Any], story: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without the interpreter's lock."""
    lends, wire = story
    sent, rest, messages = WIRES[wire]
    monkeypatch.setattr(read_lease, "LOOKS_IN_ORDER", False)
    for step in steps():
        with LentLink(make(), sent) as link:
            with step.meanwhile(partial(take_back, link, LENDS[lends]), *READING):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize("polls", [True, False])
def test_once_the_reader_has_the_turn_no_consumer_reads(
    make: Callable[[], Any], polls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take() -> None:
        link.take()
        link.serve(text("two"))

    monkeypatch.setattr(read_lease, "LOOKS_IN_ORDER", False)  # at each instruction threads may change
    # After a read of the full size, the next one does not poll first.
    monkeypatch.setattr(read_lease, "READ_SIZE", len(text("one")) + polls)
    for step in steps():
        with LentLink(make(), text("one")) as link:
            assert link.read()
            with step.meanwhile(take, *READING):
                link.read(0.001)
            assert link.messages == ["one"]
            if step.met:
                assert link.stream.recv(100) == text("two")


def test_another_consumer_comes_at_each_step() -> None:
    for step in steps():
        with LentLink(Inbox((None, None)), text("one") + text("two")[:3]) as link:
            with step.meanwhile(partial(link.read, 0.001), *READING):
                link.read(0.001)
            check_all_is_there(link, text("two")[3:], ["one", "two"])


@needs_points
def test_a_thread_that_waits_beside_one_that_a_handler_cut_short_gets_the_message() -> None:
    for step in steps():
        with LentLink(Inbox((None, None))) as link:
            waiting = Task(partial(link.consumer.waiters.wait_until, lambda: link.consumer.messages, SECONDS))
            wait_until(partial(bool, link.consumer.waiters))
            link.serve(text("one"))
            with step.interrupted(*READING, primitives.Waiters.notify, primitives.Waiters.__bool__):
                link.read(1)
            # What a thread of ours does when it was woken.
            if link.wakes:
                link.consumer.waiters.notify()
            if not link.messages:
                link.take_over()
            assert waiting.result(AT_ONCE)


@needs_points
def test_no_token_is_left_behind() -> None:
    here = threading.get_ident()
    for step in steps():
        with LentLink(Inbox((None, None)), text("one")) as link:
            with step.interrupted(*READING):
                link.read(0.001)
            assert not [token for token in tokens if token.thread == here and token.held]
            give_back_tokens()
            assert not [token for token in tokens if token.thread == here]


def test_in_a_forked_child_nobody_reads(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.lease.after_fork()
        assert not link.read()
        assert not link.messages


# With the reader's loop, and all that goes with it.


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
    count, came = 1500, []

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
