"""`reading.read_lease`: what a consumer reads in the reader's place, and how the two change places."""

from __future__ import annotations

import gc
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from syncws._engine.consumer.event_queue import EventQueue
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.primitives import Token, tokens
from syncws._engine.reading import read_lease
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message
from syncws.testing.wire import frame_bytes
from tests.support.lent_link import FOR_THE_READER, LentLink, text
from tests.support.waiting import AT_ONCE, SECONDS

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY


# What a consumer reads.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535])
def test_what_arrives_is_the_consumers_and_the_reader_is_left_alone(
    make: Callable[[], Any], size: int
) -> None:
    wire = frame_bytes(BINARY, bytes(size)) + text("é" * (size // 2))
    with LentLink(make(), wire) as link:
        while len(link.messages) < 2:
            assert link.read()
        assert link.messages == [bytes(size), "é" * (size // 2)]
        assert link.counted == (2, size + size // 2 * 2)
        assert link.stream.received == len(wire)
        assert not link.lease.input.needs_reader
        assert not link.lease.input.unfed
        assert link.lease.recent


def test_no_read_is_kept_until_a_collection_of_garbage(make: Callable[[], Any]) -> None:
    """It holds all of its messages."""
    gc.disable()
    try:
        with LentLink(make(), text("a") * 5000) as link:
            assert link.read()
            assert not [found for found in gc.get_objects() if isinstance(found, read_lease.LeasedRead)]
    finally:
        gc.enable()


def test_one_read_may_bring_thousands_of_messages(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a") * 5000) as link:
        assert link.read()
        assert link.messages == ["a"] * 5000
        assert not link.wakes


def test_reads_grow_while_the_network_fills_them(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("x" * 1020) * 130) as link:  # each takes 1 KiB on the wire
        counts = []
        while len(link.messages) < 130:
            assert link.read()
            counts.append(len(link.messages))
        assert counts == [64, 130]


@pytest.mark.parametrize("reader_looks", [False, True])
def test_where_nothing_comes_the_turn_goes_back_with_one_wake_up(
    make: Callable[[], Any], reader_looks: bool
) -> None:
    with LentLink(make()) as link:
        link.lease.reader_looks = reader_looks
        assert not link.read()
        # A reader that waits for the socket needs no wake-up.
        assert len(link.wakes) == reader_looks
        assert not link.lease.is_used()
        assert link.lease.take_if_free()


@pytest.mark.parametrize("taker", [Inbox((100, None)), EventQueue((100, None))], ids=["inbox", "event queue"])
def test_what_is_read_by_lease_counts_for_the_bound(taker: Any) -> None:
    with LentLink(taker) as link:
        for full in (False, True):
            link.serve(text("x" * 50))
            assert link.read()
            assert taker.is_full(0) == full


def test_a_time_out_is_kept(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_lease, "LEASE_SECONDS", SECONDS)
    with LentLink(make()) as link:
        began = time.monotonic()
        assert not link.read(0.01)
        assert 0.005 < time.monotonic() - began < AT_ONCE


def test_while_the_reader_has_the_turn_nobody_reads(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.take()
        assert not link.read()
        assert link.lease.wanted
        assert not link.messages
        link.take_turns()
        assert link.messages == ["a"]
        assert not link.lease.wanted


def test_only_one_consumer_reads_at_a_time() -> None:
    with LentLink(Inbox((None, None))) as link:
        link.lease._token.held = True
        link.serve(text("a"))
        assert not link.read()
        assert not link.messages
        link.lease._token.held = False
        assert link.read()


def test_the_reader_leaves_a_consumer_the_turn_that_it_has(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.lease._token.held = True
        assert not link.lease.take_if_free()
        link.lease._token.held = False
        assert link.read(), "the reader has taken the turn all the same"
        assert link.lease.take_if_free()


def test_a_call_that_is_over_leaves_no_token(make: Callable[[], Any]) -> None:
    here = threading.get_ident()
    with LentLink(make(), text("a")) as link:
        for _ in range(3):  # there is something, there is nothing, and the reader has the turn
            link.read(0.001)
            assert not [token for token in tokens if token.thread == here]
            if link.messages:
                link.take()


@pytest.mark.parametrize("wire", FOR_THE_READER.values(), ids=FOR_THE_READER)
@pytest.mark.parametrize("before", [b"", text("a") + text("b")], ids=["alone", "behind others"])
def test_what_is_no_plain_frame_goes_to_the_reader_as_it_came(
    make: Callable[[], Any], before: bytes, wire: bytes
) -> None:
    alone = Decoder(None)
    messages = alone.feed(before + wire)
    with LentLink(make(), before + wire) as link:
        for _ in range(8):  # a large one comes in several reads
            if not link.read() or link.lease.input.needs_reader:
                break
        assert link.lease.input.needs_reader
        assert link.wakes
        assert not link.read(), "what comes behind that is the reader's, too"
        link.take_over()
        assert link.messages == messages
        assert link.decoder.controls == alone.controls
        assert str(link.decoder.ended) == str(alone.ended)
        assert link.counted == (alone.messages_received, alone.bytes_received)
        assert link.stream.received == len(before + wire)


def test_nobody_reads_on_while_the_reader_has_not_looked(make: Callable[[], Any]) -> None:
    with LentLink(make(), frame_bytes(Opcode.PING, b"x")) as link:
        link.read()
        link.serve(text("a"))
        for _ in range(read_lease.REFUSED_AFTER + 2):
            assert not link.read(0.001)
        assert link.stream.recv(100) == text("a")


def test_only_so_many_wait_by_lease_at_the_same_time(make: Callable[[], Any]) -> None:
    others = {Token(bool): None for _ in range(read_lease.MOST_AT_ONCE)}
    with LentLink(make(), text("hello")) as link:
        tokens.update(others)
        try:
            assert not link.read()
            tokens.popitem()
            assert link.read()
        finally:
            for token in others:
                tokens.pop(token, None)
        assert link.messages == ["hello"]


def test_where_bytes_for_the_reader_came_the_next_requests_are_refused() -> None:
    with LentLink(Inbox((None, None)), frame_bytes(Opcode.PING)) as link:
        link.read()
        link.take_turns()
        link.serve(text("a"))
        refused = 0
        while not link.read():
            refused += 1
        assert refused == read_lease.REFUSED_AFTER
        assert link.messages == ["a"]


def test_the_end_of_tcp_is_the_readers_to_find(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.server.shutdown(socket.SHUT_WR)
        assert link.read()
        assert not link.read()
        assert link.wakes
        link.take()
        assert link.lease.take_chunks() == b""
        assert link.stream.recv(1) == b""
        assert link.messages == ["a"]


def test_an_error_of_the_socket_is_kept_for_the_reader(make: Callable[[], Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with LentLink(make()) as link:
        link.stream.socket.close()
        link.stream.socket = ours
        ours.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert not link.read()
        assert isinstance(link.lease.input.error, ConnectionResetError)
        assert link.lease.input.needs_reader
        assert link.wakes
        assert link.lease.take()


def test_a_closed_socket_is_no_fault_of_the_consumer(make: Callable[[], Any]) -> None:
    with LentLink(make()) as link:
        link.stream.socket.close()
        assert not link.read()


# Half a frame.

HALVES = [text("hello"), frame_bytes(BINARY, bytes(range(256)) * 2)]


@pytest.mark.parametrize("by", ["lease", "reader", "reader that lends again"])
@pytest.mark.parametrize("wire", HALVES, ids=["short", "of 16 bits"])
def test_the_rest_of_half_a_frame_may_be_read_by_either(
    make: Callable[[], Any], wire: bytes, by: str
) -> None:
    whole = Decoder(None).feed(wire)
    for cut in range(1, len(wire)):
        with LentLink(make(), text("before") + wire[:cut]) as link:
            assert link.read()
            assert link.messages == ["before"]
            assert link.lease.input.unfed
            if by == "reader":
                link.take_over()
                link.serve(wire[cut:] + text("after"))
                link.take_over()
            elif by == "lease":
                link.serve(wire[cut:] + text("after"))
                assert link.read()
            else:
                link.decoder.keeps_beginning = True
                link.take_turns()
                link.serve(wire[cut:] + text("after"))
                assert link.read()
            assert link.messages == ["before", *whole, "after"], cut
            assert link.counted == (3, 11 + len(wire) - (2 if len(wire) < 128 else 4)), cut
            assert link.stream.received == link.sent, cut


def test_random_pieces_are_read_by_either_by_chance(make: Callable[[], Any]) -> None:
    choose = random.Random(7)
    for _ in range(50):
        messages: list[Message] = [
            choose.choice([bytes, lambda size: "x" * size])(choose.choice([0, 3, 125, 126, 900]))
            for _ in range(12)
        ]
        wire = b"".join(
            text(message) if isinstance(message, str) else frame_bytes(BINARY, message)
            for message in messages
        )
        with LentLink(make()) as link:
            link.decoder.keeps_beginning = True
            start = 0
            while start < len(wire):
                stop = start + choose.randrange(1, 200)
                link.serve(wire[start:stop])
                start = stop
                if choose.random() < 0.3 or not link.read():
                    link.take_turns()
            link.take_over()
            assert link.messages == messages
            assert link.stream.received == len(wire)
