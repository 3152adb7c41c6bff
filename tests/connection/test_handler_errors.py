"""What a signal handler raises leaves the call that it has interrupted, as the object that it was, whatever
it is: an error that the network has, too, and whatever kind of callable the handler is."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest

import syncws
from syncws import ConnectionClosed
from syncws._handler_errors import can_tell_handlers
from syncws.testing import Peer
from tests.support.clients import opened
from tests.support.interrupts import needs_timer_signals
from tests.support.leftovers import wait_for_no_threads
from tests.support.proxies import silent
from tests.support.servers import finish, refusing, unanswering
from tests.support.stress import turns
from tests.support.threads import STANDSTILL
from tests.support.waiting import AT_ONCE, SECONDS

pytestmark = needs_timer_signals

Handler = Callable[..., object]

PACKAGE = str(Path(syncws.__file__).parent)

#: Errors that a handler may raise, and that the package catches itself somewhere.
KINDS = [TimeoutError, InterruptedError, ConnectionResetError, ValueError, RuntimeError, KeyError]


class Raises:
    """Handlers that raise."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def method(self, number: int, frame: FrameType | None) -> None:
        raise self._error

    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise self._error


def function(error: BaseException) -> Handler:
    def handle(*arguments: object) -> None:
        raise error

    return handle


def replaces_itself(error: BaseException) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise error

    return handle


def in_c(error: BaseException) -> Handler:
    def fail(number: object) -> Any:
        raise error

    return functools.partial(max, key=fail)


#: Makes a handler that raises.
HANDLERS: dict[str, Callable[[BaseException], Handler]] = {
    "function": function,
    "lambda": lambda error: lambda *arguments: function(error)(),
    "method": lambda error: Raises(error).method,
    "callable object": Raises,
    "partial": lambda error: functools.partial(function(error), "more"),
    "partial of a partial of a method": lambda error: functools.partial(
        functools.partial(Raises(error).method)
    ),
    "mock": lambda error: mock.Mock(side_effect=error),
    "one that puts another one in its place": replaces_itself,
    "in C": in_c,
}


@contextlib.contextmanager
def installed(handler: Handler) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def strike() -> None:
    """A signal once the main thread waits. Before that it may be in Python's own code, which imports a module
    or drops a thread, and keeps some exceptions to itself."""
    main = threading.main_thread().ident or 0
    place: object = None
    since = time.monotonic()
    while True:
        frame = sys._current_frames()[main]
        now = frame.f_code, frame.f_lasti
        del frame
        if now != place or not now[0].co_filename.startswith(PACKAGE):
            place, since = now, time.monotonic()
        elif time.monotonic() - since > STANDSTILL:
            break
        threading.Event().wait(0.002)
    signal.pthread_kill(main, signal.SIGALRM)


def check_leaves(call: Callable[[], object], error: Exception, handler: Handler) -> None:
    told = error.args
    thread = threading.Thread(target=strike)
    began = time.monotonic()
    with installed(handler):
        thread.start()
        with pytest.raises(type(error)) as caught:
            call()
        thread.join(SECONDS)
    assert caught.value is error
    assert error.args == told
    assert time.monotonic() - began < AT_ONCE


@contextlib.contextmanager
def answer() -> Iterator[str]:
    with unanswering() as url:
        yield url


@contextlib.contextmanager
def addresses() -> Iterator[str]:
    with silent("127.0.0.1") as port:
        yield f"ws://127.0.0.1:{port}/"


@contextlib.contextmanager
def tls() -> Iterator[str]:
    with unanswering() as url:
        yield url.replace("ws:", "wss:")


WAITS = {"answer": answer, "addresses": addresses, "tls": tls}

cases = pytest.mark.parametrize(
    ("make", "what"), turns(HANDLERS.values(), list(itertools.product(KINDS, WAITS.values())))
)


@cases
def test_connect(make: Callable[[BaseException], Handler], what: tuple[type[Exception], Any]) -> None:
    kind, waits = what
    error = kind("mine")
    with waits() as url:
        check_leaves(lambda: syncws.connect(url), error, make(error))
    wait_for_no_threads()


@cases
def test_an_attempt_of_reconnect(
    make: Callable[[BaseException], Handler], what: tuple[type[Exception], Any]
) -> None:
    kind, waits = what
    error = kind("mine")
    with waits() as url:
        check_leaves(lambda: next(syncws.reconnect(url)), error, make(error))
    wait_for_no_threads()


@pytest.mark.parametrize("kind", KINDS)
def test_the_pause_of_reconnect(kind: type[Exception]) -> None:
    error = kind("mine")
    with refusing() as url:
        attempts = syncws.reconnect(url, policy=lambda loss: 60.0)
        check_leaves(lambda: next(attempts), error, function(error))


@pytest.mark.parametrize(("make", "kind"), turns(HANDLERS.values(), KINDS))
def test_recv_and_iteration(kind: type[Exception], make: Callable[[BaseException], Handler]) -> None:
    with opened() as connection:
        for call in (connection.recv, lambda: next(iter(connection)), lambda: list(connection)):
            error = kind("mine")
            check_leaves(call, error, make(error))
        connection.send("next")
        assert connection.recv(SECONDS) == "next"


def test_the_end_of_another_connection_is_not_that_of_an_iteration() -> None:
    """A handler that uses another connection may meet the end of that."""
    with opened() as connection:
        error = ConnectionClosed(1000, "", True)
        check_leaves(lambda: list(connection), error, function(error))
        assert connection.readyState == connection.OPEN


def test_logging_that_fails_for_a_handler_is_no_fault_of_logging() -> None:
    error = TimeoutError("mine")

    class Interrupted(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(signal.SIGALRM)
            return True

    logger, interrupted = logging.getLogger("syncws"), Interrupted()
    logger.addFilter(interrupted)
    try:
        with refusing() as url, installed(function(error)), pytest.raises(TimeoutError) as caught:
            next(syncws.reconnect(url))  # a failed attempt is logged as a warning
        assert caught.value is error
    finally:
        logger.removeFilter(interrupted)


# Which handlers are known.


@pytest.mark.parametrize(("name", "make"), HANDLERS.items())
def test_a_handler_in_c_is_the_only_one_that_is_not_known(
    name: str, make: Callable[[BaseException], Handler]
) -> None:
    with installed(make(TimeoutError())):
        # What CPython has in C is Python on PyPy.
        assert can_tell_handlers() == (name != "in C" or sys.implementation.name == "pypy")


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="there the reader opens the connection")
def test_where_one_is_not_known_the_reader_opens_but_for_other_threads() -> None:
    names: list[str] = []

    def script(peer: Peer) -> None:
        peer.accept()
        finish(peer)

    def connect() -> None:
        import socket

        class Watched(socket.socket):
            def connect_ex(self, address: Any) -> int:
                names.append(threading.current_thread().name)
                return super().connect_ex(address)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", Watched)
            with opened(script):
                pass

    with installed(in_c(TimeoutError())):
        connect()
        thread = threading.Thread(target=connect, name="other")
        thread.start()
        thread.join(SECONDS)
    assert names[0].endswith("-reader") and names[1] == "other"


def test_nothing_is_known_of_a_partial_that_holds_itself() -> None:
    handler: Any = functools.partial(print)
    handler.__setstate__((handler, (), {}, {}))
    with installed(handler):
        assert not can_tell_handlers()
    handler.__setstate__((print, (), {}, {}))  # With this, the connection can be collected.
