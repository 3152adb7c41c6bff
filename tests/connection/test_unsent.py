"""What `send` took and the network did not: who raises it, and who is quiet (`Connection.close`)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import syncws
from syncws import Connection, ConnectionClosed
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import opened
from tests.support.interleaving import needs_points, steps
from tests.support.servers import finish, hold
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

# More than the buffers of a link hold.
MUCH = bytes(2**24)

#: A server that reads nothing is waited for this long, in seconds.
SHORT: dict[str, Any] = {"compression": None, "close_timeout": 0.1}


def deaf(peer: Peer) -> None:
    peer.accept()
    hold(peer)


def closing_and_deaf(peer: Peer) -> None:
    peer.accept()
    peer.recv_exactly(1000)  # So the network has taken what the client sent.
    peer.send_close(1000, "enough")
    hold(peer)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(deaf) as made:
        yield made


def connect(server: LoopbackServer) -> Connection:
    return syncws.connect(server.url, **SHORT)


def test_the_end_of_a_with_block_raises_what_was_not_sent(server: LoopbackServer) -> None:
    with pytest.raises(ConnectionClosed, match="were not sent") as told, connect(server) as connection:
        connection.send(MUCH)
    assert told.value.unsent == connection.bufferedAmount > 0
    assert told.value.code == 1006


def test_close_raises_it_and_the_end_of_the_with_block_does_not_say_it_again(server: LoopbackServer) -> None:
    with connect(server) as connection:
        connection.send(MUCH)
        with pytest.raises(ConnectionClosed) as told:
            connection.close()
        assert told.value.unsent > 0
        connection.close()


def test_what_another_thread_was_told_this_one_is_told_too(server: LoopbackServer) -> None:
    with pytest.raises(ConnectionClosed) as told, connect(server) as connection:
        connection.send(MUCH)
        assert Task(connection.close).closed(SECONDS).unsent > 0
    assert told.value.unsent > 0


def test_an_exception_under_way_goes_on_and_the_loss_is_logged(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "syncws"):
        with pytest.raises(ZeroDivisionError), connect(server) as connection:
            connection.send(MUCH)
            connection.fails = 1 / 0  # type: ignore[attr-defined]
    text = f"{connection.bufferedAmount} bytes were not sent"
    assert [record.levelname for record in caplog.records if text in record.getMessage()] == ["WARNING"]


def test_an_iteration_that_a_quiet_code_ends_raises_what_was_not_sent() -> None:
    with LoopbackServer(closing_and_deaf) as server:
        connection = connect(server)
        connection.send(MUCH)
        with pytest.raises(ConnectionClosed) as told:
            list(connection)
        assert told.value.unsent > 0
        assert (told.value.code, told.value.reason) == (1000, "enough")
        connection.close()


def test_once_recv_has_told_the_end_nothing_is_taken() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(1000)
        finish(peer)

    for _ in range(20):
        with opened(script) as connection:
            with pytest.raises(ConnectionClosed):
                connection.recv(SECONDS)
            with pytest.raises(ConnectionClosed):
                connection.send("late")
            assert connection.bufferedAmount == 0


def test_close_inside_ones_own_iterable_waits_for_nobody(server: LoopbackServer) -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        connection.close()
        closed.append(connection.readyState)
        yield "b"

    closed: list[int] = []
    connection = syncws.connect(server.url, close_timeout=SECONDS)
    sending = Task(partial(connection.send, chunks()))
    assert sending.closed(AT_ONCE).code == 1005  # the server has not answered
    assert closed == [connection.CLOSING]
    connection.abort()
    with pytest.raises(ConnectionClosed):
        connection.recv(SECONDS)


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="there the message that is about to be returned is lost"
)
@needs_points
def test_a_handler_that_raises_anywhere_in_recv_loses_no_message_that_is_there() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(count):
            peer.send(str(number))
        finish(peer)

    count = 40
    with opened(script) as connection:
        wait_until(lambda: connection.stats.queued_messages == count)
        got: list[str | bytes] = []
        for step in steps(1):
            with step.interrupted(Connection.recv):
                got.append(connection.recv(SECONDS))
        while len(got) < count:
            got.append(connection.recv(AT_ONCE))
        assert got == [str(number) for number in range(count)]
