"""`syncws._transport.dialer`: from addresses to a connected socket, with injected sockets and time."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest

from syncws._transport import dialer
from syncws._transport.dialer import SocketSetup, interleave
from syncws._transport.poller import WRITE, OpenTimeoutError
from syncws._transport.resolver import Address

NEVER = 1e9


class FakeSocket(socket.socket):
    """A socket that is never connected: `connect_ex` says what the test wants."""

    def __init__(self, net: FakeNet) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.net = net
        self.where: tuple[str, int] = ("", 0)
        self.begun_at = 0.0

    def connect_ex(self, address: object) -> int:
        assert isinstance(address, tuple)
        assert self.gettimeout() == 0
        self.where = address[:2]
        self.begun_at = self.net.now
        return self.net.at_once.get(self.where[0], errno.EINPROGRESS)

    def getsockopt(self, level: int, name: int, length: int = 0) -> int:  # type: ignore[override]
        if (level, name) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self.net.answers[self.where[0]][1]
        return super().getsockopt(level, name)


class FakeNet:
    """Addresses that answer after a while, on a clock that only `wait_any` moves on; also the deadline."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.at: float | None = None
        self.at_once: dict[str, int] = {}  # address: errno
        self.answers: dict[str, tuple[float, int]] = {}  # address: (seconds, errno)
        self.made: list[FakeSocket] = []
        self.most_pending = 0
        self.error: BaseException | None = None
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def make_socket(self, *_: int) -> FakeSocket:
        self.made.append(FakeSocket(self))
        return self.made[-1]

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        raise AssertionError("it waits for several at once")

    def wait_any(
        self, socks: list[socket.socket], events: int, limit: float | None = None
    ) -> list[socket.socket]:
        assert events == WRITE and socks
        self.most_pending = max(self.most_pending, len(socks))
        if self.error is not None:
            raise self.error
        ready_at = {}
        for sock in socks:
            assert isinstance(sock, FakeSocket)
            ready_at[sock] = sock.begun_at + self.answers.get(sock.where[0], (NEVER, 0))[0]
        ends = [*ready_at.values(), *([] if limit is None else [self.now + limit])]
        ends += [] if self.at is None else [self.at]
        assert min(ends) < NEVER, "this would wait for ever"
        self.now = max(self.now, min(ends))
        if self.at is not None and self.now >= self.at:
            raise OpenTimeoutError("time is over")
        return [sock for sock, at in ready_at.items() if at <= self.now]

    def wake(self) -> None:
        raise AssertionError("nothing to wake")

    def connect(self, addresses: list[Address], setup: SocketSetup | None = None) -> FakeSocket:
        sock = dialer.connect(addresses, "host.example", self, self.make_socket, setup)
        assert isinstance(sock, FakeSocket)
        assert [other.fileno() for other in self.made if other is not sock] == [-1] * (len(self.made) - 1)
        return sock

    def fail(self, addresses: list[Address]) -> OSError:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the tests look at it more closely
            self.connect(addresses)
        assert [sock.fileno() for sock in self.made] == [-1] * len(self.made)
        return caught.value

    @property
    def tried(self) -> list[tuple[str, float]]:
        """Each address that was tried, and how many seconds after the beginning."""
        return [(sock.where[0], round(sock.begun_at - 1000.0, 6)) for sock in self.made]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> FakeNet:
    return FakeNet(monkeypatch)


def v4(*numbers: int) -> list[Address]:
    where = [(f"192.0.2.{number}", 443) for number in numbers]
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address) for address in where]


def v6(*numbers: int) -> list[Address]:
    where = [(f"2001:db8::{number}", 443, 0, 0) for number in numbers]
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, address) for address in where]


