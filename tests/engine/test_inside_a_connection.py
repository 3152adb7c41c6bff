"""What calls leave inside a connection, which the public API does not show."""

from __future__ import annotations

import threading

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.clients import opened
from tests.support.interrupts import interrupt, needs_timer_signals
from tests.support.servers import finish
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_for, wait_until


def test_no_ping_is_kept_once_it_was_answered() -> None:
    with switching_all_the_time(), opened() as connection:
        tasks = [Task(lambda: [connection.ping(SECONDS) for _ in range(30)]) for _ in range(8)]
        for task in tasks:
            task.result()
        assert connection._engine.pongs._asked == {}


@pytest.mark.parametrize("ends_by", ["a time-out", pytest.param("a signal", marks=needs_timer_signals)])
def test_no_ping_is_kept_whose_wait_ended_early(ends_by: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frame = peer.recv_frame()
        wait_for(over)
        peer.pong(frame.payload)
        peer.echo()

    over = threading.Event()
    with opened(script) as connection:
        if ends_by == "a signal":
            interrupt(connection.ping)
        else:
            with pytest.raises(TimeoutError):
                connection.ping(0.05)
        over.set()
        assert connection.ping(SECONDS) >= 0
        assert connection._engine.pongs._asked == {}


def test_a_writer_that_was_woken_for_nothing_sends_what_comes_when_it_sleeps_again() -> None:
    with opened() as connection:
        for number in range(20):
            connection.flush(SECONDS)
            wait_until(lambda: connection._writer._idle)
            connection.send(str(number))
            assert connection.recv(SECONDS) == str(number)


def test_the_queue_stays_within_its_bounds_while_parts_are_worked_on() -> None:
    total = 24 * 2**20

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(bytes((0x82, 127)) + total.to_bytes(8, "big"))
        for _ in range(total // 2**18):
            peer.send_bytes(bytes(2**18))
        finish(peer)

    received = 0
    with opened(script, max_size=None, max_queue=2**20, compression=None) as connection:
        for part in connection.recv_streaming(SECONDS):
            received += len(part)
            assert connection._engine.queue._bytes <= 2 * 2**20
    assert received == total


@needs_timer_signals
def test_a_wait_for_the_threads_that_was_interrupted_waits_for_them_the_next_time() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        wait_for(interrupted)
        raise closed.value

    interrupted = threading.Event()
    with LoopbackServer(script) as server:
        connection = syncws.connect(server.url)
        engine = connection._engine
        interrupt(connection.close)
        # Until Python 3.13 a Thread.join() that was interrupted takes the thread for ended.
        assert not engine.join_threads(0.05)
        interrupt(lambda: engine.join_threads(None))
        assert not engine.join_threads(0.05)
        interrupted.set()
        assert engine.join_threads(SECONDS)
