"""How connections to the servers that people use, over ws and wss, open, stay open and end."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from urllib.parse import quote

import pytest

from syncws import HandshakeError
from tests.support.clients import Client
from tests.support.waiting import SECONDS

CHAT = "chat.v2"
LONG_REASON = "é" * 61
Connect = Callable[..., Client]


def test_the_subprotocol_that_the_server_selects_is_shown(connect: Connect) -> None:
    with connect("/echo", ["chat.v1", CHAT]) as client:
        assert client.wait_open().protocol == CHAT


def test_a_server_that_selects_no_subprotocol_of_those_asked_for_fails_the_connection(
    connect: Connect,
) -> None:
    with connect("/echo", ["chat.v1"]) as client:
        error = client.wait_failed()
    assert isinstance(error, HandshakeError)
    assert "chat.v1" in str(error)


def test_a_ping_of_the_server_is_answered_with_its_payload(connect: Connect) -> None:
    with connect("/ping") as client:
        assert client.receive() == "are you there?"


def test_pings_of_ours_keep_the_connection_alive(connect: Connect) -> None:
    # The server answers within the time, or the second ping finds the link dead.
    with connect("/echo", ping_interval=0.05, ping_timeout=SECONDS) as client:
        ws = client.wait_open()
        for number in range(200):
            ws.send(str(number))
            assert client.receive() == str(number)
        assert ws.readyState == ws.OPEN


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1000, "done"), (1001, "bye"), (4999, LONG_REASON)],
    ids=["code", "1000", "1001", "long"],
)
def test_code_and_reason_of_the_server_reach_the_close_event(
    connect: Connect, code: int, reason: str
) -> None:
    with connect(f"/close?code={code}&reason={quote(reason)}") as client:
        closed = client.wait_closed()
    assert (closed.code, closed.reason, closed.wasClean) == (code, reason, True)
    assert client.order == ["open", "close"]


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (3001, "bye"), (4999, LONG_REASON)], ids=["code", "3001", "long"]
)
def test_code_and_reason_of_ours_reach_the_server(connect: Connect, code: int, reason: str) -> None:
    name = uuid.uuid4()
    with connect(f"/record?name={name}") as client:
        client.wait_open().close(code, reason)
        closed = client.wait_closed()
    assert closed.wasClean
    assert closed.code in (code, 1000)  # aiohttp answers 1000 to every code; the others echo it
    with connect(f"/recorded?name={name}") as client:
        assert json.loads(client.receive()) == {"code": code, "reason": reason}


def test_close_without_a_code_shows_1005(connect: Connect) -> None:
    with connect("/echo") as client:
        client.wait_open().close(None)
        closed = client.wait_closed()
    assert closed.wasClean
    assert closed.code in (1000, 1005)  # some servers answer 1000 where there was nothing to echo


def test_a_refusal_carries_status_headers_and_body(connect: Connect) -> None:
    with connect("/forbidden") as client:
        error = client.wait_failed()
    assert isinstance(error, HandshakeError)
    assert error.status == 403
    assert error.body.strip() == b"no entry"
    assert error.headers["x-why"] == "closed"
    assert "403" in str(error)
    assert client.order == ["error", "close"]
