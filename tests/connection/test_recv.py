"""`recv()` and iteration: nothing is lost by a time-out, and every end is told, at once and every time."""

from __future__ import annotations

import collections
import contextlib
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

import syncws
from syncws import Connection, ConnectionClosed, ConnectionLost, ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import closed_by, opened
from tests.support.servers import finish, hold
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_for, wait_until


def test_recv_returns_text_as_str_and_binary_as_bytes() -> None:
    with opened() as connection:
        for data in ("", "text ä€😀", b"", b"\0\xff", "x" * 70_000, b"y" * 70_000):
            connection.send(data)
            received = connection.recv(SECONDS)
            assert (type(received), received) == (type(data), data)


def test_large_compressed_messages_between_small_ones_in_one_read_are_received_whole() -> None:
    def compressed(size: int) -> bytes:
        stream = zlib.compressobj(wbits=-15)
        payload = (stream.compress(bytes(size)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return frame_bytes(Opcode.BINARY, payload, rsv=4)

    def script(peer: Peer) -> None:
        small = frame_bytes(Opcode.TEXT, b"small")
        peer.accept(
            headers=[("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")],
            glued=small + compressed(300_000) + small + compressed(600_000) + small,
        )
        finish(peer)

    with LoopbackServer(script) as server, syncws.connect(server.url) as connection:
        for expected in ("small", bytes(300_000), "small", bytes(600_000), "small"):
            assert connection.recv(SECONDS) == expected


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01, -1])
def test_recv_that_times_out_loses_nothing(timeout: float) -> None:
    with opened() as connection:
        for number in range(3):
            with pytest.raises(TimeoutError):
                connection.recv(timeout)
            connection.send(str(number))
            assert connection.recv(SECONDS) == str(number)


def test_recv_with_no_time_at_all_returns_what_is_there() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=frame_bytes(Opcode.TEXT, b"1") + frame_bytes(Opcode.TEXT, b"2"))
        finish(peer)

    with opened(script) as connection:
        assert connection.recv(SECONDS) == "1"
        assert connection.recv(0) == "2"


@pytest.mark.parametrize("fragmented", [False, True])
def test_recv_that_times_out_inside_a_message_loses_none_of_it(fragmented: bool) -> None:
    text = "0123456789€" * 1000
    data = text.encode()
    if fragmented:
        wire = frame_bytes(Opcode.TEXT, data[:5000], fin=False) + frame_bytes(0, data[5000:])
    else:
        wire = frame_bytes(Opcode.TEXT, data)
    step = len(wire) // 5 + 1

    def script(peer: Peer) -> None:
        peer.accept()
        for start in range(0, len(wire), step):
            peer.send_bytes(wire[start : start + step])
            wait_for(timed_out)
            timed_out.clear()
        peer.send("next")
        finish(peer)

    timed_out = threading.Event()
    with opened(script) as connection:
        for _ in range(4):
            with pytest.raises(TimeoutError):
                connection.recv(0.02)
            timed_out.set()
            wait_until(lambda: not timed_out.is_set())
        assert connection.recv(SECONDS) == text
        timed_out.set()
        assert connection.recv(SECONDS) == "next"


# The ends of a connection: what the server does once it has sent two messages, what the client does then, its
# options, and the expected code, reason, wasClean and class of the cause.
End = tuple[int, str, bool, type[BaseException] | None]
Act = Callable[[Connection], object]


def server_closes(code: int | None, reason: str = "") -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.send_close(code, reason)
        finish(peer)

    return script


def breaks_protocol(peer: Peer) -> None:
    peer.send_frame(Opcode.TEXT, b"\xff")
    finish(peer)


def leave(connection: Connection) -> None:
    """The server, or the clock, ends it."""


DEATHS: dict[str, tuple[Callable[[Peer], object], Act, dict[str, Any], End]] = {
    "closed with 1000": (server_closes(1000), leave, {}, (1000, "", True, None)),
    "closed with a code and a reason": (server_closes(4321, "why"), leave, {}, (4321, "why", True, None)),
    "closed without a code": (server_closes(None), leave, {}, (1005, "", True, None)),
    "TCP ended": (lambda peer: None, leave, {}, (1006, "", False, ConnectionLost)),
    "TCP reset": (lambda peer: peer.reset(), leave, {}, (1006, "", False, ConnectionLost)),
    "the protocol broken": (breaks_protocol, leave, {}, (1006, "", False, ProtocolError)),
    "silence after a ping": (
        hold,
        leave,
        {"ping_interval": 0.1, "ping_timeout": 0.1, "close_timeout": 0.1},
        (1006, "", False, TimeoutError),
    ),
    "close() called": (
        finish,
        lambda connection: connection.close(3000, "mine"),
        {},
        (3000, "mine", True, None),
    ),
    "close() not answered": (
        hold,
        lambda connection: connection.close(),
        {"close_timeout": 0.1},
        (1006, "", False, TimeoutError),
    ),
}


@pytest.mark.parametrize("death", DEATHS)
def test_recv_raises_connection_closed_after_the_last_message_at_once_and_every_time(death: str) -> None:
    ends, act, options, (code, reason, clean, cause) = DEATHS[death]

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("1")
        peer.send(b"2")
        wait_for(received)
        if code == 3000:
            assert peer.recv_frame().payload == b"\x0b\xb8mine"
            peer.send_close(3000, "mine")
        else:
            ends(peer)

    received = threading.Event()
    with opened(script, **options) as connection:

        def receive() -> str | bytes:
            assert [connection.recv(), connection.recv()] == ["1", b"2"]
            received.set()
            return connection.recv()

        waiting = Task(receive)
        wait_for(received)
        act(connection)
        assert waiting.closed().code == code  # a recv that was waiting already is freed, too
        end = closed_by(connection)
        assert (end.code, end.reason, end.wasClean) == (code, reason, clean)
        assert end.__cause__ is None if cause is None else isinstance(end.__cause__, cause)
        for call in (lambda: connection.send("late"), connection.ping, lambda: connection.send(["late"])):
            with pytest.raises(ConnectionClosed) as closed:
                call()
            assert (closed.value.code, closed.value.__cause__) == (code, end.__cause__)


