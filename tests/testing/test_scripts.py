"""What a script can do to a client, met by the package's own clients."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer, PeerClosed, frame_bytes, in_turn
from tests.support.waiting import AT_ONCE, SECONDS, wait_until


@pytest.fixture(autouse=True)
def closing_on_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs find it: the tests of the client itself turn this off."""
    monkeypatch.setattr(LoopbackServer, "close_on_return", True)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def accepting(rest: Callable[[Peer], object]) -> Callable[[Peer], object]:
    def script(peer: Peer) -> None:
        peer.accept()
        rest(peer)

    return script


def test_without_a_script_the_server_echoes(server: LoopbackServer) -> None:
    with syncws.connect(server.url) as connection:
        connection.send("Grüße")
        connection.send(b"\x00\xff")
        assert [connection.recv(SECONDS), connection.recv(SECONDS)] == ["Grüße", b"\x00\xff"]


def test_a_script_set_later_counts_from_the_next_connection(server: LoopbackServer) -> None:
    with syncws.connect(server.url) as first:
        server.script = accepting(lambda peer: peer.send("scripted"))
        with syncws.connect(server.url) as second:
            assert second.recv(SECONDS) == "scripted"
        first.send("echoed")
        assert first.recv(SECONDS) == "echoed"


def test_subprotocols_and_compression_set_later_count_from_the_next_connection(
    server: LoopbackServer,
) -> None:
    with syncws.connect(server.url, "chat", require_protocol=False) as first:
        server.protocols = ["chat"]
        server.compression = True
        with syncws.connect(server.url, "chat") as second:
            assert (first.protocol, first.extensions) == ("", "")
            assert (second.protocol, second.extensions) == ("chat", "permessage-deflate")


def test_a_script_that_returns_closes_with_1000_behind_what_it_sent(server: LoopbackServer) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("a")
        peer.send("b")

    server.script = script
    with syncws.connect(server.url) as connection:
        assert list(connection) == ["a", "b"]
    server.connections[0].wait()
    assert server.connections[0].close_code == 1000


def test_a_script_that_returns_loses_nothing_to_messages_that_it_has_not_read(server: LoopbackServer) -> None:
    unread = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        assert unread.wait(SECONDS)
        peer.send(bytes(1 << 20))

    server.script = script
    with syncws.connect(server.url, compression=None) as connection:
        for _ in range(100):
            connection.send("x" * 1000)
        connection.flush(SECONDS)
        unread.set()
        assert [len(message) for message in connection] == [1 << 20]


def test_a_script_that_returns_after_the_clients_close_answers_it_in_kind(server: LoopbackServer) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed):
            peer.recv()

    server.script = script
    connection = syncws.connect(server.url)
    connection.close(4001, "bye")
    with pytest.raises(syncws.ConnectionClosed) as caught:
        connection.recv(SECONDS)
    assert (caught.value.code, caught.value.reason, caught.value.wasClean) == (4001, "bye", True)


def test_iteration_ends_with_the_clients_close_and_answers_it(server: LoopbackServer) -> None:
    received: list[str | bytes] = []

    def script(peer: Peer) -> None:
        peer.accept()
        received.extend(peer)

    server.script = script
    connection = syncws.connect(server.url)
    connection.send("one")
    connection.send(b"two")
    connection.close(3000, "enough")
    assert received == ["one", b"two"]
    with pytest.raises(syncws.ConnectionClosed) as caught:
        connection.recv(SECONDS)
    assert (caught.value.code, caught.value.reason, caught.value.wasClean) == (3000, "enough", True)


def test_iteration_answers_the_clients_close_by_itself(server: LoopbackServer) -> None:
    server.close_on_return = False
    server.script = accepting(list)
    connection = syncws.connect(server.url)
    connection.close(3000)
    with pytest.raises(syncws.ConnectionClosed) as caught:
        connection.recv(SECONDS)
    assert (caught.value.code, caught.value.wasClean) == (3000, True)


def test_close_waits_for_the_answer_and_records_what_comes_before_it(server: LoopbackServer) -> None:
    closing = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        assert closing.wait(SECONDS)
        peer.close(1012, "restart")

    server.script = script
    with syncws.connect(server.url) as connection:
        connection.send("before")
        connection.flush(SECONDS)
        closing.set()
        with pytest.raises(syncws.ConnectionClosed) as caught:
            connection.recv(SECONDS)
    assert (caught.value.code, caught.value.reason) == (1012, "restart")
    server.connections[0].wait()
    server.connections[0].assert_closed(1012)
    assert server.connections[0].received == ["before"]


def test_close_raises_timeout_error_when_the_client_does_not_answer() -> None:
    with LoopbackServer(accepting(lambda peer: peer.close(timeout=0.05))) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n")
            server.wait_connection().wait(SECONDS)
        assert [type(error) for error in server.take_errors()] == [TimeoutError]


