"""`recv_streaming()`: a message in parts, as they arrive."""

from __future__ import annotations

import contextlib
import random
import threading
import zlib
from collections.abc import Callable

import pytest

from syncws import Connection, ConnectionClosed
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.support.clients import opened
from tests.support.servers import finish
from tests.support.threads import Task, switching_all_the_time
from tests.support.waiting import SECONDS, wait_for, wait_until

TEXT = "aé€😀" * 3000
DATA = bytes(range(256)) * 200


def whole(opcode: int, payload: bytes) -> bytes:
    return frame_bytes(opcode, payload)


def fragmented(opcode: int, payload: bytes, size: int = 777) -> bytes:
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    frames = [frame_bytes(opcode if n == 0 else 0, piece, fin=False) for n, piece in enumerate(pieces)]
    return b"".join(frames) + frame_bytes(0, b"")


def deflated(opcode: int, payload: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    data = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
    return frame_bytes(opcode, data[:-4], rsv=4)


def deflated_in_fragments(opcode: int, payload: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    data = (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return (
        frame_bytes(opcode, data[:100], fin=False, rsv=4)
        + frame_bytes(0, data[100:200], fin=False)
        + frame_bytes(0, data[200:])
    )


SHAPES: dict[str, tuple[Callable[[int, bytes], bytes], str | None]] = {
    "in one frame": (whole, None),
    "in fragments": (fragmented, None),
    "compressed": (deflated, "permessage-deflate; server_no_context_takeover"),
    "compressed and in fragments": (deflated_in_fragments, "permessage-deflate; server_no_context_takeover"),
}


@pytest.mark.parametrize("message", [TEXT, DATA], ids=["text", "binary"])
@pytest.mark.parametrize("cut", ["at once", "in small pieces"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_parts_concatenate_to_the_message(shape: str, cut: str, message: str | bytes) -> None:
    make, extensions = SHAPES[shape]
    payload = message.encode() if isinstance(message, str) else message
    wire = make(Opcode.TEXT if isinstance(message, str) else Opcode.BINARY, payload)

    def script(peer: Peer) -> None:
        peer.accept(extensions=extensions)
        choose = random.Random(7)
        for _ in range(2):
            if cut == "at once":
                peer.send_bytes(wire)
            else:
                start = 0
                while start < len(wire):  # cuts characters and headers anywhere
                    stop = start + choose.randrange(1, max(2, len(wire) // 10))
                    peer.send_bytes(wire[start:stop])
                    start = stop
        peer.send("after")
        finish(peer)

    with opened(script) as connection:
        parts = list(connection.recv_streaming(SECONDS))
        assert {type(part) for part in parts} == {type(message)}
        assert type(message)().join(parts) == message  # type: ignore[arg-type]
        assert connection.recv(SECONDS) == message
        assert list(connection.recv_streaming()) == ["after"]


def test_a_part_is_given_as_soon_as_it_has_come() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        wire = frame_bytes(Opcode.TEXT, "ab€cd".encode())
        for piece in (wire[:4], wire[4:6], wire[6:8], wire[8:]):  # two of the cuts are inside the €
            peer.send_bytes(piece)
            if piece not in (wire[4:6],):
                assert taken.acquire(timeout=SECONDS)
        finish(peer)

    taken = threading.Semaphore(0)
    parts = []
    with opened(script) as connection:
        for part in connection.recv_streaming(SECONDS):
            parts.append(part)
            taken.release()
        taken.release()
    assert "".join(map(str, parts)) == "ab€cd"
    assert parts[0] == "ab"
    assert len(parts) > 1


def test_an_empty_message_is_one_empty_part() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("")
        peer.send_frame(Opcode.BINARY, b"", fin=False)
        peer.send_frame(0, b"")
        finish(peer)

    with opened(script) as connection:
        assert list(connection.recv_streaming(SECONDS)) == [""]
        assert list(connection.recv_streaming(SECONDS)) == [b""]


def test_messages_that_wait_are_streamed_in_order_also_when_the_next_one_has_begun() -> None:
    def script(peer: Peer) -> None:
        peer.accept(
            glued=frame_bytes(Opcode.TEXT, b"1")
            + frame_bytes(Opcode.TEXT, b"2")
            + frame_bytes(Opcode.TEXT, b"3a ", fin=False)
        )
        wait_for(two)
        peer.send_frame(0, b"3b")
        peer.send("4")
        finish(peer)

    two = threading.Event()
    with opened(script) as connection:
        assert connection.recv(SECONDS) == "1"
        assert list(connection.recv_streaming(SECONDS)) == ["2"]
        two.set()
        assert "".join(map(str, connection.recv_streaming(SECONDS))) == "3a 3b"
        assert connection.recv(SECONDS) == "4"


def test_what_has_come_of_a_message_before_recv_streaming_is_given_first() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"begun ", fin=False)
        wait_for(timed_out)
        peer.send_frame(0, b"ended")
        finish(peer)

    timed_out = threading.Event()
    with opened(script) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(0.1)
        parts = connection.recv_streaming(SECONDS)
        assert next(parts) == "begun "
        timed_out.set()
        assert list(parts) == ["ended"]


@pytest.mark.parametrize("when", ["its end has come", "its end has not come", "nothing of it was taken"])
def test_leaving_early_skips_the_rest_and_the_next_recv_gets_the_next_message(when: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for number in range(3):
            peer.send_frame(Opcode.TEXT, b"first", fin=False)
            if when != "its end has come":
                assert left.acquire(timeout=SECONDS)
            for _ in range(3):
                peer.send_frame(0, b"second", fin=False)
                if when != "its end has come":
                    peer.ping()  # once it is answered, what came so far is a part of its own
                    assert peer.recv_frame().opcode == Opcode.PONG
            peer.send_frame(0, b"third")
            peer.send(f"next {number}")
        finish(peer)

    left = threading.Semaphore(0)
    with opened(script) as connection:
        for number in range(3):
            parts = connection.recv_streaming(SECONDS)
            if when != "nothing of it was taken":
                for part in parts:
                    assert str(part).startswith("first")
                    break
                parts.close()  # type: ignore[attr-defined]
                left.release()
                assert connection.recv(SECONDS) == f"next {number}"
            else:  # then it was never begun, and nothing is skipped
                parts.close()  # type: ignore[attr-defined]
                left.release()
                assert connection.recv(SECONDS) == "firstsecondsecondsecondthird"
                assert connection.recv(SECONDS) == f"next {number}"


def test_a_part_that_does_not_come_in_time_raises_and_the_rest_is_skipped() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"first", fin=False)
        wait_for(timed_out)
        peer.send_frame(0, b"second")
        peer.send("next")
        finish(peer)

    timed_out = threading.Event()
    with opened(script) as connection:
        parts = connection.recv_streaming(0.1)
        assert next(parts) == "first"
        with pytest.raises(TimeoutError):
            next(parts)
        timed_out.set()
        assert connection.recv(SECONDS) == "next"


def test_recv_streaming_that_times_out_before_a_message_loses_nothing() -> None:
    with opened() as connection:
        with pytest.raises(TimeoutError):
            next(connection.recv_streaming(0.02))
        connection.send("later")
        assert list(connection.recv_streaming(SECONDS)) == ["later"]


def test_other_threads_in_recv_wait_for_the_end_and_order_is_kept() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"a", fin=False)
        wait_for(waiting)
        peer.send_frame(0, b"b", fin=False)
        peer.send_frame(0, b"c")
        peer.send("1")
        peer.send("2")
        finish(peer)

    waiting = threading.Event()
    with opened(script) as connection:
        parts = connection.recv_streaming(SECONDS)
        assert next(parts) == "a"
        other = Task(lambda: [connection.recv(), connection.recv()])
        with pytest.raises(TimeoutError):
            Task(lambda: connection.recv(0.05)).result()
        assert other.running
        waiting.set()
        assert "".join(map(str, parts)) == "bc"
        assert other.result() == ["1", "2"]


def test_recv_inside_a_streamed_message_raises_and_harms_nothing() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"a", fin=False)
        wait_for(inside)
        peer.send_frame(0, b"b")
        peer.send("next")
        finish(peer)

    inside = threading.Event()
    with opened(script) as connection:
        parts = connection.recv_streaming(SECONDS)
        assert next(parts) == "a"
        for call in (connection.recv, lambda: connection.recv(1), lambda: list(connection.recv_streaming())):
            with pytest.raises(RuntimeError):
                call()
        inside.set()
        assert list(parts) == ["b"]
        assert connection.recv(SECONDS) == "next"


def test_a_generator_may_be_handed_to_another_thread() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"a", fin=False)
        wait_for(inside)
        peer.send_frame(0, b"b")
        peer.send("next")
        finish(peer)

    inside = threading.Event()
    with opened(script) as connection:
        parts = connection.recv_streaming(SECONDS)
        assert next(parts) == "a"
        inside.set()
        assert Task(lambda: list(parts)).result() == ["b"]
        assert connection.recv(SECONDS) == "next"


ENDS: dict[str, tuple[Callable[[Peer], object], int]] = {
    "lost": (lambda peer: None, 1006),
    "closed": (lambda peer: (peer.send_close(4001), finish(peer)), 4001),  # type: ignore[func-returns-value]
    "broken": (lambda peer: (peer.send("no"), finish(peer)), 1006),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_the_connection_inside_a_message_raises_after_what_came(end: str) -> None:
    ends, code = ENDS[end]

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_frame(Opcode.TEXT, b"a", fin=False)
        wait_for(begun)
        ends(peer)

    begun = threading.Event()
    with opened(script) as connection:
        parts = connection.recv_streaming(SECONDS)
        assert next(parts) == "a"
        begun.set()
        calls: list[Callable[[], object]] = [
            lambda: next(parts),
            connection.recv,
            lambda: next(connection.recv_streaming()),
        ]
        for call in calls:
            with pytest.raises(ConnectionClosed) as closed:
                call()
            assert closed.value.code == code


def test_recv_gives_no_part_of_a_message_that_has_no_end() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("whole")
        peer.send_frame(Opcode.TEXT, b"a", fin=False)

    with opened(script) as connection:
        assert connection.recv(SECONDS) == "whole"
        with pytest.raises(ConnectionClosed):
            connection.recv(SECONDS)


def test_reading_pauses_while_a_part_is_being_worked_on() -> None:
    total = 24 * 2**20

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_bytes(bytes((0x82, 127)) + total.to_bytes(8, "big"))
        for _ in range(total // 2**18):
            peer.send_bytes(bytes(2**18))
            sent.append(2**18)
        finish(peer)

    sent: list[int] = []
    with opened(script, max_size=None, max_queue=2**20, compression=None) as connection:
        received = 0
        for number, part in enumerate(connection.recv_streaming(SECONDS)):
            received += len(part)
            if number == 0:
                # The server gets stuck: the queue and the buffers of both ends are full.
                before = -1
                while before != len(sent):
                    before = len(sent)
                    threading.Event().wait(0.2)
                assert sum(sent) < total
        assert received == total


def test_streaming_and_recv_in_many_threads_lose_and_double_nothing() -> None:
    count = 1200

    def message(number: int) -> bytes:
        return b"%d " % number + bytes([65 + number % 26]) * (number * 7 % 900)

    def script(peer: Peer) -> None:
        peer.accept()
        wire = b"".join(
            fragmented(Opcode.BINARY, message(number), 200) if number % 3 else whole(2, message(number))
            for number in range(count)
        )
        for start in range(0, len(wire), 4001):
            peer.send_bytes(wire[start : start + 4001])
        peer.send_close()
        finish(peer)

    def receive(connection: Connection, streams: bool) -> list[bytes]:
        messages = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                if streams:
                    messages.append(b"".join(bytes(part) for part in connection.recv_streaming() if part))  # type: ignore[arg-type]
                else:
                    messages.append(bytes(connection.recv()))  # type: ignore[arg-type]
        return messages

    with switching_all_the_time(), opened(script) as connection:
        tasks = [Task(lambda n=n: receive(connection, n % 2 == 0)) for n in range(5)]  # type: ignore[misc]
        each = [task.result() for task in tasks]
        wait_until(lambda: connection.readyState == connection.CLOSED)
    assert sorted(data for messages in each for data in messages) == sorted(map(message, range(count)))
    for messages in each:
        numbers = [int(data.split()[0]) for data in messages]
        assert numbers == sorted(numbers)
