"""`send()` of an iterable: one fragmented message, never held as a whole."""

from __future__ import annotations

import io
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncws import Connection, ConnectionClosed, WebSocketError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, PeerClosed
from tests.support.clients import closed_by, opened
from tests.support.servers import finish, hold
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until

MIB = 2**20


def reused() -> Iterator[bytearray]:
    """Chunks as a program makes them that reads into one buffer."""
    buffer = bytearray(4)
    for number in range(5):
        buffer[:] = b"%04d" % number
        yield buffer


# The argument of send(), and the resulting message.
ITERABLES: dict[str, tuple[Callable[[], Any], str | bytes]] = {
    "a list of str": (lambda: ["a", "bc", "d€"], "abcd€"),
    "a tuple of bytes": (lambda: (b"a", b"bc"), b"abc"),
    "a generator of str": (lambda: (str(number) for number in range(500)), "".join(map(str, range(500)))),
    "a generator of bytes": (
        lambda: (bytes([n]) * n for n in range(200)),
        b"".join(bytes([n]) * n for n in range(200)),
    ),
    "one chunk": (lambda: ["all"], "all"),
    "empty chunks": (lambda: ["", "a", "", "b", ""], "ab"),
    "nothing but an empty chunk": (lambda: [b""], b""),
    "all kinds of buffers": (lambda: [b"1", bytearray(b"2"), memoryview(b"345")[::2]], b"1235"),
    "a buffer that changes": (reused, b"00000001000200030004"),
    "a file": (lambda: io.BytesIO(b"first\nsecond\nthird"), b"first\nsecond\nthird"),
    "large chunks": (
        lambda: [bytes([n]) * (MIB + n) for n in range(3)],
        b"".join(bytes([n]) * (MIB + n) for n in range(3)),
    ),
    "an iterator": (lambda: iter(["a", "b"]), "ab"),
}


@pytest.mark.parametrize("kind", ITERABLES)
def test_an_iterable_is_sent_as_one_message(kind: str) -> None:
    make, message = ITERABLES[kind]
    with opened() as connection:
        connection.send(make())
        connection.send("next")
        received = connection.recv(SECONDS)
        assert (type(received), received) == (type(message), message)
        assert connection.recv(SECONDS) == "next"
        connection.flush(SECONDS)
        assert connection.bufferedAmount == 0


def test_each_chunk_is_a_fragment_that_goes_out_before_the_next_one_is_asked_for() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(4):
            frame = peer.recv_frame()
            frames.append((frame.fin, frame.rsv, frame.opcode, frame.payload))
            arrived.release()
        finish(peer)

    def chunks() -> Iterator[str]:
        for chunk in ("one", "two", "three"):
            yield chunk
            assert arrived.acquire(timeout=SECONDS)

    frames: list[tuple[bool, int, int, bytes]] = []
    arrived = threading.Semaphore(0)
    with opened(script) as connection:
        connection.send(chunks())
        assert arrived.acquire(timeout=SECONDS)
    assert frames == [
        (False, 0, Opcode.TEXT, b"one"),
        (False, 0, Opcode.CONTINUATION, b"two"),
        (False, 0, Opcode.CONTINUATION, b"three"),
        (True, 0, Opcode.CONTINUATION, b""),
    ]


def test_a_fragmented_message_is_compressed_as_one() -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate")
        inflater = zlib.decompressobj(wbits=-15)
        for _ in range(2):
            data, rsv = b"", []
            while True:
                frame = peer.recv_frame()
                data += frame.payload
                rsv.append(frame.rsv)
                if frame.fin:
                    break
            assert rsv == [4] + [0] * (len(rsv) - 1)  # RFC 7692 6: on the first frame only
            messages.append(inflater.decompress(data + b"\0\0\xff\xff").decode())
            sizes.append(len(data))
        finish(peer)

    messages: list[str] = []
    sizes: list[int] = []
    chunks = [f"chunk {number} " * 50 for number in range(20)]
    with opened(script) as connection:
        connection.send(chunk for chunk in chunks)
        connection.send(chunk for chunk in chunks)
        connection.flush(SECONDS)
    assert messages == ["".join(chunks)] * 2
    assert max(sizes) < len("".join(chunks)) // 4