def chain(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield str(error)
        error = error.__context__


def test_families_take_turns_and_each_keeps_its_order() -> None:
    assert interleave(v6(1, 2, 3) + v4(1, 2)) == [*v6(1), *v4(1), *v6(2), *v4(2), *v6(3)]
    assert interleave(v4(1) + v6(1, 2) + v4(2, 3)) == [*v4(1), *v6(1), *v4(2), *v6(2), *v4(3)]
    assert interleave(v4(1, 2)) == v4(1, 2)
    assert interleave(v4(1, 2, 1) + v6(1, 1)) == [*v4(1), *v6(1), *v4(2)]
    assert interleave([]) == []


def test_first_address_is_taken_when_it_answers_at_once(net: FakeNet) -> None:
    net.answers = {"2001:db8::1": (0.2, 0), "192.0.2.1": (0.0, 0)}
    with net.connect(v6(1) + v4(1)) as sock:
        assert sock.where[0] == "2001:db8::1"
    assert net.tried == [("2001:db8::1", 0.0)]


def test_address_that_does_not_answer_has_company_after_a_quarter_of_a_second(net: FakeNet) -> None:
    net.answers = {"192.0.2.1": (0.03, 0)}
    with net.connect(v6(1, 2) + v4(1)) as sock:
        assert sock.where[0] == "192.0.2.1"
    assert net.tried == [("2001:db8::1", 0.0), ("192.0.2.1", 0.25)]
    assert net.now == pytest.approx(1000.28)


def test_slow_address_still_wins_over_later_ones_that_are_slower(net: FakeNet) -> None:
    net.answers = {"192.0.2.1": (0.6, 0), "192.0.2.2": (0.5, 0), "192.0.2.3": (5.0, 0)}
    with net.connect(v4(1, 2, 3)) as sock:
        assert sock.where[0] == "192.0.2.1"
    assert [at for _, at in net.tried] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("at_once", [True, False])
def test_failure_brings_the_next_address_forward(net: FakeNet, at_once: bool) -> None:
    if at_once:
        net.at_once = {"192.0.2.1": errno.ENETUNREACH}
    net.answers = {"192.0.2.1": (0.01, errno.ECONNREFUSED), "192.0.2.2": (0.01, 0)}
    with net.connect(v4(1, 2, 3)) as sock:
        assert sock.where[0] == "192.0.2.2"
    assert net.tried == [("192.0.2.1", 0.0), ("192.0.2.2", 0.0 if at_once else 0.01)]


def test_failure_brings_the_next_address_forward_while_another_one_is_still_awaited(net: FakeNet) -> None:
    net.answers = {"192.0.2.2": (0.01, errno.ECONNREFUSED), "192.0.2.3": (0.01, 0)}
    with net.connect(v4(1, 2, 3)) as sock:
        assert sock.where[0] == "192.0.2.3"
    assert net.tried == [("192.0.2.1", 0.0), ("192.0.2.2", 0.25), ("192.0.2.3", 0.26)]


def test_address_that_is_connected_at_once_is_taken(net: FakeNet) -> None:
    net.at_once = {"192.0.2.1": 0}
    with net.connect(v4(1, 2)) as sock:
        assert sock.where[0] == "192.0.2.1"


def test_a_thousand_addresses_that_refuse_are_tried_and_the_error_tells_a_few(net: FakeNet) -> None:
    numbers = range(1000)
    net.at_once = {f"192.0.2.{number}": errno.ECONNREFUSED for number in numbers}
    error = net.fail(v4(*numbers))
    assert len(net.made) == 1000
    assert isinstance(error, ConnectionRefusedError)
    assert "192.0.2.999 port 443" in str(error) and "none of 1000 addresses" in str(error)
    assert len(list(chain(error))) == dialer.MAX_TOLD


def test_a_thousand_addresses_that_do_not_answer_use_few_sockets_at_once(net: FakeNet) -> None:
    net.answers = {"192.0.2.999": (0.1, 0)}
    with net.connect(v4(*range(1000))) as sock:
        assert sock.where[0] == "192.0.2.999"
    assert net.most_pending == dialer.MAX_PENDING


def test_time_that_is_over_ends_it(net: FakeNet) -> None:
    net.at = 1001.1
    error = net.fail(v4(*range(10)))
    assert isinstance(error, OpenTimeoutError)
    assert len(net.made) == 5


@pytest.mark.parametrize(
    "error", [OpenTimeoutError("time is over"), RuntimeError("given up"), KeyboardInterrupt()]
)
def test_end_of_the_opening_ends_the_dialling_and_closes_the_sockets(
    error: BaseException, net: FakeNet
) -> None:
    net.error = error
    with pytest.raises(type(error)) as caught:
        net.connect(v4(1, 2, 3))
    assert caught.value is error
    assert [sock.fileno() for sock in net.made] == [-1]


def test_error_is_that_of_the_address_that_failed_last_with_the_earlier_ones_behind_it(net: FakeNet) -> None:
    refused, unreachable = errno.ECONNREFUSED, errno.EHOSTUNREACH
    net.at_once = {"192.0.2.2": refused, "192.0.2.4": refused}
    net.answers = {"192.0.2.1": (0.2, errno.ETIMEDOUT), "192.0.2.3": (0.1, unreachable)}
    error = net.fail(v4(1, 2, 3, 4))
    assert isinstance(error, ConnectionRefusedError)
    expected = [(4, refused), (3, unreachable), (2, refused), (1, errno.ETIMEDOUT)]
    told = list(chain(error))
    for (number, code), said in zip(expected, told, strict=True):
        assert f"cannot connect to 192.0.2.{number} port 443 ('host.example'): {os.strerror(code)}" in said
    assert "none of 4 addresses" in told[0]


def test_socket_that_cannot_be_made_is_an_error_like_another(net: FakeNet) -> None:
    def none_left(*_: int) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(OSError, match="cannot connect to 192.0.2.2 port 443") as caught:
        dialer.connect(v4(1, 2), "host.example", net, none_left)
    assert caught.value.errno == errno.EMFILE
    assert len(list(chain(caught.value))) == 2


def test_host_without_an_address_is_an_error_that_names_it(net: FakeNet) -> None:
    with pytest.raises(OSError, match="'host.example' has no address"):
        net.connect([])


def test_address_that_is_the_host_is_named_once(net: FakeNet) -> None:
    net.at_once = {"192.0.2.1": errno.ECONNREFUSED}
    with pytest.raises(ConnectionRefusedError) as caught:
        dialer.connect(v4(1), "192.0.2.1", net, net.make_socket)
    assert str(caught.value).count("192.0.2.1") == 1


def test_small_messages_are_not_held_back_and_dead_links_are_looked_for(net: FakeNet) -> None:
    net.at_once = {"192.0.2.1": 0}
    with net.connect(v4(1)) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            assert idle == dialer.KEEPALIVE_IDLE_SECONDS


def test_options_of_the_caller_come_after_ours(net: FakeNet) -> None:
    net.at_once = {"192.0.2.1": 0}
    options: list[tuple[int, int, int | bytes]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, (0).to_bytes(4, "little")),
    ]
    with net.connect(v4(1), SocketSetup(options=options)) as sock:
        assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_option_that_the_system_refuses_is_an_error_like_another(net: FakeNet) -> None:
    with pytest.raises(OSError, match="cannot connect to 192.0.2.1 port 443"):
        net.connect(v4(1), SocketSetup(options=[(socket.SOL_SOCKET, 0xFFFF, 1)]))
    assert [sock.fileno() for sock in net.made] == [-1]


def test_source_is_bound_before_the_socket_is_connected(net: FakeNet) -> None:
    net.at_once = {"192.0.2.1": 0}
    with net.connect(v4(1), SocketSetup(source=("127.0.0.5", 0))) as sock:
        assert sock.getsockname()[0] == "127.0.0.5"


def test_source_that_is_not_here_is_an_error_like_another(net: FakeNet) -> None:
    with pytest.raises(OSError, match="cannot connect to 192.0.2.1 port 443") as caught:
        net.connect(v4(1), SocketSetup(source=("203.0.113.1", 0)))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_time_out_tells_what_became_of_the_addresses_that_did_answer(net: FakeNet) -> None:
    net.at = net.now + 5
    net.answers = {"192.0.2.1": (0.1, errno.ECONNREFUSED)}
    error = net.fail(v6(1) + v4(1))
    assert isinstance(error, OpenTimeoutError)
    refused = "cannot connect to 192.0.2.1 port 443 ('host.example'): Connection refused"
    assert str(error) == f"time is over; before that: {refused}"
    assert isinstance(error.__cause__, ConnectionRefusedError)
