"""`readyState`: it changes in step with the events, never in the middle of a callback, and by `close()`."""

from __future__ import annotations

import threading

from syncws import Event, WebSocket
from syncws._protocol.frames import CloseFrame, Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import Recorder, connected, run, socket_of
from tests.support.servers import drain, finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

CONNECTING, OPEN, CLOSING, CLOSED = range(4)


def test_callbacks_of_an_orderly_connection_see_open_open_closed() -> None:
    def script(peer: Peer) -> None:
        peer.accept(
            glued=frame_bytes(Opcode.TEXT, b"a") + frame_bytes(Opcode.CLOSE, CloseFrame(1000).payload)
        )
        finish(peer)

    assert run(script).states == [("open", OPEN), ("message", OPEN), ("close", CLOSED)]


def test_callbacks_of_a_refused_connection_see_closed() -> None:
    assert run(Peer.refuse).states == [("error", CLOSED), ("close", CLOSED)]


def test_callbacks_of_a_lost_connection_see_open_then_closed() -> None:
    states = run(Peer.accept).states
    assert states == [("open", OPEN), ("error", CLOSED), ("close", CLOSED)]


def test_close_sets_closing_before_it_returns_in_connecting() -> None:
    with LoopbackServer(hold) as server:
        ws = WebSocket(server.url)
        assert ws.readyState == CONNECTING
        ws.close()
        assert ws.readyState in (CLOSING, CLOSED)  # the worker may have been quick
        ws.join(SECONDS)
        assert ws.readyState == CLOSED


def test_close_sets_closing_before_it_returns_in_open() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(closed)
        peer.echo()

    closed = threading.Event()
    with connected(script) as (ws, _, _):
        assert ws.readyState == OPEN
        ws.close()
        assert ws.readyState == CLOSING
        closed.set()


def test_close_in_a_callback_sets_closing_and_not_closed_in_that_callback() -> None:
    def close(event: Event) -> None:
        ws = socket_of(event)
        ws.close()
        seen.append(ws.readyState)
        wait_for(answered)
        seen.append(ws.readyState)

    def script(peer: Peer) -> None:
        peer.accept()
        peer.echo()
        peer.half_close()
        drain(peer)  # the client has ended TCP: it knows that all is over
        answered.set()

    seen: list[int] = []
    answered = threading.Event()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, onopen=close)
        ws.join(SECONDS)
    assert seen == [CLOSING, CLOSING]


def test_closing_is_seen_once_the_close_of_the_server_has_been_dispatched() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(1000)
        wait_for(seen)  # TCP stays: till it ends, the connection is CLOSING

    seen = threading.Event()
    with connected(script) as (ws, recorder, _):
        wait_until(lambda: ws.readyState == CLOSING, "CLOSING")
        assert recorder.types == ["open"]
        seen.set()
        recorder.wait("close")
        assert ws.readyState == CLOSED


def test_state_stays_open_in_a_message_callback_whatever_has_reached_the_socket_since() -> None:
    """The server's Close is received, answered, and TCP is over, while one callback runs."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("first")
        wait_for(running)
        peer.send("second")
        peer.send_close(3001)
        frame = peer.recv_frame()
        assert frame.opcode == Opcode.CLOSE
        peer.half_close()
        drain(peer)
        over.set()

    def work(event: Event) -> None:
        ws = socket_of(event)
        states.append(ws.readyState)
        running.set()
        wait_for(over)
        states.append(ws.readyState)

    states: list[int] = []
    running, over = threading.Event(), threading.Event()
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **{**recorder.handlers, "onmessage": work})
        ws.join(SECONDS)
    assert states == [OPEN] * 4
    assert recorder.ending == (3001, "", True)


def test_state_stays_connecting_until_the_open_event_is_dispatched() -> None:
    batches: list[object] = []
    handed_over = threading.Event()

    def dispatch(batch: object) -> None:
        batches.append(batch)
        handed_over.set()

    with LoopbackServer() as server:
        ws = WebSocket(server.url, onopen=lambda event: None, dispatch=dispatch)
        wait_for(handed_over)
        assert ws.readyState == CONNECTING
        batch = batches[0]
        assert callable(batch)
        handed_over.clear()
        batch()
        assert ws.readyState == OPEN
        ws.close()
        wait_for(handed_over)
        assert ws.readyState == CLOSING
        while ws.readyState != CLOSED:
            wait_until(lambda: bool(batches))
            batch = batches.pop(0)
            assert callable(batch)
            batch()
        ws.join(SECONDS)


def test_state_is_closed_for_good() -> None:
    recorder = run(Peer.refuse)
    ws = socket_of(recorder.close)
    for _ in range(3):
        ws.close()
        assert ws.readyState == CLOSED
    ws.send("a")
    assert ws.readyState == CLOSED
