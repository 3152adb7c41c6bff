"""Servers that never come to the point: silence, drips, floods and noise instead of an answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from syncws import ConnectionLost, HandshakeError
from syncws.testing import Peer, accept_key, frame_bytes
from tests.hostile.hostile_server import (
    APIS,
    Case,
    HostileServer,
    Outcome,
    ServerFor,
    case_id,
    check_at_once,
    keep_sending,
    sparing,
    until_gone,
)

SOON = {"open_timeout": 0.1}
LATE = ("open_timeout=0.1",)
OK = b"HTTP/1.1 101 Switching Protocols\r\n"


def after_request(then: Callable[[Peer], object]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read_request()
        then(peer)

    return script


def say(data: bytes) -> Callable[[Peer], None]:
    """Say this and no more, but stay."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(data)
        until_gone(peer)

    return script


def stream(first: bytes, more: bytes, pause: float = 0) -> Callable[[Peer], None]:
    """Say something, then something else again and again."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(first)
        keep_sending(peer, more, pause)

    return script


SILENCE = [
    Case("never answers", after_request(until_gone), TimeoutError, LATE, opens=False, options=SOON),
    Case("half a status line", say(b"HTTP/1.1 10"), TimeoutError, LATE, opens=False, options=SOON),
    Case("a head without its end", say(OK), TimeoutError, LATE, opens=False, options=SOON),
    Case("a 103 and nothing after", say(b"HTTP/1.1 103 X\r\n\r\n"), TimeoutError, LATE,
         opens=False, options=SOON),
    Case("drips a status line", stream(b"HTTP/1.1 101 ", b"x", 0.01), TimeoutError, LATE,
         opens=False, options=SOON),
    Case("drips header fields", stream(OK, b"A: b\r\n", 0.01), TimeoutError, LATE,
         opens=False, options=SOON),
    Case("drips interim answers", stream(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.05), TimeoutError, LATE,
         opens=False, options=SOON),
]  # fmt: skip


@pytest.fixture(scope="module")
def silent(server_for: ServerFor) -> dict[tuple[str, str, str], Future[Outcome]]:
    return check_at_once([param.values for param in sparing(SILENCE)], server_for)


@pytest.mark.parametrize(("api", "scheme", "case"), sparing(SILENCE))
def test_an_answer_that_does_not_come_is_a_timeout_that_says_so(
    api: str, scheme: str, case: Case, silent: dict[tuple[str, str, str], Future[Outcome]]
) -> None:
    silent[api, scheme, case.name].result()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """The port of a server whose system accepts connections, and which never takes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_never_takes_the_connection_is_a_timeout(
    api: str, scheme: str, deaf_port: int, client_ssl_context: ssl.SSLContext
) -> None:
    options = {**SOON, "ssl_context": client_ssl_context}
    outcome = APIS[api](Case("deaf", until_gone), f"{scheme}://127.0.0.1:{deaf_port}/", options)
    assert isinstance(outcome.error, TimeoutError)
    assert LATE[0] in str(outcome.error)
    assert not outcome.opened


# Endless input. The time is not limited here: the limits of size must end it.
FLOODS = [
    Case("status line", stream(b"HTTP/1.1 101 ", b"x" * 1000), says=("status line", "16384 bytes")),
    Case("header line", stream(OK + b"A: ", b"x" * 1000), says=("header line", "16384 bytes")),
    Case("header name", stream(OK, b"x" * 1000), says=("header line", "16384 bytes")),
    Case("header fields", stream(OK, b"A: b\r\n" * 50), says=("256 header fields",)),
    Case("long header fields", stream(OK, b"A: " + b"b" * 1000 + b"\r\n"), says=("65536 bytes",)),
    Case("interim answers", stream(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50), says=("interim",)),
    Case("long interim answers", stream(b"", b"HTTP/1.1 103 X\r\nA: " + b"b" * 9000 + b"\r\n\r\n"),
         says=("interim",)),
]  # fmt: skip


@pytest.mark.parametrize("case", FLOODS, ids=case_id)
def test_an_endless_answer_ends_at_a_limit_that_the_error_names(
    case: Case, hostile_server: HostileServer
) -> None:
    hostile_server.check(Case(case.name, case.script, HandshakeError, case.says, opens=False))


NOISE: dict[str, bytes] = {
    "binary": bytes(range(256)) * 4,
    "zeros": bytes(10),
    "a frame": frame_bytes(1, b"hello"),
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "a TLS server hello": b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(114),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "HTML": b"<html><body>hello</body></html>",
    "HTTP in lower case": b"http/1.1 101 Switching Protocols\r\n\r\n",
    "another protocol's status line": b"RTSP/1.0 200 OK\r\n\r\n",
    "an empty line first": b"\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a blank first": b" HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "an empty status": b"HTTP/1.1 \r\n\r\n",
    "a status of two digits": b"HTTP/1.1 10 Switching\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 1010 Switching\r\n\r\n",
    "a status with a sign": b"HTTP/1.1 +10 Switching\r\n\r\n",
    "a status in Arabic digits": "HTTP/1.1 ١٠١ Switching\r\n\r\n".encode(),
    "two blanks before the status": b"HTTP/1.1  101 Switching Protocols\r\n\r\n",
    "NUL in the status line": b"HTTP/1.1 101 Switching\0Protocols\r\n\r\n",
    "CR in the status line": b"HTTP/1.1 101 Switching\rProtocols\r\n\r\n",
}


@pytest.mark.parametrize("name", NOISE)
def test_what_is_not_http_fails_at_once_and_the_error_shows_it(
    name: str, hostile_server: HostileServer
) -> None:
    error = hostile_server.check(Case(name, say(NOISE[name]), HandshakeError, opens=False)).error
    assert isinstance(error, HandshakeError)
    assert error.status is None
    line = NOISE[name].split(b"\r\n")[0]
    assert repr(line[:4])[2:-1] in str(error)


def answer(peer: Peer) -> bytes:
    """The right answer to the request."""
    key = peer.read_request().headers.get("Sec-WebSocket-Key") or ""
    accept = f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    return OK + b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + accept.encode()


def test_a_right_answer_that_drips_in_within_open_timeout_opens(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        for byte in answer(peer) + frame_bytes(1, b"hello") + frame_bytes(8, b"\x03\xe8"):
            peer.send_bytes(bytes((byte,)))
            peer.closing.wait(0.001)

    hostile_server.check(Case("slow", script, messages=("hello",), sent=1000))


def test_interim_answers_before_the_right_one_are_passed_over(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        right = answer(peer)
        peer.send_bytes(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + right
        )
        peer.send_frame(8, b"\x03\xe8")

    hostile_server.check(Case("hints", script, sent=1000))


def end(peer: Peer) -> None:
    """What every script does at its end: the server ends TCP in an orderly way."""


ENDS: dict[str, Callable[[Peer], object]] = {"FIN": end, "RST": Peer.reset, "half-close": Peer.half_close}
PARTS = {"nothing": b"", "half a status line": b"HTTP/1.1 10", "half a head": OK + b"Upgrade: webs"}


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("part", PARTS)
def test_tcp_that_ends_before_the_answer_is_whole_is_a_loss_that_says_so(
    part: str, ending: str, hostile_server: HostileServer
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(PARTS[part])
        ENDS[ending](peer)
        if ending == "half-close":
            until_gone(peer)

    error = hostile_server.check(
        Case(part, script, ConnectionLost, ("opening handshake",), opens=False)
    ).error
    assert isinstance(error, ConnectionError)
    if ending == "FIN" and PARTS[part]:
        assert repr(PARTS[part]) in str(error)
