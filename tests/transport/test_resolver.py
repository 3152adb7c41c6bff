"""`syncws._transport.resolver`: from a name to addresses, on a thread that can be left behind."""

from __future__ import annotations

import errno
import gc
import socket
import threading
import time
import weakref
from typing import Any

import pytest

from syncws._transport.poller import OpenTimeoutError, Poller
from syncws._transport.resolver import resolve
from tests.support.interleaving import needs_points
from tests.support.interrupts import start_cut_off
from tests.support.waiting import SECONDS


class Deadline:
    """Waits as the opening of a connection does; `over` ends the waiting."""

    at: float | None = None

    def __init__(self) -> None:
        self.poller = Poller()
        self.over = False
        self.waiting = threading.Event()

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        assert sock is None
        if self.over:
            raise OpenTimeoutError("time is over")
        self.waiting.set()
        began = time.monotonic()
        ready = self.poller.wait(None, events, SECONDS)
        assert time.monotonic() - began < SECONDS, "nothing woke the thread that waits"
        return ready

    def wait_any(
        self, socks: list[socket.socket], events: int, limit: float | None = None
    ) -> list[socket.socket]:
        raise AssertionError("a look-up has no sockets")

    def wake(self) -> None:
        self.poller.wake()


@pytest.fixture
def deadline() -> Any:
    made = Deadline()
    yield made
    made.poller.close()


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [("127.0.0.1", socket.AF_INET, ("127.0.0.1", 80)), ("::1", socket.AF_INET6, ("::1", 80, 0, 0))],
)
def test_an_address_needs_no_look_up_and_no_thread(
    host: str, family: int, address: object, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    monkeypatch.setattr(threading, "Thread", None)
    assert resolve(host, 80, deadline) == [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)]


def test_name_is_looked_up_on_a_thread_of_its_own_and_the_system_s_order_is_kept(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def getaddrinfo(*arguments: object) -> list[tuple[int, int, int, str, object]]:
        assert deadline.waiting.wait(SECONDS)
        asked.append((threading.current_thread().name, *arguments))
        return [(2, 1, 6, "", ("192.0.2.2", 443)), (2, 1, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = resolve("host.example", 443, deadline, "syncws-7")
    assert found == [(2, 1, 6, ("192.0.2.2", 443)), (2, 1, 6, ("192.0.2.1", 443))]
    # Bytes: a str would go through the idna codec.
    assert asked == [("syncws-7-resolver", b"host.example", 443, 0, socket.SOCK_STREAM)]


@pytest.mark.parametrize(
    ("error", "kind", "number"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), socket.gaierror, socket.EAI_NONAME),
        (OSError(errno.EMFILE, "Too many open files"), OSError, errno.EMFILE),
        (UnicodeError("label too long"), socket.gaierror, socket.EAI_NONAME),
    ],
)
def test_failure_names_the_host_and_keeps_its_class_and_number(
    error: Exception, kind: type[OSError], number: int, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(kind, match=r"cannot resolve 'host\.example'") as caught:
        resolve("host.example", 443, deadline)
    assert caught.value.errno == number
    assert caught.value.__cause__ is not None


def test_look_up_that_hangs_is_left_behind(deadline: Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Event(), threading.Event()

    def getaddrinfo(*_: object) -> list[object]:
        begun.set()
        deadline.over = True
        deadline.wake()
        release.wait(SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(OpenTimeoutError):
            resolve("host.example", 443, deadline)
        assert begun.is_set()
    finally:
        release.set()


def test_without_a_thread_for_it_the_look_up_fails_as_the_system_does(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match=r"cannot resolve 'host\.example': can't start new thread") as caught:
        resolve("host.example", 443, deadline)
    assert caught.value.errno == errno.EAGAIN


def test_address_in_a_zone_has_the_number_of_its_interface(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    number, name = socket.if_nameindex()[0]
    kinds = (socket.SOCK_STREAM, socket.IPPROTO_TCP)
    expected = [(socket.AF_INET6, *kinds, ("fe80::1", 80, 0, number))]
    assert resolve(f"fe80::1%{name}", 80, deadline) == expected
    assert resolve("fe80::1%7", 80, deadline) == [(socket.AF_INET6, *kinds, ("fe80::1", 80, 0, 7))]
    with pytest.raises(OSError, match="there is no network interface 'nowhere0' here") as caught:
        resolve("fe80::1%nowhere0", 80, deadline)
    assert caught.value.errno == errno.ENODEV


def test_one_family_alone_is_looked_up(deadline: Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def getaddrinfo(_host: bytes, _port: int, family: int, _kind: int) -> list[object]:
        asked.append(family)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolve("host.example", 443, deadline, family=socket.AF_INET6)
    assert asked == [socket.AF_INET6]
    with pytest.raises(OSError, match="'::1' is an address of another family"):
        resolve("::1", 443, deadline, family=socket.AF_INET)


@needs_points
def test_a_thread_that_a_handler_keeps_from_starting_does_not_hold_the_opening() -> None:
    """`threading` keeps such a thread in its list for ever."""
    deadline, threads = Deadline(), []
    held = weakref.ref(deadline)

    def begins(thread: threading.Thread, function: Any) -> bool:
        threads.append(thread)
        return True

    with pytest.raises(KeyboardInterrupt), start_cut_off(KeyboardInterrupt(), begins):
        resolve("host.example", 80, deadline)
    assert len(threads) == 1
    deadline.poller.close()
    del deadline
    gc.collect()
    assert held() is None