@pytest.mark.parametrize("death", ["closed with 1000", "TCP ended", "the protocol broken", "close() called"])
def test_messages_that_came_before_the_end_are_received_after_it(death: str) -> None:
    ends, act, options, (code, *_) = DEATHS[death]

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(100):
            peer.send(str(number))
        peer.ping(b"that was all")
        while peer.recv_frame().payload != b"that was all":
            pass
        sent.set()
        if code == 3000:
            wait_for(closing)
            peer.send_close(3000)
        ends(peer)

    sent, closing = threading.Event(), threading.Event()
    with opened(script, **options) as connection:
        wait_for(sent)
        closing.set()
        act(connection)
        wait_until(lambda: connection.readyState == connection.CLOSED)
        assert [connection.recv(0) for _ in range(100)] == [str(number) for number in range(100)]
        assert closed_by(connection).code == code


def test_close_from_another_thread_frees_every_thread_in_recv() -> None:
    with opened() as connection:
        tasks = [Task(connection.recv) for _ in range(4)]
        timed = Task(lambda: connection.recv(SECONDS * 10))
        connection.send("for one of them")
        wait_until(lambda: sum(task.running for task in [*tasks, timed]) == 4)
        connection.close()
        errors = [task.wait() for task in [*tasks, timed]]
        assert sum(isinstance(error, ConnectionClosed) for error in errors) == 4
        assert errors.count(None) == 1


@pytest.mark.parametrize("threads", [2, 7])
@pytest.mark.parametrize("timeout", [None, SECONDS])
def test_several_threads_in_recv_each_get_whole_messages_none_lost_or_doubled(
    threads: int, timeout: float | None
) -> None:
    count = 3000

    def message(number: int) -> bytes:
        return b"%d " % number + bytes([number % 251]) * (number * 7 % 300)

    def script(peer: Peer) -> None:
        peer.accept()
        for first in range(0, count, 50):
            batch = []
            for number in range(first, first + 50):
                data = message(number)
                if number % 10 == 0:  # some in fragments, so that parts are joined under way
                    batch.append(frame_bytes(Opcode.BINARY, data[:2], fin=False))
                    batch.append(frame_bytes(0, data[2:]))
                else:
                    batch.append(frame_bytes(Opcode.BINARY, data))
            wire = b"".join(batch)
            peer.send_bytes(wire[: len(wire) // 2])
            peer.send_bytes(wire[len(wire) // 2 :])
        peer.send_close(1000)
        finish(peer)

    def receive() -> list[str | bytes]:
        messages = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                messages.append(connection.recv(timeout))
        return messages

    with switching_all_the_time(), opened(script) as connection:
        tasks = [Task(receive) for _ in range(threads)]
        each = [task.result() for task in tasks]
    got = collections.Counter(data for messages in each for data in messages)
    assert got == collections.Counter(message(number) for number in range(count))
    for messages in each:  # each thread sees them in the order of arrival
        numbers = [int(bytes(data).split()[0]) for data in messages if isinstance(data, bytes)]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_iteration_ends_quietly_on_1000_1001_and_1005(code: int | None) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("a")
        peer.send("b")
        peer.send_close(code)
        finish(peer)

    with opened(script) as connection:
        assert list(connection) == ["a", "b"]
        assert list(connection) == []
        assert closed_by(connection).code == (code or 1005)


@pytest.mark.parametrize("code", [1002, 1003, 1008, 1011, 1012, 3000, 4999, 1006])
def test_iteration_raises_on_any_other_end(code: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("a")
        if code != 1006:
            peer.send_close(code, "why")
            finish(peer)

    received: list[str | bytes] = []
    with opened(script) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            received.extend(connection)
        assert received == ["a"]
        assert closed.value.code == code


def test_iteration_can_be_left_and_taken_up_again() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(4):
            peer.send(str(number))
        peer.send_close()
        finish(peer)

    with opened(script) as connection:
        for message in connection:
            if message == "1":
                break
        assert connection.recv(SECONDS) == "2"
        assert list(connection) == ["3"]


def test_one_thread_sends_while_another_receives() -> None:
    with opened() as connection:

        def receive() -> list[str | bytes]:
            return [connection.recv() for _ in range(2000)]

        receiving = Task(receive)
        for number in range(2000):
            connection.send(str(number))
        assert receiving.result() == [str(number) for number in range(2000)]


def test_recv_goes_on_where_reading_was_paused_by_max_queue() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(200):
            peer.send(f"{number} {'x' * 5000}")
        peer.send_close()
        finish(peer)

    for limit in (1, (1, 1), (None, 3), None):
        with opened(script, max_queue=limit, compression=None) as connection:
            assert [str(data).split()[0] for data in connection] == [str(number) for number in range(200)]


def test_a_connection_that_was_dropped_with_messages_unread_closes_all_the_same() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            peer.send(bytes(2**16))

    with LoopbackServer(script) as server:
        with syncws.connect(server.url, close_timeout=0.3) as connection:
            assert connection.recv(SECONDS) == bytes(2**16)
        assert connection.readyState == connection.CLOSED
