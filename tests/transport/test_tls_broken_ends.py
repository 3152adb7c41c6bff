"""What goes wrong below wss: ends that do not speak TLS, stop in the middle, or go without a word."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from syncws import ConnectionLost, HandshakeError
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, frame_bytes
from tests.support.clients import Client
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

Script = Callable[[Peer], object]


def fail_opening(
    script: Script, context: ssl.SSLContext | None, scheme: str = "wss", **options: Any
) -> BaseException:
    """The error of a connection to a script that works below TLS."""
    with LoopbackServer(script) as server:
        with Client(f"{scheme}://localhost:{server.port}/", ssl_context=context, **options) as client:
            error = client.wait_failed()
    assert client.order == ["error", "close"]
    return error


def answer_http(peer: Peer) -> None:
    peer.recv_bytes()
    peer.send_bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    peer.wait_eof()


def answer_nonsense(peer: Peer) -> None:
    peer.recv_bytes()
    peer.send_bytes(b"\0" * 100)
    peer.wait_eof()


@pytest.mark.parametrize("script", [answer_http, answer_nonsense])
def test_wss_to_a_port_without_tls_is_an_ssl_error_that_says_so(
    script: Script, client_ssl_context: ssl.SSLContext
) -> None:
    error = fail_opening(script, client_ssl_context)
    assert isinstance(error, ssl.SSLError)
    assert "does the server speak TLS" in str(error)


def test_ws_to_a_port_with_tls_fails_and_says_in_which_step(server_ssl_context: ssl.SSLContext) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        with Client(f"ws://localhost:{server.port}/") as client:
            error = client.wait_failed()
    assert isinstance(error, ConnectionLost)
    assert "opening handshake" in str(error)
    assert [getattr(error, "reason", "") for error in server.tls_errors] == ["HTTP_REQUEST"]


def test_ws_to_a_port_that_answers_with_a_tls_alert_shows_the_answer() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"\x15\x03\x01\x00\x02\x02\x46")  # a fatal alert: protocol_version

    error = fail_opening(script, None, "ws")
    assert isinstance(error, HandshakeError)
    assert r"\x15\x03\x01" in str(error)


def serverhello(authority: trustme.CA, peer: Peer) -> bytes:
    """The server's flight, made in memory, so that a script can send as much of it as it likes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(peer.recv_bytes())
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


AT_ONCE, AFTER_HELLO, IN_ANSWER = "at once", "after the client's first bytes", "in its own first bytes"


