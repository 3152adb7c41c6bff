"""`syncws._engine.opening.opening`: what it hands over, and how it goes on after a redirect."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncws import HandshakeError, WebSocketError
from syncws._engine.opening.opening import Connector, OpenStream
from syncws._engine.options.options import check_arguments
from syncws._protocol.handshake import HandshakeRequest, make_key
from syncws._quoting import Secrets
from syncws._transport.poller import Poller
from syncws.testing import LoopbackServer, Peer, RecordedConnection
from tests.support.dialers import Dialer
from tests.support.proxies import Proxy, relay, silent
from tests.support.servers import drain
from tests.support.waiting import AT_ONCE, SECONDS, wait_for

if TYPE_CHECKING:
    import trustme


@contextlib.contextmanager
def opened(url: str, protocols: Any = (), **options: Any) -> Iterator[OpenStream]:
    parsed, checked, made = check_arguments(url, protocols, {"open_timeout": SECONDS, **options})
    request = HandshakeRequest(parsed, make_key(), checked, made.origin, made.headers)
    poller = Poller()
    try:
        connector = Connector(request, made, poller, lambda: None, "syncws-test")
        result = connector.run()
        assert connector.stream is result.stream
        with contextlib.closing(result.stream):
            yield result
    finally:
        poller.close()


def fails(url: str, **options: Any) -> BaseException:
    with pytest.raises((OSError, WebSocketError)) as caught, opened(url, **options):
        pass
    return caught.value


def accept_and_drain(peer: Peer) -> None:
    peer.accept()
    drain(peer)


# What is handed over.


def test_addresses_are_those_of_the_socket() -> None:
    with LoopbackServer() as server, opened(server.url) as stream:
        assert stream.remote_address == ("127.0.0.1", server.port)
        assert stream.local_address == stream.stream.socket.getsockname()
        assert stream.tls is None


def test_tls_tells_version_cipher_alpn_and_certificate(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext, authority: trustme.CA
) -> None:
    with (
        LoopbackServer(tls=server_ssl_context) as server,
        opened(server.url, ssl_context=client_ssl_context) as stream,
    ):
        assert stream.tls is not None
        assert stream.tls.version == "TLSv1.3" and stream.tls.cipher.startswith("TLS_")
        assert stream.tls.alpn is None
        assert ("DNS", "localhost") in stream.tls.peer_certificate["subjectAltName"]


def test_timings_are_those_of_the_steps_that_there_were(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with LoopbackServer() as server, opened(server.url) as stream:
        steps = stream.timings
        assert steps.proxy is steps.tls is None
        assert steps.dns is not None and steps.tcp is not None and steps.upgrade is not None
        assert steps.total is not None and 0 < steps.dns + steps.tcp + steps.upgrade <= steps.total
    with (
        LoopbackServer(tls=server_ssl_context) as server,
        Proxy("https", context=server_ssl_context) as proxy,
        opened(server.url, ssl_context=client_ssl_context, proxy=proxy.url) as stream,
    ):
        steps = stream.timings
        parts = (steps.dns, steps.tcp, steps.proxy, steps.tls, steps.upgrade)
        assert None not in parts
        assert sum(part or 0 for part in parts) <= (steps.total or 0) < AT_ONCE


def test_tls_of_a_proxy_is_not_the_server_s(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with (
        LoopbackServer() as server,
        Proxy("https", context=server_ssl_context) as proxy,
        opened(server.url, ssl_context=client_ssl_context, proxy=proxy.url) as stream,
    ):
        assert stream.tls is None


def test_the_time_of_a_step_is_that_step_s() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.closing.wait(0.2)
        peer.accept()
        drain(peer)

    with LoopbackServer(script) as server, opened(server.url) as stream:
        assert 0.2 <= (stream.timings.upgrade or 0) <= (stream.timings.total or 0) < AT_ONCE


def test_what_is_to_be_done_before_waiting_is_done_once_and_only_where_something_is_waited_for() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        wait_for(go_on)
        peer.accept()
        drain(peer)

    def before_waiting() -> None:
        calls.append(connector.doing)
        go_on.set()

    calls: list[str] = []
    go_on = threading.Event()
    with LoopbackServer(script) as server, contextlib.closing(Poller()) as poller:
        parsed, _, made = check_arguments(server.url, (), {})
        request = HandshakeRequest(parsed, make_key())
        connector = Connector(request, made, poller, lambda: None, "syncws-test", None, before_waiting)
        with contextlib.closing(connector.run().stream):
            assert calls == ["waiting for the answer to the opening handshake"]


def test_every_socket_is_known_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name(monkeypatch, ("127.0.0.1", 9), ("127.0.0.2", 9), ("::1", 9))
    parsed, _, made = check_arguments("ws://many.test/", (), {"open_timeout": SECONDS})
    with contextlib.closing(Poller()) as poller:
        connector = Connector(HandshakeRequest(parsed, make_key()), made, poller, lambda: None, "syncws-test")
        with pytest.raises(ConnectionRefusedError):
            connector.run()
    assert len(connector.sockets) == 3
    assert {sock.fileno() for sock in connector.sockets} == {-1}


# Addresses.


def by_name(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""
    families = {False: socket.AF_INET, True: socket.AF_INET6}

    def getaddrinfo(host: bytes, port: int, family: int = 0, kind: int = 0) -> list[Any]:
        found = [
            (families[":" in there], kind, socket.IPPROTO_TCP, "", (there, its_port))
            for there, its_port in addresses
            if family in (0, families[":" in there])
        ]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address of this family")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_an_ipv6_address_is_connected_to() -> None:
    with (
        LoopbackServer() as server,
        relay("::1", server.port) as port,
        opened(f"ws://[::1]:{port}/") as stream,
    ):
        assert stream.remote_address[:2] == ("::1", port)


def test_an_address_that_never_answers_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent("::1") as dead, LoopbackServer() as server:
        by_name(monkeypatch, ("::1", dead), ("::1", dead), ("127.0.0.1", server.port))
        begun = time.monotonic()
        with opened("ws://both.test/") as stream:
            assert stream.remote_address == ("127.0.0.1", server.port)
        assert 0.2 < time.monotonic() - begun < AT_ONCE


def test_a_proxy_that_has_a_dead_address_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent("::1") as dead, LoopbackServer() as server, Proxy("http") as proxy:
        by_name(monkeypatch, ("::1", dead), ("127.0.0.1", proxy.port))
        with opened(server.url, proxy="http://both.test") as stream:
            assert stream.remote_address == ("127.0.0.1", proxy.port)


def test_family_leaves_the_other_addresses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer() as server, relay("::1", server.port) as port:
        by_name(monkeypatch, ("::1", port), ("127.0.0.1", server.port))
        with opened("ws://both.test/", family=4) as stream:
            assert stream.remote_address == ("127.0.0.1", server.port)
        with opened("ws://both.test/", family=6) as stream:
            assert stream.remote_address[:2] == ("::1", port)
    error = fails("ws://127.0.0.1:9999/", family=6)
    assert "another family" in str(error) and "127.0.0.1" in str(error)


def test_source_address_is_connected_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer() as server, opened(server.url, source_address=("127.0.0.7", 0)) as stream:
        assert stream.local_address[0] == "127.0.0.7"
    with silent("::1") as dead, LoopbackServer() as server:
        by_name(monkeypatch, ("::1", dead), ("127.0.0.1", server.port))
        with opened("ws://both.test/", source_address=("127.0.0.7", 0)) as stream:
            assert stream.local_address[0] == "127.0.0.7"
    error = fails("ws://127.0.0.1:9999/", source_address=("203.0.113.1", 0))
    assert "cannot bind to source_address=('203.0.113.1', 0)" in str(error)


def test_options_of_the_socket_are_set() -> None:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0), (socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)]
    with LoopbackServer() as server, opened(server.url, socket_options=options) as stream:
        sock = stream.stream.socket
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 65536


USER_TIMEOUTS: list[tuple[dict[str, Any], int]] = [
    ({}, 40_000),
    ({"ping_interval": 3, "ping_timeout": 4}, 30_000),
    ({"ping_interval": 3, "ping_timeout": 4, "close_timeout": 1}, 30_000),
    ({"close_timeout": 100}, 100_000),
    ({"ping_timeout": None}, 0),
    ({"ping_interval": None}, 0),
    ({"close_timeout": None}, 0),
]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
@pytest.mark.parametrize(("options", "milliseconds"), USER_TIMEOUTS)
def test_system_ends_a_link_no_sooner_than_a_ping_or_a_close_would(
    options: dict[str, Any], milliseconds: int
) -> None:
    with LoopbackServer() as server, opened(server.url, **options) as stream:
        found = stream.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert found == milliseconds


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_time_that_the_caller_has_set_is_left_alone() -> None:
    options = [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234)]
    with LoopbackServer() as server, opened(server.url, socket_options=options) as stream:
        assert stream.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1234


def test_a_socket_of_the_caller_is_used_whatever_its_time_out() -> None:
    with LoopbackServer() as server:
        for timeout in (None, 5.0, 0.0):
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.settimeout(timeout)
            with opened("ws://whatever.test/", sock=sock) as stream:
                assert stream.stream.socket is sock
                assert stream.timings.dns is stream.timings.tcp is None
            assert sock.fileno() == -1


def test_tls_begins_on_a_socket_of_the_caller(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        with opened("wss://localhost/", sock=sock, ssl_context=client_ssl_context) as stream:
            assert stream.tls is not None


def test_a_socket_of_the_caller_is_closed_when_the_opening_fails() -> None:
    one, other = socket.socketpair()
    with other:
        other.shutdown(socket.SHUT_WR)
        assert "ws://whatever.test/" in str(fails("ws://whatever.test/", sock=one))
    assert one.fileno() == -1


def test_a_socket_of_the_caller_is_closed_when_it_cannot_even_be_used() -> None:
    one, other = socket.socketpair()
    with other:
        fails("ws://whatever.test/", sock=one, socket_options=[(socket.SOL_SOCKET, 0xFFFF, 1)])
    assert one.fileno() == -1


def test_a_socket_of_a_pair_is_a_way_too() -> None:
    one, other = socket.socketpair()
    thread = threading.Thread(
        target=lambda: accept_and_drain(Peer(other, threading.Event(), RecordedConnection()))
    )
    thread.start()
    with other:
        with opened("ws://whatever.test/", sock=one) as stream:
            assert stream.result.response.status == 101
        thread.join(SECONDS)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_is_connected_to_and_the_url_names_the_host(tmp_path: Path) -> None:
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        seen: list[Any] = []

        def serve() -> None:
            peer = Peer(listener.accept()[0], threading.Event(), RecordedConnection())
            seen.append(peer.read_request().headers.get("Host"))
            accept_and_drain(peer)
            peer.socket.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with opened("ws://service.test:81/", unix=path) as stream:
            assert stream.result.response.status == 101
            assert stream.remote_address == str(path)
        thread.join(SECONDS)
    assert seen == ["service.test:81"]
    error = fails("ws://service.test/", unix=str(path) + "x")
    assert isinstance(error, FileNotFoundError)
    assert f"{path}x" in str(error) and "ws://service.test/" in str(error)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_without_room_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(tmp_path / "server"))
        listener.listen(0)
        for _ in range(3):
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            other.connect_ex(str(tmp_path / "server"))
        begun = time.monotonic()
        error = fails("ws://service.test/", unix=tmp_path / "server", open_timeout=0.3)
        assert isinstance(error, TimeoutError)
        assert "Unix socket" in str(error) and 0.2 < time.monotonic() - begun < AT_ONCE


def test_environment_s_proxy_is_not_for_this_machine_nor_for_other_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    with LoopbackServer() as server:
        with opened(server.url):
            pass
        sock = socket.create_connection(("127.0.0.1", server.port))
        with opened("ws://elsewhere.test/", sock=sock):
            pass


# Redirects.

Scripts = dict[str, Callable[[Peer], object]]


def redirect(location: str, status: int = 302, *fields: tuple[str, str]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.refuse(status, [("Location", location), *fields], body=b"<a>there</a>")

    return script


def route(
    scripts: dict[str, Callable[[Peer], object]], seen: list[Any] | None = None
) -> Callable[[Peer], None]:
    """A server with a script for each path."""

    def script(peer: Peer) -> None:
        request = peer.read_request()
        if seen is not None:
            seen.append(request)
        scripts[request.target.partition("?")[0]](peer)

    return script


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/there?a=b", "there?a=b", "{server}/there?a=b", "{http}/there?a=b"])
def test_redirects_are_followed_when_asked_for(status: int, location: str) -> None:
    seen: list[Any] = []
    scripts: Scripts = {"/there": accept_and_drain}
    with LoopbackServer(route(scripts, seen)) as server:
        origin = server.url_for("")
        there = location.format(server=origin, http=origin.replace("ws:", "http:"))
        scripts["/"] = redirect(there, status)
        with opened(server.url_for("/"), max_redirects=1) as stream:
            assert stream.result.response.status == 101
    assert [request.target for request in seen] == ["/", "/there?a=b"]
    keys = {request.headers.get("Sec-WebSocket-Key") for request in seen}
    assert len(keys) == 2


def test_none_are_followed_by_default_and_the_error_says_where_they_lead() -> None:
    with LoopbackServer(redirect("/there?token=s3cret")) as server:
        error = fails(server.url_for("/"))
        assert isinstance(error, HandshakeError)
        assert (error.status, error.body) == (302, b"<a>there</a>")
        assert (
            "'/there?...'" in str(error)
            and "not followed" in str(error)
            and server.url_for("/") in str(error)
        )
        assert len(server.connections) == 1


def test_no_more_are_followed_than_asked_for() -> None:
    scripts: Scripts = {
        "/": redirect("/1"),
        "/1": redirect("/2"),
        "/2": redirect("/3"),
    }
    with LoopbackServer(route(scripts)) as server:
        error = fails(server.url_for("/"), max_redirects=2)
        assert isinstance(error, HandshakeError) and error.status == 302
        assert "max_redirects=2" in str(error) and "/3" in str(error)
        assert len(server.connections) == 3


def test_a_loop_ends_whatever_is_allowed() -> None:
    scripts: Scripts = {"/": redirect("/1"), "/1": redirect("/")}
    with LoopbackServer(route(scripts)) as server:
        error = fails(server.url_for("/"), max_redirects=1000)
        assert isinstance(error, HandshakeError) and "already" in str(error)
        assert len(server.connections) == 2


def test_from_tls_to_none_is_never_followed(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with (
        LoopbackServer() as plain,
        LoopbackServer(redirect(plain.url), tls=server_ssl_context) as server,
    ):
        error = fails(server.url_for("/"), max_redirects=5, ssl_context=client_ssl_context)
        assert isinstance(error, HandshakeError) and "from wss: to ws:" in str(error)
        assert len(plain.connections) == 0


def test_from_none_to_tls_is_followed(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with (
        LoopbackServer(tls=server_ssl_context) as secure,
        LoopbackServer(redirect(secure.url)) as server,
        opened(server.url_for("/"), max_redirects=1, ssl_context=client_ssl_context) as stream,
    ):
        assert stream.tls is not None


def test_credentials_and_cookies_stay_with_their_origin() -> None:
    seen: list[Any] = []
    headers = {"Cookie": "a=b", "X-Api-Key": "x", "X-Other": "y"}
    with LoopbackServer(route({"/": accept_and_drain}, seen)) as other:
        with LoopbackServer(route({"/": redirect(other.url)}, seen)) as server:
            with opened(server.url_for("/"), max_redirects=1, auth=("user", "password"), headers=headers):
                pass
    assert [request.headers.get("Authorization") for request in seen] == ["Basic dXNlcjpwYXNzd29yZA==", None]
    assert [request.headers.get("Cookie") for request in seen] == ["a=b", None]
    assert [request.headers.get("X-Api-Key") for request in seen] == ["x", None]
    assert [request.headers.get("X-Other") for request in seen] == ["y", "y"]


@pytest.mark.parametrize("api", ["callback", "blocking"])
def test_a_redirect_to_a_blocked_port_is_a_refusal_like_another(
    api: str, caplog: pytest.LogCaptureFixture
) -> None:
    with LoopbackServer(redirect("ws://127.0.0.1:6667/path?s3cret")) as server:
        error = Dialer(api, None).fail(server.url_for("/"), max_redirects=1)
    assert isinstance(error, HandshakeError) and error.status == 302
    assert "not followed to 'ws://127.0.0.1:6667/path?...': port 6667" in str(error)
    assert "a fault of syncws itself" not in caplog.text


def test_an_answer_that_is_no_redirect_is_not_told_to_be_allowed() -> None:
    with LoopbackServer(redirect("/there", 305)) as server:
        error = fails(server.url_for("/"), max_redirects=5)
    assert "answered 305" in str(error) and "'/there' (which is no redirect that is ever followed)" in str(
        error
    )


def test_redirects_share_one_time_out() -> None:
    def script(peer: Peer) -> None:
        request = peer.read_request()
        peer.closing.wait(0.1)
        redirect(f"/{int(request.target[1:] or 0) + 1}")(peer)

    with LoopbackServer(script) as server:
        begun = time.monotonic()
        error = fails(server.url_for("/"), max_redirects=1000, open_timeout=0.5)
        assert isinstance(error, TimeoutError) and 0.4 < time.monotonic() - begun < AT_ONCE


def test_a_socket_of_the_caller_is_used_up_by_a_redirect() -> None:
    with LoopbackServer(redirect("/there")) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        error = fails(server.url_for("/"), max_redirects=5, sock=sock)
        assert isinstance(error, HandshakeError) and "used up" in str(error)


# Cookies.


def refuse(peer: Peer) -> None:
    peer.refuse(401, headers=[("Set-Cookie", "second=2"), ("Set-Cookie", "third=3")])


def accept(peer: Peer) -> None:
    peer.accept(headers=[("Set-Cookie", "fourth=4")])
    drain(peer)


def test_cookies_of_the_jar_are_sent_and_those_of_every_answer_are_stored() -> None:
    seen: list[Any] = []
    jar = CookieJar()
    scripts: Scripts = {
        "/": redirect("/there", 302, ("Set-Cookie", "first=1")),
        "/there": refuse,
        "/last": accept,
    }
    with LoopbackServer(route(scripts, seen)) as server:
        assert isinstance(fails(server.url_for("/"), max_redirects=1, cookies=jar), HandshakeError)
        with opened(server.url_for("/last"), cookies=jar):
            pass
        with opened(server.url_for("/last"), cookies=jar, headers={"Cookie": "mine=1"}):
            pass
    sent = [request.headers.get("Cookie") for request in seen]
    assert sent == [None, "first=1", "first=1; second=2; third=3", "mine=1"]
    assert {cookie.name for cookie in jar} == {"first", "second", "third", "fourth"}


def test_a_cookie_that_cannot_be_sent_is_an_error_that_does_not_show_it() -> None:
    jar = CookieJar()
    with LoopbackServer(lambda peer: peer.refuse(401, headers=[("Set-Cookie", "a=s3cret")])) as server:
        fails(server.url_for("/"), cookies=jar)
        for cookie in jar:
            cookie.value = "s3cret\r\nX: y"
        error = fails(server.url_for("/"), cookies=jar)
        assert "cookies of the jar" in str(error) and "s3cret" not in str(error)
        assert len(server.connections) == 1


# Secrets.


def test_what_a_server_sends_back_of_our_secrets_is_masked() -> None:
    def script(peer: Peer) -> None:
        sent = peer.read_request().headers["Authorization"]
        peer.send_bytes(f"HTTP/1.1 101 x\r\nUpgrade: {sent}\r\n\r\n".encode())
        drain(peer)

    with LoopbackServer(script) as server:
        error = fails(server.url_for("/"), headers={"Authorization": "Bearer s3cret-t0ken"})
    assert "the answer's Upgrade header is '...'" in str(error)
    assert "s3cret" not in str(error)


def test_what_is_learned_after_a_text_was_shown_is_masked_in_the_next() -> None:
    secrets = Secrets()
    secrets.add("first-secret")
    assert secrets.hide("first-secret, second-secret") == "..., second-secret"
    secrets.add("second-secret")
    assert secrets.hide("first-secret, second-secret") == "..., ..."
    secrets.add_field("X-Third", "third-secret")
    assert secrets.hide("first-secret, third-secret") == "..., ..."


def test_beginning_of_a_long_secret_is_masked_too_unless_it_is_a_word() -> None:
    secrets = Secrets()
    secrets.add("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "antidisestablishment", "sh0rt")
    shown = secrets.hide("'eyJhbGciOiJIUzI1NiJ' eyJhbGci antidisestablishmen sh0r eyJhbGciOiJIUzI1")
    assert shown == "'...' eyJhbGci antidisestablishmen sh0r ..."
