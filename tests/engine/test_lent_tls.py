"""Reading by lease and sending inline over TLS: only where no signal handler runs."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from syncws import WebSocketError
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.consumer.stream_calls import InboxEnded
from syncws._engine.engine import Engine
from syncws._engine.primitives import is_own_thread
from syncws._engine.reading import read_lease
from syncws._engine.writing import inline_send
from syncws._engine.writing.writer_turn import IDLE
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._transport.stream import Stream
from syncws.testing import LoopbackServer, Peer
from syncws.testing.wire import frame_bytes
from tests.support.engines import end, make_engine
from tests.support.interleaving import instructions
from tests.support.lent_link import LentLink
from tests.support.links import Link
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY


def elsewhere(call: Callable[[], object]) -> None:
    """Run it in a thread that runs no signal handlers."""
    Task(call).result()


# The lease by itself, over a stream whose reads the test decides.


class SealedStream(Stream):
    """A stream that seems to be TLS.

    Attributes:
        brings: what the next reads bring, or raise.
        own: whether the reading thread was kept from waiting.
    """

    is_tls = True
    is_over = False

    def __init__(self, sock: socket.socket, *brings: bytes | BaseException | None) -> None:
        super().__init__(sock)
        self.brings = list(brings)
        self.own: list[bool] = []
        self.output_pending = False

    def recv(self, size: int) -> bytes | None:
        self.own.append(is_own_thread())
        self.socket.recv(size)
        what = self.brings.pop(0)
        if isinstance(what, BaseException):
            raise what
        self.received += 100
        return what


@pytest.fixture
def link() -> Iterator[LentLink[Inbox]]:
    """A turn that is lent; the wire only says that there is something to read."""
    with LentLink(Inbox((None, None)), b"x") as made:
        yield made


def lend(link: LentLink[Inbox], *brings: bytes | BaseException | None) -> SealedStream:
    stream = link.stream = SealedStream(link.stream.socket, *brings)
    link.lease.open(stream, 65_535, None)
    return stream


def test_where_signal_handlers_run_nobody_reads(link: LentLink[Inbox]) -> None:
    stream = lend(link)
    assert not link.read()
    assert not stream.own
    assert not link.lease.wanted


def test_what_is_decrypted_is_the_consumers_and_the_stream_counts_for_itself(link: LentLink[Inbox]) -> None:
    stream = lend(
        link, frame_bytes(TEXT, b"one") + frame_bytes(TEXT, b"two")[:2], frame_bytes(TEXT, b"two")[2:]
    )

    def read() -> None:
        assert link.read()
        assert link.messages == ["one"]
        link.serve(b"x")
        assert link.read()
        assert link.messages == ["one", "two"]

    elsewhere(read)
    assert stream.own == [True, True], "a finalizer in this call could wait for itself"
    assert stream.received == 200
    link.take()
    assert link.lease.take_chunks() == b""
    assert stream.received == 200


def test_half_a_record_is_nothing_yet(link: LentLink[Inbox]) -> None:
    lend(link, None)
    elsewhere(link.read)
    assert not link.lease.input.needs_reader
    link.take()


def test_what_tls_has_to_say_meanwhile_is_the_writers_to_send(link: LentLink[Inbox]) -> None:
    stream = lend(link, None)
    stream.output_pending = True
    called: list[None] = []
    link.queue.wake = lambda: called.append(None)
    link.queue.open()
    before = len(called)
    elsewhere(link.read)
    assert link.queue.take_turn(), "a writer is to look"
    assert len(called) >= before


@pytest.mark.parametrize("error", [ssl.SSLError(1, "broken"), MemoryError("none left")], ids=repr)
def test_an_error_is_the_readers_to_tell(link: LentLink[Inbox], error: BaseException) -> None:
    lend(link, error)
    raised = Task(link.read).wait()
    assert (raised is error) == isinstance(error, MemoryError)
    assert link.lease.input.error is error
    assert link.lease.input.needs_reader
    assert link.wakes


def test_an_end_behind_messages_is_the_readers_to_find(link: LentLink[Inbox]) -> None:
    stream = lend(link, frame_bytes(TEXT, b"one"))
    stream.is_over = True
    elsewhere(link.read)
    assert link.messages == ["one"]
    assert link.lease.input.needs_reader
    assert link.wakes


def test_once_the_reader_has_the_turn_nothing_is_decrypted() -> None:
    def take() -> None:
        link.take()
        reads.append(len(stream.own))

    def read() -> None:
        with step.meanwhile(take, read_lease):
            link.read()

    for step in instructions():
        reads: list[int] = []
        with LentLink(Inbox((None, None)), b"x") as link:
            stream = lend(link, frame_bytes(TEXT, b"one"))
            elsewhere(read)
            assert not step.met or reads == [len(stream.own)], step.number


def test_once_the_end_has_begun_nothing_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        wait_until(lambda: link.queue.end_inline(stream))
        sends.append(link.socket.sends)

    def send() -> None:
        with step.meanwhile(end, inline_send):
            link.queue.send(TEXT, b"hello")

    monkeypatch.setattr(inline_send, "APART_SECONDS", -1.0)  # no message is part of a burst
    for step in instructions():
        sends: list[int] = []
        with Link(None, inline=True) as link:
            link.writer.run()
            stream = link.queue.inline.stream = SealedStream(link.stream.socket)
            elsewhere(send)
            assert not step.met or sends == [link.socket.sends], step.number


# Over real TLS.


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(tls=True) as made:
        yield made


def echo(engine: Engine, taken: Inbox, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        message = bytes([number % 256]) * size
        engine.queue.send(BINARY, message)
        assert taken.receive(SECONDS) == message


def test_elsewhere_callers_read_and_send_themselves(server: LoopbackServer) -> None:
    engine, taken = make_engine(server.url, ssl_context=server.ssl_context)
    sizes = [1, 125, 126, 16_370, 16_371, 70_000, 5] * 30
    elsewhere(partial(echo, engine, taken, sizes))
    assert engine._lease.input.messages_received > 20
    assert engine.queue.inline.sent > 20
    assert engine.wait_flushed(SECONDS)  # An answer may be here before its message counts as sent.
    stats = engine.stats
    assert stats.bytes_received == stats.bytes_sent == sum(sizes)
    assert (stats.messages_received, stats.messages_sent) == (len(sizes), len(sizes))
    end(engine)


def test_where_signal_handlers_run_the_threads_do_it(server: LoopbackServer) -> None:
    engine, taken = make_engine(server.url, ssl_context=server.ssl_context)
    echo(engine, taken, [1, 1000] * 20)
    assert engine._lease.input.messages_received == engine.queue.inline.sent == 0
    end(engine)


def test_what_the_kernel_does_not_take_at_once_follows_in_order() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert go_on.wait(SECONDS)
        came.extend(peer)

    go_on = threading.Event()
    came: list[str | bytes] = []
    sent: list[bytes] = []
    with LoopbackServer(script, tls=True) as server:
        engine, _ = make_engine(server.url, ssl_context=server.ssl_context)

        def fill() -> None:
            while engine.queue.buffered < 200_000:
                sent.append(b"%d" % (len(sent) % 10) * 16_000)
                engine.queue.send(BINARY, sent[-1])

        wait_until(lambda: engine.queue.turn == IDLE)  # the first message is its sender's then
        elsewhere(fill)
        go_on.set()
        assert engine.queue.inline.sent
        engine.close(CloseFrame(1000))
        assert engine.wait_closed(SECONDS)
        assert came == sent
        assert engine.queue.sent == sum(map(len, sent))
        end(engine)


def test_many_threads_send_and_receive_at_once(server: LoopbackServer) -> None:
    engine, taken = make_engine(server.url, ssl_context=server.ssl_context)
    came: list[object] = []

    def receive() -> None:
        try:
            while True:
                came.append(taken.receive(SECONDS))
        except InboxEnded:
            pass

    def send(sender: int) -> None:
        for number in range(300):
            engine.queue.send(TEXT, b"%d %d" % (sender, number))
            if number % 5 == 0:
                engine.wait_flushed(SECONDS)

    with switching_all_the_time():
        receiving = [Task(receive) for _ in range(2)]
        for task in [Task(partial(send, sender)) for sender in range(3)]:
            task.result()
        engine.close(CloseFrame(1000))
        assert engine.wait_closed(SECONDS)
        for taking in receiving:
            taking.result()
    assert engine.closed_error().wasClean
    expected = {f"{sender} {number}" for sender in range(3) for number in range(300)}
    assert len(came) == len(set(came))
    assert set(came) <= expected
    end(engine)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_another_thread_ends_the_connection_while_one_reads(server: LoopbackServer, how: str) -> None:
    for _ in range(10):
        engine, taken = make_engine(server.url, ssl_context=server.ssl_context)
        elsewhere(partial(echo, engine, taken, [1] * 5))
        waiting = Task(partial(taken.receive, None))
        if how == "close":
            engine.close(CloseFrame(1000))
        else:
            engine.abort(WebSocketError("enough"))
        assert isinstance(waiting.wait(AT_ONCE), InboxEnded)
        assert engine.wait_closed(SECONDS)
        assert engine.closed_error().wasClean == (how == "close")
        end(engine)
