"""Connections that nobody holds any more (WHATWG 5, *garbage collection*)."""

from __future__ import annotations

import contextlib
import gc
import sys
import sysconfig
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import syncws
from syncws import Connection, WebSocket
from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.leftovers import wait_for_no_threads
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_for, wait_until

Receive = Callable[[Connection], Iterator["str | bytes"]]


class Ends(LoopbackServer):
    """A server that keeps what it received, and the code of each Close."""

    def __init__(self) -> None:
        self.received: list[str | bytes] = []
        self.codes: list[int | None] = []
        super().__init__(self._script)

    def _script(self, peer: Peer) -> None:
        peer.accept()
        try:
            while True:
                self.received.append(peer.recv())
        except PeerClosed as closed:
            self.codes.append(closed.code)
            raise


@pytest.fixture
def server() -> Iterator[Ends]:
    server = Ends()
    with server:
        yield server


def opened(server: Ends, onmessage: Callable[[syncws.Event], object] | None = None) -> WebSocket:
    """An open WebSocket that has no other listener than this."""
    ws = WebSocket(server.url, onmessage=onmessage)
    wait_until(lambda: ws.readyState == ws.OPEN)
    return ws


def collect() -> None:
    """Where references are not counted, find what nobody holds."""
    if sys.implementation.name != "cpython":
        gc.collect()


@contextlib.contextmanager
def warned_once(state: str = "OPEN") -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:  # holds what it is about, until the end of the block
        warnings.simplefilter("always")
        yield
        wait_until(lambda: (collect(), bool(caught))[1])  # type: ignore[func-returns-value]
    messages = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert len(messages) == 1
    assert "unclosed <" in messages[0] and f"{state}>" in messages[0]


def test_a_websocket_without_listeners_is_closed_and_collected(server: Ends) -> None:
    ws = opened(server)
    ws.send("sent before")
    there = weakref.ref(ws)
    with warned_once():
        del ws
    assert there() is None
    wait_until(lambda: server.codes == [1001])
    assert server.received == ["sent before"]
    wait_for_no_threads()


def test_a_pull_connection_is_closed_and_collected(server: Ends) -> None:
    connection = syncws.connect(server.url)
    connection.send("sent before")
    there = weakref.ref(connection)
    with warned_once():
        del connection
    assert there() is None  # at once: nothing in it refers back to it
    wait_until(lambda: server.codes == [1001])
    assert server.received == ["sent before"]
    wait_for_no_threads()


def test_without_reference_counts_it_is_closed_by_the_next_collection(server: Ends) -> None:
    connection = syncws.connect(server.url)
    there = weakref.ref(connection)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")  # a record of the warning would hold the connection
        del connection
        assert (there() is None) == (sys.implementation.name == "cpython")
        gc.collect()
        assert there() is None


def test_one_that_another_thread_drops_is_closed_once_its_maker_goes_on_or_by_a_collection(
    server: Ends,
) -> None:
    """A free-threaded build leaves the last look at a count to the thread that made the object."""

    def make() -> None:
        held.append(syncws.connect(server.url))
        made.set()
        wait_for(go_on)

    held: list[Connection] = []
    made, go_on = threading.Event(), threading.Event()
    maker = Task(make)
    wait_for(made)
    maker.wait_blocked()
    there = weakref.ref(held[0])
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        held.clear()
        is_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        assert (there() is None) == (sys.implementation.name == "cpython" and not is_free_threaded)
        gc.collect()
        assert there() is None
    go_on.set()
    maker.result()


def test_messages_that_nobody_takes_do_not_keep_it() -> None:
    def flood(peer: Peer) -> None:
        peer.accept()
        with contextlib.suppress(ConnectionError):
            while True:
                peer.send_bytes(b"\x82\x7e\x10\x00" + bytes(4096))

    with LoopbackServer(flood) as server, warned_once():
        connection = syncws.connect(server.url, max_queue=10, close_timeout=0.2)
        connection.recv(SECONDS)
        del connection
        collect()
        wait_for_no_threads()


