"""`send()`, `flush()` and `ping()` of the blocking API."""

from __future__ import annotations

import array
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from syncws import BufferFull, Connection, ConnectionClosed, SyntaxErr
from syncws._protocol.frames import Opcode
from syncws.testing import Peer
from tests.support.clients import closed_by, opened
from tests.support.servers import finish, hold
from tests.support.stress import amount
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_for, wait_until

# More than the buffers of both ends of a loopback connection hold.
MUCH = 8 * 2**20


def test_bytes_go_as_text_and_a_str_as_binary_where_that_is_chosen() -> None:
    with opened() as connection:
        connection.send("ä".encode(), text=True)
        connection.send("ä", text=False)
        connection.send(("ä€".encode()[at : at + 1] for at in range(5)), text=True)
        connection.send(["a", "ä"], text=False)
        assert [connection.recv(SECONDS) for _ in range(4)] == ["ä", "ä".encode(), "ä€", "aä".encode()]
        data: Any
        for data in (b"\xff", [b"\xff"]):
            with pytest.raises(SyntaxErr):
                connection.send(data, text=True)
            with pytest.raises(TypeError, match="^text must be"):
                connection.send(data, text="yes")  # type: ignore[arg-type]
        connection.send("all is well")
        assert connection.recv(SECONDS) == "all is well"


def test_a_later_chunk_that_is_no_utf8_fails_the_connection_since_the_message_cannot_end() -> None:
    for chunks in ([b"a", b"\xff"], [b"a", b"\xe2\x82"]):
        with opened() as connection:
            with pytest.raises(SyntaxErr, match="not UTF-8 at byte 1"):
                connection.send(iter(chunks), text=True)
            assert closed_by(connection).code == 1006


def test_send_returns_at_once_while_the_server_does_not_read() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(sent)
        assert peer.recv() == bytes(MUCH)
        assert peer.recv() == "after it"

    sent = threading.Event()
    with opened(script, compression=None, receive_buffer=65536) as connection:
        connection.send(bytes(MUCH))
        connection.send("after it")
        assert connection.bufferedAmount > MUCH // 4
        sent.set()
        connection.flush(SECONDS)
        assert connection.bufferedAmount == 0


def test_buffered_amount_counts_the_bytes_of_text_and_buffers_that_are_not_sent_yet() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    with opened(script, compression=None, receive_buffer=65536, close_timeout=0.1) as connection:
        connection.send(bytes(MUCH))
        wait_until(lambda: connection.bufferedAmount < MUCH)  # it is being sent, and will be stuck
        before = connection.bufferedAmount
        data: Any
        for data in ("€", b"12", array.array("i", [1, 2])):
            connection.send(data)
        amount = 3 + 2 + 2 * array.array("i").itemsize
        wait_until(lambda: connection.bufferedAmount <= before + amount)
        assert connection.bufferedAmount > amount
        with pytest.raises(ConnectionClosed):
            connection.close()
        stuck = connection.bufferedAmount
        assert stuck > amount  # what could not be sent stays counted
        with pytest.raises(ConnectionClosed):
            connection.send("more")
        assert connection.bufferedAmount == stuck  # The refused bytes do not count.


def test_a_mutable_buffer_is_copied_before_send_returns() -> None:
    with opened() as connection:
        data = bytearray(b"before")
        connection.send(data)
        data[:] = b"after!"
        assert connection.recv(SECONDS) == b"before"


MISTAKES: list[Any] = [
    (1, TypeError),
    (None, TypeError),
    pytest.param(object(), TypeError, id="an object"),
    ({"a": 1}, TypeError),
    ({}, TypeError),
    ([], ValueError),
    ([1], TypeError),
    ([None], TypeError),
    ([["nested"]], TypeError),
    ("\ud800", SyntaxErr),
    (["\ud800"], SyntaxErr),
]


@pytest.mark.parametrize(("data", "kind"), MISTAKES, ids=repr)
def test_send_raises_the_callers_mistakes_and_sends_nothing(data: Any, kind: type[Exception]) -> None:
    with opened() as connection:
        with pytest.raises(kind):
            connection.send(data)
        assert connection.bufferedAmount == 0
        connection.send("all is well")
        assert connection.recv(SECONDS) == "all is well"