def test_recv_with_a_timeout_raises_and_loses_no_message(server: LoopbackServer) -> None:
    timed_out = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(TimeoutError):
            peer.recv(0.01)
        timed_out.set()
        peer.send(peer.recv(SECONDS))

    server.script = script
    with syncws.connect(server.url) as connection:
        assert timed_out.wait(SECONDS)
        connection.send("later")
        assert connection.recv(SECONDS) == "later"


@pytest.mark.parametrize("end", [Peer.cut, Peer.reset])
def test_cut_and_reset_are_a_loss_for_the_client(server: LoopbackServer, end: Callable[[Peer], None]) -> None:
    server.script = accepting(end)
    with syncws.connect(server.url) as connection, pytest.raises(syncws.ConnectionClosed) as caught:
        connection.recv(SECONDS)
    assert caught.value.code == 1006
    server.connections[0].assert_closed(1006, "")


def test_refuse_answers_with_status_headers_and_body(server: LoopbackServer) -> None:
    server.script = lambda peer: peer.refuse(429, {"Retry-After": "3"}, '{"why": "slow down"}')
    with pytest.raises(syncws.HandshakeError) as caught:
        syncws.connect(server.url)
    assert caught.value.status == 429
    assert "429 Too Many Requests" in str(caught.value)
    assert b"slow down" in caught.value.body
    assert ("Retry-After", "3") in caught.value.headers.multi_items()


def test_redirect_names_the_place(server: LoopbackServer) -> None:
    server.script = lambda peer: peer.redirect("ws://127.0.0.1:1/there")
    with pytest.raises(syncws.HandshakeError) as caught:
        syncws.connect(server.url)
    assert caught.value.status == 302


def test_accept_takes_further_headers_by_name_and_as_a_mapping(server: LoopbackServer) -> None:
    server.script = lambda peer: peer.accept(headers={"X-One": "1"}, Set_Cookie="a=b")
    with syncws.connect(server.url) as connection:
        headers = connection.response.headers.multi_items()
    assert ("X-One", "1") in headers
    assert ("Set-Cookie", "a=b") in headers


def test_the_request_is_there_before_the_answer(server: LoopbackServer) -> None:
    def script(peer: Peer) -> None:
        if peer.request.headers.get("x-token") == "good":
            peer.accept()
        else:
            peer.refuse(401)

    server.script = script
    with pytest.raises(syncws.HandshakeError):
        syncws.connect(server.url)
    with syncws.connect(server.url_for("/chat?room=1"), headers={"X-Token": "good"}):
        pass
    second = server.connections[1].request
    assert second is not None
    assert (second.method, second.target, second.headers["X-TOKEN"]) == ("GET", "/chat?room=1", "good")


def test_the_server_selects_the_first_subprotocol_of_the_client_that_it_knows() -> None:
    with LoopbackServer(protocols=("b", "c")) as server:
        with syncws.connect(server.url, ["a", "c", "b"]) as connection:
            assert connection.protocol == "c"
        with syncws.connect(server.url) as connection:
            assert connection.protocol == ""


def test_drip_sends_a_message_a_byte_at_a_time(server: LoopbackServer) -> None:
    server.script = accepting(lambda peer: peer.drip(frame_bytes(1, b"slowly"), size=2, interval=0.02))
    with syncws.connect(server.url) as connection:
        started = time.monotonic()
        assert connection.recv(AT_ONCE) == "slowly"
        assert time.monotonic() - started > 0.05  # three pauses between four pieces


def test_stall_ends_when_the_server_stops() -> None:
    with LoopbackServer(accepting(Peer.stall)) as server:
        with syncws.connect(server.url) as connection:
            with pytest.raises(TimeoutError):
                connection.recv(0.01)
            server.stop()
            with pytest.raises(syncws.ConnectionClosed):
                connection.recv(SECONDS)


def test_stop_reading_lets_the_clients_buffered_amount_grow() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.stop_reading()
        with pytest.raises(RuntimeError, match="stop_reading"):
            peer.recv()
        refused.set()
        peer.stall()

    refused = threading.Event()

    with LoopbackServer(script) as server:
        connection = syncws.connect(server.url, compression=None)
        connection.send(bytes(16 << 20))
        with pytest.raises(TimeoutError):
            connection.flush(0.2)
        assert connection.bufferedAmount > 0
        assert refused.is_set()
        server.stop()
        with contextlib.suppress(syncws.ConnectionClosed):
            connection.close()


def test_pings_of_the_script_are_answered_and_those_of_the_client_too(server: LoopbackServer) -> None:
    pongs: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.accept()
        peer.ping(b"one")
        frame = peer.recv_frame()
        pongs.append(frame.payload)
        peer.echo()

    server.script = script
    with syncws.connect(server.url) as connection:
        wait_until(lambda: pongs == [b"one"], "the pong")
        assert connection.ping(SECONDS) >= 0


def test_compression_is_agreed_to_and_used_both_ways() -> None:
    text = "the same words again " * 500
    with LoopbackServer(compression=True) as server:
        with syncws.connect(server.url) as connection:
            assert connection.extensions.startswith("permessage-deflate")
            for _ in range(3):
                connection.send(text)
                assert connection.recv(SECONDS) == text
        assert server.connections[0].received == [text] * 3


