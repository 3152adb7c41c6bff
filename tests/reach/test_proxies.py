"""Through proxies of every kind, by both APIs, and what becomes of it when one refuses, is silent or ends."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from syncws import ConnectionLost, HandshakeError, WebSocketError
from syncws.testing import LoopbackServer, Peer, Script
from tests.support import programs
from tests.support.clients import Client
from tests.support.dialers import Dialer
from tests.support.proxies import SCHEMES, STEPS, Proxy, relay
from tests.support.servers import unanswering
from tests.support.stress import turns
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

# Both APIs, over both schemes.
WAYS = list(itertools.product(["callback", "blocking"], ["ws", "wss"]))


def by_turns(
    names: str, cases: Iterable[tuple[Any, ...]], ways: list[tuple[str, str]]
) -> pytest.MarkDecorator:
    """Cases, each over one of these ways in a short run."""
    told = [(*case, *way) for case, way in turns(cases, ways)]
    return pytest.mark.parametrize((*names.split(), "api", "secure"), told, indirect=["api", "secure"])


each_scheme = by_turns("scheme", zip(SCHEMES), WAYS)
each_scheme_again = by_turns("scheme", zip(SCHEMES), WAYS[::-1])
each_step = by_turns("step scheme", itertools.product(STEPS, SCHEMES), WAYS)


def fail_in_time(dialer: Dialer, url: str, said: str, **options: Any) -> BaseException:
    """The error of an opening whose time ends in the step of which the error has `said`.

    A busy machine may need more time than a little to come to that step.
    """
    for seconds in (0.04, 0.4, 4.0):
        error = dialer.fail(url, open_timeout=seconds, **options)
        assert isinstance(error, TimeoutError)
        if said in str(error):
            break
    assert said in str(error)
    return error


def proxy(scheme: str, context: ssl.SSLContext, **options: Any) -> Proxy:
    if scheme.startswith("socks"):
        pytest.importorskip("socksio", reason="the extra syncws[socks] is not installed")
    return Proxy(scheme, context=context if scheme == "https" else None, **options)


@by_turns("drip scheme", itertools.product([False, True], SCHEMES), WAYS)
def test_messages_go_both_ways(
    scheme: str, drip: bool, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, drip=drip) as way:
        dialer.talk(server.url, proxy=way.url)
    assert [asked.port for asked in way.asked] == [server.port]
    assert way.asked[0].credentials is None


@each_scheme
def test_the_scheme_says_whether_the_proxy_resolves_the_name(
    scheme: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    url = server.url.replace("127.0.0.1", "localhost").replace("localhost", "only-the-proxy-knows.test")
    with proxy(scheme, server_ssl_context) as way:
        if scheme in ("socks4", "socks5"):
            error = dialer.fail(url, proxy=way.url)
            assert "cannot resolve 'only-the-proxy-knows.test'" in str(error)
        else:
            dialer.talk(url, proxy=way.url, server_hostname="localhost")
            assert way.asked[0].host == "only-the-proxy-knows.test"


@each_scheme_again
def test_credentials_of_the_proxy_s_url_are_for_the_proxy(
    scheme: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, credentials=("us er", "pass:w/ord")) as way:
        dialer.talk(server.url, proxy=way.url_with("us%20er:pass:w%2Ford@"))
    password = "" if scheme.startswith("socks4") else "pass:w/ord"
    assert way.asked[0].credentials == ("us er", password)
    assert server.errors == []


@each_scheme
def test_wrong_credentials_are_refused_and_not_told(
    scheme: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, credentials=("user", "password")) as way:
        error = dialer.fail(server.url, proxy=way.url_with("s3cret:s3cret@"))
        assert isinstance(error, WebSocketError)
        assert "s3cret" not in str(error) and f"{way.scheme}://" in str(error)
        if isinstance(error, HandshakeError):
            assert (error.status, error.body) == (407, b"who are")
            assert error.headers["proxy-authenticate"] == 'Basic realm="test"'
        missing = dialer.fail(server.url, proxy=way.url_with(""))
        assert isinstance(missing, WebSocketError)
        if scheme == "http":
            assert "user:password@" in str(missing)


REFUSED: dict[str, bytes | int] = {
    "http": b"HTTP/1.1 403 Forbidden\r\nX-Why: policy\r\nContent-Length: 12\r\n\r\nnot this way",
    "https": b"HTTP/1.0 403 Forbidden\nX-Why: policy\n\nnot this way",
    "socks4": 0x5B,
    "socks4a": 0x5C,
    "socks5": 2,
    "socks5h": 5,
}
# The proxy could not reach the server: an error of the network, after which trying again may help.
NETWORK = {"socks4", "socks5h"}


@each_scheme
def test_refusal_tells_proxy_target_and_reason(
    scheme: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, answer=REFUSED[scheme]) as way:
        error = dialer.fail(server.url_for("/path?s3cret"), proxy=way.url)
    assert isinstance(error, OSError if scheme in NETWORK else WebSocketError)
    for part in (server.url_for("/path"), way.url, f":{server.port}"):
        assert part in str(error)
    assert "s3cret" not in str(error)
    if scheme.startswith("http"):
        assert isinstance(error, HandshakeError)
        assert (error.status, error.reason, error.body) == (403, "Forbidden", b"not this way")
        assert error.headers["x-why"] == "policy"
        assert "not this way" in str(error)
    assert len(server.connections) == 0


@pytest.mark.parametrize(
    ("step", "scheme", "api"),
    [(*case, api) for case, api in turns(itertools.product(STEPS, SCHEMES), ["callback", "blocking"])],
    indirect=["api"],
)
def test_silence_ends_with_the_time_and_the_error_names_the_step(
    step: str, scheme: str, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, silent_at=step) as way:
        said = f"asking the proxy {way.url} for"
        error = fail_in_time(dialer, "wss://127.0.0.1:4433/", said, proxy=way.url)
    assert ":4433/" in str(error)


@each_step
def test_end_of_tcp_is_a_loss_that_names_the_step(
    scheme: str, step: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, end_at=step) as way:
        error = dialer.fail(server.url, proxy=way.url)
    assert isinstance(error, ConnectionLost)
    assert f"asking the proxy {way.url} for" in str(error)


@each_scheme_again
def test_noise_in_the_place_of_an_answer_is_an_error(
    scheme: str, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with proxy(scheme, server_ssl_context, answer=b"\xff" * 30) as way:
        error = dialer.fail(server.url, proxy=way.url)
    assert isinstance(error, WebSocketError)
    assert way.url in str(error)


def test_bytes_behind_the_proxy_s_answer_are_an_error(server: LoopbackServer, dialer: Dialer) -> None:
    with Proxy("http", answer=b"HTTP/1.1 200 OK\r\n\r\nmore") as way:
        error = dialer.fail(server.url, proxy=way.url)
    assert isinstance(error, HandshakeError) and "more than a head" in str(error)


def test_proxy_that_nobody_listens_on_is_named(server: LoopbackServer, dialer: Dialer) -> None:
    with Proxy("http") as way:
        url = way.url
    error = dialer.fail(server.url, proxy=url)
    assert isinstance(error, ConnectionRefusedError)
    assert f"{server.url}: the proxy {way.url}: cannot connect to 127.0.0.1 port {way.port}" in str(error)
    error = dialer.fail(server.url, proxy="http://user:s3cret@proxy.invalid:3128")
    assert f"{server.url}: the proxy http://proxy.invalid:3128: cannot resolve" in str(error)


def test_proxy_over_tls_that_is_not_trusted_is_named(
    server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with Proxy("https", context=server_ssl_context) as way:
        error = dialer.fail(server.url, proxy=way.url, ssl_context=ssl.create_default_context())
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert f"the proxy 'localhost' port {way.port}" in str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("step", STEPS)
def test_close_ends_the_wait_for_a_proxy_at_once(
    scheme: str,
    step: str,
    server: LoopbackServer,
    client_ssl_context: ssl.SSLContext,
    server_ssl_context: ssl.SSLContext,
) -> None:
    with proxy(scheme, server_ssl_context, silent_at=step) as way:
        client = Client(server.url, proxy=way.url, open_timeout=None, ssl_context=client_ssl_context)
        if step == "answer":
            wait_until(lambda: bool(way.asked))
        begun = time.monotonic()
        client.ws.close()
        assert isinstance(client.wait_failed(), WebSocketError)
        assert time.monotonic() - begun < AT_ONCE


@by_turns("scheme", zip(["http", "https", "socks5", "socks5h"]), WAYS)
def test_server_with_an_ipv6_address_is_asked_for_by_it(
    scheme: str, secure: bool, server: LoopbackServer, dialer: Dialer, server_ssl_context: ssl.SSLContext
) -> None:
    with relay("::1", server.port) as port, proxy(scheme, server_ssl_context) as way:
        name = {"server_hostname": "localhost"} if secure else {}
        dialer.talk(f"{'wss' if secure else 'ws'}://[::1]:{port}/", proxy=way.url, **name)
    assert way.asked[0].host == ("[::1]" if scheme.startswith("http") else "::1")


def test_socks4_says_that_it_has_no_place_for_an_ipv6_address(dialer: Dialer) -> None:
    with proxy("socks4a", ssl.create_default_context()) as way:
        error = dialer.fail("ws://[::1]:9999/", proxy=way.url)
    assert isinstance(error, WebSocketError)
    assert "'::1' is an IPv6 address" in str(error)


def test_proxy_with_an_ipv6_address_is_reached(server: LoopbackServer, dialer: Dialer) -> None:
    with Proxy("http", host="::1") as way:
        dialer.talk(server.url, proxy=way.url)


def test_silence_of_a_proxy_in_tls_names_the_proxy(server: LoopbackServer, dialer: Dialer) -> None:
    with unanswering() as url:
        port = url.rstrip("/").rpartition(":")[2]
        said = f"TLS handshake with the proxy 'localhost' port {port}"
        fail_in_time(dialer, server.url, said, proxy=f"https://localhost:{port}")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, OSError),
        (2, WebSocketError),
        (3, OSError),
        (4, OSError),
        (5, ConnectionRefusedError),
        (6, TimeoutError),
        (7, WebSocketError),
        (8, WebSocketError),
        (99, WebSocketError),
    ],
)
def test_reasons_of_socks_are_told_as_the_network_s_or_the_proxy_s_own(
    code: int, kind: type[Exception], client_ssl_context: ssl.SSLContext
) -> None:
    with proxy("socks5h", client_ssl_context, answer=code) as way:
        error = Dialer("blocking", None).fail("ws://h.test/", proxy=way.url)
    assert isinstance(error, kind)
    assert way.url in str(error)


# What a proxy says instead of SOCKS: at once, or after its greeting. It then says nothing more.
NO_SOCKS = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def saying(*answers: bytes) -> Script:
    """A peer that answers each part of what comes with the next of these, and then is silent."""

    def script(peer: Peer) -> None:
        for answer in answers:
            assert peer.recv_bytes()
            peer.send_bytes(answer)
        peer.closing.wait(SECONDS)

    return script


@pytest.mark.parametrize(
    ("scheme", "answers", "said"),
    [
        ("socks4a", [NO_SOCKS], f"its answer is not SOCKS: {NO_SOCKS!r}"),
        ("socks4a", [b"\5"], "its answer is not SOCKS: b'\\x05'"),
        ("socks5h", [NO_SOCKS], f"its answer is not SOCKS: {NO_SOCKS!r}"),
        ("socks5h", [b"\5\0", b"HT"], "its answer is not SOCKS: b'HT'"),
        ("socks5h", [b"\5\2", NO_SOCKS], f"its answer is not SOCKS: {NO_SOCKS!r}"),
        ("socks5h", [b"\5\2", b"\1\0", NO_SOCKS], f"its answer is not SOCKS: {NO_SOCKS!r}"),
        ("socks5h", [b"\5\2", b"\5\1"], "it refused the user and password"),
        ("socks5h", [b"\5\0", b"\5\2"], "it answered 'connection not allowed by ruleset'"),
    ],
)
def test_socks_proxy_s_wrong_answer_is_told_without_waiting_for_the_rest(
    scheme: str, answers: list[bytes], said: str, dialer: Dialer
) -> None:
    pytest.importorskip("socksio", reason="the extra syncws[socks] is not installed")
    with LoopbackServer(saying(*answers)) as proxy:
        url = f"{scheme}://me:s3cret@127.0.0.1:{proxy.port}"
        error = dialer.fail("ws://h.test:99/", proxy=url, open_timeout=SECONDS)
    assert isinstance(error, WebSocketError)
    assert f"{scheme}://127.0.0.1:{proxy.port} did not open a way to h.test:99: {said}" in str(error)


@pytest.mark.parametrize(("scheme", "part"), [("http", b"HTTP/1.1 200 OK\r\nVi"), ("socks5h", b"\5")])
def test_part_of_a_proxy_s_answer_is_told_when_the_rest_does_not_come(
    scheme: str, part: bytes, dialer: Dialer
) -> None:
    if scheme != "http":
        pytest.importorskip("socksio", reason="the extra syncws[socks] is not installed")
    with LoopbackServer(saying(part)) as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        said = f"asking the proxy {url} for h.test:99, after {part!r}"
        fail_in_time(dialer, "ws://h.test:99/", said, proxy=url)

    def end(peer: Peer) -> None:
        peer.recv_bytes()
        peer.send_bytes(part)

    with LoopbackServer(end) as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        error = dialer.fail("ws://h.test:99/", proxy=url)
    assert isinstance(error, ConnectionLost)
    assert f"asking the proxy {url} for h.test:99 after {part!r}" in str(error)


def test_proxy_that_does_not_speak_tls_is_told_with_its_own_words(dialer: Dialer) -> None:
    noise = b"220 mail.example ESMTP\r\n"
    with LoopbackServer(saying(noise)) as proxy:
        error = dialer.fail("ws://h.test:99/", proxy=f"https://127.0.0.1:{proxy.port}")
    assert f"(what came is not TLS, but {noise!r}: does the proxy speak TLS on this port?" in str(error)
    assert "Without TLS its URL is http:" in str(error) and "ws:)" not in str(error)

    def end(peer: Peer) -> None:
        peer.recv_bytes()

    with LoopbackServer(end) as proxy:
        error = dialer.fail("ws://h.test:99/", proxy=f"https://127.0.0.1:{proxy.port}")
    assert f"port {proxy.port}: the proxy ended TCP" in str(error)


def test_proxy_that_speaks_tls_where_none_was_expected_is_told_with_its_scheme(dialer: Dialer) -> None:
    with LoopbackServer(saying(b"\x15\x03\x01\0\2\2\x46")) as proxy:
        error = dialer.fail("ws://h.test:99/", proxy=f"http://127.0.0.1:{proxy.port}")
    assert "was asked to CONNECT h.test:99: the answer is not HTTP but TLS" in str(error)
    assert "should its URL be https: ?" in str(error)


def test_look_up_of_a_proxy_that_takes_too_long_names_it_with_its_port(
    dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def getaddrinfo(*_: object) -> list[object]:
        ended.wait(SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    said = "given up while looking up the proxy 'slow.test' port 3128"
    fail_in_time(dialer, "ws://h.test/", said, proxy="http://slow.test:3128")
    ended.set()


WITHOUT_SOCKS = """
import sys
sys.modules["socksio"] = None
import syncws
error = []
ws = syncws.WebSocket(sys.argv[1], max_redirects=1, onerror=error.append)
ws.join()
try:
    syncws.connect(sys.argv[1], max_redirects=1)
except syncws.WebSocketError as raised:
    assert str(raised) == error[0].message
    print(raised)
"""


def test_missing_extra_is_told_also_where_only_a_redirect_leads_to_such_a_proxy() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(b"HTTP/1.1 302 Found\r\nLocation: wss://h.test/\r\nContent-Length: 0\r\n\r\n")

    with LoopbackServer(script) as server, LoopbackServer(saying()) as proxy:
        environment = {"https_proxy": f"socks5h://127.0.0.1:{proxy.port}"}
        told = programs.run_silently("-c", WITHOUT_SOCKS, server.url, environment=environment)
    assert "wss://h.test/: the proxy socks5h://" in told and "pip install 'syncws[socks]'" in told
