"""`close(code, reason)`: every check and its order, in every state, from callbacks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from syncws import Event, InvalidAccessErr, SyntaxErr, WebSocket, WebSocketError
from syncws._protocol.frames import CloseFrame, Opcode
from syncws.testing import LoopbackServer, Peer, PeerClosed, frame_bytes
from tests.support.clients import Recorder, connected, run, socket_of
from tests.support.leftovers import connection_threads
from tests.support.servers import finish, hold, unanswering
from tests.support.waiting import SECONDS, wait_for, wait_until

BAD_CODES: list[Any] = [
    *(-1000, -1, 0, 1, 999, 1001, 1002, 1004, 1005, 1006, 1015, 1999, 2000, 2999, 5000, 65535, 65536 + 1000),
    *(10**30, True, 1000.0, 3000.5, float("nan"), "1000", b"1000", [], object()),
]
# 123 bytes of UTF-8 are allowed, 124 are not.
LONGEST = ["x" * 123, "ü" * 61 + "x", "\u20ac" * 41]
TOO_LONG = ["x" * 124, "ü" * 62, "\u20ac" * 41 + "x", "\U0001f600" * 31]
NO_STRS: list[Any] = [None, 5, b"x"]
LONE = ["\ud800", "x\udfff", "\ude00\ud83d"]


class Closing:
    """A script that keeps the client's Close, answers it in kind, and ends TCP."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        while (frame := peer.recv_frame()).opcode != Opcode.CLOSE:
            pass
        self.received.append(frame.payload)
        peer.send_frame(Opcode.CLOSE, frame.payload)


@contextlib.contextmanager
def in_state(state: str) -> Iterator[WebSocket]:
    """A connection in this state, as long as the block lasts."""

    def script(peer: Peer) -> None:
        if state in ("CONNECTING", "CLOSED"):
            hold(peer)
        peer.accept()
        done.wait(SECONDS)
        peer.echo()

    done = threading.Event()
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **recorder.handlers)
        if state in ("OPEN", "CLOSING"):
            recorder.wait("open")
        if state in ("CLOSING", "CLOSED"):
            ws.close()
        if state == "CLOSED":
            ws.join(SECONDS)
        yield ws
        done.set()
        ws.close()
        ws.join(SECONDS)


STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]


@pytest.mark.parametrize("state", STATES)
def test_every_check_raises_in_every_state_and_changes_nothing(state: str) -> None:
    with in_state(state) as ws:
        assert ws.readyState == getattr(WebSocket, state)
        for code in BAD_CODES:
            with pytest.raises(InvalidAccessErr, match="code") as access:
                ws.close(code)
            assert (access.value.name, access.value.code) == ("InvalidAccessError", 15)
            assert isinstance(access.value, ValueError)
            assert repr(code) in str(access.value)
        for reason in TOO_LONG + LONE:
            with pytest.raises(SyntaxErr, match="reason") as syntax:
                ws.close(1000, reason)
            assert (syntax.value.name, syntax.value.code) == ("SyntaxError", 12)
        with pytest.raises(SyntaxErr, match="reason 'x' without a code"):
            ws.close(None, "x")
        for bad in NO_STRS:
            with pytest.raises(TypeError, match="reason"):
                ws.close(1000, bad)
        assert ws.readyState == getattr(WebSocket, state)


def test_code_is_checked_before_reason() -> None:
    with in_state("CLOSED") as ws:
        for reason in (TOO_LONG[0], LONE[0], *NO_STRS):
            with pytest.raises(InvalidAccessErr):
                ws.close(999, reason)


def test_a_too_long_reason_says_its_size_and_the_limit() -> None:
    with in_state("CLOSED") as ws, pytest.raises(SyntaxErr, match="124 bytes.*123"):
        ws.close(1000, "x" * 124)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ((), CloseFrame(1000)),
        ((1000,), CloseFrame(1000)),
        ((1000, "done"), CloseFrame(1000, "done")),
        ((3000,), CloseFrame(3000)),
        ((4999, "ü"), CloseFrame(4999, "ü")),
        ((None,), CloseFrame()),
        ((None, ""), CloseFrame()),
        *(((3999, reason), CloseFrame(3999, reason)) for reason in LONGEST),
    ],
)
def test_close_sends_one_close_frame_with_code_and_reason(arguments: Any, sent: CloseFrame) -> None:
    server = Closing()
    with connected(server) as (ws, recorder, _):
        ws.close(*arguments)
        recorder.wait("close")
    assert server.received == [sent.payload]
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (1005 if sent.code is None else sent.code, sent.reason, True)


def test_close_takes_keywords() -> None:
    server = Closing()
    with connected(server) as (ws, recorder, _):
        ws.close(reason="bye", code=3000)
        recorder.wait("close")
    assert recorder.ending == (3000, "bye", True)


def test_what_was_queued_is_sent_first_then_the_close_frame() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(go)
        try:
            while True:
                received.append(peer.recv())
        except PeerClosed as closed:
            received.append(closed.reason)
            peer.send_close()

    received: list[str | bytes] = []
    go = threading.Event()
    with connected(script, receive_buffer=4096, close_timeout=SECONDS) as (ws, recorder, _):
        ws.send(b"\0" * 2**23)
        for number in range(100):
            ws.send(str(number))
        ws.close(1000, "the last")
        go.set()
        recorder.wait("close")
    assert received[1:] == [*map(str, range(100)), "the last"]
    assert recorder.ending == (1000, "", True)


def assert_abandoned(recorder: Recorder) -> None:
    assert recorder.types == ["error", "close"]
    assert recorder.ending == (1006, "", False)
    assert isinstance(recorder.error.error, WebSocketError)
    assert "close() was called" in recorder.error.message


