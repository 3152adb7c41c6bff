"""`syncws._transport.dialer`: from addresses to a connected socket, with injected sockets and deadline."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest

from syncws._transport import dialer
from syncws._transport.poller import WRITE, OpenTimeoutError
from syncws._transport.resolver import Address


class FakeSocket(socket.socket):
    """A socket that is never connected: `connect_ex` answers what the test says."""

    def __init__(self, answers: dict[str, int], made: list[FakeSocket]) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.answers = answers
        self.where: tuple[str, int] | None = None
        self.outcome = 0
        made.append(self)

    def connect_ex(self, address: object) -> int:
        assert isinstance(address, tuple)
        assert self.gettimeout() == 0
        self.where = address
        return self.answers.get(address[0], errno.EINPROGRESS)

    def getsockopt(self, level: int, name: int, length: int = 0) -> int:  # type: ignore[override]
        if name == socket.SO_ERROR:
            return self.outcome
        return super().getsockopt(level, name)


class FakeDeadline:
    """Never waits: `ready` says which addresses answer, and with what `SO_ERROR`."""

    def __init__(self, seconds: float | None, ready: dict[str, int] | None = None) -> None:
        self.at = None if seconds is None else time.monotonic() + seconds
        self.limits: list[float | None] = []
        self.error: BaseException | None = None
        self._ready = ready or {}

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        assert isinstance(sock, FakeSocket)
        assert events == WRITE
        self.limits.append(limit)
        if self.error is not None:
            raise self.error
        assert sock.where is not None
        if sock.where[0] not in self._ready:
            return False
        sock.outcome = self._ready[sock.where[0]]
        return True

    def wake(self) -> None:
        raise AssertionError("nothing to wake")


def addresses(count: int) -> list[Address]:
    where = [(f"192.0.2.{number}", 443) for number in range(1, count + 1)]
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address) for address in where]


class Dial:
    """What `connect` does with fake sockets, of which all that did not connect must be closed."""

    def __init__(self, deadline: FakeDeadline, answers: dict[str, int] | None = None) -> None:
        self.deadline = deadline
        self.answers = answers or {}
        self.made: list[FakeSocket] = []

    def __call__(self, count: int) -> socket.socket:
        return dialer.connect(
            addresses(count), "host.example", self.deadline, lambda *_: FakeSocket(self.answers, self.made)
        )

    def fail(self, count: int) -> OSError:
        with pytest.raises(OSError, match="cannot connect to") as caught:
            self(count)
        assert [sock.fileno() for sock in self.made] == [-1] * len(self.made)
        return caught.value


def chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__context__


def test_each_address_but_the_last_has_an_equal_share_of_the_time_that_is_left() -> None:
    dial = Dial(FakeDeadline(8.0))
    dial.fail(4)
    assert dial.deadline.limits == [pytest.approx(limit, abs=0.1) for limit in (2.0, 8 / 3, 4.0)] + [None]


def test_a_time_that_is_over_leaves_no_negative_share() -> None:
    dial = Dial(FakeDeadline(-5.0))
    dial.fail(2)
    assert dial.deadline.limits == [0.0, None]


def test_without_a_deadline_no_address_has_a_limit() -> None:
    dial = Dial(FakeDeadline(None))
    dial.fail(3)
    assert dial.deadline.limits == [None] * 3


def test_error_is_the_last_address_s_and_names_it_with_the_earlier_ones_behind_it() -> None:
    refused, unreachable = errno.ECONNREFUSED, errno.EHOSTUNREACH
    dial = Dial(FakeDeadline(8.0, {"192.0.2.3": unreachable}), {"192.0.2.2": refused, "192.0.2.4": refused})
    error = dial.fail(4)
    assert isinstance(error, ConnectionRefusedError)
    expected = [refused, unreachable, refused, errno.ETIMEDOUT]
    for number, said, code in zip((4, 3, 2, 1), chain(error), expected, strict=True):
        assert f"cannot connect to 192.0.2.{number} port 443 ('host.example'): {os.strerror(code)}" in said
    causes = []
    step: BaseException | None = error
    while step is not None:
        assert isinstance(step.__cause__, OSError)
        causes.append(step.__cause__.errno)
        step = step.__context__
    assert causes == expected


@pytest.mark.parametrize("at_once", [True, False])
def test_first_address_that_answers_is_taken_and_the_others_are_not_tried(at_once: bool) -> None:
    refused = {"192.0.2.1": errno.ECONNREFUSED}
    good = {"192.0.2.2": 0}
    dial = Dial(FakeDeadline(8.0, {} if at_once else good), {**refused, **(good if at_once else {})})
    with dial(3) as sock:
        assert sock is dial.made[1]
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert len(dial.made) == 2
        assert dial.made[0].fileno() == -1


@pytest.mark.parametrize(
    "error", [OpenTimeoutError("time is over"), RuntimeError("given up"), KeyboardInterrupt()]
)
def test_end_of_the_opening_ends_the_dialling_and_closes_the_socket(error: BaseException) -> None:
    dial = Dial(FakeDeadline(8.0))
    dial.deadline.error = error
    with pytest.raises(type(error)) as caught:
        dial(3)
    assert caught.value is error
    assert [sock.fileno() for sock in dial.made] == [-1]


def test_socket_that_cannot_be_made_is_an_error_like_another() -> None:
    def none_left(*_: int) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(OSError, match=r"cannot connect to 192\.0\.2\.2 port 443") as caught:
        dialer.connect(addresses(2), "host.example", FakeDeadline(1.0), none_left)
    assert caught.value.errno == errno.EMFILE
    assert len(list(chain(caught.value))) == 2


def test_host_without_an_address_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"'host\.example' has no address"):
        dialer.connect([], "host.example", FakeDeadline(1.0))


def test_address_that_is_the_host_is_named_once() -> None:
    def refusing(*_: int) -> socket.socket:
        return FakeSocket({"192.0.2.1": errno.ECONNREFUSED}, made)

    made: list[FakeSocket] = []
    with pytest.raises(ConnectionRefusedError) as caught:
        dialer.connect(addresses(1), "192.0.2.1", FakeDeadline(None), refusing)
    assert str(caught.value).count("192.0.2.1") == 1
