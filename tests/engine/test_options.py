"""`syncws._engine.options.options`: each keyword's default, and what it takes and refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import sys
from collections import ChainMap
from collections.abc import Iterator
from decimal import Decimal
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from syncws._engine.options.option_types import DEFAULT_QUEUE
from syncws._engine.options.options import Options

DURATIONS = ["open_timeout", "close_timeout", "ping_interval", "ping_timeout"]
COUNTS = ["max_size", "max_buffered"]

# Interface, *Options*.
DEFAULTS: dict[str, Any] = {
    "headers": (),
    "origin": None,
    "auth": None,
    "cookies": None,
    "max_redirects": 0,
    "require_protocol": True,
    "allow_blocked_port": False,
    "ssl_context": None,
    "ca": None,
    "cert": None,
    "server_hostname": None,
    "proxy": "auto",
    "sock": None,
    "unix": None,
    "source_address": None,
    "family": None,
    "socket_options": (),
    "compression": "deflate",
    "open_timeout": 10,
    "close_timeout": 10,
    "ping_interval": 20,
    "ping_timeout": 20,
    "max_size": 16 * 1024 * 1024,
    "max_queue": DEFAULT_QUEUE,
    "max_buffered": None,
    "trace": None,
}

TAKEN: list[tuple[str, Any, Any]] = [
    *[(name, value, value) for name in DURATIONS for value in (None, 1, 0.001, 3600.5, sys.float_info.max)],
    *[(name, value, value) for name in COUNTS for value in (None, 1, 2**63)],
    ("max_queue", None, (None, None)),
    ("max_queue", 1000, (1000, DEFAULT_QUEUE[1])),
    ("max_queue", (1000, 5), (1000, 5)),
    ("max_queue", (None, 5), (None, 5)),
    ("max_queue", (1000, None), (1000, None)),
    ("compression", None, None),
    ("compression", "deflate", "deflate"),
    ("origin", "https://example.com", "https://example.com"),
    ("origin", None, None),
    ("server_hostname", "example.com", "example.com"),
    ("server_hostname", None, None),
    ("server_hostname", "BÜCHER.example", "xn--bcher-kva.example"),
    ("server_hostname", "2001:DB8:0::1", "2001:db8::1"),
    ("ssl_context", None, None),
    ("auth", None, None),
    ("auth", ("user", "pass:word"), ("user", "pass:word")),
    ("auth", ("", ""), ("", "")),
    ("cookies", None, None),
    ("max_redirects", 5, 5),
    *[(name, value, value) for name in ("require_protocol", "allow_blocked_port") for value in (True, False)],
    ("ca", "authority.pem", "authority.pem"),
    ("ca", Path("authority.pem"), Path("authority.pem")),
    ("cert", "both.pem", "both.pem"),
    ("cert", ("certificate.pem", Path("key.pem")), ("certificate.pem", Path("key.pem"))),
    *[("proxy", value, value) for value in (None, "auto", "http://p:1", "p", "socks5h://u:p@[::1]:1080")],
    ("unix", "/run/socket", "/run/socket"),
    ("unix", b"\0abstract", b"\0abstract"),
    ("source_address", ("127.0.0.1", 0), ("127.0.0.1", 0)),
    ("source_address", ("::1", 5), ("::1", 5)),
    ("source_address", ("", 5), ("", 5)),
    *[("family", value, value) for value in (None, 4, 6)],
    ("socket_options", [(1, 2, 3), [4, 5, b"6"]], ((1, 2, 3), (4, 5, b"6"))),
    ("headers", None, ()),
    ("headers", {}, ()),
    ("headers", {"A": "b", "C": " d "}, (("A", "b"), ("C", "d"))),
    ("headers", ChainMap({"A": "b"}), (("A", "b"),)),
    ("headers", [("A", "b"), ["A", "c"]], (("A", "b"), ("A", "c"))),
    ("headers", iter([("A", "b")]), (("A", "b"),)),
    ("headers", {"Host": "h", "User-Agent": "x"}, (("Host", "h"), ("User-Agent", "x"))),
]


def refused(name: str, error: type[Exception], *values: Any) -> list[tuple[str, Any, type[Exception]]]:
    return [(name, value, error) for value in values]


REFUSED: list[tuple[str, Any, type[Exception]]] = [
    *[
        (name, value, ValueError)
        for name in DURATIONS
        for value in (0, -1, 0.0, float("nan"), float("inf"), 10**400)
    ],
    *[(name, value, TypeError) for name in DURATIONS for value in ("5", True, Decimal(1), [5], object)],
    *[(name, value, ValueError) for name in COUNTS for value in (0, -1)],
    *[(name, value, TypeError) for name in COUNTS for value in (5.0, "5", False, (5,))],
    ("max_queue", 0, ValueError),
    ("max_queue", (1, 0), ValueError),
    ("max_queue", (-1, 1), ValueError),
    ("max_queue", (1,), TypeError),
    ("max_queue", (1, 2, 3), TypeError),
    ("max_queue", "5", TypeError),
    ("max_queue", [1, 2], TypeError),
    ("max_queue", (1.5, 1), TypeError),
    ("compression", "gzip", ValueError),
    ("compression", "", ValueError),
    ("compression", True, ValueError),
    ("origin", "a\r\nb", ValueError),
    ("origin", "€", ValueError),
    ("origin", 5, TypeError),
    ("server_hostname", 5, TypeError),
    ("server_hostname", b"example.com", TypeError),
    ("server_hostname", "a\0b", ValueError),
    ("server_hostname", "", ValueError),
    ("auth", "user:password", TypeError),
    ("auth", ("user",), TypeError),
    ("auth", ["user", "password"], TypeError),
    ("auth", ("user", None), TypeError),
    ("auth", (b"user", "password"), TypeError),
    ("auth", ("us:er", "password"), ValueError),
    ("auth", ("user", "pass\nword"), ValueError),
    ("auth", ("user", "\ud800"), ValueError),
    *refused("cookies", TypeError, {"a": "b"}, "a=b", [], 5),
    *refused("max_redirects", TypeError, None, True, 5.0, "5"),
    ("max_redirects", -1, ValueError),
    *refused("require_protocol", TypeError, None, 0, 1, "yes"),
    *refused("allow_blocked_port", TypeError, None, 0, 1, "yes"),
    *refused("ca", TypeError, b"authority.pem", 5, True, ("a", "b")),
    *refused("ca", ValueError, "", "a\0b"),
    *refused("cert", TypeError, b"both.pem", 5, ("a",), ("a", "b", "c"), ("a", None)),
    ("cert", "", ValueError),
    *refused("proxy", TypeError, True, 5, b"http://p", ("p", 1)),
    *refused("proxy", ValueError, "", "ftp://p", "http://p:port", "none://"),
    *refused("sock", TypeError, 5, "127.0.0.1:1", object()),
    *refused("unix", TypeError, 5, True, ("a",)),
    *refused("unix", ValueError, "", b""),
    *refused("source_address", TypeError, "127.0.0.1", ("127.0.0.1",), (5, 5), ("a", "b")),
    *refused("source_address", ValueError, ("127.0.0.1", 65536), ("a.example", 0)),
    *refused("family", TypeError, "4", True, 4.0),
    *refused("family", ValueError, 0, 2, 10, socket.AF_INET6),
    *refused("socket_options", TypeError, None, 5, {}, "abc", [(1, 2)], [5], [(1, 2, None)]),
    ("ssl_context", True, TypeError),
    ("ssl_context", "cert.pem", TypeError),
    ("headers", "A: b", TypeError),
    ("headers", ["A"], TypeError),
    ("headers", ["AB"], TypeError),
    ("headers", [("A", "b", "c")], TypeError),
    ("headers", {"A": 5}, TypeError),
    ("headers", {b"A": "b"}, TypeError),
    ("headers", {"A B": "c"}, ValueError),
    ("headers", {"": "c"}, ValueError),
    *[("headers", {"A": f"b{bad}c"}, ValueError) for bad in "\r\n\0€"],
    *[
        ("headers", [(name, "x")], ValueError)
        for name in (
            "upgrade",
            "CONNECTION",
            "Sec-WebSocket-Key",
            "sec-websocket-accept",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Content-Length",
            "Transfer-Encoding",
        )
    ],
]


def test_defaults_are_those_of_the_interface() -> None:
    assert dataclasses.asdict(Options()) == DEFAULTS
    assert Options.from_keywords() == Options()


@pytest.mark.parametrize(("name", "value", "kept"), TAKEN)
def test_good_value_is_taken(name: str, value: Any, kept: Any) -> None:
    options = Options.from_keywords(**{name: value})
    assert getattr(options, name) == kept
    assert dataclasses.replace(options, **{name: DEFAULTS[name]}) == Options()


@pytest.mark.parametrize(("name", "value", "error"), REFUSED)
def test_bad_value_is_refused_with_the_name_of_the_option(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        Options.from_keywords(**{name: value})
    assert type(caught.value) is error
    # A request's field is named as such.
    assert name in str(caught.value) or (name == "origin" and "Origin" in str(caught.value))


def test_ssl_context_is_taken_as_it_is() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert Options.from_keywords(ssl_context=context).ssl_context is context


def test_jar_is_taken_as_it_is() -> None:
    jar = CookieJar()
    assert Options.from_keywords(cookies=jar).cookies is jar


def test_socket_is_one_that_is_open_and_without_tls() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert Options.from_keywords(sock=one).sock is one
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        with context.wrap_socket(other, do_handshake_on_connect=False) as secure:
            with pytest.raises(TypeError, match="sock must be a socket without TLS"):
                Options.from_keywords(sock=secure)
    with pytest.raises(ValueError, match="sock is closed"):
        Options.from_keywords(sock=one)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="sock must be a stream socket"):
            Options.from_keywords(sock=datagrams)


def pair() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


CONTRADICTIONS: list[dict[str, Any]] = [
    {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "ca": "a"},
    {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "cert": "a"},
    {"unix": "a", "proxy": "http://p"},
    {"unix": "a", "sock": pair},
    {"sock": pair, "proxy": "http://p"},
    {"sock": pair, "source_address": ("127.0.0.1", 0)},
    {"sock": pair, "family": 4},
    {"unix": "a", "family": 6},
]

TOGETHER: list[dict[str, Any]] = [
    {"unix": "a", "proxy": None},
    {"unix": "a", "proxy": "auto"},
    {"sock": pair, "proxy": "auto", "server_hostname": "a"},
    {"ca": "a", "cert": "b", "server_hostname": "a"},
    {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server_hostname": "a", "proxy": "http://p"},
    {"source_address": ("127.0.0.1", 0), "family": 4, "proxy": "http://p", "socket_options": [(1, 2, 3)]},
]


@contextlib.contextmanager
def made(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(contextlib.contextmanager(value)()) if value is pair else value
            for name, value in options.items()
        }


@pytest.mark.parametrize("options", CONTRADICTIONS)
def test_options_that_contradict_each_other_are_named(options: dict[str, Any]) -> None:
    with made(options) as given, pytest.raises(ValueError, match="cannot be given together") as caught:
        Options.from_keywords(**given)
    assert all(name in str(caught.value) for name in options)


@pytest.mark.parametrize("options", TOGETHER)
def test_options_that_go_together_are_taken(options: dict[str, Any]) -> None:
    with made(options) as given:
        Options.from_keywords(**given)


def test_origin_is_given_once() -> None:
    assert Options.from_keywords(headers={"origin": "a"}).headers == (("origin", "a"),)
    with pytest.raises(ValueError, match="Origin is given twice"):
        Options.from_keywords(headers={"origin": "a"}, origin="b")


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().max_size = 5  # type: ignore[misc]
    given = {"A": "b"}
    options = Options.from_keywords(headers=given)
    given["C"] = "d"
    assert options.headers == (("A", "b"),)
