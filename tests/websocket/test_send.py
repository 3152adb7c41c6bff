"""`send(data)`: what it takes, what it refuses and in which order, and that it never waits."""

from __future__ import annotations

import array
import threading
from typing import Any

import pytest

from syncws import BufferFull, Event, InvalidStateErr, ReconnectingWebSocket, SyntaxErr, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import Frame, LoopbackServer, Peer, PeerClosed, echo
from tests.support.clients import connected, run, socket_of
from tests.support.servers import finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

LONE = ["\ud800", "\udfff", "a\ud83db", "\ude00\ud83d"]


def receive_all(peer: Peer) -> list[str | bytes]:
    """The messages up to the client's Close, which is answered."""
    messages = []
    try:
        while True:
            messages.append(peer.recv())
    except PeerClosed:
        peer.send_close()
    return messages


class Receiver:
    """A script that keeps what the client sends up to its Close, once it may read."""

    def __init__(self, *, may_read: bool = True) -> None:
        self.messages: list[str | bytes] = []
        self.may_read = threading.Event()
        if may_read:
            self.may_read.set()

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        wait_for(self.may_read)
        self.messages = receive_all(peer)


@pytest.mark.parametrize(
    ("data", "received"),
    [
        ("", ""),
        ("a", "a"),
        ("ü\0\U0001f600\ufffd\ufeff", "ü\0\U0001f600\ufffd\ufeff"),
        ("x" * 125, "x" * 125),
        ("x" * 126, "x" * 126),
        ("ü" * 40_000, "ü" * 40_000),
        (b"", b""),
        (b"\0\xff", b"\0\xff"),
        (bytearray(b"abc"), b"abc"),
        (bytearray(), b""),
        (memoryview(b"abcdef")[1:3], b"bc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
        (memoryview(array.array("d", [1.5])), array.array("d", [1.5]).tobytes()),
        (b"\x01" * 70_000, b"\x01" * 70_000),
    ],
)
def test_str_goes_as_text_and_a_buffer_as_binary(data: Any, received: str | bytes) -> None:
    server = Receiver()
    with connected(server) as (ws, _, _):
        ws.send(data)
    assert server.messages == [received]
    assert type(server.messages[0]) is type(received)


def test_large_message_comes_back_whole() -> None:
    data = bytes(range(256)) * 8192  # 2 MiB: larger than any buffer in between
    with connected(echo) as (ws, recorder, _):
        ws.send(data)
        ws.send("after")
        recorder.wait("message", 2)
    assert recorder.data[:2] == [data, "after"]


@pytest.mark.parametrize("data", ["a", b"a", *LONE, 5, None, [b"a"]])
def test_send_in_connecting_raises_invalid_state_err_before_it_looks_at_data(data: Any) -> None:
    with LoopbackServer(hold) as server:
        ws = WebSocket(server.url)
        with pytest.raises(InvalidStateErr, match="CONNECTING") as caught:
            ws.send(data)
        assert (caught.value.name, caught.value.code) == ("InvalidStateError", 11)
        assert isinstance(caught.value, RuntimeError)
        assert ws.bufferedAmount == 0
        ws.close()
        ws.join(SECONDS)


@pytest.mark.parametrize("text", LONE)
def test_text_with_a_lone_surrogate_is_a_syntax_err_and_nothing_is_sent(text: str) -> None:
    server = Receiver()
    with connected(server) as (ws, _, _):
        with pytest.raises(SyntaxErr, match="data.*surrogate") as caught:
            ws.send(text)
        assert caught.value.code == 12
        assert ws.bufferedAmount == 0
        assert ws.readyState == ws.OPEN
        ws.send("fine")
    assert server.messages == ["fine"]


@pytest.mark.parametrize("data", [5, 1.5, None, True, ["a"], ("a",), {}, object(), Event("message")])
def test_anything_else_is_a_type_error_that_names_data_and_its_type(data: Any) -> None:
    server = Receiver()
    with connected(server) as (ws, _, _):
        with pytest.raises(TypeError, match=f"data.*{type(data).__name__}"):
            ws.send(data)
        assert ws.bufferedAmount == 0
    assert server.messages == []


def test_bad_data_is_refused_in_closing_and_closed_too() -> None:
    with connected(echo) as (ws, recorder, _):
        ws.close()
        for _ in ("CLOSING or CLOSED", "CLOSED"):
            with pytest.raises(SyntaxErr):
                ws.send("\ud800")
            with pytest.raises(TypeError):
                ws.send(5)  # type: ignore[arg-type]
            recorder.wait("close")
        assert ws.bufferedAmount == 0


@pytest.mark.parametrize("make", [bytearray, lambda data: array.array("B", data)])
def test_mutable_buffer_is_copied_before_send_returns(make: Any) -> None:
    server = Receiver(may_read=False)
    with connected(server, receive_buffer=4096) as (ws, _, _):
        ws.send(b"\0" * 2**24)  # the writer is busy with this until the server reads
        data = make(b"before")
        ws.send(data)
        with memoryview(data) as view:  # PyPy would end it late, and a bytearray with one cannot be resized
            ws.send(view)
        data[:] = make(b"after!")
        del data[3:]  # and it may be resized: no view of it is kept
        server.may_read.set()
    assert server.messages[1:] == [b"before", b"before"]


def test_send_returns_at_once_when_the_server_does_not_read() -> None:
    server = Receiver(may_read=False)
    with connected(server, receive_buffer=4096, close_timeout=SECONDS) as (ws, _, _):
        for _ in range(64):
            ws.send(b"x" * 2**18)
        assert ws.bufferedAmount > 0
        server.may_read.set()
    assert sum(map(len, server.messages)) == 2**24


def test_messages_from_many_threads_all_arrive_each_threads_in_its_order() -> None:
    def send(name: int) -> None:
        wait_for(go)
        for number in range(100):
            ws.send(f"{name} {number}")

    go = threading.Event()
    server = Receiver()
    with connected(server) as (ws, _, _):
        threads = [threading.Thread(target=send, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(SECONDS)
    assert len(server.messages) == 800
    for name in range(8):
        mine = [str(m) for m in server.messages if str(m).startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(100)]


def test_send_from_callbacks_keeps_the_order() -> None:
    def on_open(event: Event) -> None:
        ws = socket_of(event)
        ws.send("one")
        ws.send(b"two")
        ws.send("three")

    def script(peer: Peer) -> None:
        peer.accept()
        server.messages = [peer.recv() for _ in range(3)]
        peer.send_close()
        finish(peer)

    server = Receiver()
    with LoopbackServer(script) as loopback:
        ws = WebSocket(loopback.url, onopen=on_open)
        ws.join(SECONDS)
    assert server.messages == ["one", b"two", "three"]


def test_send_after_close_is_dropped_and_no_error() -> None:
    server = Receiver()
    with connected(server) as (ws, recorder, _):
        ws.send("before")
        ws.close()
        ws.send("closing")
        recorder.wait("close")
        ws.send("closed")
    assert server.messages == ["before"]
    assert recorder.ending == (1000, "", True)


def test_send_after_a_failure_is_dropped_and_no_error() -> None:
    recorder = run(Peer.refuse)
    ws = socket_of(recorder.close)
    ws.send("closed")
    ws.send(b"closed")
    assert ws.bufferedAmount == 12


def test_send_in_a_close_callback_is_dropped_and_no_error() -> None:
    def on_close(event: Event) -> None:
        socket_of(event).send("dropped")
        done.set()

    done = threading.Event()
    with LoopbackServer(Peer.refuse) as server:
        ws = WebSocket(server.url, onclose=on_close)
        wait_for(done)
        ws.join(SECONDS)


def test_max_buffered_refuses_what_would_pass_it_and_sends_and_counts_nothing_of_that() -> None:
    server = Receiver(may_read=False)
    with connected(server, receive_buffer=4096, max_buffered=2**24, close_timeout=SECONDS) as (ws, _, _):
        ws.send(b"\0" * 2**24)
        with pytest.raises(BufferFull, match=f"{2**24} bytes.*max_buffered={2**24}"):
            ws.send(b"\1" * 2**24)
        assert 0 < ws.bufferedAmount <= 2**24
        server.may_read.set()
        wait_until(lambda: ws.bufferedAmount == 0, "all sent")
        ws.send("fits again")
    assert [type(message) for message in server.messages] == [bytes, str]


def test_max_buffered_does_not_make_send_raise_once_closing() -> None:
    with connected(echo, max_buffered=10) as (ws, recorder, _):
        ws.close()
        ws.send("x" * 11)
        recorder.wait("close")
        ws.send("x" * 11)
        assert ws.bufferedAmount == 22


def test_frames_are_masked_whole_and_in_order() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frames.extend(peer.recv_frame() for _ in range(3))
        peer.send_close()
        finish(peer)

    frames: list[Frame] = []
    with connected(script) as (ws, _, _):
        ws.send("a")
        ws.send(b"b" * 300)
        ws.send("")
    assert [(f.fin, f.rsv, f.opcode, f.masked) for f in frames] == [
        (True, 0, Opcode.TEXT, True),
        (True, 0, Opcode.BINARY, True),
        (True, 0, Opcode.TEXT, True),
    ]


@pytest.mark.parametrize("call", [WebSocket, ReconnectingWebSocket])
def test_bytes_go_as_text_and_a_str_as_binary_where_that_is_chosen(call: Any) -> None:
    server = Receiver()
    with LoopbackServer(server) as loopback, call(loopback.url) as ws:
        wait_until(lambda: ws.readyState == ws.OPEN)
        ws.send('{"ä": 1}'.encode(), text=True)
        ws.send(bytearray(b""), text=True)
        ws.send("ä", text=True)
        ws.send("ä", text=False)
        ws.send(b"\xff", text=False)
        for data, text, kind in (
            (b"\xff", True, SyntaxErr),
            ("\udc80", False, SyntaxErr),
            ("a", 1, TypeError),
        ):
            with pytest.raises(kind):
                ws.send(data, text=text)
        assert ws.bufferedAmount <= len('{"ä": 1}'.encode()) + 5
    assert server.messages == ['{"ä": 1}', "", "ä", "ä".encode(), b"\xff"]


def test_the_state_is_looked_at_before_what_is_to_be_text() -> None:
    with LoopbackServer(hold) as loopback:
        ws = WebSocket(loopback.url)
        with pytest.raises(InvalidStateErr):
            ws.send(b"\xff", text=True)
        ws.abort()
        ws.join(SECONDS)
        ws.send(b"12", text=True)
        assert ws.bufferedAmount == 2
        with pytest.raises(SyntaxErr):
            ws.send(b"\xff", text=True)