@pytest.mark.parametrize(
    ("ending", "place"),
    # connect() may or may not raise for an immediate reset: that depends on TCP.
    [*itertools.product(("closes", "resets", "stalls"), (AFTER_HELLO, IN_ANSWER)),
     ("closes", AT_ONCE), ("stalls", AT_ONCE)],
)  # fmt: skip
def test_a_server_that_ends_in_the_tls_handshake_is_an_error_that_says_so(
    ending: str, place: str, authority: trustme.CA, client_ssl_context: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        if place == AFTER_HELLO:
            peer.recv_bytes()
        elif place == IN_ANSWER:
            peer.send_bytes(serverhello(authority, peer)[:300])
        if ending == "resets":
            peer.reset()
        elif ending == "stalls":
            peer.wait_eof(SECONDS)

    options: dict[str, Any] = {"open_timeout": 0.3} if ending == "stalls" else {}
    error = fail_opening(script, client_ssl_context, **options)
    kind, said = {
        "closes": (ConnectionLost, "the server"),  # a close with unread data is a reset
        "resets": (ConnectionLost, "the server"),
        "stalls": (TimeoutError, "open_timeout=0.3"),
    }[ending]
    assert isinstance(error, kind)
    assert isinstance(error, OSError)
    assert said in str(error)
    assert "TLS handshake with 'localhost'" in str(error)


def test_close_frees_a_connection_that_is_stuck_in_the_tls_handshake(
    client_ssl_context: ssl.SSLContext,
) -> None:
    def script(peer: Peer) -> None:
        peer.recv_bytes()
        stuck.set()
        peer.wait_eof(SECONDS)

    stuck = threading.Event()
    with LoopbackServer(script) as server:
        with Client(f"wss://localhost:{server.port}/", ssl_context=client_ssl_context) as client:
            assert stuck.wait(SECONDS)
            client.ws.close()
            assert "close()" in str(client.wait_failed())


def test_a_refused_certificate_is_the_error_also_when_the_server_reset_tcp(authority: trustme.CA) -> None:
    def script(peer: Peer) -> None:
        peer.send_bytes(serverhello(authority, peer))
        peer.reset()  # what was sent is read all the same; our alert finds nobody

    for _ in range(5):
        assert isinstance(fail_opening(script, None), ssl.SSLCertVerificationError)


def say_close_notify(peer: Peer) -> None:
    assert isinstance(peer.socket, ssl.SSLSocket)
    peer.socket.settimeout(0)
    # The Close is out; it does not matter that the client's own has not arrived.
    with contextlib.suppress(ssl.SSLError):
        peer.socket.unwrap()
    peer.socket.settimeout(None)
    peer.wait_eof(SECONDS)


def cut(peer: Peer) -> None:
    peer.half_close()
    peer.wait_eof(SECONDS)


def spoil(peer: Peer) -> None:
    socket.socket.sendall(peer.socket, b"\x17\x03\x03\x00\x20" + b"x" * 32)  # a record that no key made
    with contextlib.suppress(ssl.SSLError):  # the client's alert, if it came through
        peer.wait_eof(SECONDS)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (say_close_notify, "ended TCP without a Close frame"),
        (cut, "ended TCP without a Close frame"),
        (lambda peer: peer.reset(), "lost"),
        (spoil, "a TLS record arrived broken"),
    ],
    ids=["close_notify", "TCP cut", "reset", "spoilt record"],
)
def test_an_end_without_a_close_frame_is_an_error_after_all_messages(
    end: Script, said: str, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(glued=b"".join(frame_bytes(Opcode.TEXT, b"%d" % number) for number in range(100)))
        if "lost" in said:
            assert peer.recv() == "all came"  # a reset may overtake what was sent
        end(peer)

    def note(event: Any) -> None:
        received.append(event.data)
        if len(received) == 100 and "lost" in said:
            event.target.send("all came")

    received: list[str] = []
    with LoopbackServer(script, tls=server_ssl_context) as server:
        with Client(server.url, ssl_context=client_ssl_context, onmessage=note) as client:
            error = client.wait_failed()
    assert client.order == ["open", "error", "close"]
    assert received == [str(number) for number in range(100)]
    assert isinstance(error, ConnectionLost)
    assert said in str(error)


@pytest.mark.parametrize(
    "end", [say_close_notify, cut, spoil], ids=["close_notify", "TCP cut", "spoilt record"]
)
def test_after_a_close_frame_no_end_of_tls_is_an_error(
    end: Script, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(4000, "done")
        end(peer)

    with LoopbackServer(script, tls=server_ssl_context) as server:
        with Client(server.url, ssl_context=client_ssl_context) as client:
            closed = client.wait_closed()
    # TLS gives up writing where a record was broken, so that our own Close frame cannot go out.
    assert (closed.code, closed.reason, closed.wasClean) == (4000, "done", end is not spoil)
    assert client.order == ["open", "close"]


def test_the_client_ends_with_a_close_notify_of_its_own(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while peer.recv_frame().opcode != Opcode.CLOSE:
            continue
        peer.send_close(1000)
        peer.half_close()
        server_end: Any = peer.socket
        server_end.suppress_ragged_eofs = False  # an end of TCP alone is an ssl.SSLEOFError now
        with pytest.raises(EOFError):
            peer.recv_frame()
        orderly.append(True)

    orderly: list[bool] = []
    with LoopbackServer(script, tls=server_ssl_context) as server:
        with Client(server.url, ssl_context=client_ssl_context) as client:
            client.wait_open()
    assert orderly == [True]
