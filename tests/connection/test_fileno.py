"""`fileno()`: readable while `recv()` would not wait."""

from __future__ import annotations

import gc
import os
import select
import selectors
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import syncws
from syncws import Connection, ConnectionClosed
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import opened
from tests.support.servers import finish
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_for, wait_until

POLLS = [selectors.DefaultSelector, selectors.SelectSelector]


@pytest.fixture(autouse=True)
def collected_on_pypy() -> Iterator[None]:
    """There the descriptor is closed when the connection is found to be garbage."""
    yield
    if sys.implementation.name == "pypy":
        gc.collect()
        gc.collect()


def is_readable(connection: Connection, timeout: float = 0) -> bool:
    return bool(select.select([connection], [], [], timeout)[0])


class Tap:
    """A script that sends what the test wants, when it wants it."""

    def __init__(self) -> None:
        self.peer: Any = None
        self._ready = threading.Event()
        self._over = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        self.peer = peer
        self._ready.set()
        wait_for(self._over)
        peer.send_close()
        finish(peer)

    def send(self, *messages: str) -> None:
        wait_for(self._ready)
        self.peer.send_bytes(b"".join(frame_bytes(Opcode.TEXT, message.encode()) for message in messages))

    def end(self) -> None:
        self._over.set()


@pytest.fixture
def tap() -> Iterator[Tap]:
    tap = Tap()
    yield tap
    tap.end()


def test_it_is_readable_exactly_while_a_message_waits(tap: Tap) -> None:
    with opened(tap) as connection:
        number = connection.fileno()
        assert connection.fileno() == number
        for _ in range(3):
            assert not is_readable(connection)
            tap.send("one")
            assert is_readable(connection, SECONDS)
            assert is_readable(connection)
            assert connection.recv(0) == "one"
            assert not is_readable(connection)
            tap.send("two", "three")
            assert is_readable(connection, SECONDS)
            assert connection.recv(SECONDS) == "two"
            assert is_readable(connection, SECONDS)
            assert connection.recv(SECONDS) == "three"
            assert not is_readable(connection)
        tap.end()


def test_what_came_before_the_first_call_is_seen(tap: Tap) -> None:
    with opened(tap) as connection:
        tap.send("early")
        wait_until(lambda: connection.stats.queued_messages == 1)
        assert is_readable(connection)
        assert connection.recv() == "early"
        assert not is_readable(connection)
        tap.end()


def test_after_the_end_it_is_readable_for_good(tap: Tap) -> None:
    with opened(tap) as connection:
        assert not is_readable(connection)
        tap.send("last")
        tap.end()
        assert is_readable(connection, SECONDS)
        assert connection.recv(SECONDS) == "last"
        assert is_readable(connection, SECONDS)
        for _ in range(3):
            with pytest.raises(ConnectionClosed):
                connection.recv(0)
            assert is_readable(connection)
    assert is_readable(connection)
    with opened() as other:
        other.abort()
        wait_until(lambda: other.readyState == other.CLOSED)
        assert is_readable(other)  # made only now


@pytest.mark.parametrize("kind", POLLS)
def test_a_selector_waits_for_several_connections(kind: Callable[[], selectors.BaseSelector]) -> None:
    taps = [Tap() for _ in range(3)]
    servers = [LoopbackServer(tap) for tap in taps]
    received: list[tuple[int, object]] = []
    with servers[0], servers[1], servers[2], kind() as selector:
        connections = [syncws.connect(server.url) for server in servers]
        for index, connection in enumerate(connections):
            selector.register(connection, selectors.EVENT_READ, index)
        for index in (2, 0, 1, 1):
            taps[index].send(f"hello {index}")
            for key, _ in selector.select(SECONDS):
                received.append((key.data, connections[key.data].recv(0)))
        for tap, connection in zip(taps, connections, strict=True):
            tap.end()
            connection.close()
        assert len(selector.select(SECONDS)) == 3
    assert received == [(index, f"hello {index}") for index in (2, 0, 1, 1)]