@pytest.mark.parametrize("arguments", [(), (3000, "reason"), (None,)])
def test_close_in_connecting_while_nobody_accepts_abandons_the_attempt(arguments: Any) -> None:
    recorder = Recorder()
    with unanswering() as url:
        ws = WebSocket(url, **recorder.handlers)
        ws.close(*arguments)
        ws.join(SECONDS)
    assert_abandoned(recorder)


def test_close_in_connecting_while_the_server_sleeps_in_the_handshake_ends_tcp() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        asked.set()
        left_over.append(peer.wait_eof(SECONDS))
        ended.set()

    asked, ended = threading.Event(), threading.Event()
    left_over: list[bytes] = []
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **recorder.handlers)
        wait_for(asked)
        ws.close()
        ws.join(SECONDS)
        wait_for(ended)
    assert left_over == [b""]
    assert_abandoned(recorder)


def test_close_in_connecting_while_the_answer_is_half_there_abandons_the_attempt() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgr")
        sent.set()
        peer.wait_eof(SECONDS)

    sent = threading.Event()
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **recorder.handlers)
        wait_for(sent)
        ws.close()
        ws.join(SECONDS)
    assert_abandoned(recorder)


def test_close_in_connecting_while_the_name_is_looked_up_abandons_the_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(*arguments: object) -> NoReturn:
        looking.set()
        wait_for(release)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    looking, release = threading.Event(), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    recorder = Recorder()
    ws = WebSocket("ws://slow.test/", **recorder.handlers)
    wait_for(looking)
    ws.close()
    ws.join(SECONDS)
    assert_abandoned(recorder)
    release.set()


@pytest.mark.parametrize(
    "glued",
    [
        b"",
        frame_bytes(Opcode.TEXT, b"early"),
        frame_bytes(Opcode.CLOSE, CloseFrame(1000).payload),
        frame_bytes(Opcode.TEXT, b"early") + frame_bytes(Opcode.CLOSE),
    ],
)
def test_close_in_connecting_abandons_the_attempt_though_the_open_event_is_on_its_way(glued: bytes) -> None:
    """All is over on the wire, but no callback has run: the application is still in CONNECTING."""

    def script(peer: Peer) -> None:
        peer.accept(glued=glued)
        if b"\x88" in glued:
            finish(peer)

    batches: list[Any] = []
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **recorder.handlers, dispatch=batches.append)
        wait_until(lambda: bool(batches))
        if b"\x88" in glued:
            wait_until(lambda: not [name for name in connection_threads() if name.endswith("-reader")])
        assert ws.readyState == ws.CONNECTING
        ws.close()
        while "close" not in recorder.types:
            wait_until(lambda: bool(batches))
            batches.pop(0)()
        ws.join(SECONDS)
    assert recorder.types == ["error", "close"]
    assert recorder.ending == (1006, "", False)
    assert (ws.protocol, ws.extensions) == ("", "")


@pytest.mark.parametrize("state", ["CLOSING", "CLOSED"])
def test_close_in_closing_and_closed_does_nothing(state: str) -> None:
    server = Closing()
    with connected(server) as (ws, recorder, _):
        ws.close(3000, "first")
        if state == "CLOSED":
            recorder.wait("close")
        ws.close(4000, "second")
        ws.close()
        ws.close(None)
        recorder.wait("close")
    assert server.received == [CloseFrame(3000, "first").payload]
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (3000, "first", True)


def test_close_after_a_failure_does_nothing() -> None:
    recorder = run(Peer.refuse)
    ws = socket_of(recorder.close)
    ws.close(3000)
    ws.join(SECONDS)
    assert recorder.types == ["error", "close"]


@pytest.mark.parametrize("kind", ["open", "message", "close", "error"])
def test_close_may_be_called_in_every_callback(kind: str) -> None:
    def script(peer: Peer) -> None:
        if kind == "error":
            peer.refuse()
            return
        peer.accept(glued=frame_bytes(Opcode.TEXT, b"a") + frame_bytes(Opcode.TEXT, b"b"))
        if kind == "close":
            peer.send_close(3001)
        try:
            peer.recv()
        except PeerClosed as closed:
            peer.send_close(closed.code)

    def close(event: Event) -> None:
        ws = socket_of(event)
        recorder.note(event)
        calls.append(ws.readyState)
        ws.close(3001)
        calls.append(ws.readyState)

    calls: list[int] = []
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **{**recorder.handlers, f"on{kind}": close})
        ws.join(SECONDS)
    expected = {
        "open": (["open", "close"], [1, 2]),
        "message": (["open", "message", "close"], [1, 2]),
        "close": (["open", "message", "message", "close"], [3, 3]),
        "error": (["error", "close"], [3, 3]),
    }[kind]
    assert (recorder.types, calls) == expected
    assert recorder.close.code == (1006 if kind == "error" else 3001)


def test_no_message_events_come_after_close_though_messages_arrive() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(closing)
        for number in range(1000):
            peer.send(str(number))
        try:
            peer.recv()
        except PeerClosed:
            peer.send("and one more")
            peer.send_close()

    closing = threading.Event()
    with connected(script) as (ws, recorder, _):
        ws.close()
        closing.set()
        recorder.wait("close")
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (1000, "", True)


def test_close_from_many_threads_at_once_sends_one_frame() -> None:
    def close(code: int) -> None:
        wait_for(go)
        ws.close(code)

    go = threading.Event()
    server = Closing()
    with connected(server) as (ws, recorder, _):
        threads = [threading.Thread(target=close, args=(3000 + number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(SECONDS)
        recorder.wait("close")
    (payload,) = server.received
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (int.from_bytes(payload, "big"), "", True)
