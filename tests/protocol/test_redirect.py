"""`syncws._protocol.redirect`: where a redirect leads, and what goes along."""

from __future__ import annotations

from typing import Any

import pytest

from syncws._protocol.handshake import HandshakeRequest
from syncws._protocol.redirect import RedirectError, follow
from syncws._protocol.url import parse_url

LOCATIONS: list[tuple[str, str, str]] = [
    ("ws://h/a/b?q", "ws://other/c", "ws://other/c"),
    ("ws://h/a/b?q", "wss://h/c", "wss://h/c"),
    ("ws://h/a/b?q", "http://other/c", "ws://other/c"),
    ("wss://h/a/b?q", "https://other:81/c?d", "wss://other:81/c?d"),
    ("wss://h/a/b?q", "//other/c", "wss://other/c"),
    ("ws://h:81/a/b?q", "/c?d", "ws://h:81/c?d"),
    ("ws://h/a/b?q", "c", "ws://h/a/c"),
    ("ws://h/a/b?q", "../c", "ws://h/c"),
    ("ws://h/a/b?q", "./c/", "ws://h/a/c/"),
    ("ws://h/a/b?q", "?r", "ws://h/a/b?r"),
    ("ws://h", "c", "ws://h/c"),
    ("ws://h/a", "/b#fragment", "ws://h/b"),
    ("ws://h/a", " /b ", "ws://h/b"),
    ("ws://[fe80::1%25lo]/a", "/b", "ws://[fe80::1%25lo]/b"),
]

REFUSED: list[tuple[str, str, str]] = [
    ("wss://h/", "ws://h/", "from wss: to ws:"),
    ("wss://h/", "http://h/", "from wss: to ws:"),
    ("ws://h/", "", "nowhere"),
    ("ws://h/", "#a", "nowhere"),
    ("ws://h/", "ftp://h/", "scheme"),
    ("ws://h/", "mailto:h", "scheme"),
    ("ws://h/", "ws://h:99999/", "port"),
    ("ws://h/", "//", "host"),
]

CREDENTIALS = (
    *(("Authorization", "Bearer x"), ("Cookie", "a=b"), ("Proxy-Authorization", "x"), ("X-Api-Key", "x")),
    *(("X-Auth-Token", "x"), ("x-amz-security-token", "x"), ("X-Session", "x"), ("My-Secret", "x")),
)
OTHERS = (("X-One", "1"), ("User-Agent", "x"), ("Accept-Language", "de"))


def asked(url: str, **options: Any) -> HandshakeRequest:
    return HandshakeRequest(parse_url(url), "key", **options)


@pytest.mark.parametrize(("base", "location", "url"), LOCATIONS)
def test_location_is_resolved_against_the_url(base: str, location: str, url: str) -> None:
    assert str(follow(asked(base), location).url) == url


@pytest.mark.parametrize(("base", "location", "why"), REFUSED)
def test_location_that_is_not_followed_says_why(base: str, location: str, why: str) -> None:
    with pytest.raises(RedirectError, match=why):
        follow(asked(base), location)


def test_error_for_a_location_shows_no_secret() -> None:
    for location in ("ws://user:s3cret@h:x/", "ftp://h/?s3cret", "ws://s3cret@h:1:2/#s3cret"):
        with pytest.raises(RedirectError) as caught:
            follow(asked("ws://h/"), location)
        assert "s3cret" not in str(caught.value)


def test_within_an_origin_everything_goes_along_but_the_key() -> None:
    first = asked(
        "ws://user:password@h/", headers=CREDENTIALS + OTHERS, auth=("a", "b"), protocols=("c",), origin="d"
    )
    second = follow(first, "/next")
    assert str(second.url) == "ws://user:password@h/next"
    assert second.headers == CREDENTIALS + OTHERS
    assert (second.auth, second.protocols, second.origin) == (("a", "b"), ("c",), "d")
    assert second.key != first.key


@pytest.mark.parametrize("location", ["ws://other/", "ws://h:81/", "wss://h/"])
def test_to_another_origin_no_credentials_go_along(location: str) -> None:
    first = asked(
        "ws://user:password@h/", headers=CREDENTIALS + OTHERS, auth=("a", "b"), protocols=("c",), origin="d"
    )
    second = follow(first, location)
    assert second.credentials is None
    assert second.headers == OTHERS
    assert (second.protocols, second.origin) == (("c",), "d")


def test_subprotocol_that_may_be_a_token_stays_with_its_origin() -> None:
    names = (
        "graphql-transport-ws",
        "base64url.bearer.authorization.k8s.io.abc",
        "x" * 41,
        "v4.channel.k8s.io",
    )
    first = asked("ws://h/", protocols=names)
    assert follow(first, "/next").protocols == names
    assert follow(first, "ws://other/").protocols == (names[0], names[3])


def test_host_field_of_the_caller_is_for_the_first_server_alone() -> None:
    first = asked("ws://h/", headers=(("Host", "virtual"),))
    assert follow(first, "/next").headers == (("Host", "virtual"),)
    assert follow(first, "ws://other/").headers == ()


def test_credentials_of_the_location_are_used() -> None:
    assert follow(asked("ws://a:b@h/"), "ws://c:d@h/").credentials == ("c", "d")
    assert follow(asked("ws://a:b@h/"), "ws://c:d@other/").credentials == ("c", "d")
