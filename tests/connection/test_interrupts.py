"""Ctrl-C, or any exception from a signal handler: each blocking call returns at once, and nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import syncws
from syncws import Connection, ConnectionClosed
from syncws.testing import LoopbackServer, Peer, PeerClosed, echo, frame_bytes
from tests.support.clients import closed_by, opened
from tests.support.interrupts import Interrupted, alarms, interrupt, needs_timer_signals
from tests.support.leftovers import connection_threads
from tests.support.moments import needs_moments
from tests.support.servers import finish, hold, keep_close_code, unanswering
from tests.support.stress import amount
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_for, wait_until

pytestmark = needs_timer_signals

PACKAGE = str(Path(syncws.__file__).parent)


def test_recv_returns_at_once_and_loses_nothing() -> None:
    with opened() as connection:
        for number in range(5):
            interrupt(connection.recv if number % 2 else lambda: connection.recv(SECONDS * 10))
            connection.send(str(number))
            connection.send("more")
            assert connection.recv(SECONDS) == str(number)
            assert connection.recv() == "more"


def test_recv_inside_a_message_returns_at_once_and_loses_none_of_it() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(2, b"first ", fin=False)
        wait_for(interrupted)
        peer.send_frame(0, b"last")
        peer.send("next")
        finish(peer)

    interrupted = threading.Event()
    with opened(script) as connection:
        interrupt(connection.recv)
        interrupted.set()
        assert connection.recv(SECONDS) == b"first last"
        assert connection.recv(SECONDS) == "next"


def test_recv_streaming_returns_at_once_and_the_next_message_is_whole() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(2, b"first ", fin=False)
        wait_for(interrupted)
        peer.send_frame(0, b"last")
        peer.send("next")
        finish(peer)

    interrupted = threading.Event()
    with opened(script) as connection:
        interrupt(lambda: list(connection.recv_streaming()))
        interrupted.set()
        assert connection.recv(SECONDS) == "next"


def test_iteration_returns_at_once_and_can_be_taken_up_again() -> None:
    with opened() as connection:
        interrupt(lambda: list(connection))
        connection.send("after")
        assert next(iter(connection)) == "after"


def test_recv_that_waits_for_its_turn_returns_at_once() -> None:
    with opened() as connection:
        other = Task(connection.recv)
        interrupt(connection.recv)
        interrupt(lambda: connection.recv(SECONDS * 10))
        connection.send("a")
        assert other.result() == "a"
        connection.send("b")
        assert connection.recv(SECONDS) == "b"


@pytest.mark.parametrize("accepted", [True, False])
def test_connect_returns_at_once_and_leaves_nothing_behind(accepted: bool) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.wait_eof(SECONDS)

    def readers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.endswith("-reader")]

    if accepted:
        with LoopbackServer(script) as server:
            interrupt(lambda: syncws.connect(server.url, open_timeout=SECONDS * 3))
            wait_until(lambda: not readers())  # while the server still would answer
    else:
        with unanswering() as url:
            interrupt(lambda: syncws.connect(url, open_timeout=SECONDS * 3))
            wait_until(lambda: not readers())


def test_flush_returns_at_once_and_what_waits_is_sent_later() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(interrupted)
        peer.echo()

    interrupted = threading.Event()
    data = bytes(8 * 2**20)
    with opened(script, receive_buffer=65536, compression=None) as connection:
        connection.send(data)
        interrupt(connection.flush)
        interrupt(lambda: connection.flush(SECONDS * 10))
        interrupted.set()
        assert connection.recv(SECONDS) == data
        connection.flush(SECONDS)


def test_ping_returns_at_once_and_the_next_one_is_answered() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv_frame()
        wait_for(interrupted)
        peer.echo()

    interrupted = threading.Event()
    with opened(script) as connection:
        interrupt(connection.ping)
        interrupted.set()
        assert connection.ping(SECONDS) >= 0


def test_close_returns_at_once_and_the_connection_still_ends_as_close_began_it() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        wait_for(interrupted)
        raise closed.value

    interrupted = threading.Event()
    with opened(script, close_timeout=SECONDS * 3) as connection:
        interrupt(lambda: connection.close(3000, "mine"))
        assert connection.readyState == connection.CLOSING
        assert any(name.endswith("-reader") for name in connection_threads())
        interrupted.set()
        end = closed_by(connection)
        assert (end.code, end.reason, end.wasClean) == (3000, "mine", True)


def test_join_returns_at_once_and_the_next_one_waits_again() -> None:
    with LoopbackServer() as server:
        ws = syncws.WebSocket(server.url)
        interrupt(ws.join)
        interrupt(lambda: ws.join(SECONDS * 10))
        with pytest.raises(TimeoutError):
            ws.join(0.05)
        ws.close()
        ws.join(SECONDS)
        assert ws.readyState == ws.CLOSED


def test_join_of_a_reconnecting_websocket_returns_at_once_and_the_next_one_waits_again() -> None:
    with LoopbackServer() as server:
        ws = syncws.ReconnectingWebSocket(server.url)
        interrupt(ws.join)
        with pytest.raises(TimeoutError):
            ws.join(0.05)
        ws.close()
        ws.join(SECONDS)
        assert ws.readyState == ws.CLOSED


def test_the_pause_of_reconnect_returns_at_once() -> None:
    def script(peer: Peer) -> None:
        peer.refuse(503)

    def policy(loss: syncws.Loss) -> float:
        return SECONDS * 3

    with LoopbackServer(script) as server, syncws.reconnect(server.url, policy=policy) as connections:
        interrupt(lambda: next(connections))


def test_send_of_an_iterable_that_waits_for_the_network_returns_at_once() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    def chunks() -> Iterator[bytes]:
        while True:
            yield bytes(2**18)

    with opened(script, receive_buffer=65536, compression=None, close_timeout=0.05) as connection:
        interrupt(lambda: connection.send(chunks()))
        with pytest.raises(ConnectionClosed):  # The message cannot be ended any more.
            connection.recv()


def test_ctrl_c_itself_leaves_the_with_block_and_the_server_is_told_1001() -> None:
    codes: list[int | None] = []
    with LoopbackServer(keep_close_code(codes)) as server:
        with pytest.raises(KeyboardInterrupt), syncws.connect(server.url) as connection:
            with alarms(0.1, 0, signal.default_int_handler):
                connection.recv()
    assert codes == [1001]


# The signal comes at any moment, not only during a wait. But the handler raises only in the package's own
# code: in the standard library under it, Condition.wait() breaks if an exception comes at some moments; and
# recv() may already hold a message on its way to the caller, which would be lost as any result would be.


def may_lose(frame: FrameType | None) -> bool:
    assert frame is not None
    code = frame.f_code
    # Python ignores the exception of a finalizer, but pytest reports it.
    return code.co_filename.startswith(PACKAGE) and code.co_name not in ("recv", "receive", "__del__")


class Storm:
    """Signals one after the other; each that meets the package raises, and is survived before the next."""

    def __init__(self) -> None:
        self.count = 0
        self._on = False

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if may_lose(frame):
            self.count += 1
            raise Interrupted
        self._arm()

    def _arm(self) -> None:
        if self._on:
            signal.setitimer(signal.ITIMER_REAL, 0.0004)

    @contextlib.contextmanager
    def over(self) -> Iterator[None]:
        self._on = True  # This comes first: an alarm that came before it would be the last.
        with alarms(0.001, 0, self._strike):
            try:
                yield
            finally:
                self._on = False

    @contextlib.contextmanager
    def survived(self) -> Iterator[None]:
        try:
            yield
        except Interrupted:
            self._arm()


@pytest.mark.parametrize("timeout", [None, SECONDS])
def test_interrupts_at_any_moment_of_recv_lose_no_message_and_double_none(timeout: float | None) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while not enough.is_set():
            first = counts[0]
            if first - len(received) > 1000:  # a backlog would only make the test long
                enough.wait(0.001)
                continue
            wire = [frame_bytes(1, b"%d" % number) for number in range(first, first + 3)]
            wire.append(frame_bytes(1, b"%d" % (first + 3), fin=False))
            peer.send_bytes(b"".join(wire))
            peer.send_frame(0, b"")
            counts[0] += 4
        peer.send("end")
        finish(peer)

    storm = Storm()
    enough = threading.Event()
    counts = [0]
    received: list[str | bytes] = [""]
    with opened(script, compression=None) as connection, storm.over():
        until = time.monotonic() + SECONDS
        while received[-1] != "end":
            with storm.survived():
                received.append(connection.recv(timeout))
            if storm.count >= 10 or time.monotonic() > until:
                enough.set()
    assert received == ["", *map(str, range(counts[0])), "end"]
    assert storm.count > 0


@needs_moments
def test_interrupts_at_any_moment_of_send_leave_the_connection_whole() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while (message := peer.recv()) != "end":
            received.append(message)
        peer.send("end")
        finish(peer)

    storm = Storm()
    received: list[str | bytes] = []
    returned = 0
    until = time.monotonic() + SECONDS
    with opened(script, compression=None) as connection:
        with storm.over():
            for number in itertools.count():
                with storm.survived():
                    connection.send(str(number))
                    returned += 1
                if number % 1000 == 0 and (storm.count >= 20 or time.monotonic() > until):
                    break
        connection.send("end")
        assert connection.recv(SECONDS) == "end"
        connection.flush(SECONDS)
        assert connection.bufferedAmount == 0
    assert storm.count > 0
    numbers = [int(message) for message in received]
    assert numbers == sorted(set(numbers))  # none doubled, and in order
    assert len(numbers) >= returned  # If send() was interrupted, the message may or may not have been sent.


@needs_moments
def test_interrupts_at_any_moment_of_sending_chunks_leave_nobody_waiting() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with contextlib.suppress(PeerClosed, EOFError, ConnectionError):
            while True:
                if peer.recv() == "end":
                    peer.send("end")

    storm = Storm()
    until = time.monotonic() + SECONDS
    with LoopbackServer(script) as server:
        while storm.count < amount(30, 10) and time.monotonic() < until:
            connection = syncws.connect(server.url, compression=None)
            with storm.over():
                with storm.survived():
                    for _ in range(200):
                        connection.send(["a", "b"])
            # If send() is cut short inside a message, the connection fails; between two messages it stays as
            # good as new.
            with contextlib.suppress(ConnectionClosed):
                connection.send("end")
                assert connection.recv(SECONDS) == "end"
            connection.close()
            assert connection.readyState == connection.CLOSED
    assert storm.count > 0


@needs_moments
def test_close_that_was_interrupted_at_any_moment_can_be_called_again() -> None:
    storm = Storm()
    until = time.monotonic() + SECONDS
    with LoopbackServer() as server:
        while storm.count < amount(30, 8) and time.monotonic() < until:
            connection = syncws.connect(server.url, compression=None)
            ws = syncws.WebSocket(server.url, compression=None)
            wait_until(lambda ws=ws: ws.readyState == ws.OPEN)  # type: ignore[misc]
            with storm.over():
                for close in (ws.close, connection.close):
                    with storm.survived():
                        close()
            for _ in range(2):
                ws.close()
                connection.close()
            ws.join(SECONDS)
            wait_until(lambda connection=connection: connection.readyState == connection.CLOSED)  # type: ignore[misc]
    assert storm.count > 0


@needs_moments
def test_interrupts_at_any_moment_of_flush_and_ping_leave_the_connection_whole() -> None:
    def call(connection: Connection) -> None:
        connection.send("x")
        connection.flush()
        connection.ping()
        connection.recv()

    storm = Storm()
    with opened(echo) as connection:
        with storm.over():
            until = time.monotonic() + SECONDS
            while storm.count < 20 and time.monotonic() < until:
                with storm.survived():
                    call(connection)
        assert storm.count > 0
        connection.send("end")
        connection.flush(SECONDS)
        connection.ping(SECONDS)
        while connection.recv(SECONDS) != "end":
            pass
        wait_until(lambda: connection.bufferedAmount == 0)
