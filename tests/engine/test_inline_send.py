"""`syncws._engine.writing.inline_send`: what a sender writes itself, and what it leaves to the writer."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from syncws import BufferFull
from syncws._engine.primitives import give_back_tokens, tokens
from syncws._engine.writing import inline_send, send_queue
from syncws._engine.writing.inline_send import LARGEST
from syncws._engine.writing.pending_pings import PendingPings
from syncws._engine.writing.send_queue import REFUSED, TAKEN, SendQueue
from syncws._engine.writing.writer import Writer
from syncws._engine.writing.writer_pool import WriterPool
from syncws._engine.writing.writer_turn import FINISHED, IDLE, SCHEDULED, STOPPING
from syncws._protocol.encoder import Encoder
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.permessage_deflate import MIN_COMPRESSED, DeflateParameters, Deflater, Inflater
from syncws._transport.stream import Stream
from tests.support.interleaving import instructions, needs_points, steps
from tests.support.links import Frame, Link
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not inline_send.is_allowed(), reason="nobody sends inline here")

TEXT, BINARY, CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE

#: Whose steps are interrupted.
SENDING = (inline_send, send_queue.SendQueue.send, send_queue.SendQueue._write_or_queue)


@pytest.fixture(autouse=True)
def each_stands_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message is part of a burst, however fast the machine is."""
    monkeypatch.setattr(inline_send, "APART_SECONDS", -1.0)


def opened(*script: int | BaseException | Callable[[], None], **options: Any) -> Link:
    """A link whose writer has nothing to do, and writes only when the test lets it."""
    link = Link(None, inline=True, **options)
    run(link)
    link.socket.script = list(script)
    assert link.queue.turn == IDLE
    return link


def run(link: Link) -> None:
    """What a thread of the pool does, until nothing is left."""
    while link.pool.has_waiting or link.queue.turn == SCHEDULED:
        if not link.pool.has_waiting:
            threading.Event().wait(0.0005)  # the thread that made it a job has yet to hand it over
        while link.pool.has_waiting:
            link.pool._jobs.get()
        link.writer.run()


def sent(link: Link) -> int:
    """Messages that were handed over, as `stats` counts them."""
    return link.writer.messages_sent + link.queue.inline.sent


def check_counts(link: Link, frames: list[Frame]) -> None:
    data = [frame.payload for frame in frames if frame.opcode in (TEXT, BINARY)]
    assert sent(link) == len(data)
    assert link.queue.sent == sum(map(len, data))
    assert link.queue.buffered == 0
    assert link.stream.handed == sum(6 + len(frame.payload) for frame in frames)


# Who writes.


def test_a_lone_message_is_written_by_its_sender() -> None:
    with opened() as link:
        before = link.stream.progress_at
        assert link.queue.send(TEXT, b"hello") == TAKEN
        assert link.read_all() == [Frame(TEXT, True, b"hello")]
        assert not link.pool.has_waiting
        assert link.queue.turn == IDLE
        assert link.writer.messages_sent == 0
        assert link.stream.progress_at > before
        check_counts(link, [Frame(TEXT, True, b"hello")])


def test_a_burst_is_left_to_a_thread_which_sends_it_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_send, "APART_SECONDS", 3600.0)
    with opened() as link:
        link.queue.inline.has_received = True
        for number in range(50):
            link.queue.send(TEXT, b"%d" % number)
        assert link.socket.sends == 1
        run(link)
        assert link.socket.sends == 2
        assert [frame.payload for frame in link.read_all()] == [b"%d" % number for number in range(50)]
        assert sent(link) == 50
        link.queue.send(TEXT, b"right behind")
        assert link.queue.turn == SCHEDULED


def test_a_program_that_has_received_something_sends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_send, "APART_SECONDS", 3600.0)
    with opened() as link:
        for number in range(5):
            link.queue.inline.has_received = True
            link.queue.send(TEXT, b"%d" % number)
        assert link.socket.sends == 5
        assert not link.queue.inline.has_received


