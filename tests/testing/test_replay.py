"""Recorded sessions, played to clients that keep to them and to clients that depart."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import syncws
from syncws.testing import LoopbackServer, ReplayError
from syncws.testing.difference import are_equal, describe_difference
from tests.support.waiting import SECONDS

Message = str | bytes
SUBSCRIBE = '{"op": "subscribe", "channel": "trades"}'


def entry(
    *messages: tuple[str, Message],
    url: str = "wss://api.example/v1/stream?token=x",
    status: int = 101,
    headers: dict[str, str] | None = None,
    body: str = "",
) -> dict[str, Any]:
    """An entry as Chromium's DevTools export it: ``_webSocketMessages`` beside request and response."""
    recorded = [
        {
            "type": kind,
            "time": 1700000000 + number * 0.05,
            "opcode": 1 if isinstance(data, str) else 2,
            "data": data if isinstance(data, str) else base64.b64encode(data).decode(),
        }
        for number, (kind, data) in enumerate(messages)
    ]
    fields = [{"name": name, "value": value} for name, value in (headers or {}).items()]
    return {
        "_resourceType": "websocket",
        "_webSocketMessages": recorded,
        "request": {"method": "GET", "url": url, "headers": []},
        "response": {"status": status, "headers": fields, "content": {"size": len(body), "text": body}},
    }


