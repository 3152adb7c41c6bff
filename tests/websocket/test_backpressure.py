"""A slow callback under a flood: the queue is bounded, nothing is lost, the order is kept."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import Any

import pytest

from syncws import Event, MessageEvent, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import Recorder
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_for

SIZE = 2**14
FLOOD = 1280  # messages: 20 MiB, far more than the system's buffers and the queue hold


@functools.cache
def wire(count: int, size: int) -> bytes:
    return b"".join(
        frame_bytes(Opcode.BINARY, number.to_bytes(4, "big") * (size // 4)) for number in range(count)
    )


class Flood:
    """A script that sends until it is stuck, says so, and then sends the rest.

    It is stuck when nothing was taken for `patience` seconds.
    """

    def __init__(self, count: int = FLOOD, size: int = SIZE, patience: float = 0.1) -> None:
        self.data = wire(count, size)
        self._patience = patience
        self.sent = 0
        self.stuck = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        view = memoryview(self.data)
        peer.socket.settimeout(self._patience)
        with contextlib.suppress(TimeoutError):
            while self.sent < len(view):
                self.sent += peer.socket.send(view[self.sent : self.sent + 2**16])
        peer.socket.settimeout(None)
        self.stuck.set()
        peer.send_bytes(view[self.sent :])
        peer.send_close()
        finish(peer)


def flooded(server: Flood, **options: Any) -> tuple[Recorder, int]:
    """Hold up the first message until the server is stuck; tell what came, and how much was sent by then."""

    def hold_up(event: Event) -> None:
        assert isinstance(event, MessageEvent)
        recorder.note(event)
        if len(recorder.events) == 2:
            wait_for(server.stuck)
            sent.append(server.sent)

    recorder = Recorder()
    sent: list[int] = []
    handlers: dict[str, Any] = {**recorder.handlers, "onmessage": hold_up}
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url, **handlers, **options)
        ws.join(3 * SECONDS)
    return recorder, sent[0]


def assert_complete(recorder: Recorder, count: int = FLOOD) -> None:
    assert [int.from_bytes(data[:4], "big") for data in recorder.data] == list(range(count))
    assert recorder.ending == (1000, "", True)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_queue": 2**16},
        {"max_queue": (2**16, None)},
        {"max_queue": (None, 4)},
        {"max_queue": (2**16, 4)},
        {"max_queue": (1, 1)},
    ],
)
def test_flood_is_held_up_by_a_slow_callback_and_nothing_is_lost(limits: dict[str, Any]) -> None:
    server = Flood()
    recorder, sent = flooded(server, **limits)
    assert sent < len(server.data)
    assert_complete(recorder)


@pytest.mark.parametrize("limit", [None, (None, None)])
def test_max_queue_none_has_no_limit(limit: Any) -> None:
    server = Flood(patience=SECONDS)
    recorder, sent = flooded(server, max_queue=limit, ping_interval=None)
    assert sent == len(server.data)
    assert_complete(recorder)


def test_message_larger_than_max_queue_arrives() -> None:
    server = Flood(count=3, size=2**20)
    recorder, _ = flooded(server, max_queue=1024)
    assert_complete(recorder, 3)
    assert [len(data) for data in recorder.data] == [2**20] * 3


def test_close_in_a_slow_callback_ends_a_flood_that_is_held_up() -> None:
    """The reader is paused, and the server's Close lies behind all that was not read."""

    def close(event: Event) -> None:
        if not server.stuck.is_set():
            wait_for(server.stuck)
            assert isinstance(event.target, WebSocket)
            event.target.close()

    server = Flood()
    recorder = Recorder()
    handlers: dict[str, Any] = {**recorder.handlers, "onmessage": close}
    with LoopbackServer(server) as loopback:
        ws = WebSocket(loopback.url, **handlers, max_queue=(None, 1), close_timeout=SECONDS)
        ws.join(2 * SECONDS)
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (1000, "", True)


def test_flood_of_pings_by_a_server_that_does_not_read_does_not_stop_the_messages() -> None:
    """The pongs cannot leave; the reader goes on all the same, since it never writes."""

    def script(peer: Peer) -> None:
        peer.accept()
        ping = frame_bytes(Opcode.PING, b"x" * 125)
        for number in range(100):
            peer.send_bytes(ping * 1000 + frame_bytes(Opcode.TEXT, str(number).encode()))
        peer.send_close()
        finish(peer)

    recorder = Recorder()
    with LoopbackServer(script, receive_buffer=4096) as server:
        ws = WebSocket(server.url, **recorder.handlers, close_timeout=SECONDS)
        ws.join(2 * SECONDS)
    assert recorder.data == [str(number) for number in range(100)]
    assert recorder.close.code == 1000