@pytest.mark.parametrize(("size", "by_sender"), [(LARGEST, True), (LARGEST + 1, False)])
def test_a_large_message_is_left_to_a_thread(size: int, by_sender: bool) -> None:
    with opened() as link:
        link.queue.send(BINARY, bytes(size))
        assert (link.queue.turn == IDLE) == by_sender
        assert bool(link.queue.inline.sent) == by_sender
        writing = Task(partial(run, link))
        assert link.read().payload == bytes(size)
        writing.result()


def test_a_message_that_is_compressed_is_left_to_a_thread() -> None:
    sizes = [MIN_COMPRESSED - 1, MIN_COMPRESSED, 10_000, 1, 10_000]
    with opened(encoder=Encoder(Deflater(DeflateParameters()))) as link:
        for number, size in enumerate(sizes):
            link.queue.send(TEXT, b"%d" % number * size)
            assert (link.queue.turn == IDLE) == (size < MIN_COMPRESSED)
            run(link)
        inflater = Inflater(DeflateParameters())
        for number, size in enumerate(sizes):
            frame = link.read()
            assert frame.compressed == (size >= MIN_COMPRESSED)
            text = b"".join(inflater.inflate(frame.payload, True)) if frame.compressed else frame.payload
            assert text == b"%d" % number * size
        assert link.queue.inline.sent == 2


def test_what_waits_for_the_writer_goes_first() -> None:
    with opened() as link:
        link.writer.send_pong(b"pong")
        link.queue.send(TEXT, b"behind")
        assert link.socket.sends == 0
        run(link)
        assert [frame.opcode for frame in link.read_all()] == [Opcode.PONG, TEXT]


def test_no_message_gets_into_one_in_fragments() -> None:
    with opened() as link:
        fragments = send_queue.FragmentsTurn(threading.get_ident())
        assert link.queue.begin_fragments(fragments)
        assert link.queue.send_fragment(fragments, TEXT, b"a")
        run(link)
        link.queue.send(TEXT, b"other")
        assert link.queue.send_fragment(fragments, 128, b"b")
        link.queue.end_fragments(fragments)
        run(link)
        assert [frame.payload for frame in link.read_all()] == [b"a", b"b", b"other"]


def open_writer(stream: Stream, encoder: Encoder) -> SendQueue:
    queue, pool = SendQueue(None), WriterPool()
    writer = Writer(queue, PendingPings(), pool, "syncws-1", {})
    queue.wake = pool.make_call(writer)
    writer.open(stream, encoder, lambda: None)
    return queue


class OtherStream(Stream):
    """As TLS within TLS is."""

    is_lendable = False


class OtherEncoder(Encoder):
    """As the one that is traced is."""


@pytest.mark.parametrize("what", ["plain", "another stream", "another encoder"])
def test_where_the_stream_or_the_encoder_forbids_it_nobody_sends_inline(what: str) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        stream = OtherStream(ours) if what == "another stream" else Stream(ours)
        encoder = OtherEncoder() if what == "another encoder" else Encoder()
        queue = open_writer(stream, encoder)
        assert (queue.inline.stream is not None) == (what == "plain")


def test_nothing_is_kept_of_a_message_that_was_sent() -> None:
    with opened() as link:
        link.queue.send(BINARY, bytes(10_000))
        link.read_all()
        last = link.queue.inline.last
        assert last.settled
        assert (last.frame, last.message[1]) == (b"", b"")


@pytest.mark.parametrize("taken", [0, 3])
def test_nothing_is_kept_of_a_message_that_the_writer_has_finished(taken: int) -> None:
    with opened(taken or BlockingIOError()) as link:
        link.queue.send(BINARY, b"hello")
        run(link)
        last = link.queue.inline.last
        assert last.settled
        assert (last.frame, last.message[1]) == (b"", b"")


def test_a_call_that_is_over_leaves_no_token() -> None:
    here = threading.get_ident()
    with opened(3) as link:
        for _ in range(3):
            link.queue.send(TEXT, b"hello")
            assert not [token for token in tokens if token.thread == here]
        run(link)


# What is refused.


