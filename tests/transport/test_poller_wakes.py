"""`syncws._transport.poller` without eventfd, as on macOS and Windows; and in a forked child."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

import syncws._transport.poller
from syncws._transport.poller import READ, WRITE, ForkedError, Poller
from tests.support.leftovers import open_descriptors
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.programs import run_silently
from tests.support.waiting import SECONDS


@pytest.fixture(params=["eventfd", "socketpair", "select"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    if request.param == "eventfd" and not hasattr(os, "eventfd"):
        pytest.skip("no eventfd here")
    if request.param != "eventfd":
        monkeypatch.delattr(os, "eventfd", raising=False)
    if request.param == "select":
        monkeypatch.delattr(selectors, "PollSelector", raising=False)
    made = Poller()
    yield made
    made.close()


def test_wakes_do_not_pile_up_however_many_there_are(poller: Poller) -> None:
    for _ in range(100_000):
        poller.wake()
    assert not poller.wait(None, READ, SECONDS)
    assert not poller.wait(None, READ, 0.01)
    thread = threading.Thread(target=poller.wait, args=(None, READ, SECONDS))
    thread.start()
    poller.wake()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_socket_and_wake_up_are_told_apart(poller: Poller) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert poller.wait(near, WRITE, SECONDS)
        poller.wake()
        assert not poller.wait(near, READ, SECONDS)
        far.send(b"x")
        poller.wake()
        assert poller.wait(near, READ, SECONDS)
        assert not poller.wait(None, READ, 0.01)


def test_wait_that_a_fork_interrupted_raises_the_error_for_greenlets(poller: Poller) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert not poller.wait(near, READ, 0.01)
        poller.after_fork()
        assert near.fileno() == -1  # the child's copy of the connection
        with pytest.raises(ForkedError):
            _wait_on_closed(poller)
    assert not issubclass(ForkedError, Exception)


def _wait_on_closed(poller: Poller) -> None:
    """As the rest of `wait` runs in a greenlet of the child: its selector is closed by then."""
    poller._selector = selectors.SelectSelector()
    try:
        poller.wait(None, READ, 0)
    finally:
        poller._selector.close()


def test_close_frees_all_descriptors_and_may_be_called_again(poller: Poller) -> None:
    before = set(open_descriptors())
    made = Poller()
    made.wake()
    made.close()
    assert set(open_descriptors()) == before
    poller.close()
    poller.close()
    poller.wake()


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="no eventfd here")
def test_close_in_the_middle_of_a_wake_leaves_its_descriptor_until_that_has_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Poller()
    write = os.eventfd_write
    others: list[int] = []

    def close_first(number: int, value: int) -> None:
        made.close()
        others.append(os.eventfd(0, os.EFD_NONBLOCK))
        assert others[0] != number
        write(number, value)

    monkeypatch.setattr(os, "eventfd_write", close_first)
    before = set(open_descriptors())
    made.wake()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(others[0])
    os.close(others[0])
    assert len(before - set(open_descriptors())) == 1


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="no eventfd here")
def test_no_code_of_python_runs_where_the_last_reference_closes_the_descriptor() -> None:
    """A signal handler would run in it, and the interpreter would drop what that raised."""
    made = Poller()
    last = [made._wake_up]
    made.close()
    before = set(open_descriptors())
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    last.clear()
    sys.setprofile(None)
    assert called == []
    assert len(before - set(open_descriptors())) == 1


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="objects are freed late here")
def test_pollers_that_threads_make_and_close_at_once_leave_nothing() -> None:
    """In a process of its own: CPython 3.10 to 3.12 crashed where a closer was dropped while it ran."""
    assert run_silently("-c", CHURN) == "done\n"


CHURN = """
import sys, threading
from syncws._transport import poller
from tests.support.leftovers import open_descriptors

def churn():
    for _ in range(5000):
        poller.Poller().close()

before = open_descriptors()
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=churn) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
del thread, threads
poller.Poller().close()
assert len(poller._closers) < 10, len(poller._closers)
assert open_descriptors() == before
print("done")
"""


@needs_moments
def test_handlers_that_raise_leave_nothing_that_stops_the_next_wake(poller: Poller) -> None:
    moments = Moments(interrupt, syncws._transport.poller)
    for delay in moments.each():
        with moments.within(delay):
            for _ in range(20):
                poller.wake()
    assert moments.runs > 10
    thread = threading.Thread(target=poller.wake)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()
    poller.wake()
    assert not poller.wait(None, READ, SECONDS)


def test_fork_in_the_middle_of_a_wake_leaves_the_child_a_wake_that_does_nothing(poller: Poller) -> None:
    wake_up = poller._wake_up
    assert wake_up is not None
    before = set(open_descriptors())
    poller.after_fork()
    assert set(open_descriptors()) < before
    wake_up.put()
    wake_up.clear()
