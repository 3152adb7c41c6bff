"""How a connection ends when the server begins, answers late or never, holds TCP, or stops reading."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from syncws import ConnectionLost, WebSocket
from syncws._protocol.frames import CloseFrame, Opcode
from syncws.testing import LoopbackServer, Peer, PeerClosed, frame_bytes
from tests.support.clients import Recorder, connected, run
from tests.support.servers import drain, finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

CLOSE_FRAME = frame_bytes(Opcode.CLOSE, CloseFrame(3001, "bye").payload)


def texts(*payloads: bytes) -> bytes:
    return b"".join(frame_bytes(Opcode.TEXT, payload) for payload in payloads)


@pytest.mark.parametrize(
    ("frame", "ending"),
    [
        (CloseFrame(), (1005, "", True)),
        (CloseFrame(1000), (1000, "", True)),
        (CloseFrame(1001, "going"), (1001, "going", True)),
        (CloseFrame(1011, "ü" * 61), (1011, "ü" * 61, True)),
        (CloseFrame(3000), (3000, "", True)),
        (CloseFrame(4999, "x"), (4999, "x", True)),
    ],
)
def test_close_of_the_server_shows_its_code_and_reason_and_is_answered_with_its_code(
    frame: CloseFrame, ending: tuple[int, str, bool]
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(frame_bytes(Opcode.CLOSE, frame.payload))
        answers.append(peer.recv_frame())

    answers: list[Any] = []
    recorder = run(script)
    assert recorder.types == ["open", "close"]
    assert recorder.ending == ending
    assert (answers[0].opcode, answers[0].masked) == (Opcode.CLOSE, True)
    assert answers[0].payload == CloseFrame(frame.code).payload


def test_close_of_the_server_in_the_segment_of_its_101_comes_after_open() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=CLOSE_FRAME)
        finish(peer)

    recorder = run(script)
    assert recorder.states == [("open", 1), ("close", 3)]
    assert recorder.ending == (3001, "bye", True)


def test_messages_and_close_in_the_segment_of_the_101_all_come_in_order() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=texts(b"1", b"2", b"3") + CLOSE_FRAME)
        finish(peer)

    recorder = run(script)
    assert recorder.types == ["open", *["message"] * 3, "close"]
    assert recorder.data == ["1", "2", "3"]
    assert recorder.ending == (3001, "bye", True)


def test_messages_in_the_segment_of_the_101_survive_the_loss_of_the_connection() -> None:
    recorder = run(lambda peer: peer.accept(glued=texts(b"1", b"2")))
    assert recorder.types == ["open", "message", "message", "error", "close"]
    assert recorder.failed


def test_frames_after_the_close_of_the_server_are_ignored() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=texts(b"1") + CLOSE_FRAME + texts(b"2") + b"\xff\xff garbage")
        finish(peer)

    recorder = run(script)
    assert recorder.data == ["1"]
    assert recorder.ending == (3001, "bye", True)


def test_both_sides_closing_at_once_is_orderly_with_the_code_of_the_server() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(closed)  # the client's frame is on its way, and the server does not look
        peer.send_close(4001, "me too")
        frames.append(peer.recv_frame())
        with pytest.raises(EOFError):
            peer.half_close()
            frames.append(peer.recv_frame())

    frames: list[Any] = []
    closed = threading.Event()
    with connected(script) as (ws, recorder, _):
        ws.close(3001, "first")
        closed.set()
        recorder.wait("close")
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (4001, "me too", True)
    assert [frame.payload for frame in frames] == [CloseFrame(3001, "first").payload]


def test_server_that_answers_with_no_code_shows_1005() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed):
            peer.recv()
        peer.send_close(None)

    with connected(script) as (ws, recorder, _):
        ws.close(3000, "reason")
        recorder.wait("close")
    assert recorder.ending == (1005, "", True)


def test_server_that_never_answers_the_close_frame_fails_after_close_timeout() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        drain(peer)
        ended.set()

    ended = threading.Event()
    with connected(script, close_timeout=0.2) as (ws, recorder, _):
        began = time.monotonic()
        ws.close()
        recorder.wait("close")
        assert time.monotonic() - began >= 0.2
        wait_for(ended)  # the client has ended TCP
    assert recorder.failed
    assert isinstance(recorder.error.error, TimeoutError)
    assert "close_timeout=0.2" in recorder.error.message and "Close" in recorder.error.message


def test_server_that_ends_tcp_instead_of_answering_fails_the_connection() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        finish(peer)

    with connected(script) as (ws, recorder, _):
        ws.close(3000, "reason")
        recorder.wait("close")
    assert recorder.types == ["open", "error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, ConnectionLost)


@pytest.mark.parametrize("begins", ["client", "server"])
def test_server_that_closes_but_holds_tcp_is_orderly_after_close_timeout(begins: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        if begins == "server":
            peer.send_close(3001, "bye")
        assert peer.recv_frame().opcode == Opcode.CLOSE
        if begins == "client":
            peer.send_close(3001, "bye")
        drain(peer)  # until the client ends TCP itself
        ended.set()

    ended = threading.Event()
    with connected(script, close_timeout=0.2) as (ws, recorder, _):
        began = time.monotonic()
        if begins == "client":
            ws.close()
        wait_until(lambda: ws.readyState == ws.CLOSING or "close" in recorder.types)
        recorder.wait("close")
        assert begins == "server" or time.monotonic() - began >= 0.2
        wait_for(ended)
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (3001, "bye", True)


def test_server_that_closes_and_then_floods_is_orderly_within_close_timeout() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=CLOSE_FRAME)
        data = frame_bytes(Opcode.BINARY, b"x" * 2**16)
        while True:
            peer.send_bytes(data)  # until the client ends TCP

    recorder = run(script, close_timeout=0.2)
    assert recorder.types == ["open", "close"]
    assert recorder.ending == (3001, "bye", True)


def test_server_that_floods_instead_of_answering_fails_after_close_timeout() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        data = frame_bytes(Opcode.BINARY, b"x" * 2**16)
        while True:
            peer.send_bytes(data)

    with connected(script, close_timeout=0.2) as (ws, recorder, _):
        ws.close()
        recorder.wait("close")
    assert recorder.failed
    assert isinstance(recorder.error.error, TimeoutError)
    assert not recorder.data or ws.bufferedAmount == 0


@pytest.mark.parametrize("queued", [0, 2**24])
def test_server_that_stops_reading_fails_after_close_timeout(queued: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    with connected(script, receive_buffer=4096, close_timeout=0.2) as (ws, recorder, _):
        ws.send(b"\0" * queued)
        ws.close()
        recorder.wait("close")
        assert recorder.failed
        assert isinstance(recorder.error.error, TimeoutError)
        assert (ws.bufferedAmount > 0) is (queued > 0)


def test_server_that_closes_while_it_does_not_read_is_given_up_within_close_timeout() -> None:
    """Our answer is stuck behind data that the server does not take; its Close has come all the same."""

    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(stuck)
        peer.send_close(3001, "bye")
        hold(peer)

    stuck = threading.Event()
    with connected(script, receive_buffer=4096, close_timeout=0.2) as (ws, recorder, _):
        ws.send(b"\0" * 2**24)
        stuck.set()
        recorder.wait("close")
        assert recorder.ending == (3001, "bye", False)
        assert "error" not in recorder.types
        assert ws.bufferedAmount > 0


@pytest.mark.parametrize("ending", ["fin", "reset", "half a frame"])
def test_connection_that_is_lost_while_open_shows_error_then_1006(ending: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(opened)
        if ending == "half a frame":
            peer.send_bytes(frame_bytes(Opcode.TEXT, b"whole") + b"\x81\x05ha")
        if ending == "reset":
            peer.reset()

    opened = threading.Event()
    with connected(script) as (_ws, recorder, server):
        opened.set()
        recorder.wait("close")
        url = server.url
    assert recorder.types == ["open", *["message"] * (ending == "half a frame"), "error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, ConnectionLost)
    assert isinstance(recorder.error.error, OSError)
    assert url in recorder.error.message


def test_close_that_meets_a_lost_connection_is_a_failure_and_not_an_exception() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(opened)
        peer.reset()
        reset.set()

    opened, reset = threading.Event(), threading.Event()
    with connected(script) as (ws, recorder, _):
        opened.set()
        wait_for(reset)
        ws.send("a")
        ws.close(3000, "too late")
        recorder.wait("close")
    assert recorder.types == ["open", "error", "close"]
    assert recorder.failed


def test_answers_sent_from_callbacks_go_out_ahead_of_the_reply_to_a_close() -> None:
    """The server's messages and its Close come in one segment; each message is answered before the Close."""

    def script(peer: Peer) -> None:
        peer.accept(glued=texts(b"1", b"2", b"3") + CLOSE_FRAME)
        try:
            while True:
                answers.append(peer.recv())
        except PeerClosed as closed:
            answers.append(str(closed.code))

    answers: list[str | bytes] = []
    recorder = Recorder()
    with LoopbackServer(script) as server:
        ws = WebSocket(
            server.url, **{**recorder.handlers, "onmessage": lambda event: event.target.send(event.data)}
        )
        ws.join(SECONDS)
    assert answers == ["1", "2", "3", "3001"]
    assert recorder.ending == (3001, "bye", True)
