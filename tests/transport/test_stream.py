"""`syncws._transport.stream` and `tls`: what is counted, how TCP is reset, and when the end is told."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from syncws._transport.poller import ForkedError
from syncws._transport.stream import Stream
from syncws._transport.tls import TLSStream

DEADLINE = 30.0
CAN_BE_ASKED = sys.platform in ("linux", "darwin")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected TCP sockets: ours, which does not block, and the other side's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.settimeout(DEADLINE)
    yield ours, theirs
    ours.close()
    theirs.close()


def receive(stream: Stream, size: int = 65536) -> bytes:
    """The next bytes; waits until there are some."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        data = stream.recv(size)
        if data is not None:
            return data
        select_readable(stream.socket)
    raise TimeoutError


def select_readable(sock: socket.socket) -> None:
    select.select([sock], [], [], DEADLINE)


def fill(stream: Stream) -> tuple[threading.Thread, list[BaseException]]:
    """A thread that sends more than the network takes, once it is blocked."""
    errors: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                stream.send(bytes(2**20))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    until = time.monotonic() + DEADLINE
    handed = -1
    while handed != stream.handed or not handed:
        assert time.monotonic() < until
        handed = stream.handed
        thread.join(0.1)
    return thread, errors


def test_raw_bytes_are_counted_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(ends[0])
    assert (stream.received, stream.handed) == (0, 0)
    stream.send(b"12345")
    assert ends[1].recv(100) == b"12345"
    ends[1].sendall(b"123")
    assert receive(stream) == b"123"
    assert (stream.received, stream.handed) == (3, 5)


