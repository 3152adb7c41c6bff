"""The first events wait: for a handler, a listener, `join()`, or 100 ms after the constructor returned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from syncws import WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import TYPES, Recorder
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_for, wait_until


class Server:
    """A script whose message comes with its 101; `done` tells when the client has long taken it in."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.accept(glued=frame_bytes(Opcode.TEXT, b"early"))
        for _ in range(20):
            peer.ping()
            assert peer.recv_frame().opcode == Opcode.PONG
        self.done.set()
        peer.send_close(None)
        finish(peer)


def add_handlers(ws: WebSocket, recorder: Recorder) -> None:
    for kind in TYPES:
        setattr(ws, f"on{kind}", recorder.note)


def add_listeners(ws: WebSocket, recorder: Recorder) -> None:
    for kind in TYPES:
        ws.addEventListener(kind, recorder.note)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 100 ms, made long enough that no busy machine can use them up between two lines of a test."""
    monkeypatch.setattr("syncws._engine.consumer.dispatcher.FIRST_EVENT_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("attach", [add_handlers, add_listeners])
def test_events_wait_for_the_first_listener(attach: Callable[[WebSocket, Recorder], None]) -> None:
    server, recorder = Server(), Recorder()
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url)
        wait_for(server.done)
        assert ws.readyState == ws.CONNECTING
        attach(ws, recorder)
        ws.join(SECONDS)
    # The first listener lets the events through, and with the others a thread may come too late.
    assert recorder.types[0] == "open" and recorder.types[-1] == "close"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["open", "message", "close"])
def test_the_only_listener_misses_nothing(kind: str) -> None:
    server, recorder = Server(), Recorder()
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url)
        wait_for(server.done)
        ws.addEventListener(kind, recorder.note)
        ws.join(SECONDS)
    assert recorder.types == [kind]


@pytest.mark.usefixtures("patient")
def test_events_wait_for_join() -> None:
    server = Server()
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url)
        wait_for(server.done)
        assert ws.readyState == ws.CONNECTING
        ws.join(SECONDS)
        assert ws.readyState == ws.CLOSED


@pytest.mark.usefixtures("patient")
def test_setting_a_handler_to_none_lets_nothing_through() -> None:
    server, recorder = Server(), Recorder()
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url, onopen=None, onclose=None)
        ws.onopen = None
        ws.addEventListener("open", None)
        wait_for(server.done)
        assert ws.readyState == ws.CONNECTING
        ws.onopen = recorder.note
        ws.join(SECONDS)
    assert recorder.types == ["open"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["onopen", "onmessage", "onclose"])
def test_handlers_given_to_the_constructor_miss_nothing(kind: str) -> None:
    recorder = Recorder()
    options: Any = {kind: recorder.note}
    with LoopbackServer(Server()) as loopback:
        ws = WebSocket(loopback.url, **options)
        wait_until(lambda: ws.readyState == ws.CLOSED, "no listener or join was needed to get there")
        ws.join(SECONDS)
    assert recorder.types == [kind.removeprefix("on")]


def test_events_do_not_wait_for_ever_without_listener_or_join() -> None:
    with LoopbackServer(Server()) as loopback:
        ws = WebSocket(loopback.url)
        wait_until(lambda: ws.readyState == ws.CLOSED)
        ws.join(SECONDS)


def test_handlers_are_what_was_given_to_the_constructor() -> None:
    recorder = Recorder()
    with LoopbackServer(Server()) as loopback:
        ws = WebSocket(loopback.url, onopen=recorder.note, onclose=print)
        assert ws.onopen == recorder.note
        assert ws.onclose is print
        assert ws.onmessage is None and ws.onerror is None
        ws.onclose = None
        ws.join(SECONDS)


@pytest.mark.usefixtures("patient")
def test_nothing_waits_for_listeners_of_a_ping() -> None:
    """The first event of each kind waits for its listener and holds back those behind it; a ping does not."""

    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(listening)
        peer.ping(b"early")
        wait_for(heard_ping)
        peer.send("first")
        finish(peer)

    listening, heard_ping = threading.Event(), threading.Event()
    heard: queue.Queue[object] = queue.Queue()
    with LoopbackServer(script) as server, WebSocket(server.url) as ws:
        ws.addEventListener("ping", lambda event: heard_ping.set())
        ws.addEventListener("open", lambda event: None)
        listening.set()
        wait_for(heard_ping)
        ws.addEventListener("message", lambda event: heard.put(event.data))
        assert heard.get(timeout=SECONDS) == "first"
