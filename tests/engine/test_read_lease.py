"""`syncws._engine.read_lease`: a consumer reads in the reader's place, and no byte is lost or doubled."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from syncws import ConnectionClosed, connect
from syncws._engine import inbox as inbox_module
from syncws._engine import read_lease
from syncws._engine.event_queue import EventQueue
from syncws._engine.inbox import Inbox
from syncws._engine.read_lease import LEASE_SECONDS, ReadLease, is_incomplete
from syncws._engine.send_queue import SendQueue
from syncws._protocol.frames import Opcode
from syncws._transport.stream import Stream
from syncws.testing import LoopbackServer, Peer
from tests.support.interleaving import needs_points, steps
from tests.support.model_peer import server_frame
from tests.support.waiting import SECONDS, wait_until

LIMIT = 65535
TEXT, PING = Opcode.TEXT, Opcode.PING

lends = pytest.mark.skipif(not read_lease.ALLOWED, reason="SYNCWS_LEASE=0, or PyPy")


class Lent:
    """A lease on one end of a socket pair, and who takes by it."""

    def __init__(self, consumer: Inbox | EventQueue | None = None) -> None:
        self.consumer = consumer or Inbox((None, None))
        self.lease = ReadLease(SendQueue(None), self.consumer.leaf)
        ours, self.server = socket.socketpair()
        ours.setblocking(False)
        self.stream = Stream(ours)
        self.wakes = 0
        self.soon = 0
        self.lease.wake = partial(self._count, "wakes")
        self.lease.wake_soon = partial(self._count, "soon")
        self.consumer.lease = self.lease
        self.lease.open(self.stream, LIMIT)
        self.lease.release(b"", False)

    def _count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)

    def send(self, *frames: bytes) -> None:
        self.server.sendall(b"".join(frames))

    def read(self, seconds: float = LEASE_SECONDS) -> bool:
        return self.lease.read(self.consumer, seconds)

    @property
    def messages(self) -> list[object]:
        assert isinstance(self.consumer, Inbox)
        return list(self.consumer.messages)


@contextmanager
def lent(consumer: Inbox | EventQueue | None = None) -> Iterator[Lent]:
    it = Lent(consumer)
    try:
        yield it
    finally:
        it.stream.close()
        it.server.close()


def text(data: str) -> bytes:
    return server_frame(TEXT, data.encode())


def test_what_arrives_becomes_messages_of_the_consumer() -> None:
    with lent() as it:
        it.send(text("a"), server_frame(Opcode.BINARY, b"b"), text("c" * 200))
        assert it.read()
        assert it.messages == ["a", b"b", "c" * 200]
        assert (it.lease.messages_received, it.lease.bytes_received) == (3, 202)
        assert it.stream.received == 2 + 1 + 2 + 1 + 4 + 200
        assert not it.lease.needs_reader
        assert (it.wakes, it.soon) == (0, 0)


def test_the_worker_takes_a_batch_by_it() -> None:
    queue = EventQueue((None, None))
    with lent(queue) as it:
        it.send(text("a"), text("b"))
        assert queue.take() == [["a", "b"]]
        assert it.lease.messages_received == 2


def test_a_lease_in_vain_gives_the_turn_back_and_wakes_the_reader_that_only_looks() -> None:
    with lent() as it:
        assert not it.read()
        assert it.wakes == 0  # it waits for the socket itself
        it.lease.reader_looks = True
        assert not it.read()
        assert it.wakes == 1
        assert not it.lease.is_used()
        assert it.lease.take()


def test_while_the_reader_has_the_turn_none_is_lent_and_it_learns_that_one_was_wanted() -> None:
    with lent() as it:
        assert it.lease.take()
        it.send(text("a"))
        assert not it.read()
        assert it.lease.wanted
        assert it.messages == []


FOR_THE_READER = {
    "ping": server_frame(PING, b"x"),
    "pong": server_frame(Opcode.PONG, b""),
    "close": server_frame(Opcode.CLOSE, b"\x03\xe8"),
    "first fragment": bytes([TEXT, 1]) + b"x",
    "compressed": bytes([0xC1, 1]) + b"x",
    "64 KiB": server_frame(Opcode.BINARY, bytes(65536)),
    "not UTF-8": server_frame(TEXT, b"\xff"),
    "masked": bytes([0x81, 0x81]) + b"keysx",
    "length not minimal": bytes([0x81, 126, 0, 1]) + b"x",
    "reserved opcode": bytes([0x83, 0]),
}


@pytest.mark.parametrize("frame", FOR_THE_READER.values(), ids=FOR_THE_READER)
@pytest.mark.parametrize("before", ["", "a"])
def test_what_is_no_plain_frame_is_left_to_the_reader_which_is_woken(before: str, frame: bytes) -> None:
    with lent() as it:
        it.send(*[text(before)] * bool(before), frame)
        assert it.read() == bool(before)
        assert it.messages == [before] * bool(before)
        assert it.lease.needs_reader
        assert it.wakes == 1
        assert not it.read()  # nobody reads behind it
        assert it.lease.take()
        assert frame.startswith(it.lease.take_chunks())
        assert not it.lease.needs_reader


def test_the_end_of_tcp_is_left_to_the_reader() -> None:
    with lent() as it:
        it.server.close()
        assert not it.read()
        assert it.lease.needs_reader
        assert it.wakes == 1
        assert it.lease.take()
        assert it.lease.take_chunks() == b""
        assert it.stream.recv(10) == b""


def test_an_error_of_the_socket_is_kept_for_the_reader() -> None:
    with lent() as it:
        it.send(text("a"))
        it.server.close()
        it.stream.socket.shutdown(socket.SHUT_RD)
        it.stream.socket.close()
        assert not it.read()
        assert it.lease.take()


def test_a_message_in_any_two_pieces_is_whole() -> None:
    frame = text("ab" * 100)
    for middle in range(1, len(frame)):
        with lent() as it:
            it.send(text("x"), frame[:middle])
            assert it.read()
            assert it.messages == ["x"]
            it.send(frame[middle:])
            assert it.read()
            assert it.messages == ["x", "ab" * 100]
            assert it.lease.chunks == []


def test_the_reader_finds_the_beginning_that_a_consumer_has_left() -> None:
    with lent() as it:
        it.send(text("hello")[:4])
        assert it.read()
        assert it.lease.unfed
        assert it.wakes == 1  # it does not wait for the rest to hear of it
        assert it.lease.take()
        assert it.lease.take_chunks() == text("hello")[:4]


def test_a_consumer_goes_on_with_the_beginning_that_the_reader_has_given_back() -> None:
    with lent() as it:
        assert it.lease.take()
        it.lease.release(text("hello")[:4], True)
        it.send(text("hello")[4:])
        assert it.read()
        assert it.messages == ["hello"]


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535])
def test_the_beginning_of_a_plain_frame_is_told_from_all_else(length: int) -> None:
    frame = server_frame(TEXT, bytes(length))
    for size in (*range(1, min(len(frame), 10)), len(frame) - 1):
        assert is_incomplete(frame[:size], LIMIT) == (size < len(frame))
    assert not is_incomplete(frame, LIMIT)
    assert not is_incomplete(server_frame(TEXT, bytes(65536)), LIMIT)


# Handlers, and the reader, at any step.


@needs_points
@lends
def test_a_handler_that_raises_at_any_step_loses_and_doubles_nothing() -> None:
    for step in steps(5):
        with lent() as it:
            it.send(text("a"), text("b"), text("long")[:3])
            with step.interrupted(inbox_module, read_lease):
                it.read()
            assert it.lease.take()
            left = it.lease.take_chunks()
            got = "".join(map(str, it.messages))
            rest = it.stream.recv(100) or b""
            assert (got, left + rest) in [
                ("", text("a") + text("b") + text("long")[:3]),
                ("ab", text("long")[:3]),
            ]
            if left and not got:
                assert it.wakes or it.soon, "the reader is not woken for what it is to look at"


@needs_points
@lends
def test_a_handler_that_waits_at_any_step_is_served_by_the_reader() -> None:
    def wait(it: Lent) -> None:
        it.consumer.waiters.wait_until(lambda: False, 0.001)  # type: ignore[union-attr]
        served.append(it.lease.take())
        if it.lease.chunks:
            left.append(it.lease.take_chunks())
        it.lease.release(b"", False)

    for step in steps(5):
        served: list[bool] = []
        left: list[bytes] = []
        with lent() as it:
            it.send(text("a"))
            with step.interrupted(inbox_module, read_lease, by=partial(wait, it)):
                it.read()
            assert served == [True] * step.met
            if not it.messages and not left:
                assert it.read()
            assert len(it.messages) + len(left) == 1


@lends
def test_the_reader_takes_the_turn_at_any_step_without_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    # With the interpreter's lock no thread changes between the look at the token and the note of the call.
    monkeypatch.setattr(read_lease, "LOOKS_IN_ORDER", False)

    def take(it: Lent) -> None:
        if it.lease.take():
            left.append(it.lease.take_chunks())

    for step in steps(5):
        left: list[bytes] = []
        with lent() as it:
            it.send(text("a"))
            with step.meanwhile(partial(take, it), inbox_module, read_lease):
                it.read()
            wait_until(lambda it=it: not it.lease._token.reading)  # type: ignore[misc]
            rest = b"".join(left) + it.lease.take_chunks()
            assert it.lease.take()
            unread = it.stream.recv(100) or b""
            assert [str(message) for message in it.messages] == ["a"] * (not rest + unread)
            assert rest + unread in (b"", text("a"))


# Whole connections.


def both(script: Callable[[Peer], None], use: Callable[[str], None]) -> None:
    with LoopbackServer(script) as server:
        use(server.url)


@lends
def test_a_round_trip_is_read_by_the_thread_that_waits() -> None:
    def use(url: str) -> None:
        with connect(url, compression=None) as connection:
            for number in range(200):
                connection.send(str(number))
                assert connection.recv(SECONDS) == str(number)
            assert connection._engine._lease.messages_received > 0
            stats = connection.stats
            assert (stats.messages_received, stats.bytes_received) == (200, 490)

    def script(peer: Peer) -> None:
        peer.accept()
        for message in peer:
            peer.send(message)

    both(script, use)


@lends
def test_two_threads_in_recv_share_what_one_of_them_reads() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(2000):
            peer.send(str(number))
        peer.close()

    def use(url: str) -> None:
        got: list[object] = []

        def take() -> None:
            with pytest.raises(ConnectionClosed):
                while True:
                    got.append(connection.recv(SECONDS))

        with connect(url, compression=None) as connection:
            threads = [threading.Thread(target=take) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS)
        assert sorted(map(int, map(str, got))) == list(range(2000))

    both(script, use)


@lends
@pytest.mark.parametrize("end", ["close", "abort"])
def test_another_thread_ends_the_connection_while_one_reads(end: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for message in peer:
            peer.send(message)

    def use(url: str) -> None:
        with connect(url, compression=None) as connection:
            connection.send("x")
            assert connection.recv(SECONDS) == "x"
            ending = threading.Timer(0.002, getattr(connection, end))
            ending.start()
            with pytest.raises(ConnectionClosed):
                connection.recv(SECONDS)
            ending.join(SECONDS)

    for _ in range(20):
        both(script, use)


def test_a_server_that_mixes_pings_into_a_flood_gets_its_pongs_and_loses_nothing() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(500):
            peer.send_bytes(text(str(number)) + server_frame(PING, str(number).encode()))
            if number % 7 == 0:
                assert peer.recv() == "go on"
        peer.close()

    def use(url: str) -> None:
        with connect(url, compression=None) as connection:
            for number in range(500):
                assert connection.recv(SECONDS) == str(number)
                if number % 7 == 0:
                    connection.send("go on")

    both(script, use)


@pytest.mark.parametrize(("name", "module"), [("LEASE", "read_lease"), ("INLINE", "inline_send")])
def test_the_environment_turns_it_off(name: str, module: str) -> None:
    program = f"from syncws._engine import {module}; print({module}.is_allowed())"
    for value, allowed in (("0", "False"), ("1", str(sys.implementation.name == "cpython"))):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"SYNCWS_" + name: value, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == allowed