@pytest.fixture(autouse=True)
def closing_on_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs find it: the tests of the client itself turn this off."""
    monkeypatch.setattr(LoopbackServer, "close_on_return", True)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(*entries: dict[str, Any]) -> Path:
        path = tmp_path / "session.har"
        page = {"request": {"url": "https://api.example/"}, "response": {"status": 200}}
        path.write_text(json.dumps({"log": {"version": "1.2", "entries": [page, *entries]}}), "utf-8")
        return path

    return save


def play(path: Path, client: Callable[[syncws.Connection], object], **options: Any) -> list[BaseException]:
    """What the server has against a client, after it has played with it."""
    with LoopbackServer() as server:
        server.replay(path, **options)
        with syncws.connect(server.url, close_timeout=1) as connection:
            client(connection)
        server.connections[0].wait(SECONDS)
        return server.take_errors()


def departure(path: Path, client: Callable[[syncws.Connection], object], **options: Any) -> str:
    (error,) = play(path, client, **options)
    assert isinstance(error, ReplayError)
    return str(error)


def sending(*messages: Message) -> Callable[[syncws.Connection], None]:
    def client(connection: syncws.Connection) -> None:
        for message in messages:
            connection.send(message)
        try:
            while True:
                connection.recv(SECONDS)
        except syncws.ConnectionClosed:
            pass

    return client


class TestClientThatKeepsToTheRecording:
    def test_it_meets_the_server_in_order(self, save: Callable[..., Path]) -> None:
        path = save(
            entry(
                ("receive", "welcome"),
                ("send", SUBSCRIBE),
                ("receive", '{"ok": true}'),
                ("receive", b"\x00\xff"),
                ("send", b"\x01"),
                ("receive", "é"),
            )
        )
        received: list[Message] = []

        def client(connection: syncws.Connection) -> None:
            received.append(connection.recv(SECONDS))
            connection.send(SUBSCRIBE)
            received.extend((connection.recv(SECONDS), connection.recv(SECONDS)))
            connection.send(b"\x01")
            received.extend(connection)  # the server closes with 1000 when all is played

        assert play(path, client) == []
        assert received == ["welcome", '{"ok": true}', b"\x00\xff", "é"]

    def test_json_may_be_written_in_another_way(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", SUBSCRIBE)))
        assert play(path, sending('{"channel":"trades","op":"subscribe"}')) == []

    def test_match_decides_what_is_the_same(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", '{"id": 1, "op": "x"}')))

        def match(recorded: Message, received: Message) -> bool:
            return bool(json.loads(recorded)["op"] == json.loads(received)["op"])

        assert play(path, sending('{"id": 7, "op": "x"}'), match=match) == []
        assert "departs" in departure(path, sending('{"id": 1, "op": "y"}'), match=match)

    def test_ignore_leaves_messages_out_on_both_sides(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", "beat"), ("send", "a"), ("send", "beat"), ("send", "b")))
        assert play(path, sending("a", "beat", "beat", "b", "beat"), ignore=lambda data: data == "beat") == []

    def test_it_may_close_before_it_has_received_everything(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", "a"), *[("receive", "x" * 1000)] * 50))

        def client(connection: syncws.Connection) -> None:
            connection.send("a")
            connection.recv(SECONDS)

        assert play(path, client) == []

    def test_without_close_the_client_is_waited_for(self, save: Callable[..., Path]) -> None:
        path = save(entry(("receive", "a")))

        def client(connection: syncws.Connection) -> None:
            assert connection.recv(SECONDS) == "a"
            with pytest.raises(TimeoutError):
                connection.recv(0.05)
            connection.close(3000)

        assert play(path, client, close=False) == []

    def test_pauses_are_left_out_or_kept(self, save: Callable[..., Path]) -> None:
        recorded = entry(*[("receive", "x")] * 5)  # 0.05 s apart
        started = time.monotonic()
        assert play(save(recorded), list, pace=1) == []
        assert time.monotonic() - started > 0.2
        for number, message in enumerate(recorded["_webSocketMessages"]):
            message["time"] = number * 3600.0
        assert play(save(recorded), list) == []

    def test_headers_and_subprotocol_are_those_of_the_recording(self, save: Callable[..., Path]) -> None:
        headers = {"sec-websocket-protocol": "v2", "Set-Cookie": "a=b", "Upgrade": "x", "Content-Length": "9"}
        with LoopbackServer() as server:
            server.replay(save(entry(("receive", "x"), headers=headers)))
            with syncws.connect(server.url, ["v1", "v2"]) as connection:
                assert connection.protocol == "v2"
                fields = connection.response.headers.multi_items()
                assert list(connection) == ["x"]
        assert ("Set-Cookie", "a=b") in fields
        assert "content-length" not in {name.lower() for name, _ in fields}

    def test_a_refusal_is_played_as_one(self, save: Callable[..., Path]) -> None:
        with LoopbackServer() as server:
            server.replay(save(entry(status=403, headers={"X-Why": "expired"}, body='{"error": 1}')))
            with pytest.raises(syncws.HandshakeError) as caught:
                syncws.connect(server.url)
        assert (caught.value.status, caught.value.body) == (403, b'{"error": 1}')

    def test_control_frames_of_the_server_are_sent_and_those_of_the_client_not_waited_for(
        self, save: Callable[..., Path]
    ) -> None:
        recorded = entry(("receive", "x"))
        more = [("receive", 9, b"ping"), ("send", 10, b"ping"), ("receive", 8, b"\x0f\xa0bye")]
        recorded["_webSocketMessages"] += [
            {"type": kind, "opcode": opcode, "data": base64.b64encode(data).decode()}
            for kind, opcode, data in more
        ]
        ends: list[tuple[int, str]] = []

        def client(connection: syncws.Connection) -> None:
            assert connection.recv(SECONDS) == "x"
            with pytest.raises(syncws.ConnectionClosed) as caught:
                connection.recv(SECONDS)
            ends.append((caught.value.code, caught.value.reason))

        assert play(save(recorded), client) == []
        assert ends == [(4000, "bye")]

    @pytest.mark.parametrize("status", [0, 200])
    def test_an_entry_with_messages_was_open_whatever_its_status(
        self, status: int, save: Callable[..., Path]
    ) -> None:
        """Chromium exports 200 for a WebSocket over HTTP/2."""
        fields = {":status": "200"}
        assert play(save(entry(("receive", "x"), status=status, headers=fields)), list) == []

    def test_over_http_2_the_status_200_opens_it_also_without_messages(
        self, save: Callable[..., Path]
    ) -> None:
        recorded = entry(status=200)
        recorded["response"]["httpVersion"] = "http/2.0"
        assert play(save(recorded), list) == []

    def test_fields_that_were_exported_as_one_and_beyond_latin_1_travel(
        self, save: Callable[..., Path]
    ) -> None:
        fields = {"Set-Cookie": "a=b\nc=d", "X-City": "Zürich", "X-Name": "中"}
        seen: list[list[str]] = []

        def client(connection: syncws.Connection) -> None:
            got = connection.response.headers
            seen.append([*got.get_all("Set-Cookie"), got["X-City"], got["X-Name"].encode("latin-1").decode()])

        assert play(save(entry(headers=fields)), client) == []
        assert seen == [["a=b", "c=d", "Zürich", "中"]]

    def test_of_the_sessions_of_one_path_that_with_the_query_is_played(
        self, save: Callable[..., Path]
    ) -> None:
        rooms = [entry(("receive", room), url=f"wss://h/chat?room={room}") for room in ("a", "b", "c")]
        received: list[list[Message]] = []
        with LoopbackServer() as server:
            server.replay(save(*rooms))
            for target in ("/chat?room=c", "/chat?room=z", "/chat?room=b"):
                with syncws.connect(server.url_for(target)) as connection:
                    received.append(list(connection))
        assert received == [["c"], ["a"], ["b"]]

    def test_each_connection_gets_the_session_of_its_path_or_else_the_next(
        self, save: Callable[..., Path]
    ) -> None:
        path = save(
            entry(("receive", "a"), url="wss://h/a?x=1"),
            entry(("receive", "b"), url="wss://h/b"),
            entry(("receive", "c"), url="wss://h/c"),
        )
        received: list[list[Message]] = []
        with LoopbackServer() as server:
            assert len(server.replay(path).sessions) == 3
            for target in ("/b?other", "/", "/"):
                with syncws.connect(server.url_for(target)) as connection:
                    received.append(list(connection))
        assert received == [["b"], ["a"], ["c"]]


class TestClientThatDeparts:
    def test_the_difference_of_json_is_told_line_by_line(self, save: Callable[..., Path]) -> None:
        path = save(entry(("receive", "hello"), ("send", SUBSCRIBE)))
        assert departure(path, sending('{"op": "subscribe", "channel": "books"}')) == (
            "the client departs from the recording at message 2 of 2 of session.har:\n"
            "--- recorded\n+++ received\n@@ -1,4 +1,4 @@\n {\n"
            '-  "channel": "trades",\n+  "channel": "books",\n   "op": "subscribe"\n }'
        )

    def test_the_client_is_told_too(self, save: Callable[..., Path]) -> None:
        with LoopbackServer() as server:
            server.replay(save(entry(("send", "a"))))
            with syncws.connect(server.url) as connection:
                connection.send("b")
                with pytest.raises(syncws.ConnectionClosed) as caught:
                    connection.recv(SECONDS)
            assert len(server.take_errors()) == 1
        assert caught.value.code == 1011
        assert "the client departs from the recording at message 1 of 1" in caught.value.reason

    def test_a_message_too_many(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", "a")))
        text = departure(path, sending("a", "b"), close=False)
        assert text == "the client sent more than the 1 of session.har: 'b'"

    def test_a_close_too_early(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", "a"), ("send", "b")))
        assert departure(path, lambda connection: connection.send("a")) == (
            "the client closed with 1000 in the place of message 2 of 2 of session.har; it was 'b'"
        )

    def test_an_end_without_a_close(self, save: Callable[..., Path]) -> None:
        server = LoopbackServer()
        server.replay(save(entry(("send", "a"))))
        with syncws.connect(server.url):
            with pytest.raises(ReplayError, match="ended in the place of message 1 of 1"):
                server.stop()

    def test_a_message_that_does_not_come(self, save: Callable[..., Path]) -> None:
        path = save(entry(("send", "a")))
        text = departure(path, sending(), timeout=0.05)
        assert text == "the client did not send message 1 of 1 of session.har within 0.05 s; it was 'a'"

    def test_a_connection_too_many(self, save: Callable[..., Path]) -> None:
        with LoopbackServer() as server:
            server.replay(save(entry(("receive", "x"))))
            syncws.connect(server.url).close()
            with pytest.raises(syncws.HandshakeError) as caught:
                syncws.connect(server.url)
            assert b"session.har holds 1, all played" in caught.value.body
            assert len(server.take_errors()) == 1

    def test_a_subprotocol_that_is_not_offered(self, save: Callable[..., Path]) -> None:
        with LoopbackServer() as server:
            server.replay(save(entry(headers={"Sec-WebSocket-Protocol": "v2"})))
            with pytest.raises(syncws.HandshakeError):
                syncws.connect(server.url, ["v1"])
            (error,) = server.take_errors()
        assert str(error) == "the subprotocol 'v2' was recorded, the client offers 'v1'"


class TestFiles:
    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", '{"log": 1}', '{"log": {}}', '{"log": {"entries": {}}}', "[" * 200_000],
        ids=range(7),
    )
    def test_what_is_no_har_is_refused(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "x.har"
        path.write_text(text)
        with LoopbackServer() as server, pytest.raises(ValueError, match=r"^x\.har is no HAR file"):
            server.replay(path)

    def test_a_har_without_a_websocket_is_refused(self, save: Callable[..., Path]) -> None:
        with LoopbackServer() as server, pytest.raises(ValueError, match="holds no WebSocket: none of its 1"):
            server.replay(save())

    def test_a_file_in_another_encoding_is_not_quoted(self, save: Callable[..., Path]) -> None:
        path = save(entry(("receive", "secret" * 1000)))
        path.write_bytes(path.read_text().encode("utf-16"))
        with LoopbackServer() as server, pytest.raises(ValueError, match="is no HAR file") as caught:
            server.replay(path)
        assert len(str(caught.value)) < 200

    def test_a_browser_that_exports_no_messages_is_told(self, save: Callable[..., Path]) -> None:
        recorded = entry()
        del recorded["_webSocketMessages"]
        with LoopbackServer() as server, pytest.raises(ValueError, match="Chromium and its kin do"):
            server.replay(save(recorded))

    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            (None, "entry 2 of session.har is not as a HAR has it"),
            (entry() | {"request": None}, "entry 2 of session.har is not as a HAR has it"),
            (entry() | {"_webSocketMessages": None}, "entry 2 of session.har is not as a HAR has it"),
            ({"data": "x"}, "entry 2 of session.har is not as a HAR has it: KeyError('type')"),
            ({"type": "receive", "data": 5}, "message 1 of session.har wants a number as its opcode and a"),
            ({"type": "receive", "data": "", "opcode": "text"}, "message 1 of session.har wants a number"),
            (
                {"type": "send", "data": "", "time": "1"},
                "message 1 of session.har wants a number as its time",
            ),
            (
                {"type": "receive", "data": "AAE", "opcode": 2},
                "the data of message 1 of session.har is not bas",
            ),
            ({"type": "receive", "data": "\ud800"}, "the data of message 1 of session.har is not UTF-8"),
        ],
        ids=range(9),
    )
    def test_the_place_of_a_mistake_is_told(self, broken: Any, said: str, save: Callable[..., Path]) -> None:
        recorded = entry() | {"_webSocketMessages": [broken]} if broken and "data" in broken else broken
        with LoopbackServer() as server, pytest.raises(ValueError, match=re.escape(said)):
            server.replay(save(recorded))

    def test_a_message_recorded_without_its_data_is_refused(self, save: Callable[..., Path]) -> None:
        recorded = entry(("send", "a"), ("receive", "b"))
        del recorded["_webSocketMessages"][1]["data"]
        with (
            LoopbackServer() as server,
            pytest.raises(ValueError, match="message 2 of .* without its data"),
        ):
            server.replay(save(recorded))

    def test_a_byte_order_mark_does_no_harm(self, save: Callable[..., Path]) -> None:
        path = save(entry(("receive", "x")))
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert play(path, list) == []

    def test_errors_that_a_browser_recorded_are_no_messages(self, save: Callable[..., Path]) -> None:
        recorded = entry(("receive", "x"))
        recorded["_webSocketMessages"].append({"type": "error", "opcode": -1, "data": "net::ERR"})
        assert play(save(recorded), list) == []


class TestDifference:
    @pytest.mark.parametrize(
        ("first", "second", "equal"),
        [
            ("a", "a", True),
            ("a", b"a", False),
            ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
            ("[1]", "[1.0]", True),
            ("[100]", "[1e2]", True),
            ("[1.5]", "[1.50]", True),
            ("[1]", "[1.5]", False),
            ("[1]", "[true]", False),
            ("[1]", '["1"]', False),
            ("[1e999]", "[-1e999]", False),
            ("1", "1.0", False),
            ("1", " 1", False),
            ("{", "{ ", False),
            ("[" * 100_000, "[" * 100_000 + " ", False),
        ],
        ids=range(14),
    )
    def test_json_texts_of_one_value_are_equal(self, first: Message, second: Message, equal: bool) -> None:
        assert are_equal(first, second) is equal

    def test_texts_show_where_they_begin_to_differ(self) -> None:
        text = describe_difference("a" * 30 + "b", "a" * 30 + "c", ("recorded", "received"))
        same = "a" * 20
        assert text == (
            f"recorded: '{same}b'\nreceived: '{same}c'\n"
            "(from character 10 on; they differ from character 30 on)"
        )

    def test_bytes_show_it_too_also_when_one_goes_on(self) -> None:
        text = describe_difference(b"\x00\x01", b"\x00", ("recorded", "received"))
        assert text == (
            "recorded: b'\\x00\\x01'\nreceived: b'\\x00'\n(from byte 0 on; they differ from byte 1 on)"
        )

    def test_kinds_are_named(self) -> None:
        text = describe_difference("a", b"a", ("x", "longer"))
        assert text == "     x: text 'a'\nlonger: binary b'a'"

    def test_a_long_difference_is_cut(self) -> None:
        first, second = (json.dumps([base + n for n in range(200)]) for base in (0, 1000))
        lines = describe_difference(first, second, ("a", "b")).splitlines()
        assert len(lines) == 41
        assert lines[-1] == "…"

    def test_the_difference_of_huge_json_is_found_soon(self) -> None:
        """`difflib` alone took three minutes for these."""
        values = [[{"id": n, "value": n % divisor} for n in range(20_000)] for divisor in (7, 8)]
        began = time.monotonic()
        text = describe_difference(json.dumps(values[0]), json.dumps(values[1]), ("a", "b"))
        assert time.monotonic() - began < 20
        lines = text.splitlines()
        assert '-    "value": 0' in lines
        assert '+    "value": 7' in lines
        assert lines[-1] == "(from line 30 on)"

    def test_what_one_side_has_more_is_told_alone_in_huge_json(self) -> None:
        first, second = (json.dumps([*more, *range(1000)]) for more in ([], [-1]))
        assert describe_difference(first, second, ("a", "b")).splitlines() == [
            "--- a",
            "+++ b",
            " [",
            "+  -1,",
            "   0,",
            "   1,",
            "(from line 1 on)",
        ]
