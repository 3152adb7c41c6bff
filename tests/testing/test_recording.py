"""What a test sees of a connection: the record, its waits and its assertions."""

from __future__ import annotations

import threading
import time

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer, RecordedConnection
from tests.support.waiting import AT_ONCE, SECONDS


def recorded(*messages: str | bytes, limit: int = 1 << 20) -> RecordedConnection:
    record = RecordedConnection(3, limit)
    for message in messages:
        record._add_message(message)
    return record


def failure(record: RecordedConnection, *expected: str | bytes) -> str:
    with pytest.raises(AssertionError) as caught:
        record.assert_received(*expected, timeout=0.01)
    return str(caught.value)


def test_a_connection_is_recorded_from_its_request_to_its_close() -> None:
    with LoopbackServer() as server:
        with syncws.connect(server.url_for("/a?b=1"), headers={"X-Id": "7"}) as connection:
            record = server.wait_connection()
            connection.send("text")
            connection.send(b"\x01")
            assert (connection.recv(SECONDS), connection.recv(SECONDS)) == ("text", b"\x01")
            record.assert_received("text", b"\x01")
            assert (record.close_code, record.close_reason) == (None, None)
            connection.close(3001, "done")
        record.wait()
    assert record.request is not None
    assert (record.request.target, record.request.headers["x-id"]) == ("/a?b=1", "7")
    assert record.received == ["text", b"\x01"]
    record.assert_closed(3001, "done")
    assert repr(record) == "<connection 1: /a?b=1, 2 messages, closed with 3001>"


@pytest.mark.parametrize(("code", "shown"), [(None, 1005), (1000, 1000)])
def test_a_close_frame_without_a_code_shows_1005(code: int | None, shown: int) -> None:
    with LoopbackServer() as server:
        ws = syncws.WebSocket(server.url, onopen=lambda event: event.target.close(code))
        ws.join(SECONDS)
        server.connections[0].assert_closed(shown, "")


def test_connections_stand_in_the_order_of_their_arrival() -> None:
    with LoopbackServer() as server:
        for path in ("/1", "/2", "/3"):
            syncws.connect(server.url_for(path)).close()
        assert server.wait_connection(3) is server.connections[2]
        targets = [record.request.target for record in server.connections if record.request]
        assert targets == ["/1", "/2", "/3"]


def test_wait_connection_and_wait_raise_timeout_error() -> None:
    with LoopbackServer() as server:
        with pytest.raises(TimeoutError, match=r"0 connections came in 0\.01 s, not 1"):
            server.wait_connection(timeout=0.01)
        with syncws.connect(server.url):
            with pytest.raises(TimeoutError, match="0 messages, open> has not ended"):
                server.wait_connection().wait(0.01)


def test_assert_received_waits_for_what_is_still_to_come() -> None:
    record = recorded("first")
    timer = threading.Timer(0.02, record._add_message, ("second",))
    timer.start()
    record.assert_received("first", "second", timeout=SECONDS)
    timer.join()


def test_assert_received_does_not_wait_for_what_cannot_come_any_more() -> None:
    record = recorded("first")
    record._end()
    started = time.monotonic()
    with pytest.raises(AssertionError):
        record.assert_received("first", "second", timeout=SECONDS)
    assert time.monotonic() - started < AT_ONCE


def test_a_failure_shows_every_message_and_how_it_differs() -> None:
    record = recorded("same", "received", "x" * 200)
    assert failure(record, "same", "expected") == (
        "the server received 3 messages, 2 were expected:\n"
        "  0: 'same'\n"
        "- 1: 'expected'\n"
        "+ 1: 'received'\n"
        f"+ 2: '{'x' * 74}… (200 characters) (was not expected)"
    )
    assert failure(record, *record.received, b"\x00").endswith("- 3: b'\\x00' (did not come within 0.01 s)")


def test_text_and_bytes_are_not_the_same_message() -> None:
    assert "- 0: b'a'" in failure(recorded("a"), b"a")


def test_assert_closed_says_what_was_there_instead() -> None:
    record = recorded()
    with pytest.raises(AssertionError, match=r"open> was not closed within 0\.01 s"):
        record.assert_closed(timeout=0.01)
    record._add_close(4000, "why")
    record._add_close(1000, "a second one does not count")
    record.assert_closed(4000)
    for code, reason in ((1000, None), (4000, "other")):
        with pytest.raises(AssertionError, match="closed with 4000 'why', not with"):
            record.assert_closed(code, reason)


def test_a_loss_is_1006_and_known_only_at_the_end() -> None:
    record = recorded()
    record._end()
    record.assert_closed(1006, "")
    record.wait(0)


def test_beyond_its_limit_nothing_is_kept_and_an_assertion_says_so() -> None:
    record = recorded("a" * 100, "b" * 1000, limit=1000)
    assert record.received == ["a" * 100]
    assert "1 messages were beyond the recording's limit" in failure(record, "a" * 100)


def test_a_limit_of_0_keeps_no_message_and_decodes_none() -> None:
    with LoopbackServer(recording_limit=0) as server:
        with syncws.connect(server.url) as connection:
            connection.send("x")
            assert connection.recv(SECONDS) == "x"
        assert server.connections[0].received == []


def test_a_messages_arrival_is_seen_before_the_script_goes_on() -> None:
    seen: list[int] = []

    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        seen.append(len(peer.recorded.received))

    with LoopbackServer(script) as server:
        with syncws.connect(server.url) as connection:
            connection.send("x")
        server.connections[0].wait()
    assert seen == [1]
