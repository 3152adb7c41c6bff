"""Servers that refuse: the error carries the status, the headers and the reason, and says what they mean."""

from __future__ import annotations

import pytest

from syncws.testing import Pairs, Peer
from tests.hostile.hostile_server import Case, HostileServer, until_gone
from tests.hostile.refusing import BODY, REASONS, head, refuse

# Header fields that belong to a status, and that the user wants to see.
FIELDS: dict[int, Pairs] = {
    301: [("Location", "wss://elsewhere.example/new")],
    302: [("Location", "/login?next=%2Fws")],
    401: [("WWW-Authenticate", 'Basic realm="x"'), ("WWW-Authenticate", "Bearer")],
    426: [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
    429: [("Retry-After", "120")],
    503: [("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")],
}


@pytest.mark.parametrize("status", REASONS)
def test_every_status_but_101_is_refused_and_the_error_has_status_headers_and_body(
    status: int, hostile_server: HostileServer
) -> None:
    fields = (*FIELDS.get(status, ()), ("Content-Length", str(len(BODY))))

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(head(status, fields) + BODY)
        until_gone(peer)

    error = refuse(hostile_server, Case("status", script, says=(str(status), REASONS[status])))
    assert (error.status, error.body) == (status, b"" if status in (204, 304) else BODY)
    assert error.headers.multi_items() == list(fields)


@pytest.mark.parametrize("status", [301, 302])
def test_a_redirect_is_not_followed_and_the_error_says_where_it_led(
    status: int, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(status, reason=REASONS[status], headers=FIELDS[status])
        until_gone(peer)

    location = dict(FIELDS[status])["Location"].partition("?")[0]
    refuse(hostile_server, Case("redirect", script, says=(f"to '{location}", "without max_redirects=")))
    assert len(hostile_server.server.connections) == 1


def test_a_refusal_that_ends_with_a_reset_is_still_the_refusal(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(head(400, [("Content-Length", "1000")]) + BODY)
        peer.reset()

    error = refuse(hostile_server, Case("reset", script, says=("400 Bad Request",)))
    assert error.status == 400


@pytest.mark.parametrize("reason", ["\x1b[2J", "\x07", "\x9b2J"])
def test_control_characters_of_the_reason_phrase_do_not_reach_the_terminal_raw(
    reason: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(403, reason=reason)

    assert str(refuse(hostile_server, Case("escape", script))).isprintable()


@pytest.mark.parametrize("field", ["X-A\0: b", "X-A : b", "X-A: b\r\n c", "X-A: \0", "no colon", ": b"])
def test_a_refusal_with_a_broken_header_still_tells_its_status(
    field: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 404 Not Found\r\n" + field.encode() + b"\r\n\r\n")

    assert refuse(hostile_server, Case("broken", script, says=("header line",))).status == 404