def test_max_buffered_holds() -> None:
    with opened(max_buffered=100) as link:
        for _ in range(5):
            link.queue.send(TEXT, bytes(100))  # each has left before the next comes
        with pytest.raises(BufferFull):
            link.queue.send(TEXT, bytes(101))
        link.socket.script = [BlockingIOError()]
        link.queue.send(TEXT, bytes(60))
        assert link.queue.buffered == 60
        with pytest.raises(BufferFull):
            link.queue.send(TEXT, bytes(41))
        run(link)
        frames = link.read_all()
        assert [len(frame.payload) for frame in frames] == [100] * 5 + [60]
        check_counts(link, frames)


def test_after_a_close_nothing_is_sent() -> None:
    with opened() as link:
        link.queue.close(CloseFrame(1000))
        assert link.queue.send(TEXT, b"late") == REFUSED
        run(link)
        assert [frame.opcode for frame in link.read_all()] == [CLOSE]


def test_in_a_forked_child_nothing_is_sent() -> None:
    with opened() as link:
        link.queue.after_fork(bool)
        link.queue.send(TEXT, b"late")
        assert link.socket.sends == 0


# What the kernel does not take.


@pytest.mark.parametrize("taken", [0, 1, 5, 6, 10])
def test_what_the_kernel_does_not_take_is_the_writers_and_the_next_ones_wait(taken: int) -> None:
    script: list[int | BaseException | Callable[[], None]] = [taken or BlockingIOError()]
    with opened(*script) as link:
        link.queue.send(TEXT, b"hello")
        link.queue.send(TEXT, b"world")
        assert link.socket.sends == 1
        assert link.queue.buffered == 10
        assert link.pool.has_waiting
        run(link)
        frames = link.read_all()
        assert [frame.payload for frame in frames] == [b"hello", b"world"]
        check_counts(link, frames)


def test_where_the_peer_does_not_read_all_comes_in_order() -> None:
    with Link(WriterPool(), inline=True) as link:
        wait_until(lambda: link.queue.turn == IDLE)
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[operator]
        for number in range(200):
            link.queue.send(BINARY, number.to_bytes(2, "big") * 5000)
        assert link.queue.buffered > 0
        for number in range(200):
            assert link.read().payload == number.to_bytes(2, "big") * 5000
        wait_until(lambda: link.queue.buffered == 0)
        assert sent(link) == 200
        assert link.queue.inline.sent < 200


def test_an_error_of_the_socket_is_told_by_the_writer() -> None:
    errors = [OSError(errno.ECONNRESET, "reset"), OSError(errno.EPIPE, "pipe")]
    with opened(*errors) as link:
        assert link.queue.send(TEXT, b"hello") == TAKEN
        assert link.writer.error is None
        changes = link.changes
        run(link)
        assert link.writer.error is errors[1]
        assert link.changes > changes
        assert link.queue.turn == FINISHED
        assert (link.queue.unsent, sent(link)) == (5, 0)
        assert link.queue.send(TEXT, b"late") == REFUSED


# Several senders.


def test_three_senders_keep_their_order_and_frames_whole() -> None:
    count = 300

    def send(name: int) -> None:
        for number in range(count):
            link.queue.send(BINARY, bytes([name]) + number.to_bytes(2, "big") * 20)

    with Link(WriterPool(), inline=True) as link, switching_all_the_time():
        tasks = [Task(partial(send, name)) for name in range(3)]
        seen: list[list[bytes]] = [[], [], []]
        for _ in range(3 * count):
            payload = link.read().payload
            seen[payload[0]].append(payload[1:])
        for task in tasks:
            task.result()
        assert seen == [[number.to_bytes(2, "big") * 20 for number in range(count)]] * 3
        wait_until(lambda: link.queue.buffered == 0)
        assert sent(link) == 3 * count
        assert link.stream.handed == 3 * count * 47


# At each step of a send.

