"""What the opening found out, as attributes of all APIs: empty before it is open, kept after the end."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from syncws import ReconnectingWebSocket, Timings, TLSInfo, WebSocket, connect, reconnect
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import Recorder
from tests.support.servers import drain
from tests.support.waiting import SECONDS, wait_until

EMPTY = (None, Timings(), None, None, None)


def facts(connection: Any) -> tuple[Any, ...]:
    return (
        connection.response,
        connection.timings,
        connection.local_address,
        connection.remote_address,
        connection.tls,
    )


def check(connection: Any, port: int, secure: bool) -> None:
    """Hold that the attributes tell what there is."""
    assert connection.response.status == 101
    assert connection.remote_address == ("127.0.0.1", port)
    assert connection.local_address[0] == "127.0.0.1" and connection.local_address[1] != port
    steps = connection.timings
    assert steps.proxy is None and (steps.tls is not None) == secure
    assert 0 < steps.dns + steps.tcp + (steps.tls or 0) + steps.upgrade <= steps.total < SECONDS
    if secure:
        assert connection.tls.version == "TLSv1.3"
        assert connection.tls.cipher
        assert connection.tls.alpn is None
        assert ("DNS", "localhost") in connection.tls.peer_certificate["subjectAltName"]
    else:
        assert connection.tls is None


@pytest.fixture
def options(secure: bool, client_ssl_context: ssl.SSLContext) -> dict[str, Any]:
    return {"ssl_context": client_ssl_context} if secure else {}


@pytest.mark.parametrize("call", [WebSocket, ReconnectingWebSocket])
def test_callback_api_has_them_from_the_open_event_to_after_the_end(
    call: Any, secure: bool, server: LoopbackServer, options: dict[str, Any]
) -> None:
    recorder = Recorder()
    seen: list[Any] = []
    with call(server.url, **{**recorder.handlers, "onopen": seen.append}, **options) as ws:
        wait_until(lambda: bool(seen))
        check(ws, server.port, secure)
        assert facts(seen[0].target) == facts(ws)
    check(ws, server.port, secure)


def test_they_are_empty_before_it_is_open_and_when_it_never_was() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.closing.wait(SECONDS)

    with LoopbackServer(script) as server:
        ws = WebSocket(server.url)
        assert facts(ws) == EMPTY
        assert (ws.protocol, ws.extensions) == ("", "")
        ws.close()
        ws.join(SECONDS)
        assert facts(ws) == EMPTY


def test_blocking_api_has_them_for_good(
    secure: bool, server: LoopbackServer, options: dict[str, Any]
) -> None:
    with connect(server.url, **options) as connection:
        check(connection, server.port, secure)
    check(connection, server.port, secure)


def test_connections_that_come_back_have_their_own(
    secure: bool, server: LoopbackServer, options: dict[str, Any]
) -> None:
    addresses = set()
    with reconnect(server.url, **options) as connections:
        for connection in connections:
            check(connection, server.port, secure)
            addresses.add(connection.local_address)
            if len(addresses) == 2:
                connections.stop()
    assert len(addresses) == 2


def test_they_cannot_be_set() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        drain(peer)

    with LoopbackServer(script) as server, connect(server.url, close_timeout=0.05) as connection:
        for name in ("response", "timings", "local_address", "remote_address", "tls", "protocol"):
            with pytest.raises(AttributeError):
                setattr(connection, name, None)


def test_records_are_public_and_say_what_they_hold() -> None:
    timings = Timings(dns=0.5, total=1.0)
    assert repr(timings) == ("Timings(dns=0.5, tcp=None, proxy=None, tls=None, upgrade=None, total=1.0)")
    assert TLSInfo("TLSv1.3", "X", None, {}).version == "TLSv1.3"
