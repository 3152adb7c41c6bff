"""`syncws._transport.poller`: waiting for one socket, a deadline and a wake-up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from syncws._transport.poller import READ, WRITE, Waiter

LONG = 30.0


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    made = Waiter()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def test_ready_socket_ends_the_wait(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    assert waiter.wait(pair[0], WRITE, LONG)
    assert not waiter.wait(pair[0], READ, 0.01)
    pair[1].send(b"x")
    assert waiter.wait(pair[0], READ, LONG)
    assert waiter.wait(pair[1], WRITE, LONG)
    assert not waiter.wait(None, READ, 0.01)  # it is not looked at now


@pytest.mark.parametrize("timeout", [None, LONG, 10.0**7, 10.0**12, 1e300])
def test_wake_ends_a_wait_however_long_it_was_to_be(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket], timeout: float | None
) -> None:
    waiter.wake()
    assert not waiter.wait(pair[0], READ, timeout)
    thread = threading.Thread(target=waiter.wait, args=(pair[0], READ, timeout))
    thread.start()
    waiter.wake()
    thread.join(LONG)
    assert not thread.is_alive()


def test_wakes_do_not_pile_up(waiter: Waiter) -> None:
    for _ in range(1000):
        waiter.wake()
    assert not waiter.wait(None, READ, LONG)
    woken = threading.Event()

    def wait() -> None:
        waiter.wait(None, READ, None)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not woken.wait(0.05)
    waiter.wake()
    thread.join(LONG)
    assert woken.is_set()


def test_wake_after_close_does_nothing() -> None:
    made = Waiter()
    made.close()
    made.wake()
