"""`bufferedAmount`: what was given to `send()` and not yet handed to the network, to the byte."""

from __future__ import annotations

import array
import threading
from typing import Any

import pytest

from syncws import Event, WebSocket
from syncws.testing import LoopbackServer, Peer, PeerClosed, echo
from tests.support.clients import connected, run, socket_of
from tests.support.servers import drain, finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

BIG = 2**24  # more than the system buffers of a connection hold


def accept_then_hold(peer: Peer) -> None:
    peer.accept()
    hold(peer)


def accept_then_drain(peer: Peer) -> None:
    peer.accept()
    drain(peer)


def blocked_until(event: threading.Event) -> Any:
    """A script that reads nothing until the event, then all, and answers the Close."""

    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(event)
        try:
            while True:
                peer.recv()
        except PeerClosed as closed:
            peer.send_close(closed.code)

    return script


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        ("", 0),
        ("abc", 3),
        ("üü", 4),
        ("\U0001f600", 4),
        (b"abc", 3),
        (bytearray(5), 5),
        (memoryview(b"abcdef")[::2], 3),
        (array.array("I", [1, 2, 3]), 3 * array.array("I").itemsize),
    ],
)
def test_counts_utf_8_bytes_of_text_and_nbytes_of_a_buffer_and_no_framing(data: Any, counted: int) -> None:
    def callback(event: Event) -> None:
        ws = socket_of(event)
        ws.send("x" * 1000)
        ws.send(data)
        seen.append(ws.bufferedAmount)
        ws.close()

    seen: list[int] = []
    with LoopbackServer() as server:
        ws = WebSocket(server.url, onopen=callback)
        ws.join(SECONDS)
    assert seen == [1000 + counted]
    assert ws.bufferedAmount == 0


def test_falls_to_zero_when_all_is_with_the_network() -> None:
    with connected(echo) as (ws, recorder, _):
        for number in range(50):
            ws.send("x" * number * 100)
        wait_until(lambda: ws.bufferedAmount == 0)
        recorder.wait("message", 50)
        assert ws.bufferedAmount == 0


def test_counts_before_compression() -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate")
        hold(peer)

    with connected(script, close_timeout=0.2) as (ws, _, _):
        assert ws.extensions
        amounts: list[int] = []

        def on_message(event: Event) -> None:
            ws.send("x" * 10_000)
            ws.send(b"y" * 100_000)
            amounts.append(ws.bufferedAmount)

        ws.addEventListener("custom", on_message)
        ws.dispatchEvent(Event("custom"))
        assert 0 <= amounts[0] <= 110_000
        wait_until(
            lambda: ws.bufferedAmount == 0, "all is with the network, though compressed to a few bytes"
        )


def test_is_not_reset_by_the_close_and_send_goes_on_adding() -> None:
    with connected(accept_then_hold, receive_buffer=4096, close_timeout=0.2) as (ws, recorder, _server):
        ws.send(b"\0" * BIG)
        ws.close()
        ws.send("dropped")
        recorder.wait("close")
        assert recorder.failed
        left = ws.bufferedAmount
        assert 7 < left <= BIG + 7
        ws.send(b"x" * 100)
        assert ws.bufferedAmount == left + 100
        ws.send("ü")
        assert ws.bufferedAmount == left + 102


def test_what_is_dropped_while_closing_stays_counted_when_what_was_queued_before_is_sent() -> None:
    """All three messages wait together for a server that does not read, and only two may be sent."""
    go = threading.Event()
    with connected(blocked_until(go), receive_buffer=4096, close_timeout=SECONDS) as (ws, recorder, _):
        ws.send(b"\0" * BIG)
        wait_until(lambda: ws.bufferedAmount < BIG, "the writer is at work on the first")
        ws.send("queued")
        ws.close()
        ws.send("dropped")
        go.set()
        recorder.wait("close")
        assert recorder.ending == (1000, "", True)
        assert ws.bufferedAmount == len("dropped")


def test_counts_every_send_after_an_orderly_close() -> None:
    with connected(echo) as (ws, recorder, _):
        ws.send("sent")
        ws.close()
        recorder.wait("close")
        assert ws.bufferedAmount == 0
        ws.send("not sent")
        ws.send(b"not sent")
        ws.send("")
        assert ws.bufferedAmount == 16


def test_counts_every_send_after_a_close_in_connecting() -> None:
    with LoopbackServer(hold) as server:
        ws = WebSocket(server.url)
        ws.close()
        ws.send("abc")
        assert ws.bufferedAmount == 3
        ws.join(SECONDS)
        ws.send(b"abc")
        assert ws.bufferedAmount == 6


def test_counts_what_a_lost_connection_could_not_send() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(go)
        peer.reset()

    go = threading.Event()
    with connected(script, receive_buffer=4096) as (ws, recorder, _):
        ws.send(b"\0" * BIG)
        ws.send("never sent")
        go.set()
        recorder.wait("close")
        assert recorder.failed
        assert len("never sent") < ws.bufferedAmount <= BIG + len("never sent")