def test_without_compression_the_offer_is_left_unanswered(server: LoopbackServer) -> None:
    with syncws.connect(server.url) as connection:
        assert connection.extensions == ""


def test_other_threads_may_send_while_the_script_receives(server: LoopbackServer) -> None:
    peers: list[Peer] = []
    ready = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peers.append(peer)
        ready.set()
        peer.echo()

    server.script = script
    with syncws.connect(server.url) as connection:
        assert ready.wait(SECONDS)
        peers[0].send("pushed")
        assert connection.recv(SECONDS) == "pushed"


def test_messages_that_several_threads_send_at_once_arrive_whole(server: LoopbackServer) -> None:
    messages = [bytes((letter,)) * (1 << 18) for letter in b"abcd"]

    def script(peer: Peer) -> None:
        peer.accept()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that no send goes out in one
        threads = [threading.Thread(target=peer.send, args=(message,)) for message in messages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)

    server.script = script
    with syncws.connect(server.url, compression=None) as connection:
        assert {message[:1]: message for message in connection if isinstance(message, bytes)} == {
            message[:1]: message for message in messages
        }


class TestScriptThatFails:
    def test_its_error_is_raised_at_the_end_of_the_block_and_told_to_the_client(self) -> None:
        def script(peer: Peer) -> None:
            peer.accept()
            raise LookupError("no such room\nand more")

        codes: list[tuple[int, str]] = []
        with pytest.raises(LookupError, match="no such room"), LoopbackServer(script) as server:
            with syncws.connect(server.url) as connection:
                with pytest.raises(syncws.ConnectionClosed) as closed:
                    connection.recv(SECONDS)
            codes.append((closed.value.code, closed.value.reason))
        assert codes == [(1011, "LookupError in the server's script: no such room")]

    def test_before_it_accepts_the_client_sees_500(self) -> None:
        def script(peer: Peer) -> None:
            raise LookupError(peer.request.target)

        with pytest.raises(LookupError), LoopbackServer(script) as server:
            with pytest.raises(syncws.HandshakeError) as caught:
                syncws.connect(server.url)
            assert caught.value.status == 500
            assert caught.value.body == b"LookupError in the server's script: /"

    def test_stop_raises_it_once(self) -> None:
        server = LoopbackServer(accepting(lambda peer: 1 / 0))
        syncws.connect(server.url).close()
        with pytest.raises(ZeroDivisionError):
            server.stop()
        server.stop()
        assert [type(error) for error in server.errors] == [ZeroDivisionError]

    def test_take_errors_gives_each_once(self) -> None:
        server = LoopbackServer(accepting(lambda peer: 1 / 0))
        syncws.connect(server.url).close()
        assert [type(error) for error in server.take_errors()] == [ZeroDivisionError]
        assert server.take_errors() == []
        server.stop()

    @pytest.mark.skipif(not hasattr(BaseException, "add_note"), reason="notes came with CPython 3.11")
    def test_the_blocks_own_error_carries_it_as_a_note(self) -> None:
        with pytest.raises(KeyError) as caught, LoopbackServer(accepting(lambda peer: 1 / 0)) as server:
            syncws.connect(server.url).close()
            raise KeyError("mine")
        assert "ZeroDivisionError" in getattr(caught.value, "__notes__")[0]  # noqa: B009

    def test_a_long_text_is_cut_to_what_a_close_frame_holds(self) -> None:
        def script(peer: Peer) -> None:
            peer.accept()
            raise LookupError("é" * 100)

        reasons: list[str] = []
        with pytest.raises(LookupError), LoopbackServer(script) as server:
            with syncws.connect(server.url) as connection:
                with pytest.raises(syncws.ConnectionClosed) as closed:
                    connection.recv(SECONDS)
            reasons.append(closed.value.reason)
        assert len(reasons[0].encode()) in (122, 123)


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="tells the end of reading on Linux")
def test_what_arrived_before_the_stop_is_still_read_and_may_be_answered() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        poller = select.poll()
        poller.register(peer.socket, select.POLLRDHUP)
        assert poller.poll(SECONDS * 1000)  # the server stops
        while True:
            peer.send(peer.recv())

    server = LoopbackServer(script)
    with syncws.connect(server.url) as connection:
        for number in range(10):
            connection.send(str(number))
        connection.flush(SECONDS)
        server.stop()
        assert [connection.recv(SECONDS) for _ in range(10)] == [str(number) for number in range(10)]
    assert server.connections[0].received == [str(number) for number in range(10)]


class TestInTurn:
    def test_each_connection_gets_the_next_script_and_the_last_all_that_follow(self) -> None:
        scripts = [lambda peer, status=status: peer.refuse(status) for status in (401, 402, 403)]
        statuses: list[int | None] = []
        with LoopbackServer(in_turn(*scripts)) as server:
            for _ in range(5):
                with pytest.raises(syncws.HandshakeError) as caught:
                    syncws.connect(server.url)
                statuses.append(caught.value.status)
        assert statuses == [401, 402, 403, 403, 403]

    def test_no_script_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="a script at least"):
            in_turn()