def test_no_message_is_missed_by_a_loop_while_the_server_sends_all_the_time() -> None:
    count = 5000

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(count):
            peer.send(str(number))
        finish(peer)

    with opened(script) as connection:
        received: list[object] = []
        while len(received) < count:
            assert is_readable(connection, SECONDS), f"it stood still behind {len(received)} messages"
            received.append(connection.recv(0))
        assert received == [str(number) for number in range(count)]
        assert not is_readable(connection)


def test_a_thread_in_recv_and_one_in_select_go_together(tap: Tap) -> None:
    with opened(tap) as connection:
        connection.fileno()
        receiving = Task(lambda: connection.recv(SECONDS))
        receiving.wait_blocked()
        tap.send("for the other")
        assert receiving.result() == "for the other"
        assert not is_readable(connection)
        tap.send("for this one")
        assert is_readable(connection, SECONDS)
        assert connection.recv(0) == "for this one"
        tap.end()


def test_of_several_receiving_threads_none_leaves_it_readable_behind_a_time_out() -> None:
    count = 2000

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(count):
            peer.send(str(number))
        finish(peer)

    def receive() -> list[object]:
        taken: list[object] = []
        while sum(map(len, all_taken)) < count:
            if is_readable(connection, 0.05):
                try:
                    taken.append(connection.recv(0))
                except TimeoutError:
                    continue
                finally:
                    all_taken[index.setdefault(threading.get_ident(), len(index))] = taken
        return taken

    all_taken: list[list[object]] = [[], [], []]
    index: dict[int, int] = {}
    with opened(script) as connection:
        tasks = [Task(receive) for _ in range(3)]
        received = [message for task in tasks for message in task.result()]
        assert sorted(received, key=lambda text: int(str(text))) == [str(number) for number in range(count)]
        with pytest.raises(TimeoutError):
            connection.recv(0)
        assert not is_readable(connection)


def test_a_streamed_message_leaves_it_right(tap: Tap) -> None:
    with opened(tap) as connection:
        connection.fileno()
        tap.send("streamed", "whole")
        assert is_readable(connection, SECONDS)
        assert "".join(map(str, connection.recv_streaming(SECONDS))) == "streamed"
        assert is_readable(connection, SECONDS)
        assert connection.recv(SECONDS) == "whole"
        assert not is_readable(connection)
        tap.end()


def test_a_large_message_makes_it_readable_when_it_is_whole_though_nobody_asks() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(bytes(24 * 2**20))
        finish(peer)

    with opened(script, max_size=None) as connection:
        assert is_readable(connection, SECONDS)
        assert len(connection.recv(0)) == 24 * 2**20


def test_it_is_closed_with_the_object_and_not_inherited() -> None:
    with opened() as connection:
        number = connection.fileno()
        assert not os.get_inheritable(number)
        connection.close()
        os.fstat(number)
    del connection
    wait_until(lambda: (gc.collect(), not is_open(number))[1])


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_another_one_that_is_readable_and_leaves_the_parents_alone(tap: Tap) -> None:
    with opened(tap) as connection:
        number = connection.fileno()
        tap.send("for the parent")
        assert is_readable(connection, SECONDS)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # The warning is about a fork beside threads.
            child = os.fork()
        if child == 0:
            found = b"wrong"
            try:
                found_readable = [is_readable(connection), bool(select.select([number], [], [], 0)[0])]
                for _ in range(3):
                    with pytest.raises(ConnectionClosed):
                        connection.recv(0)
                    found_readable.append(is_readable(connection))
                found = b"right" if all(found_readable) else repr(found_readable).encode()
            finally:
                os.write(writing, found)
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 1000) == b"right"
        os.close(reading)
        os.close(writing)
        assert connection.recv(0) == "for the parent"
        assert not is_readable(connection)
        tap.send("again")
        assert is_readable(connection, SECONDS)
        assert connection.recv(0) == "again"
        tap.end()


def test_without_a_call_nothing_is_made() -> None:
    with opened() as connection:
        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        connection.send("x")
        connection.recv(SECONDS)
        after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
        assert after == before
