"""`ping()`, and the events `ping` and `pong`: in order with the messages, and only where somebody listens."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from syncws import Event, InvalidStateErr, MessageEvent, ReconnectingWebSocket, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import connected
from tests.support.servers import finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

BOTH = pytest.mark.parametrize("call", [WebSocket, ReconnectingWebSocket])


class Heard:
    """Events of several types, in the order in which they were dispatched."""

    def __init__(self, ws: Any, *types: str) -> None:
        self.all: list[tuple[str, object]] = []
        self.events: list[MessageEvent] = []
        for type in types:
            ws.addEventListener(type, self.note)

    def note(self, event: Event) -> None:
        assert isinstance(event, MessageEvent)
        self.events.append(event)
        self.all.append((event.type, event.data))

    def wait(self, count: int) -> list[tuple[str, object]]:
        wait_until(lambda: len(self.all) >= count, f"{count} events, not {self.all}")
        return self.all


@BOTH
def test_a_ping_goes_out_with_its_data_and_its_pong_is_an_event(call: Any) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while len(frames) < 4:
            frames.append(peer.recv_frame())
            peer.pong(frames[-1].payload)
        finish(peer)

    frames: list[Any] = []
    with LoopbackServer(script) as server, call(server.url) as ws:
        heard = Heard(ws, "pong")
        wait_until(lambda: ws.readyState == ws.OPEN)
        changing = bytearray(b"2")
        ws.ping(b"1")
        ws.ping(changing)
        changing[:] = b"!"
        ws.ping()
        ws.ping(memoryview(bytes(125)))
        assert heard.wait(4) == [("pong", b"1"), ("pong", b"2"), ("pong", b""), ("pong", bytes(125))]
        assert {type(event.data) for event in heard.events} == {bytes}
        assert {event.origin for event in heard.events} == {server.url.rstrip("/")}
        assert all(event.target is ws and event.timeStamp > 0 for event in heard.events)
    assert [(frame.opcode, frame.fin, frame.masked) for frame in frames] == [(Opcode.PING, True, True)] * 4


@BOTH
def test_a_ping_that_cannot_be_sent_is_refused_and_nothing_goes_out(call: Any) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        first.append(peer.recv())
        finish(peer)

    first: list[object] = []
    with LoopbackServer(script) as server, call(server.url) as ws:
        wait_until(lambda: ws.readyState == ws.OPEN)
        data: Any
        for data, kind, match in (
            (bytes(126), ValueError, "126 bytes"),
            ("text", TypeError, "not str"),
            (5, TypeError, "int"),
            (None, TypeError, "NoneType"),
        ):
            with pytest.raises(kind, match=match):
                ws.ping(data)
        ws.send("first")
        wait_until(lambda: bool(first))
    assert first == ["first"]


@BOTH
def test_while_connecting_a_ping_is_refused_before_its_data_is_looked_at(call: Any) -> None:
    with LoopbackServer(hold) as server:
        ws = call(server.url)
        with pytest.raises(InvalidStateErr, match=r"^ping\(\)"):
            ws.ping("text")
        ws.abort()
        ws.join(SECONDS)
        ws.ping(b"late")  # dropped
        with pytest.raises(ValueError, match="126"):
            ws.ping(bytes(126))
        assert ws.bufferedAmount == 0


def test_once_closing_a_ping_is_dropped() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        opcodes.append(peer.recv_frame().opcode)
        wait_for(pinged)
        peer.send_close()
        peer.half_close()
        opcodes.extend(frame for frame in iter(lambda: peer.recv_frame().opcode, None))

    opcodes: list[int] = []
    pinged = threading.Event()
    with connected(script) as (ws, _, _):
        ws.close()
        ws.ping(b"late")
        pinged.set()
        ws.join(SECONDS)
    assert opcodes == [Opcode.CLOSE]


def test_a_ping_goes_ahead_of_messages_that_wait() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(queued)
        while not opcodes or opcodes[-1] != Opcode.PING:
            opcodes.append(peer.recv_frame().opcode)
        finish(peer)

    opcodes: list[int] = []
    queued = threading.Event()
    with connected(script, compression=None, receive_buffer=65536) as (ws, _, _):
        for _ in range(40):
            ws.send(bytes(2**20))
        ws.ping()
        queued.set()
        wait_until(lambda: Opcode.PING in opcodes)
    assert len(opcodes) < 40


def serve(*wire: tuple[int, bytes]) -> Any:
    """A script that sends these frames at once, as soon as the client has said a word."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        peer.send_bytes(b"".join(frame_bytes(opcode, payload) for opcode, payload in wire))
        finish(peer)

    return script


TEXT, PING, PONG = Opcode.TEXT, Opcode.PING, Opcode.PONG
WIRE = ((PING, b"a"), (TEXT, b"1"), (PONG, b"b"), (PING, b"c"), (TEXT, b"2"), (TEXT, b"3"), (PONG, b"d"))


