"""`syncws._protocol.cookies`: a jar of the standard library's works for ws: as for http:."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy

import pytest

from syncws._headers import Headers
from syncws._protocol.cookies import cookie_fields, store_cookies
from syncws._protocol.url import parse_url


def stored(jar: CookieJar, url: str, *cookies: str) -> list[str]:
    store_cookies(jar, parse_url(url), Headers([("set-cookie", cookie) for cookie in cookies]))
    return sorted(f"{cookie.name}={cookie.value}" for cookie in jar)


def sent(jar: CookieJar | None, url: str) -> str | None:
    fields = cookie_fields(jar, parse_url(url))
    assert [name for name, _ in fields] in ([], ["Cookie"])
    return fields[0][1] if fields else None


def test_what_is_set_is_sent_again() -> None:
    jar = CookieJar()
    assert stored(jar, "ws://example.com/", "a=1", "b=2; Path=/x") == ["a=1", "b=2"]
    assert sent(jar, "ws://example.com/") == "a=1"
    assert sent(jar, "ws://example.com:81/x/y") == "b=2; a=1"
    assert sent(jar, "wss://example.com/") == "a=1"
    assert sent(jar, "ws://other.example/") is None


def test_secure_cookies_are_for_wss_alone() -> None:
    jar = CookieJar()
    assert stored(jar, "wss://example.com/", "a=1; Secure", "b=2") == ["a=1", "b=2"]
    assert sent(jar, "ws://example.com/") == "b=2"
    assert sent(jar, "wss://example.com/") == "a=1; b=2"


def test_cookies_of_a_domain_go_to_its_hosts() -> None:
    jar = CookieJar()
    assert stored(jar, "ws://a.example.com/", "a=1; Domain=example.com", "b=2; Domain=other.example") == [
        "a=1"
    ]
    assert sent(jar, "ws://b.example.com/") == "a=1"


def test_cookies_end() -> None:
    jar = CookieJar()
    stored(jar, "ws://example.com/", "a=1")
    assert stored(jar, "ws://example.com/", "a=1; Max-Age=0") == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_hosts_without_a_domain_have_cookies_too(host: str) -> None:
    jar = CookieJar()
    assert stored(jar, f"ws://{host}:81/", "a=1") == ["a=1"]
    assert sent(jar, f"ws://{host}:82/") == "a=1"


def test_policy_of_the_jar_decides() -> None:
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["example.com"]))
    assert stored(jar, "ws://example.com/", "a=1") == []


def test_without_a_jar_nothing_is_sent_or_stored() -> None:
    assert sent(None, "ws://example.com/") is None
    store_cookies(None, parse_url("ws://example.com/"), Headers([("Set-Cookie", "a=1")]))


def test_cookie_of_the_program_s_own_is_sent() -> None:
    jar = CookieJar()
    where = ("example.com", False, False, "/", True)
    jar.set_cookie(Cookie(0, "a", "1", None, False, *where, False, None, True, None, None, {}))
    assert sent(jar, "ws://example.com/") == "a=1"
