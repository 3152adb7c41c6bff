"""No text shows a secret where the way to the server fails: its name, its TLS, its silence or a proxy."""

from __future__ import annotations

import socket
import ssl

import pytest

from syncws.testing import LoopbackServer
from tests.reach.secret_cases import ARGUMENTS, BASIC, CALLS, WORD, Call, each_call, filled, watched
from tests.support.proxies import Proxy
from tests.support.servers import unanswering
from tests.support.stress import turns


@pytest.mark.parametrize(("argument", "way"), turns(ARGUMENTS, CALLS))
def test_argument_and_a_way_that_fails(
    argument: str, way: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    userinfo, query, options = filled(argument)
    with watched(caplog) as seen, unanswering() as url:
        for scheme in ("ws", "wss"):
            there = f"{scheme}://{userinfo}{url.partition('//')[2]}path{query}"
            CALLS[way](there, {"open_timeout": 0.03, **options}, seen)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        CALLS[way](f"ws://{userinfo}h.test/{query}", options, seen)
    assert any("open_timeout" in text for text in seen) and any("cannot resolve" in text for text in seen)


ANSWERS_OF_PROXIES: dict[str, bytes] = {
    "407": f"HTTP/1.1 407 {WORD} {BASIC}\r\nX: {BASIC}\r\nContent-Length: 80\r\n\r\n{BASIC} {WORD}".encode(),
    "302": f"HTTP/1.1 302 x\r\nLocation: http://{WORD}@h/?{WORD}\r\nContent-Length: 0\r\n\r\n".encode(),
    "noise": f"{BASIC} {WORD}\r\n".encode(),
    "nothing": b"",
    "more": f"HTTP/1.1 200 {WORD}\r\n\r\n{WORD}".encode(),
}


@each_call
@pytest.mark.parametrize("name", ANSWERS_OF_PROXIES)
def test_credentials_of_a_proxy(name: str, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    with watched(caplog) as seen, Proxy("http", answer=ANSWERS_OF_PROXIES[name]) as proxy:
        call("ws://h.test/", {"proxy": proxy.url_with(f"{WORD}:{WORD}@")}, seen)
        assert any(f"http://127.0.0.1:{proxy.port}" in text for text in seen)


@each_call
def test_credentials_of_a_proxy_of_the_environment(
    call: Call, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(caplog) as seen, Proxy("http", answer=ANSWERS_OF_PROXIES["407"]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url_with(f"{WORD}:{WORD}@"))
        call("ws://h.test/", {}, seen)
        assert any(f"http://127.0.0.1:{proxy.port}" in text for text in seen)


@each_call
def test_error_of_tls(
    call: Call, caplog: pytest.LogCaptureFixture, server_ssl_context: ssl.SSLContext
) -> None:
    with watched(caplog) as seen, LoopbackServer(tls=server_ssl_context) as server:
        url = server.url_for(f"/path?{WORD}").replace("//", f"//{WORD}:{WORD}@")
        call(url, {"headers": {"X": WORD}}, seen)
        assert any("certificate verify failed" in text for text in seen)