def test_send_raises_once_closing_and_nothing_is_dropped_in_silence() -> None:
    data_of_each_kind: list[Any] = ["text", b"bytes", ["a", "chunk"], [b"a", b"chunk"]]

    def script(peer: Peer) -> None:
        peer.accept()
        opened_there.set()
        wait_for(refused)
        peer.reset()

    opened_there, refused = threading.Event(), threading.Event()
    with opened(script, close_timeout=SECONDS) as connection:
        wait_for(opened_there)
        task = Task(connection.close)
        wait_until(lambda: connection.readyState == connection.CLOSING)
        for data in data_of_each_kind:
            with pytest.raises(ConnectionClosed):
                connection.send(data)
        assert task.running  # That was while closing.
        refused.set()
        task.result()
        for data in data_of_each_kind:
            with pytest.raises(ConnectionClosed) as closed:
                connection.send(data)
            assert closed.value.code == 1006


def test_send_raises_buffer_full_and_goes_on_when_there_is_room_again() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(full)
        peer.echo()

    full = threading.Event()
    with opened(script, max_buffered=10, compression=None) as connection:
        with pytest.raises(BufferFull):
            connection.send("x" * 11)
        assert connection.bufferedAmount == 0
        full.set()
        connection.send("x" * 10)
        connection.flush(SECONDS)
        connection.send("y" * 10)
        assert [connection.recv(SECONDS), connection.recv(SECONDS)] == ["x" * 10, "y" * 10]


def test_flush_raises_timeout_error_while_bytes_wait_and_loses_none() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(timed_out)
        assert peer.recv() == bytes(MUCH)
        finish(peer)

    timed_out = threading.Event()
    with opened(script, compression=None, receive_buffer=65536) as connection:
        connection.send(bytes(MUCH))
        for timeout in (0, 0.01, -1):
            with pytest.raises(TimeoutError):
                connection.flush(timeout)
        timed_out.set()
        connection.flush(SECONDS)
        connection.flush(0)  # there is nothing to wait for any more


def test_flush_raises_connection_closed_when_the_end_comes_first() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(waiting)
        peer.reset()

    waiting = threading.Event()
    with opened(script, compression=None, receive_buffer=65536) as connection:
        connection.send(bytes(MUCH))
        task = Task(connection.flush)
        task.wait_blocked()
        waiting.set()
        assert task.closed().code == 1006
        assert connection.bufferedAmount > 0
        with pytest.raises(ConnectionClosed):
            connection.flush()


def test_flush_tells_how_the_connection_ended_not_only_that_the_writer_did() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    options = {"ping_interval": 0.1, "ping_timeout": 0.2, "close_timeout": 0.1, "receive_buffer": 65536}
    with opened(script, compression=None, **options) as connection:  # type: ignore[arg-type]
        connection.send(bytes(MUCH))
        closed = Task(connection.flush).closed()
        assert closed.code == 1006
        assert isinstance(closed.__cause__, TimeoutError)


def test_send_after_a_flush_that_had_nothing_to_wait_for_is_sent() -> None:
    with opened() as connection:
        for number in range(20):
            connection.flush(SECONDS)
            connection.send(str(number))
            assert connection.recv(SECONDS) == str(number)


def test_flush_of_a_closed_connection_that_sent_all_returns() -> None:
    with opened() as connection:
        connection.send("all of it")
        connection.close()
        connection.flush()


def test_flush_is_not_misled_by_what_other_threads_send_meanwhile() -> None:
    def send() -> None:
        while not over.is_set():
            connection.send("x")
            while connection.bufferedAmount and not over.is_set():
                time.sleep(0)  # let the others run: a flush must find 0 now and then

    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.wait_eof(SECONDS)

    # The server answers no ping.
    with switching_all_the_time(), opened(script, close_timeout=0.05, ping_interval=None) as connection:
        tasks = [Task(send) for _ in range(3)]
        for _ in range(amount(1000, 200)):
            connection.send("y")
            connection.flush(SECONDS)
        over.set()
        for task in tasks:
            task.result()