def test_an_iterable_that_raises_before_its_first_chunk_harms_nothing() -> None:
    def chunks() -> Iterator[str]:
        raise KeyError("mine")
        yield ""

    with opened() as connection:
        with pytest.raises(KeyError):
            connection.send(chunks())
        connection.send("unharmed")
        assert connection.recv(SECONDS) == "unharmed"


def raising() -> Iterator[str]:
    yield "begun"
    raise KeyError("mine")


FAULTS: dict[str, tuple[Callable[[], Any], type[BaseException]]] = {
    "it raises": (raising, KeyError),
    "it mixes text and binary": (lambda: ["begun", b"bytes"], TypeError),
    "a chunk is neither": (lambda: ["begun", 1], TypeError),
    "a chunk has a lone surrogate": (lambda: ["begun", "\ud800"], ValueError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_message_that_cannot_be_ended_fails_the_connection_with_1011(fault: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        frame = peer.recv_frame()
        assert (frame.opcode, frame.fin, frame.payload) == (Opcode.TEXT, False, b"begun")
        frame = peer.recv_frame()
        seen.append((frame.opcode, int.from_bytes(frame.payload[:2], "big")))

    make, kind = FAULTS[fault]
    seen: list[tuple[int, int]] = []
    with opened(script) as connection:
        with pytest.raises(kind):
            connection.send(make())
        end = closed_by(connection)
        assert (end.code, end.wasClean) == (1006, False)
        assert isinstance(end.__cause__, WebSocketError)
        assert "iterable" in str(end.__cause__)
        wait_until(lambda: bool(seen))
    assert seen == [(Opcode.CLOSE, 1011)]


def test_what_other_threads_send_meanwhile_goes_after_it_whole_and_in_order() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while (message := peer.recv()) != "end":  # raises when fragments are mixed
            assert isinstance(message, str)
            received.append(message)
        peer.send("end")
        finish(peer)

    def chunks(sender: int, number: int) -> Iterator[str]:
        yield f"{sender} {number} "
        for _ in range(number % 5):
            yield "x"

    def send(sender: int) -> None:
        for number in range(150):
            connection.send(chunks(sender, number) if (sender + number) % 2 else f"{sender} {number} whole")

    received: list[str] = []
    with switching_all_the_time(), opened(script) as connection:
        tasks = [Task(lambda sender=sender: send(sender)) for sender in range(6)]  # type: ignore[misc]
        for task in tasks:
            task.result()
        connection.send("end")
        assert connection.recv(SECONDS) == "end"
        connection.flush(SECONDS)  # the answer may be here before the writer has counted what it sent
        assert connection.bufferedAmount == 0
    for sender in range(6):
        mine = [message for message in received if message.startswith(f"{sender} ")]
        assert [int(message.split()[1]) for message in mine] == list(range(150))
        for number, message in enumerate(mine):
            assert message.split(" ")[2] == ("x" * (number % 5) if (sender + number) % 2 else "whole")


def test_messages_that_wait_for_the_end_of_a_fragmented_one_do_not_hold_it_up() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        received.extend([peer.recv() for _ in range(4)])
        finish(peer)

    def chunks() -> Iterator[bytes]:
        yield b"begun "
        for _ in range(3):  # more than what a stream may have unsent
            connection.send(bytes(MIB))
        assert connection.bufferedAmount >= 3 * MIB
        yield b"and ended"

    received: list[str | bytes] = []
    with opened(script, compression=None) as connection:
        Task(lambda: connection.send(chunks())).result()
        connection.flush(SECONDS)
        assert connection.bufferedAmount == 0
    assert received == [b"begun and ended", *[bytes(MIB)] * 3]


def test_pings_are_answered_between_the_fragments() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert not peer.recv_frame().fin
        peer.ping(b"now")
        frame = peer.recv_frame()
        assert (frame.opcode, frame.payload) == (Opcode.PONG, b"now")
        answered.set()
        assert peer.recv_frame().payload == b"last"
        assert peer.recv_frame().fin
        finish(peer)

    def chunks() -> Iterator[str]:
        yield "first"
        wait_for(answered)
        yield "last"

    answered = threading.Event()
    with opened(script) as connection:
        connection.send(chunks())
        connection.flush(SECONDS)


def test_a_ping_of_our_own_goes_between_the_fragments() -> None:
    def chunks() -> Iterator[str]:
        yield "first"
        assert connection.ping(SECONDS) >= 0
        yield "last"

    with opened() as connection:
        connection.send(chunks())
        assert connection.recv(SECONDS) == "firstlast"


@pytest.mark.parametrize("size", [1000, 2**16, 3 * MIB])
def test_at_most_a_mebibyte_is_unsent_while_the_server_does_not_read(size: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(stuck)
        sent.append(len(peer.recv()))
        finish(peer)

    def chunks() -> Iterator[bytes]:
        for _ in range(12 * MIB // size):
            amounts.append(connection.bufferedAmount)
            yield bytes(size)

    stuck = threading.Event()
    sent: list[int] = []
    amounts: list[int] = []
    with opened(script, compression=None, receive_buffer=65536) as connection:
        task = Task(lambda: connection.send(chunks()))
        wait_until(lambda: connection.bufferedAmount > MIB - size)
        task.wait_blocked()
        stuck.set()
        task.result()
        connection.flush(SECONDS)
    assert sent == [12 * MIB // size * size]
    assert max(amounts) <= MIB


@pytest.mark.parametrize("ends", ["closed", "lost", "closed by the server"])
def test_the_end_of_the_connection_ends_the_sending(ends: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wait_for(begun)
        if ends == "lost":
            peer.reset()
        elif ends == "closed by the server":
            peer.send_close(4000)
            finish(peer)
        else:
            with pytest.raises(PeerClosed):
                peer.recv()
            peer.send_close(1000)

    def chunks() -> Iterator[str]:
        while True:
            yield "more"
            begun.set()
            threading.Event().wait(0.001)

    begun = threading.Event()
    with opened(script) as connection:
        task = Task(lambda: connection.send(chunks()))
        wait_for(begun)
        if ends == "closed":
            connection.close()
        assert isinstance(task.wait(), ConnectionClosed)


def test_the_end_of_the_connection_frees_a_sending_that_waits_for_room() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    def chunks(connection: Connection) -> Iterator[bytes]:
        while True:
            yield bytes(2**16)

    with opened(script, receive_buffer=65536, compression=None, close_timeout=0.2) as connection:
        tasks = [Task(lambda: connection.send(chunks(connection))) for _ in range(2)]
        wait_until(lambda: connection.bufferedAmount > MIB // 2)
        for task in tasks:
            task.wait_blocked()
        with pytest.raises(ConnectionClosed):
            connection.close()
        for task in tasks:
            task.closed()


def test_what_waits_for_the_end_of_a_message_is_still_sent_when_close_comes_meanwhile() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            while True:
                received.append(peer.recv())
        codes.append(closed.value.code)
        peer.send_close(3000)

    def chunks() -> Iterator[str]:
        yield "begun, "
        begun.set()
        wait_for(closing)
        yield "ended"

    received: list[str | bytes] = []
    codes: list[int | None] = []
    begun, closing = threading.Event(), threading.Event()
    with opened(script, compression=None) as connection:
        streaming = Task(lambda: connection.send(chunks()))
        wait_for(begun)
        for number in range(3):
            connection.send(str(number))
        closed = Task(lambda: connection.close(3000))
        wait_until(lambda: connection.readyState == connection.CLOSING)
        with pytest.raises(ConnectionClosed):
            connection.send("too late")
        with pytest.raises(ConnectionClosed):
            connection.send(["too", "late"])
        closing.set()
        streaming.result()
        closed.result()
    assert received == ["begun, ended", "0", "1", "2"]
    assert codes == [3000]


def test_a_send_that_is_refused_meanwhile_does_not_hold_it_up() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed):
            while True:
                received.append(peer.recv())
        peer.send_close(1000)

    def chunks() -> Iterator[str]:
        yield "begun, "
        begun.set()
        wait_for(refused)
        yield "ended"

    received: list[str | bytes] = []
    begun, refused = threading.Event(), threading.Event()
    with opened(script, compression=None) as connection:
        streaming = Task(lambda: connection.send(chunks()))
        wait_for(begun)
        connection.send("waits")
        closed = Task(connection.close)
        wait_until(lambda: connection.readyState == connection.CLOSING)
        with pytest.raises(ConnectionClosed):
            connection.send(bytes(2 * MIB))
        refused.set()
        streaming.result()
        closed.result()
        assert closed_by(connection).code == 1000
        assert connection.bufferedAmount == 0  # what was refused is not counted
    assert received == ["begun, ended", "waits"]


def test_nothing_follows_a_message_that_cannot_be_ended_but_a_close() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while not frames or frames[-1][0] != Opcode.CLOSE:
            frame = peer.recv_frame()
            frames.append((frame.opcode, frame.fin))

    def chunks() -> Iterator[str]:
        yield "begun"
        connection.send("waits")
        raise ZeroDivisionError

    frames: list[tuple[int, bool]] = []
    with opened(script, compression=None) as connection:
        with pytest.raises(ZeroDivisionError):
            connection.send(chunks())
        assert closed_by(connection).code == 1006
        assert connection.bufferedAmount == len("waits")
        wait_until(lambda: len(frames) == 2)
    assert frames == [(Opcode.TEXT, False), (Opcode.CLOSE, True)]


def test_close_cuts_a_message_short_that_nothing_waits_for() -> None:
    def chunks() -> Iterator[str]:
        while True:
            begun.set()
            yield "more"

    begun = threading.Event()
    with opened(finish_politely, compression=None, close_timeout=SECONDS) as connection:
        streaming = Task(lambda: connection.send(chunks()))
        wait_for(begun)
        began = time.monotonic()
        connection.close()
        assert time.monotonic() - began < AT_ONCE
        streaming.closed()


def finish_politely(peer: Peer) -> None:
    peer.accept()
    while peer.recv_frame().opcode != Opcode.CLOSE:
        pass
    peer.send_close(1000)


def test_an_iterable_that_gives_nothing_holds_close_up_for_close_timeout_at_most() -> None:
    def chunks() -> Iterator[str]:
        yield "begun"
        begun.set()
        wait_for(over)
        yield "too late"

    begun, over = threading.Event(), threading.Event()
    with opened(finish_politely, compression=None, close_timeout=0.2) as connection:
        streaming = Task(lambda: connection.send(chunks()))
        wait_for(begun)
        connection.send("waits for the end")
        with pytest.raises(ConnectionClosed):
            connection.close()
        over.set()
        streaming.closed()
        assert closed_by(connection).code == 1006
        assert connection.bufferedAmount >= len("waits for the end")


def test_an_iterable_that_sends_an_iterable_itself_is_told_that_it_would_wait_for_itself() -> None:
    def chunks() -> Iterator[str]:
        yield "outer"
        connection.send(["inner"])

    with opened(finish_politely) as connection:
        with pytest.raises(RuntimeError, match="inside"):
            connection.send(chunks())
        assert closed_by(connection).code == 1006


@pytest.mark.parametrize("limit", [1, 1000, 2**21])
def test_max_buffered_bounds_what_is_unsent_of_a_message_in_chunks(limit: int) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        received.append(peer.recv())
        finish(peer)

    def chunks() -> Iterator[bytes]:
        for size in (1, 999, 2, 5000, 0, 3):
            amounts.append(connection.bufferedAmount)
            yield bytes([size % 256]) * size

    received: list[str | bytes] = []
    amounts: list[int] = []
    with opened(script, compression=None, max_buffered=limit) as connection:
        connection.send(chunks())
        connection.flush(SECONDS)
    assert received == [b"".join(bytes([size % 256]) * size for size in (1, 999, 2, 5000, 0, 3))]
    assert max(amounts) <= limit
