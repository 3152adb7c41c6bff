"""`syncws._engine.options`: each keyword's default, and what it takes and refuses."""

from __future__ import annotations

import dataclasses
import ssl
import sys
from collections import ChainMap
from decimal import Decimal
from typing import Any

import pytest

from syncws._engine.options import DEFAULT_QUEUE, Options

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
    ("ssl_context", None, None),
    ("headers", None, ()),
    ("headers", {}, ()),
    ("headers", {"A": "b", "C": " d "}, (("A", "b"), ("C", "d"))),
    ("headers", ChainMap({"A": "b"}), (("A", "b"),)),
    ("headers", [("A", "b"), ["A", "c"]], (("A", "b"), ("A", "c"))),
    ("headers", iter([("A", "b")]), (("A", "b"),)),
    ("headers", {"Host": "h", "User-Agent": "x"}, (("Host", "h"), ("User-Agent", "x"))),
]

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
