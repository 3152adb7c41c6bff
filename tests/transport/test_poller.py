"""`syncws._transport.poller`: waiting for one socket, a deadline and a wake-up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from syncws._transport.poller import READ, WRITE, Poller

LONG = 30.0


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def test_ready_socket_ends_the_wait(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    assert poller.wait(pair[0], WRITE, LONG)
    assert not poller.wait(pair[0], READ, 0.01)
    pair[1].send(b"x")
    assert poller.wait(pair[0], READ, LONG)
    assert poller.wait(pair[1], WRITE, LONG)
    assert not poller.wait(None, READ, 0.01)  # it is not looked at now


@pytest.mark.parametrize("timeout", [None, LONG, 10.0**7, 10.0**12, 1e300])
def test_wake_ends_a_wait_however_long_it_was_to_be(
    poller: Poller, pair: tuple[socket.socket, socket.socket], timeout: float | None
) -> None:
    poller.wake()
    assert not poller.wait(pair[0], READ, timeout)
    thread = threading.Thread(target=poller.wait, args=(pair[0], READ, timeout))
    thread.start()
    poller.wake()
    thread.join(LONG)
    assert not thread.is_alive()


def test_wakes_do_not_pile_up(poller: Poller) -> None:
    for _ in range(1000):
        poller.wake()
    assert not poller.wait(None, READ, LONG)
    woken = threading.Event()

    def wait() -> None:
        poller.wait(None, READ, None)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not woken.wait(0.05)
    poller.wake()
    thread.join(LONG)
    assert woken.is_set()


def test_wake_after_close_does_nothing() -> None:
    made = Poller()
    made.close()
    made.wake()


def test_any_of_several_sockets_ends_the_wait(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    assert poller.wait_any([one, other], READ, 0.01) == []
    other.send(b"x")
    assert poller.wait_any([one, other], READ, LONG) == [one]
    assert set(poller.wait_any([one, other], WRITE, LONG)) == {one, other}
    # The sockets of the last wait are forgotten, and the one that is watched is not among them.
    assert poller.wait(other, WRITE, LONG)
    assert poller.wait_any([one], READ, LONG) == [one]
    assert not poller.wait(None, READ, 0.01)


def test_wake_ends_a_wait_for_several_sockets(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    poller.wake()
    assert poller.wait_any(list(pair), READ, LONG) == []
    thread = threading.Thread(target=poller.wait_any, args=(list(pair), READ, None))
    thread.start()
    poller.wake()
    thread.join(LONG)
    assert not thread.is_alive()