def test_ping_returns_the_seconds_until_its_pong_came() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frame = peer.recv_frame()
        assert frame.opcode == Opcode.PING
        wait_for(later)
        peer.pong(frame.payload)
        peer.echo()

    later = threading.Event()
    with opened(script) as connection:
        task = Task(connection.ping)
        threading.Event().wait(0.1)
        assert task.running
        later.set()
        assert 0.05 < task.result() < SECONDS
        assert 0 <= connection.ping(SECONDS) < SECONDS


def test_pings_of_many_threads_each_get_their_pong() -> None:
    with switching_all_the_time(), opened() as connection:

        def ping() -> list[float]:
            return [connection.ping(SECONDS) for _ in range(30)]

        tasks = [Task(ping) for _ in range(8)]
        for number in range(200):
            connection.send(str(number))
        assert [connection.recv(SECONDS) for _ in range(200)] == [str(number) for number in range(200)]
        assert all(0 <= seconds < SECONDS for task in tasks for seconds in task.result())


def test_a_pong_answers_all_earlier_pings_too() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        payloads = [peer.recv_frame().payload for _ in range(3)]
        assert len(set(payloads)) == 3
        peer.pong(b"nobody asked")
        peer.pong(payloads[1])
        wait_for(two)
        peer.pong(payloads[2])
        finish(peer)

    two = threading.Event()
    with opened(script) as connection:
        tasks = [Task(connection.ping) for _ in range(3)]
        wait_until(lambda: sum(task.running for task in tasks) == 1)
        two.set()
        for task in tasks:
            task.result()


def test_ping_raises_timeout_error_and_its_late_pong_harms_nothing() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frame = peer.recv_frame()
        wait_for(timed_out)
        peer.pong(frame.payload)
        peer.echo()

    timed_out = threading.Event()
    with opened(script) as connection:
        with pytest.raises(TimeoutError):
            connection.ping(0.05)
        timed_out.set()
        assert connection.ping(SECONDS) >= 0


ENDS: dict[str, tuple[Callable[[Peer], object], Callable[[Connection], object], int]] = {
    "lost": (lambda peer: None, lambda connection: None, 1006),
    "closed by the server": (
        lambda peer: (peer.send_close(4000), finish(peer)),  # type: ignore[func-returns-value]
        lambda connection: None,
        4000,
    ),
    "closed by another thread": (finish, lambda connection: connection.close(3999), 3999),
}


@pytest.mark.parametrize("end", ENDS)
def test_ping_raises_connection_closed_when_the_end_comes_first(end: str) -> None:
    ends, act, code = ENDS[end]

    def script(peer: Peer) -> None:
        peer.accept()
        assert [peer.recv_frame().opcode for _ in range(2)] == [Opcode.PING] * 2
        pinged.set()
        if code == 3999:
            while peer.recv_frame().opcode != Opcode.CLOSE:
                pass
            peer.send_close(3999)
        else:
            ends(peer)

    pinged = threading.Event()
    with opened(script) as connection:
        tasks = [Task(lambda timeout=timeout: connection.ping(timeout)) for timeout in (None, SECONDS * 10)]  # type: ignore[misc]
        wait_for(pinged)
        receiving = Task(connection.recv)  # so that the server's Close is answered at once
        act(connection)
        assert receiving.closed().code == code
        assert [task.closed().code for task in tasks] == [code] * 2
        with pytest.raises(ConnectionClosed):
            connection.ping()


def test_a_ping_goes_ahead_of_the_messages_that_wait() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(pinged)
        seen: list[int] = []
        while len(seen) < 3:
            frame = peer.recv_frame()
            seen.append(frame.opcode)
            if frame.opcode == Opcode.PING:
                peer.pong(frame.payload)
        order.append(seen.index(Opcode.PING))
        finish(peer)

    order: list[int] = []
    pinged = threading.Event()
    with opened(script, compression=None, receive_buffer=65536) as connection:
        connection.send(bytes(MUCH))
        wait_until(lambda: connection.bufferedAmount < MUCH)
        connection.send("behind")
        task = Task(connection.ping)
        task.wait_blocked()
        pinged.set()
        task.result()
    assert order == [1]