def test_bytes_may_be_read_into_a_place_of_theirs(ends: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(ends[0])
    room = memoryview(bytearray(8))
    assert stream.recv_into(room) is None
    ends[1].sendall(b"0123456789")
    select_readable(ends[0])
    assert (stream.recv_into(room), stream.drained, stream.received) == (8, False, 8)
    assert (stream.recv_into(room), stream.drained, stream.received) == (2, True, 10)
    assert bytes(room) == b"89234567"
    ends[1].shutdown(socket.SHUT_WR)
    select_readable(ends[0])
    assert stream.recv_into(room) == 0


def test_bytes_that_a_blocked_send_hands_over_later_are_counted_too(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    stream = Stream(ends[0])
    total = 16 * 2**20
    thread = threading.Thread(target=stream.send, args=(bytes(total),))
    thread.start()
    taken = 0
    while taken < total:
        taken += len(ends[1].recv(2**20))
    thread.join(DEADLINE)
    assert stream.handed == total


@pytest.mark.skipif(not CAN_BE_ASKED, reason="this system cannot be asked")
def test_handed_less_unacknowledged_grows_as_the_other_side_takes_what_was_sent(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    stream = Stream(ends[0])
    assert stream.unacknowledged() == 0
    thread, errors = fill(stream)
    held = stream.unacknowledged()
    assert held is not None
    assert 0 < held <= stream.handed
    acknowledged = stream.handed - held
    taken = 0
    while taken < held + acknowledged + 1:
        taken += len(ends[1].recv(2**20))
    # What was read is acknowledged, sooner or later, and the thread hands over more.
    until = time.monotonic() + DEADLINE
    while stream.handed - (stream.unacknowledged() or 0) <= acknowledged:
        assert time.monotonic() < until
        thread.join(0.01)
    stream.shutdown()
    thread.join(DEADLINE)
    assert isinstance(errors[0], OSError)


def test_where_the_system_cannot_be_asked_the_answer_is_none(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(ends[0])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert stream.unacknowledged() is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")  # whose option this system does not have
        assert sys.platform != "linux" or stream.unacknowledged() is None
    ends[0].close()
    assert stream.unacknowledged() is None


def test_reset_gives_the_other_side_no_end_of_file(ends: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(ends[0])
    stream.reset()
    stream.shutdown()
    stream.close()
    with pytest.raises(ConnectionResetError):
        ends[1].recv(1)


def test_reset_frees_a_blocked_send_and_drops_what_the_kernel_holds(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncws._transport.stream.POLL_SECONDS", 2 * DEADLINE)
    stream = Stream(ends[0])
    thread, errors = fill(stream)
    stream.reset()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert isinstance(errors[0], BrokenPipeError)
    stream.close()
    with pytest.raises(ConnectionResetError):
        while ends[1].recv(2**20):
            continue


def test_reset_of_a_connection_that_is_gone_does_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(ends[0])
    stream.close()
    stream.reset()
    stream.close()


def test_without_reset_the_other_side_reads_an_end_of_file(ends: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(ends[0])
    stream.send(b"last words")
    stream.close()
    assert ends[1].recv(100) == b"last words"
    assert ends[1].recv(100) == b""


def test_a_blocked_send_whose_socket_a_fork_closed_raises_the_error_for_greenlets(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncws._transport.stream.POLL_SECONDS", 0.05)
    stream = Stream(ends[0])
    thread, errors = fill(stream)
    ends[0].close()  # after_fork does this in the child
    thread.join(DEADLINE)
    assert isinstance(errors[0], ForkedError)
    assert not isinstance(errors[0], Exception)


class TestTLS:
    @pytest.fixture
    def stream(
        self,
        ends: tuple[socket.socket, socket.socket],
        client_ssl_context: ssl.SSLContext,
        server_ssl_context: ssl.SSLContext,
    ) -> Iterator[tuple[TLSStream, ssl.SSLSocket]]:
        """A `TLSStream` after its handshake, and the other side."""
        served: list[ssl.SSLSocket] = []

        def serve() -> None:
            served.append(server_ssl_context.wrap_socket(ends[1], server_side=True))

        thread = threading.Thread(target=serve)
        thread.start()
        made = TLSStream(ends[0], client_ssl_context, "localhost")
        while not made.handshake_step():
            while made.receive_handshake() is None:
                select_readable(ends[0])
        thread.join(DEADLINE)
        served[0].send(b"!")
        assert receive(made) == b"!"  # the tickets of TLS 1.3 are read, too
        yield made, served[0]
        served[0].close()

    def test_end_after_data_is_told_at_once(self, stream: tuple[TLSStream, ssl.SSLSocket]) -> None:
        ours, theirs = stream
        theirs.send(b"last words")
        theirs.settimeout(0)
        with contextlib.suppress(ssl.SSLError):
            theirs.unwrap()  # close_notify; TCP stays
        select_readable(ours.socket)
        data = receive(ours)
        if not ours.drained:  # close_notify came with the data
            assert data == b"last words"
            assert ours.recv(100) == b""
        else:
            assert receive(ours) == b""

    def test_data_and_the_end_in_one_read_leave_something_to_be_told(
        self, stream: tuple[TLSStream, ssl.SSLSocket]
    ) -> None:
        ours, theirs = stream
        theirs.send(b"last words")
        theirs.settimeout(0)
        with contextlib.suppress(ssl.SSLError):
            theirs.unwrap()
        raw = gather(ours.socket, 2)
        deliver(ours, raw)
        assert ours.recv(65536) == b"last words"
        assert not ours.drained
        assert ours.recv(65536) == b""

    def test_a_broken_record_behind_data_is_told_after_it_at_once(
        self, stream: tuple[TLSStream, ssl.SSLSocket]
    ) -> None:
        ours, theirs = stream
        theirs.send(b"last words")
        socket.socket.sendall(theirs, b"\x17\x03\x03\x00\x20" + b"x" * 32)
        deliver(ours, gather(ours.socket, 2))
        assert ours.recv(65536) == b"last words"
        assert not ours.drained
        with pytest.raises(ssl.SSLError, match="a TLS record arrived broken"):
            ours.recv(65536)

    def test_what_finds_no_room_comes_with_the_next_read_without_a_wait(
        self, stream: tuple[TLSStream, ssl.SSLSocket]
    ) -> None:
        ours, theirs = stream
        theirs.send(b"0123456789")
        theirs.send(b"abcdefghij")
        room = bytearray(25)
        deliver(ours, gather(ours.socket, 2))
        with memoryview(room) as view:
            assert ours.recv_into(view[:4]) == 4
            assert not ours.drained
            assert ours.recv_into(view[4:10]) == 6
            assert not ours.drained
            theirs.send(b"klm")
            select_readable(ours.socket)
            assert ours.recv_into(view[10:]) == 13
            assert ours.drained
            assert ours.recv_into(view) is None
        assert room == b"0123456789abcdefghijklm\0\0"

    @pytest.mark.parametrize("into", [True, False])
    def test_what_found_no_room_comes_before_the_end_of_tcp(
        self, stream: tuple[TLSStream, ssl.SSLSocket], into: bool
    ) -> None:
        ours, theirs = stream
        theirs.send(b"0123456789")
        deliver(ours, gather(ours.socket, 1))
        room = memoryview(bytearray(20))
        assert ours.recv_into(room[:4]) == 4
        theirs.shutdown(socket.SHUT_WR)
        select_readable(ours.socket)
        if into:
            assert ours.recv_into(room) == 6
            assert bytes(room[:6]) == b"456789"
            assert ours.recv_into(room) == 0
        else:
            assert ours.recv(20) == b"456789"
            assert ours.recv(20) == b""

    def test_half_a_record_counts_as_received(self, stream: tuple[TLSStream, ssl.SSLSocket]) -> None:
        ours, theirs = stream
        theirs.send(b"x" * 1000)
        raw = gather(ours.socket, 1)
        before = ours.received
        deliver(ours, raw[:500])
        assert ours.recv(65536) is None
        assert ours.received == before + 500
        deliver(ours, raw[500:])
        assert ours.recv(65536) == b"x" * 1000
        assert ours.received == before + len(raw)

    def test_bytes_of_tls_count_as_handed(self, stream: tuple[TLSStream, ssl.SSLSocket]) -> None:
        ours, theirs = stream
        before = ours.handed
        ours.send(b"x" * 1000)
        assert theirs.recv(2000) == b"x" * 1000
        assert ours.handed > before + 1000

    def test_reset_says_no_close_notify(self, stream: tuple[TLSStream, ssl.SSLSocket]) -> None:
        ours, theirs = stream
        before = ours.handed
        ours.reset()
        ours.close()
        assert ours.handed == before
        with pytest.raises(ConnectionResetError):
            socket.socket.recv(theirs, 1)  # of SSLSocket, a reset may come as an end, too


def gather(sock: socket.socket, records: int) -> bytes:
    """The raw bytes of that many TLS records, as they arrive."""
    raw = b""
    until = time.monotonic() + DEADLINE
    while True:
        position = count = 0
        while len(raw) - position >= 5:
            position += 5 + int.from_bytes(raw[position + 3 : position + 5], "big")
            count += position <= len(raw)
        if count >= records:
            return raw
        assert time.monotonic() < until
        select_readable(sock)
        raw += sock.recv(65536)


def deliver(stream: TLSStream, raw: bytes) -> None:
    """Make the next `recv` of the stream read just these bytes."""
    stream.socket = _ReadOnce(stream, raw)  # type: ignore[assignment]


class _ReadOnce:
    """Replaces a stream's socket for one read, at a documented seam: `recv` of the socket."""

    def __init__(self, stream: TLSStream, raw: bytes) -> None:
        self._stream, self._real, self._raw = stream, stream.socket, raw

    def recv(self, size: int) -> bytes:
        self._stream.socket = self._real
        return self._raw[:size]