def test_pings_and_pongs_are_dispatched_in_order_with_the_messages() -> None:
    with LoopbackServer(serve(*WIRE)) as server, WebSocket(server.url) as ws:
        heard = Heard(ws, "message", "ping", "pong")
        ws.wait_open(SECONDS)
        ws.send("go")
        assert heard.wait(7) == [
            *(("ping", b"a"), ("message", "1"), ("pong", b"b"), ("ping", b"c")),
            *(("message", "2"), ("message", "3"), ("pong", b"d")),
        ]


@pytest.mark.parametrize("kind", ["ping", "pong"])
def test_a_listener_of_one_kind_is_called_for_that_alone(kind: str) -> None:
    with LoopbackServer(serve(*WIRE)) as server, WebSocket(server.url) as ws:
        heard = Heard(ws, "message", kind)
        ws.wait_open(SECONDS)
        ws.send("go")
        assert [data for type, data in heard.wait(5) if type == "message"] == ["1", "2", "3"]
        expected = [payload for opcode, payload in WIRE if opcode == (PING if kind == "ping" else PONG)]
        assert [data for type, data in heard.all if type == kind] == expected


def test_pings_are_answered_whether_somebody_listens_or_not() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for data in (b"1", b"2"):
            peer.ping(data)
            answers.append((lambda frame: (frame.opcode, frame.payload))(peer.recv_frame()))
            wait_for(listening)
        finish(peer)

    answers: list[tuple[int, bytes]] = []
    listening = threading.Event()
    with connected(script) as (ws, _, _):
        wait_until(lambda: len(answers) == 1)
        heard = Heard(ws, "ping")
        listening.set()
        assert heard.wait(1) == [("ping", b"2")]
        wait_until(lambda: len(answers) == 2)
    assert answers == [(PONG, b"1"), (PONG, b"2")]


def test_the_pongs_of_the_keepalive_are_events_too() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            peer.pong(peer.recv_frame().payload)

    with LoopbackServer(script) as server, WebSocket(server.url, ping_interval=0.02) as ws:
        heard = Heard(ws, "pong")
        assert all(type == "pong" and data for type, data in heard.wait(3))
        ws.abort()


def test_a_listener_taken_off_hears_no_more() -> None:
    with LoopbackServer(serve((PING, b"1"))) as server, WebSocket(server.url) as ws:
        heard = Heard(ws, "message")
        ws.wait_open(SECONDS)
        ws.addEventListener("ping", heard.note)
        ws.removeEventListener("ping", heard.note)
        ws.send("go")
        ws.close()
        ws.join(SECONDS)
    assert heard.all == []


def test_pings_that_wait_count_in_max_queue() -> None:
    """While a listener stands still, the reader pauses, and the server cannot send without an end."""

    def script(peer: Peer) -> None:
        peer.accept()
        flood = frame_bytes(Opcode.PONG, bytes(125)) * 8000
        for _ in range(16):  # 16 MB
            peer.send_bytes(flood)
            sent.append(len(flood))
        all_sent.set()
        finish(peer)

    sent: list[int] = []
    go_on, all_sent = threading.Event(), threading.Event()

    def on_pong(event: Event) -> None:
        wait_for(go_on)

    with LoopbackServer(script, receive_buffer=65536) as server:
        with WebSocket(server.url, max_queue=(2**16, 1000), ping_interval=None) as ws:
            ws.addEventListener("pong", on_pong)
            wait_until(lambda: bool(sent))
            assert not all_sent.wait(0.5)  # it would be done long before, were nothing counted
            go_on.set()
            wait_for(all_sent)


def test_a_handler_that_closes_ends_the_pings_as_it_ends_the_messages() -> None:
    with (
        LoopbackServer(serve((PING, b"1"), (PING, b"2"), (TEXT, b"3"))) as server,
        WebSocket(server.url) as ws,
    ):
        heard = Heard(ws, "ping", "message")
        ws.addEventListener("ping", lambda event: ws.close())
        ws.wait_open(SECONDS)
        ws.send("go")
        ws.join(SECONDS)
    assert heard.all == [("ping", b"1")]


def test_an_exception_in_a_listener_is_logged_and_the_next_ping_is_dispatched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    with LoopbackServer(serve((PING, b"1"), (PING, b"2"))) as server, WebSocket(server.url) as ws:
        ws.addEventListener("ping", fail)
        heard = Heard(ws, "ping")
        ws.wait_open(SECONDS)
        ws.send("go")
        assert heard.wait(2) == [("ping", b"1"), ("ping", b"2")]
    assert [record.message[:23] for record in caplog.records] == ["a listener of 'ping' ra"] * 2