@pytest.mark.parametrize("kind", ["open", "message", "close"])
def test_does_not_fall_inside_a_callback_until_it_returns_however_long_that_takes(kind: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("go")
        if kind != "close":
            assert [peer.recv() for _ in range(2)] == ["abc", b"defgh"]
            received.set()
            wait_for(returned)
        peer.send_close()
        finish(peer)

    def callback(event: Event) -> None:
        ws = socket_of(event)
        seen.append(ws.bufferedAmount)
        ws.send("abc")
        seen.append(ws.bufferedAmount)
        ws.send(b"defgh")
        if kind != "close":
            wait_for(received)  # both are with the server, and yet:
        seen.append(ws.bufferedAmount)
        returned.set()

    seen: list[int] = []
    received, returned = threading.Event(), threading.Event()
    options: dict[str, Any] = {f"on{kind}": callback}
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, **options)
        ws.join(SECONDS)
        assert seen == [0, 3, 8]
        assert ws.bufferedAmount == (8 if kind == "close" else 0)


def test_close_callback_sees_what_is_left_now_and_not_what_was_left_in_the_callback_before() -> None:
    def on_message(event: Event) -> None:
        socket_of(event).send("abc")
        seen.append(socket_of(event).bufferedAmount)

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("go")
        assert peer.recv() == "abc"
        peer.send_close()
        finish(peer)

    seen: list[int] = []
    with LoopbackServer(script) as server:
        ws = WebSocket(
            server.url,
            onmessage=on_message,
            onclose=lambda event: seen.append(event.target.bufferedAmount),
        )
        ws.join(SECONDS)
    assert seen == [3, 0]


def test_is_frozen_over_all_listeners_of_one_event_and_fresh_in_the_next() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(listening)
        peer.send("first")
        assert peer.recv() == "abc"
        received.set()
        wait_for(fallen)
        peer.send("second")
        peer.echo()

    def first(event: Any) -> None:
        if event.data == "first":
            ws.send("abc")
            wait_for(received)

    def second(event: Any) -> None:
        seen.append((event.data, ws.bufferedAmount))
        if event.data == "second":
            done.set()

    seen: list[tuple[str, int]] = []
    listening, received, fallen, done = (threading.Event() for _ in range(4))
    with connected(script) as (ws, _, _):
        ws.onmessage = first
        ws.addEventListener("message", second)
        listening.set()
        wait_until(lambda: received.is_set() and ws.bufferedAmount == 0, "fallen, as seen from here")
        fallen.set()
        wait_for(done)
    assert seen == [("first", 3), ("second", 0)]


def test_another_thread_sees_it_fall_while_a_callback_runs() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("go")
        peer.recv()
        peer.echo()

    def callback(event: Event) -> None:
        ws = socket_of(event)
        ws.send("abc")
        sent.set()
        wait_for(fallen)
        seen.append(ws.bufferedAmount)

    seen: list[int] = []
    sent, fallen = threading.Event(), threading.Event()
    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, onmessage=callback)
        wait_for(sent)
        wait_until(lambda: ws.bufferedAmount == 0, "seen to fall from outside")
        fallen.set()
        ws.close()
        ws.join(SECONDS)
    assert seen == [3]


def test_is_frozen_in_callbacks_that_dispatch_schedules_elsewhere() -> None:
    def callback(event: Event) -> None:
        ws = socket_of(event)
        ws.send("abc")
        wait_until(lambda: outside() == 0, "the message has left")
        seen.append(ws.bufferedAmount)

    def outside() -> int:
        numbers: list[int] = []
        thread = threading.Thread(target=lambda: numbers.append(ws.bufferedAmount))
        thread.start()
        thread.join()
        return numbers[0]

    seen: list[int] = []
    batches: list[Any] = []
    with LoopbackServer() as server:
        ws = WebSocket(server.url, onopen=callback, dispatch=batches.append)
        while ws.readyState != ws.CLOSED:
            wait_until(lambda: bool(batches))
            batches.pop(0)()
            ws.close()
        ws.join(SECONDS)
    assert seen == [3]


def test_is_never_negative_and_exact_at_the_end_under_sixteen_sending_threads() -> None:
    def send() -> None:
        wait_for(go)
        for number in range(300):
            ws.send(b"x" * (number % 50))
            amount = ws.bufferedAmount
            if amount < 0:
                negative.append(amount)

    def watch() -> None:
        while not done.is_set():
            if (amount := ws.bufferedAmount) < 0:
                negative.append(amount)

    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            received.append(len(peer.recv()))

    negative: list[int] = []
    received: list[int] = []
    go, done = threading.Event(), threading.Event()
    with connected(script) as (ws, _, _):
        threads = [threading.Thread(target=send) for _ in range(16)]
        watcher = threading.Thread(target=watch)
        for thread in (watcher, *threads):
            thread.start()
        go.set()
        for thread in threads:
            thread.join(SECONDS)
        done.set()
        watcher.join(SECONDS)
        wait_until(lambda: ws.bufferedAmount == 0)
    assert (len(received), sum(received)) == (16 * 300, 16 * 6 * sum(range(50)))
    assert not negative


def test_stays_as_it_is_through_a_refused_connection() -> None:
    recorder = run(Peer.refuse)
    ws = socket_of(recorder.close)
    assert ws.bufferedAmount == 0
