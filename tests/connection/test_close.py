"""`close()` of the blocking API, and leaving the with-block."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest

import syncws
from syncws import ConnectionClosed, InvalidAccessErr, SyntaxErr
from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.clients import closed_by, opened
from tests.support.leftovers import connection_threads, wait_for_no_threads
from tests.support.servers import hold, keep_close_code
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until

MISTAKES: list[tuple[Any, str, type[Exception]]] = [
    (1001, "", InvalidAccessErr),
    (999, "", InvalidAccessErr),
    (2999, "", InvalidAccessErr),
    (5000, "", InvalidAccessErr),
    ("1000", "", InvalidAccessErr),
    (1000, "x" * 124, SyntaxErr),
    (1000, "€" * 42, SyntaxErr),
    (1000, "\udc00", SyntaxErr),
    (None, "why", SyntaxErr),
]


@pytest.mark.parametrize(("code", "reason", "kind"), MISTAKES)
def test_close_raises_the_callers_mistakes_also_when_closed(
    code: Any, reason: str, kind: type[Exception]
) -> None:
    with opened() as connection:
        with pytest.raises(kind):
            connection.close(code, reason)
        assert connection.readyState == connection.OPEN
        connection.close()
        with pytest.raises(kind):
            connection.close(code, reason)


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [(1000, "", 1000), (3000, "x" * 123, 3000), (4999, "grüße", 4999), (None, "", 1005)],
)
def test_close_tells_the_server_the_code_and_the_reason(code: int | None, reason: str, seen: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        try:
            peer.recv()
        except PeerClosed as closed:
            told.append((closed.code, closed.reason))
            raise

    told: list[tuple[int | None, str]] = []
    with opened(script) as connection:
        connection.close(code, reason)
        assert told == [(code, reason)]
        end = closed_by(connection)
        assert (end.code, end.reason, end.wasClean, end.__cause__) == (seen, reason, True, None)


def test_close_sends_what_was_queued_first() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        try:
            while True:
                received.append(peer.recv())
        except PeerClosed as closed:
            received.append(str(closed.code))
            raise

    received: list[str | bytes] = []
    with opened(script) as connection:
        for number in range(1000):
            connection.send(str(number))
        connection.close(3001)
    assert received == [*map(str, range(1000)), "3001"]


def test_after_close_nothing_is_left_of_the_connection() -> None:
    with opened() as connection:
        assert connection_threads()
        connection.close()
        wait_for_no_threads()


@pytest.mark.parametrize("queued", [0, 8 * 2**20])
def test_close_waits_at_most_close_timeout(queued: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    with opened(script, close_timeout=0.1, receive_buffer=65536, compression=None) as connection:
        connection.send(bytes(queued))
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) if queued else contextlib.nullcontext():
            connection.close()
        assert 0.08 < time.monotonic() - began < AT_ONCE
        assert isinstance(closed_by(connection).__cause__, TimeoutError)


def test_a_second_close_waits_for_the_same_end() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(second)
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        assert closed.value.code == 3000
        raise closed.value

    second = threading.Event()
    with opened(script) as connection:
        first = Task(lambda: connection.close(3000, "first"))
        wait_until(lambda: connection.readyState == connection.CLOSING)
        again = Task(lambda: connection.close(4000, "second"))
        again.wait_blocked()
        assert first.running
        second.set()
        first.result()
        again.result()
        for _ in range(3):
            connection.close(4001, "third")
        assert closed_by(connection).reason == "first"


def test_close_after_the_server_closed_changes_nothing() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(4004, "gone")
        peer.wait_eof(SECONDS)

    with LoopbackServer(script) as server:
        with syncws.connect(server.url, close_timeout=0.1) as connection:
            with pytest.raises(ConnectionClosed):
                connection.recv(SECONDS)
            connection.close(3000, "mine")
            assert closed_by(connection).code == 4004


def test_the_with_block_closes_with_1000() -> None:
    codes: list[int | None] = []
    with LoopbackServer(keep_close_code(codes)) as server:
        with syncws.connect(server.url) as connection:
            assert connection.readyState == connection.OPEN
        assert connection.readyState == connection.CLOSED
        with pytest.raises(KeyError), syncws.connect(server.url):
            raise KeyError("mine")
    assert codes == [1000, 1000]


@pytest.mark.parametrize(
    ("kind", "answers"), [(KeyboardInterrupt, True), (KeyboardInterrupt, False), (SystemExit, True)]
)
def test_a_with_block_left_by_an_interrupt_says_1001_and_does_not_wait_for_close_timeout(
    kind: type[BaseException], answers: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        codes.append(closed.value.code)
        if not answers:
            hold(peer)
        raise closed.value

    codes: list[int | None] = []
    with LoopbackServer(script) as server:
        began = time.monotonic()
        with pytest.raises(kind), syncws.connect(server.url, close_timeout=SECONDS * 3):
            raise kind
        assert time.monotonic() - began < AT_ONCE
    assert codes == [1001]


def test_messages_that_come_after_close_are_not_kept() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("before")
        sent.set()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        for _ in range(100):
            peer.send("after")
        raise closed.value

    sent = threading.Event()
    with opened(script) as connection:
        wait_for(sent)
        connection.ping(SECONDS)  # The pong comes after the message.
        connection.close()
        assert connection.recv(0) == "before"
        assert closed_by(connection).code == 1000


def test_a_failing_link_does_not_make_close_raise() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.reset()

    with LoopbackServer(script) as server:
        connection = syncws.connect(server.url)
        connection.close()
        connection.close()
        assert closed_by(connection).code == 1006
