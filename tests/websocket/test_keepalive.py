"""`ping_interval` and `ping_timeout`: any received byte is life, a pause of our own is no silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from syncws import Event, WebSocket
from syncws._protocol.frames import CloseFrame, Opcode
from syncws.testing import Frame, LoopbackServer, Peer, frame_bytes
from tests.support.clients import Recorder, connected, run
from tests.support.servers import finish, hold
from tests.support.threads import Task, all_at_once
from tests.support.waiting import SECONDS, wait_for


def pings(peer: Peer, count: int) -> list[Frame]:
    """The next pings, not answered."""
    found: list[Frame] = []
    while len(found) < count:
        frame = peer.recv_frame()
        if frame.opcode == Opcode.PING:
            found.append(frame)
    return found


def test_pings_are_sent_at_the_interval_masked_and_small() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frames.extend(pings(peer, 3))
        peer.send_close()
        finish(peer)

    frames: list[Frame] = []
    recorder = run(script, ping_interval=0.02, ping_timeout=None)
    assert recorder.ending == (1000, "", True)
    assert all(frame.fin and frame.masked and len(frame.payload) <= 125 for frame in frames)


def live_by_pongs_and_by_bytes() -> None:
    """One server answers each ping, and another one sends one more byte of a long message."""

    def answer(peer: Peer) -> None:
        peer.accept()
        until = time.monotonic() + 1.1
        while time.monotonic() < until:
            (ping,) = pings(peer, 1)
            peer.pong(ping.payload)
        peer.send_close()
        finish(peer)

    def drip(peer: Peer) -> None:
        peer.accept()
        until = time.monotonic() + 1.1
        peer.send_bytes(b"\x82\x7e\xff\xff")
        sent = 0
        while time.monotonic() < until:
            pings(peer, 1)
            peer.send_bytes(b"x")
            sent += 1
        peer.send_bytes(b"x" * (0xFFFF - sent))
        peer.send_close()
        finish(peer)

    # A shorter time could pass on a busy machine, so that the two go at once.
    answered, dripped = (
        Task(partial(run, script, ping_interval=0.02, ping_timeout=1)) for script in (answer, drip)
    )
    assert answered.result().types == ["open", "close"]
    assert dripped.result().types == ["open", "message", "close"]
    assert answered.result().ending == dripped.result().ending == (1000, "", True)


def pause_the_reader() -> None:
    """A callback takes longer than ping_timeout with the queue full, and the pong lies unread behind it."""

    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(4):
            peer.send(str(number))
        peer.echo()

    def slow(event: Event) -> None:
        recorder.note(event)
        if len(recorder.data) == 1:
            threading.Event().wait(0.65)

    recorder = Recorder()
    options: dict[str, Any] = {**recorder.handlers, "onmessage": slow}
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **options, max_queue=(None, 1), ping_interval=0.05, ping_timeout=0.5)
        recorder.wait("message", 4)
        assert ws.readyState == ws.OPEN
        ws.close()
        ws.join(SECONDS)
    assert recorder.types == ["open", *["message"] * 4, "close"]


@pytest.fixture(scope="module")
def lives() -> dict[Callable[[], None], Future[None]]:
    """Both at once: each takes longer than its ping_timeout, which a busy machine must not exceed."""
    return all_at_once({life: life for life in (live_by_pongs_and_by_bytes, pause_the_reader)})


def test_pongs_keep_the_connection_alive_past_the_timeout_and_so_does_any_byte_where_no_pong_comes(
    lives: dict[Callable[[], None], Future[None]],
) -> None:
    lives[live_by_pongs_and_by_bytes].result()


def test_paused_reader_never_counts_as_silence(lives: dict[Callable[[], None], Future[None]]) -> None:
    lives[pause_the_reader].result()


def test_silence_after_a_ping_fails_the_connection_and_tells_the_server_1011() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while (frame := peer.recv_frame()).opcode != Opcode.CLOSE:
            opcodes.append(frame.opcode)
        codes.append(int.from_bytes(frame.payload[:2], "big"))

    opcodes: list[int] = []
    codes: list[int] = []
    began = time.monotonic()
    recorder = run(script, ping_interval=0.05, ping_timeout=0.06)
    assert time.monotonic() - began >= 0.11
    assert recorder.types == ["open", "error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, TimeoutError)
    assert "ping_timeout=0.06" in recorder.error.message
    assert set(opcodes) == {Opcode.PING} and codes == [1011]


def test_server_that_neither_answers_nor_reads_is_found_out_though_data_is_queued() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    options: dict[str, Any] = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
    with connected(script, receive_buffer=4096, **options) as (ws, recorder, _):
        ws.send(b"\0" * 2**24)
        recorder.wait("close")
        assert recorder.failed
        assert isinstance(recorder.error.error, TimeoutError)
        assert ws.bufferedAmount > 0


def test_ping_goes_ahead_of_queued_messages() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(queued)
        while len(opcodes) < 41:
            opcodes.append(peer.recv_frame().opcode)
        peer.send_close()
        finish(peer)

    opcodes: list[int] = []
    queued = threading.Event()
    options: dict[str, Any] = {"ping_interval": 0.05, "ping_timeout": None}
    with connected(script, receive_buffer=4096, close_timeout=20, **options) as (ws, recorder, _):
        for _ in range(40):
            ws.send(b"\0" * 2**18)
        threading.Event().wait(0.1)  # a ping becomes due while the writer is stuck in the messages
        queued.set()
        recorder.wait("close")
    assert Opcode.PING in opcodes[:-1]


@pytest.mark.parametrize("options", [{"ping_interval": None}, {"ping_interval": None, "ping_timeout": 0.05}])
def test_ping_interval_none_sends_no_ping_and_never_times_out(options: dict[str, Any]) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.closing.wait(0.1)
        peer.send_close()
        frames.append(peer.recv_frame())

    frames: list[Frame] = []
    recorder = run(script, **options)
    assert recorder.ending == (1000, "", True)
    assert [frame.opcode for frame in frames] == [Opcode.CLOSE]


def test_ping_timeout_none_pings_and_never_times_out() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        pings(peer, 10)
        peer.send_close()
        finish(peer)

    assert run(script, ping_interval=0.01, ping_timeout=None).ending == (1000, "", True)


def test_ping_of_the_server_is_answered_with_its_payload_in_order_and_is_no_event() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=frame_bytes(Opcode.PING, b"in the 101's segment"))
        for payload in (b"", b"x" * 125, b"\0\xff"):
            peer.ping(payload)
        peer.pong(b"unasked")
        pongs.extend(peer.recv_frame() for _ in range(4))
        peer.send_close()
        finish(peer)

    pongs: list[Frame] = []
    recorder = run(script)
    assert recorder.types == ["open", "close"]
    assert {(pong.opcode, pong.masked) for pong in pongs} == {(Opcode.PONG, True)}
    assert [pong.payload for pong in pongs] == [b"in the 101's segment", b"", b"x" * 125, b"\0\xff"]


def test_ping_of_the_server_is_answered_while_a_callback_runs() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("work")
        peer.ping(b"there?")
        pongs.append(peer.recv_frame().payload)
        answered.set()
        peer.send_bytes(frame_bytes(Opcode.CLOSE, CloseFrame(1000).payload))
        finish(peer)

    def work(event: Event) -> None:
        wait_for(answered)

    pongs: list[bytes] = []
    answered = threading.Event()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, onmessage=work)
        ws.join(SECONDS)
    assert pongs == [b"there?"]


def test_ping_between_fragments_is_answered_and_the_message_arrives_whole() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"in ", fin=False)
        peer.ping(b"between")
        pongs.append(peer.recv_frame().payload)
        peer.send_frame(Opcode.CONTINUATION, b"two")
        peer.send_close()
        finish(peer)

    pongs: list[bytes] = []
    recorder = run(script)
    assert pongs == [b"between"]
    assert recorder.data == ["in two"]
