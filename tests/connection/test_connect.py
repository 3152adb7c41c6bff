"""`connect()`: it waits until open, or raises what failed; and what an open connection shows of itself."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

import syncws
from syncws import ConnectionLost, HandshakeError, SecurityErr, SyntaxErr
from syncws.testing import LoopbackServer, Peer, echo
from tests.support.clients import opened
from tests.support.leftovers import connection_threads
from tests.support.servers import finish, refusing, unanswering
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS

MISTAKES: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("/relative", {}, SyntaxErr),
    ("ws://127.0.0.1/#", {}, SyntaxErr),
    ("ftp://127.0.0.1/", {}, SyntaxErr),
    ("ws://127.0.0.1/", {"protocols": "no token"}, SyntaxErr),
    ("ws://127.0.0.1/", {"protocols": ["a", "A"]}, SyntaxErr),
    ("ws://127.0.0.1:25/", {}, SecurityErr),
    ("ws://127.0.0.1/", {"headers": {"X": "a\r\nb"}}, ValueError),
    ("ws://127.0.0.1/", {"open_timeout": 0}, ValueError),
    ("ws://127.0.0.1/", {"onopen": print}, TypeError),
    ("ws://127.0.0.1/", {"dispatch": print}, TypeError),
    ("ws://127.0.0.1/", {"no_such_option": 1}, TypeError),
]


@pytest.mark.parametrize(("url", "arguments", "kind"), MISTAKES)
def test_connect_raises_the_callers_mistakes(
    url: str, arguments: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        syncws.connect(url, **arguments)


def refuse(peer: Peer) -> None:
    peer.refuse(418, reason="I'm a teapot", headers=[("X-Why", "short and stout")], body=b"tip me over")


def not_http(peer: Peer) -> None:
    peer.read_request()
    peer.send_bytes(b"220 mail.example.com ESMTP\r\n\r\n")


def wrong_key(peer: Peer) -> None:
    peer.read_request()
    peer.send_bytes(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )


FAULTS: dict[str, tuple[Callable[[Peer], object], type[Exception], dict[str, Any]]] = {
    "refused": (refuse, HandshakeError, {}),
    "no HTTP": (not_http, HandshakeError, {}),
    "the wrong answer to the key": (wrong_key, HandshakeError, {}),
    "a subprotocol not asked for": (lambda peer: peer.accept(protocol="other"), HandshakeError, {}),
    "TCP ended instead of an answer": (lambda peer: peer.read_request(), ConnectionLost, {}),
    "no answer in time": (lambda peer: peer.wait_eof(SECONDS), TimeoutError, {"open_timeout": 0.2}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_connect_raises_what_failed(fault: str) -> None:
    script, kind, options = FAULTS[fault]
    with LoopbackServer(script) as server, pytest.raises(kind) as raised:
        syncws.connect(server.url, **options)
    assert str(raised.value)


def test_connect_raises_a_refusal_with_its_status_headers_and_body() -> None:
    with LoopbackServer(refuse) as server, pytest.raises(HandshakeError) as raised:
        syncws.connect(server.url)
    assert raised.value.status == 418
    assert raised.value.headers["x-why"] == "short and stout"
    assert raised.value.body == b"tip me over"


def test_connect_raises_the_errors_of_dns_and_tcp_as_they_are() -> None:
    with pytest.raises(socket.gaierror):
        syncws.connect("ws://nowhere.invalid/")
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        syncws.connect(url)
    with unanswering() as url, pytest.raises(TimeoutError):
        syncws.connect(url, open_timeout=0.2)


def test_connect_raises_a_certificate_that_does_not_verify(server_ssl_context: ssl.SSLContext) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            syncws.connect(server.url)
        assert len(server.connections) == 1


def test_connect_returns_once_the_server_has_answered() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        asked.result()
        peer.accept()
        peer.echo()

    with LoopbackServer(script) as server:
        asked = Task(lambda: len(server.connections))
        with syncws.connect(server.url) as connection:
            assert connection.readyState == connection.OPEN == 1
            connection.send("open")
            assert connection.recv(SECONDS) == "open"


def test_a_connection_shows_what_it_is() -> None:
    def script(peer: Peer) -> None:
        peer.accept(protocol="chat.2", headers=[("X-Served-By", "loopback"), ("Set-Cookie", "a=b")])
        finish(peer)

    with LoopbackServer(script) as server:
        url = server.url_for("/path?query")
        connection = syncws.connect(url.upper().replace("/PATH?QUERY", "/path?query"), ["chat.1", "chat.2"])
        with connection:
            assert connection.url == url
            assert connection.protocol == "chat.2"
            assert connection.extensions == ""
            assert connection.readyState == 1
            assert connection.bufferedAmount == 0
            assert connection.response.status == 101
            assert connection.response.headers["x-served-by"] == "loopback"
            # A query may hold a secret, and a repr may end in a log.
            assert repr(connection) == f"<Connection {url.partition('?')[0]} OPEN>"
        # All these attributes can still be read after the end.
        assert (connection.url, connection.protocol, connection.readyState) == (url, "chat.2", 3)
        assert connection.response.status == 101


def test_the_numbers_of_the_ready_states_are_on_the_class_and_on_the_instance() -> None:
    names = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
    assert [getattr(syncws.Connection, name) for name in names] == [0, 1, 2, 3]
    with opened() as connection:
        assert [getattr(connection, name) for name in names] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "name", ["url", "protocol", "extensions", "response", "readyState", "bufferedAmount"]
)
def test_attributes_cannot_be_assigned(name: str) -> None:
    with opened() as connection, pytest.raises(AttributeError):
        setattr(connection, name, 1)


def test_extensions_are_what_the_server_selected() -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate; client_no_context_takeover")
        finish(peer)

    with opened(script) as connection:
        assert connection.extensions == "permessage-deflate; client_no_context_takeover"


def test_messages_and_the_close_that_come_with_the_answer_are_received() -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=b"\x81\x05hello\x88\x05\x0f\xa1bye")
        finish(peer)

    with LoopbackServer(script) as server:
        connection = syncws.connect(server.url)
        assert list_until_closed(connection) == (["hello"], 4001, "bye")
        connection.close()


def list_until_closed(connection: syncws.Connection) -> tuple[list[str | bytes], int, str]:
    messages = []
    with pytest.raises(syncws.ConnectionClosed) as closed:
        while True:
            messages.append(connection.recv(SECONDS))
    return messages, closed.value.code, closed.value.reason


def test_connections_have_no_worker_thread() -> None:
    with opened() as connection:
        connection.ping(SECONDS)
        kinds = [name.rpartition("-")[2] for name in connection_threads()]
        assert sorted(kinds) == ["reader", "writer"]


def test_connect_gives_up_at_once_when_the_answer_is_a_refusal_without_an_end() -> None:
    def script(peer: Peer) -> None:
        peer.refuse(503, reason="Busy", body=b"later")
        peer.wait_eof(SECONDS)

    with LoopbackServer(script) as server:
        began = time.monotonic()
        with pytest.raises(HandshakeError) as raised:
            syncws.connect(server.url, open_timeout=SECONDS)
    assert raised.value.status == 503
    assert time.monotonic() - began < AT_ONCE


def test_connect_may_be_used_without_a_with_block() -> None:
    with LoopbackServer(echo) as server:
        connection = syncws.connect(server.url)
        connection.send(b"\0\1")
        assert connection.recv(SECONDS) == b"\0\1"
        connection.close()
        assert connection.readyState == connection.CLOSED