def test_one_that_is_collected_while_connecting_is_given_up() -> None:
    def silent(peer: Peer) -> None:
        peer.read_request()
        asked.set()
        peer.wait_eof(SECONDS)

    asked = threading.Event()
    with LoopbackServer(silent) as server:
        ws = WebSocket(server.url)
        assert asked.wait(SECONDS)
        there = weakref.ref(ws)
        with warned_once("CONNECTING"):
            del ws
        assert there() is None
        wait_for_no_threads()


@pytest.mark.parametrize("type", ["message", "error", "close"])
def test_a_listener_that_may_still_hear_something_keeps_it(type: str, server: Ends) -> None:
    ws = opened(server)
    heard = threading.Event()
    ws.addEventListener(type, lambda event: heard.set())
    there = weakref.ref(ws)
    del ws
    gc.collect()
    kept = there()
    assert kept is not None
    kept.send("still here")
    wait_until(lambda: server.received == ["still here"])
    kept.close()
    kept.join(SECONDS)
    assert heard.is_set() is (type == "close")
    del kept
    gc.collect()
    assert there() is None  # nothing can be heard any more


def test_a_listener_in_a_cycle_with_it_keeps_it_until_the_close_event(server: Ends) -> None:
    def cycle() -> weakref.ref[WebSocket]:
        ws = opened(server)
        ws.onclose = lambda event: closed.append(ws.readyState)
        ws.send("more")
        return weakref.ref(ws)

    closed: list[int] = []
    there = cycle()
    gc.collect()
    kept = there()
    assert kept is not None
    kept.close()
    kept.join(SECONDS)
    del kept
    gc.collect()
    assert closed == [WebSocket.CLOSED]
    assert there() is None


def test_a_listener_for_open_alone_keeps_it_until_then(server: Ends) -> None:
    heard = threading.Event()
    with warned_once():
        WebSocket(server.url, onopen=lambda event: heard.set())
        assert heard.wait(SECONDS)
        wait_until(lambda: (collect(), server.codes == [1001])[1])  # type: ignore[func-returns-value]
    wait_for_no_threads()


def test_listeners_that_are_taken_off_let_it_go(server: Ends) -> None:
    def listener(event: syncws.Event) -> None:
        raise AssertionError("not to be called")

    ws = opened(server, onmessage=listener)
    ws.addEventListener("close", listener)
    there = weakref.ref(ws)
    ws.onmessage = None
    ws.removeEventListener("close", listener)
    with warned_once():
        del ws
    assert there() is None
    wait_until(lambda: server.codes == [1001])


def test_one_that_was_closed_is_collected_without_a_word(server: Ends) -> None:
    ws = opened(server)
    ws.close(3000)
    connection = syncws.connect(server.url)
    connection.close(3001)
    there: list[weakref.ref[Any]] = [weakref.ref(ws), weakref.ref(connection)]
    del ws, connection
    # A warning would be an error here.
    wait_until(lambda: (collect(), [ref() for ref in there])[1] == [None, None])  # type: ignore[func-returns-value]
    wait_until(lambda: sorted(server.codes, key=str) == [3000, 3001])


@pytest.mark.parametrize("receive", [Connection.__iter__, Connection.recv_streaming])
def test_an_iteration_holds_the_connection(receive: Receive) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert going_on.wait(SECONDS)
        peer.send("late")
        peer.recv()

    going_on = threading.Event()
    with LoopbackServer(script) as server:
        messages = receive(syncws.connect(server.url))
        gc.collect()
        going_on.set()
        assert next(messages) == "late"
        with warned_once():
            del messages
        wait_for_no_threads()


def test_a_connection_whose_constructor_a_signal_handler_cut_off_is_collected_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    Connection.__new__(Connection)
    gc.collect()
    assert said == []