SCRIPTS: dict[str, list[int | BaseException | Callable[[], None]]] = {
    "all is taken": [],
    "a part is taken": [3],
    "nothing is taken": [BlockingIOError()],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@needs_points
def test_a_handler_that_raises_sends_the_message_once_or_not_at_all(
    script: list[int | BaseException | Callable[[], None]],
) -> None:
    for step in steps():
        with opened(*script) as link:
            with step.interrupted(*SENDING):
                link.queue.send(TEXT, b"hello")
            taken = link.queue.taken
            assert link.queue.buffered == 0 or link.pool.has_waiting, "nobody tells the writer"
            run(link)
            frames = link.read_all()
            assert [frame.payload for frame in frames] == [b"hello"] * (taken // 5)
            check_counts(link, frames)
            link.queue.send(TEXT, b"next")
            run(link)
            assert [frame.payload for frame in link.read_all()] == [b"next"]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@needs_points
def test_no_error_of_a_handler_is_taken_for_the_sockets(
    script: list[int | BaseException | Callable[[], None]],
) -> None:
    def fail() -> None:
        raise TimeoutError("mine")

    for step in steps():
        with opened(*script) as link:
            caught: list[Exception] = []
            try:
                with step.interrupted(*SENDING, by=fail):
                    link.queue.send(TEXT, b"hello")
            except TimeoutError as error:
                caught.append(error)
            assert len(caught) == step.met, step.number
            run(link)
            assert len(link.read_all()) == link.queue.taken // 5


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@needs_points
def test_while_a_handler_waits_the_writer_goes_on(
    script: list[int | BaseException | Callable[[], None]],
) -> None:
    def wait() -> None:
        buffered = link.queue.buffered
        give_back_tokens()
        assert not buffered or link.pool.has_waiting, "nobody tells the writer"
        run(link)
        assert link.queue.buffered == 0

    for step in steps():
        with opened(*script) as link:
            with step.interrupted(*SENDING, by=wait):
                link.queue.send(TEXT, b"hello")
            run(link)
            frames = link.read_all()
            assert [frame.payload for frame in frames] == [b"hello"]
            check_counts(link, frames)


@pytest.mark.parametrize("waits", [False, True], ids=["does not wait", "waits"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@needs_points
def test_a_handler_may_send_itself(
    script: list[int | BaseException | Callable[[], None]], waits: bool
) -> None:
    def send() -> None:
        first = link.queue.taken
        link.queue.send(TEXT, b"inner")
        order.append(b"outer" if first else b"inner")
        if waits:
            give_back_tokens()
            run(link)
            assert link.queue.buffered == 0

    for step in steps():
        order: list[bytes] = []
        with opened(*script) as link:
            with step.interrupted(*SENDING, by=send):
                link.queue.send(TEXT, b"outer")
            run(link)
            frames = link.read_all()
            check_counts(link, frames)
            payloads = [frame.payload for frame in frames]
            if step.met:
                assert sorted(payloads) == [b"inner", b"outer"]
                assert payloads[0] == order[0]
            else:
                assert payloads == [b"outer"]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_writer_comes_at_each_step(
    script: list[int | BaseException | Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ping() -> None:
        link.writer.send_pong(b"x")
        run(link)

    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)  # at each instruction threads may change
    for step in instructions(number=list(SCRIPTS.values()).index(script)):
        with opened(*script) as link:
            with step.meanwhile(ping, *SENDING):
                link.queue.send(TEXT, b"hello")
            run(link)
            frames = link.read_all()
            assert [frame.payload for frame in frames if frame.opcode == TEXT] == [b"hello"]
            check_counts(link, frames)


def test_a_sender_that_has_kept_a_writer_away_calls_it_again() -> None:
    def send_behind() -> None:
        link.queue.send(TEXT, b"second")
        while link.pool.has_waiting:
            link.pool._jobs.get()
            link.writer.run()
        assert link.queue.turn == SCHEDULED

    with opened(send_behind) as link:
        link.queue.send(TEXT, b"first")
        assert link.pool.has_waiting
        run(link)
        assert [frame.payload for frame in link.read_all()] == [b"first", b"second"]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_another_sender_comes_at_each_step(
    script: list[int | BaseException | Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)
    for step in instructions(number=list(SCRIPTS.values()).index(script)):
        with opened(*script) as link:
            with step.meanwhile(partial(link.queue.send, TEXT, b"world"), *SENDING):
                link.queue.send(TEXT, b"hello")
            run(link)
            frames = link.read_all()
            assert sorted(frame.payload for frame in frames) == [b"hello", *[b"world"] * step.met]
            check_counts(link, frames)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_close_at_each_step_goes_behind_the_message_or_refuses_it(
    script: list[int | BaseException | Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def close() -> None:
        link.queue.close(CloseFrame(1000))

    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)
    for step in instructions(number=list(SCRIPTS.values()).index(script)):
        with opened(*script) as link:
            answers: list[int] = []
            with step.meanwhile(close, *SENDING):
                answers.append(link.queue.send(TEXT, b"hello"))
            run(link)
            kinds = [frame.opcode for frame in link.read_all()]
            assert kinds == [TEXT] * (answers == [TAKEN]) + [CLOSE] * step.met


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_stop_at_each_step_counts_what_has_left(
    script: list[int | BaseException | Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)
    for step in instructions(number=list(SCRIPTS.values()).index(script)):
        with opened(*script) as link:
            with step.meanwhile(link.writer.stop, *SENDING):
                link.queue.send(TEXT, b"hello")
            link.writer.stop()
            link.stream.shutdown()
            wire = link.peer.recv(100)
            whole = len(wire) == 11
            assert len(wire) in (0, 3, 11)
            assert (sent(link), link.queue.sent) == (whole, 5 * whole)
            assert link.queue.unsent == link.queue.taken - 5 * whole
            assert link.stream.handed in (11 * whole, len(wire))
            assert link.queue.turn == FINISHED


def test_what_has_left_is_counted_though_the_writer_is_stopped_before_it_counts() -> None:
    left = 0
    for step in steps():
        with opened() as link:
            with step.interrupted(*SENDING, by=give_back_tokens):
                link.queue.send(TEXT, b"hello")
            last = link.queue.inline.last
            if last.settled or last.sent != last.whole:
                continue
            left += 1
            assert link.queue.take_turn()
            stop = Task(link.writer.stop)
            wait_until(lambda link=link: link.queue.turn == STOPPING)  # type: ignore[misc]
            link.queue.end_inline(link.stream)  # the writer may be counting
            early = sent(link)
            link.queue.finish()
            link.queue.waiters.notify()
            stop.result()
            assert (early, sent(link), link.queue.unsent, link.stream.handed) == (0, 1, 0, 11)
    assert left


def test_once_the_end_has_begun_no_sender_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        wait_until(lambda: link.queue.end_inline(link.stream))
        sends.append(link.socket.sends)

    monkeypatch.setattr(inline_send, "LOOKS_IN_ORDER", False)
    for step in instructions():
        sends: list[int] = []
        with opened() as link:
            with step.meanwhile(end, *SENDING):
                link.queue.send(TEXT, b"hello")
            assert not step.met or sends == [link.socket.sends]
            run(link)
            assert [frame.payload for frame in link.read_all()] == [b"hello"]
            assert sent(link) == 1


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@needs_points
def test_a_stop_that_a_handler_waits_for_counts_what_has_left(
    script: list[int | BaseException | Callable[[], None]],
) -> None:
    def stop() -> None:
        give_back_tokens()
        link.writer.stop()
        check()

    def check() -> None:
        link.stream.shutdown()
        whole = len(link.peer.recv(100)) == 11
        counted.append((sent(link), link.queue.sent) == (whole, 5 * whole))

    for step in steps():
        counted: list[bool] = []
        with opened(*script) as link:
            with step.interrupted(*SENDING, by=stop):
                link.queue.send(TEXT, b"hello")
            if step.met:
                assert counted == [True], step.number
                assert link.queue.sent in (0, 5)


@needs_points
def test_no_token_is_left_behind() -> None:
    here = threading.get_ident()
    for step in steps():
        with opened() as link:
            with step.interrupted(*SENDING):
                link.queue.send(TEXT, b"hello")
            assert not [token for token in tokens if token.thread == here and token.held]
            give_back_tokens()
            assert not [token for token in tokens if token.thread == here]
            run(link)
