"""`stats`: what a connection has counted, of both APIs and of those that come back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import syncws
from syncws import ReconnectingWebSocket, Stats, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import opened
from tests.support.servers import finish, hold
from tests.support.waiting import SECONDS, wait_for, wait_until

TEXT = "ä" * 100  # 200 bytes


def test_messages_and_their_bytes_are_counted_in_both_directions() -> None:
    with opened() as connection:
        data: Any
        for data in (
            "",
            "a",
            TEXT,
            b"1234",
            bytes(125),
            bytes(126),
            bytes(70_000),
            [b"12", b"3"],
            TEXT * 9999,
        ):
            connection.send(data)
            connection.recv(SECONDS)
        connection.flush(SECONDS)
        sizes = (0, 1, 200, 4, 125, 126, 70_000, 3, 200 * 9999)
        stats = connection.stats
        assert (stats.messages_sent, stats.bytes_sent) == (9, sum(sizes))
        assert (stats.messages_received, stats.bytes_received) == (9, sum(sizes))
        assert (stats.queued_messages, stats.queued_bytes, stats.buffered_bytes) == (0, 0, 0)
        assert (stats.pauses, stats.round_trip, stats.reconnects) == (0, None, 0)
    assert connection.stats.messages_sent == 9  # kept after the end


def test_bytes_of_the_wire_are_those_of_the_socket() -> None:
    with opened(compression=None) as connection:
        before = connection.stats
        assert before.wire_bytes_sent > 100  # the opening handshake
        assert before.wire_bytes_received > 100
        connection.send(bytes(1000))
        connection.recv(SECONDS)
        connection.flush(SECONDS)  # the writer may count a moment after the echo
        after = connection.stats
        assert after.wire_bytes_sent - before.wire_bytes_sent == 1000 + 8
        assert after.wire_bytes_received - before.wire_bytes_received == 1000 + 4


def test_compressed_messages_count_as_the_program_sees_them() -> None:
    with opened() as connection:
        connection.send("x" * 50_000)
        connection.send("y" * 3_000_000)
        for _ in range(2):
            connection.recv(SECONDS)
        connection.flush(SECONDS)
        stats = connection.stats
        assert (stats.messages_sent, stats.bytes_sent) == (2, 3_050_000)
        assert (stats.messages_received, stats.bytes_received) == (2, 3_050_000)
        if connection.extensions:
            assert stats.wire_bytes_sent < 100_000


BATCHES: list[list[str | bytes]] = [
    ["", "a", "bc"],
    ["a" * 125] * 3,
    ["a" * 126, "b"],
    ["ä" * 62, "ä" * 63, "ä" * 64],
    [b"1" * 200, b"2" * 200],
    ["ä" * 100, b"\xff" * 130, "", b""],
]


@pytest.mark.parametrize("batch", BATCHES, ids=range(len(BATCHES)))
def test_what_comes_in_one_read_is_counted_to_the_byte(batch: list[str | bytes]) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wire = b""
        for message in batch:
            payload = message.encode() if isinstance(message, str) else message
            wire += frame_bytes(Opcode.TEXT if isinstance(message, str) else Opcode.BINARY, payload)
        peer.send_bytes(wire)
        finish(peer)

    with opened(script) as connection:
        assert [connection.recv(SECONDS) for _ in batch] == batch
        stats = connection.stats
        size = sum(len(message.encode() if isinstance(message, str) else message) for message in batch)
        assert (stats.messages_received, stats.bytes_received) == (len(batch), size)


def test_what_waits_to_be_received_and_how_often_reading_paused_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(30):
            peer.send(bytes(1000))
        finish(peer)

    with opened(script, max_queue=(2500, None)) as connection:
        wait_until(lambda: connection.stats.pauses == 1)
        stats = connection.stats
        assert stats.queued_messages >= 1
        assert stats.queued_messages * 1000 <= stats.queued_bytes <= stats.queued_messages * 1004
        for _ in range(30):
            connection.recv(SECONDS)
        stats = connection.stats
        assert (stats.queued_messages, stats.queued_bytes) == (0, 0)
        assert stats.messages_received == 30


def test_what_waits_to_be_sent_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    with opened(script, compression=None, receive_buffer=65536, close_timeout=0.1) as connection:
        connection.send("first")
        connection.flush(SECONDS)
        connection.send(bytes(2**24))
        wait_until(lambda: connection.stats.buffered_bytes < 2**24)
        stats = connection.stats
        assert stats.messages_sent == 1
        assert stats.bytes_sent + stats.buffered_bytes == pytest.approx(5 + 2**24, abs=2**20)
        connection.abort()


def test_the_round_trip_is_that_of_the_last_ping_of_any_kind() -> None:
    with opened(ping_interval=None) as connection:
        assert connection.stats.round_trip is None
        measured = connection.ping(SECONDS)
        assert connection.stats.round_trip == pytest.approx(measured, abs=1)
    with opened(ping_interval=0.02) as connection:
        wait_until(lambda: connection.stats.round_trip is not None)
        round_trip = connection.stats.round_trip
        assert round_trip is not None and 0 < round_trip < SECONDS


def test_the_callback_api_counts_what_handlers_wait_for() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(frame_bytes(Opcode.TEXT, b"hello") * 3)
        wait_for(inside)
        peer.send("hello")
        finish(peer)

    def on_message(event: object) -> None:
        inside.set()
        wait_for(go_on)

    inside, go_on = threading.Event(), threading.Event()
    with LoopbackServer(script) as server, WebSocket(server.url, onmessage=on_message) as ws:
        wait_until(lambda: ws.stats.messages_received == 4)
        assert ws.stats.queued_messages >= 2
        ws.send("12")
        go_on.set()
        wait_until(lambda: ws.stats.queued_messages == 0)
        wait_until(lambda: ws.stats.bytes_sent == 2)
        assert ws.stats.messages_sent == 1
        assert ws.stats.bytes_received == 20


def test_before_the_connection_is_open_all_is_zero() -> None:
    with LoopbackServer(hold) as server:
        ws = WebSocket(server.url)
        assert ws.stats == Stats()
        ws.abort()
        ws.join(SECONDS)


def test_a_connection_that_comes_back_counts_how_often() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        if len(server.connections) < 3:
            peer.send_close(1012)
        finish(peer)

    with LoopbackServer(script) as server:
        with syncws.reconnect(server.url, policy=lambda loss: 0) as reconnector:
            assert reconnector.stats == Stats()
            counts = []
            for connection in reconnector:
                connection.recv(SECONDS)
                counts.append((connection.stats.reconnects, connection.stats.messages_received))
                assert reconnector.stats.reconnects == connection.stats.reconnects
                if len(counts) == 3:
                    break
                with pytest.raises(syncws.ConnectionClosed):
                    connection.recv(SECONDS)
        assert counts == [(0, 1), (1, 1), (2, 1)]
    with LoopbackServer(script) as server:
        opened_again: list[tuple[int, int]] = []
        with ReconnectingWebSocket(server.url, policy=lambda loss: 0) as again:
            again.onopen = lambda event: opened_again.append((again.stats.reconnects, len(opened_again)))
            wait_until(lambda: len(opened_again) == 3)
            assert opened_again == [(0, 0), (1, 1), (2, 2)]


def test_the_record_cannot_be_changed() -> None:
    with opened() as connection, pytest.raises(AttributeError):
        connection.stats.pauses = 1  # type: ignore[misc]
