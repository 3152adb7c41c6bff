"""`ReconnectingWebSocket.wait_open`, and what it shows of the present connection."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from syncws import Event, HandshakeError, Loss, ReconnectingWebSocket, WebSocketError
from syncws.testing import LoopbackServer, Peer, in_turn
from tests.reconnecting.losing_servers import refuse
from tests.reconnecting.transcript import at_once
from tests.support.servers import finish
from tests.support.waiting import AT_ONCE, SECONDS


def test_it_waits_through_attempts_that_fail() -> None:
    def accept(peer: Peer) -> None:
        peer.accept()
        peer.echo()

    with LoopbackServer(in_turn(refuse(503), refuse(503), accept)) as server:
        with ReconnectingWebSocket(server.url, policy=at_once) as ws:
            ws.wait_open(SECONDS)
            ws.send("x")
            assert ws.readyState == ws.OPEN
            assert ws.response is not None and ws.response.status == 101
            assert ws.timings.total is not None and ws.timings.upgrade is not None
            ws.wait_open(SECONDS)  # it is open


def test_after_a_loss_it_waits_for_the_next_connection() -> None:
    lost = threading.Event()
    go_on = threading.Event()

    def first(peer: Peer) -> None:
        peer.accept()
        peer.reset()

    def second(peer: Peer) -> None:
        assert go_on.wait(SECONDS)
        peer.accept()
        peer.echo()

    with LoopbackServer(in_turn(first, second)) as server:
        with ReconnectingWebSocket(server.url, policy=at_once, onclose=lambda event: lost.set()) as ws:
            assert lost.wait(SECONDS)
            with pytest.raises(TimeoutError, match="was not open within 0.02 s"):
                ws.wait_open(0.02)
            go_on.set()
            ws.wait_open(SECONDS)
            ws.send("x")


def test_what_ended_it_for_good_is_raised() -> None:
    def policy(loss: Loss) -> float | None:
        return 0.0 if loss.failures < 2 else None

    with LoopbackServer(in_turn(refuse(503), refuse(403))) as server:
        ws = ReconnectingWebSocket(server.url, policy=policy)
        for _ in range(2):
            with pytest.raises(HandshakeError) as refused:
                ws.wait_open(SECONDS)
            assert refused.value.status == 403


def test_close_ends_it() -> None:
    with LoopbackServer(finish) as server:
        ws = ReconnectingWebSocket(server.url)
        ws.close()
        with pytest.raises(WebSocketError):
            ws.wait_open(SECONDS)


def test_in_a_callback_it_is_refused() -> None:
    raised: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def on_open(event: Event[ReconnectingWebSocket]) -> None:
        try:
            event.target.wait_open(AT_ONCE)
        except RuntimeError as error:
            raised.put(error)

    with LoopbackServer() as server, ReconnectingWebSocket(server.url, onopen=on_open):
        assert "wait_open() was called from a callback" in str(raised.get(timeout=SECONDS))


def test_the_first_message_waits_for_its_listener_meanwhile() -> None:
    received: queue.SimpleQueue[object] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("first")
        finish(peer)

    with LoopbackServer(script) as server, ReconnectingWebSocket(server.url) as ws:
        ws.wait_open(SECONDS)
        ws.onmessage = lambda event: received.put(event.data)
        assert received.get(timeout=SECONDS) == "first"


def test_timeouts_of_another_type_are_refused() -> None:
    with LoopbackServer() as server, ReconnectingWebSocket(server.url) as ws:
        call: Callable[..., None] = ws.wait_open
        with pytest.raises(TypeError, match="timeout"):
            call("5")
