"""`syncws._protocol.handshake`: what the client asks for, and each check of the answer."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from syncws._exceptions import HandshakeError, SyntaxErr
from syncws._headers import Headers
from syncws._protocol.handshake import (
    RESERVED_HEADERS,
    HandshakeRequest,
    accept_key,
    check_protocols,
    check_response,
    make_key,
    parse_extensions,
)
from syncws._protocol.http11 import Fields, Response
from syncws._protocol.permessage_deflate import DeflateParameters
from syncws._protocol.url import parse_url
from syncws._version import __version__

# The example of RFC 6455 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

ANSWER: dict[str, str] = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}

PROTOCOLS: list[tuple[Any, tuple[str, ...] | type[Exception]]] = [
    ((), ()),
    ([], ()),
    ("chat", ("chat",)),
    (["chat"], ("chat",)),
    (("a", "B", "c.1"), ("a", "B", "c.1")),
    (iter(["a", "b"]), ("a", "b")),
    ("a, b", SyntaxErr),
    ("", SyntaxErr),
    ([""], SyntaxErr),
    (["a", "a"], SyntaxErr),
    (["a", "b", "A"], SyntaxErr),
    (["a b"], SyntaxErr),
    (["ä"], SyntaxErr),
    (["a\n"], SyntaxErr),
    (['"a"'], SyntaxErr),
    (["a", 5], TypeError),
    ([b"a"], TypeError),
    (b"a", TypeError),
    (5, TypeError),
    (None, TypeError),
]

# What is changed in a good answer (None takes the field away; pairs are added), and what the error names.
REFUSED: list[tuple[dict[str, str | None], Fields, str]] = [
    ({"Upgrade": None}, (), "no Upgrade header"),
    ({"Upgrade": "websockets"}, (), "Upgrade header is 'websockets'"),
    ({"Upgrade": "websocket, h2c"}, (), "Upgrade header is"),
    ({"Upgrade": ""}, (), "Upgrade header is"),
    ({}, (("upgrade", "websocket"),), "2 Upgrade headers"),
    ({"Connection": None}, (), "Connection header '' lacks"),
    ({"Connection": "keep-alive"}, (), "Connection header 'keep-alive' lacks"),
    ({"Connection": "Upgrades"}, (), "Connection header"),
    ({"Connection": "keep-alive Upgrade"}, (), "Connection header"),
    ({"Sec-WebSocket-Accept": None}, (), "no Sec-WebSocket-Accept header"),
    ({"Sec-WebSocket-Accept": ""}, (), "Sec-WebSocket-Accept is ''"),
    ({"Sec-WebSocket-Accept": ACCEPT.lower()}, (), "Sec-WebSocket-Accept is"),
    ({"Sec-WebSocket-Accept": f'"{ACCEPT}"'}, (), "Sec-WebSocket-Accept is"),
    ({"Sec-WebSocket-Accept": KEY}, (), "Sec-WebSocket-Accept is"),
    ({}, (("Sec-WebSocket-Accept", ACCEPT),), "2 Sec-WebSocket-Accept headers"),
    ({}, (("Sec-WebSocket-Extensions", "x-webkit-deflate-frame"),), "extension 'x-webkit-deflate-frame'"),
    ({}, (("Sec-WebSocket-Extensions", "permessage-deflate, x"),), "extension 'x'"),
    ({}, (("Sec-WebSocket-Extensions", "permessage-deflate, permessage-deflate"),), "twice"),
    ({}, (("Sec-WebSocket-Extensions", "permessage-deflate; x"),), "unknown parameter 'x'"),
    ({}, (("Sec-WebSocket-Extensions", "permessage-deflate x"),), "malformed"),
    ({}, (("Sec-WebSocket-Protocol", "chat"),), "'chat', which was not asked for"),
]

ACCEPTED: list[tuple[dict[str, str | None], Fields]] = [
    ({}, ()),
    ({"Upgrade": "WebSocket"}, ()),
    ({"Connection": "upgrade"}, ()),
    ({"Connection": "keep-alive, UPGRADE"}, ()),
    ({"Connection": ",,Upgrade ,"}, ()),
    ({"Connection": "keep-alive"}, (("connection", "Upgrade"),)),
    ({}, (("Server", "x"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"))),
    ({}, (("Sec-WebSocket-Extensions", ""),)),
    ({}, (("Sec-WebSocket-Protocol", ""),)),
    ({}, (("Sec-WebSocket-Extensions", " , "),)),
]

# Asked for, the answer's fields, and what was selected; None for a refusal.
SELECTED: list[tuple[tuple[str, ...], tuple[str, ...], str | None]] = [
    ((), (), ""),
    (("a", "b"), ("a",), "a"),
    (("a", "b"), ("b",), "b"),
    (("a", "b"), (), None),
    (("a", "b"), ("A",), None),
    (("a", "b"), ("c",), None),
    (("a", "b"), ("",), None),
    (("a", "b"), ("a, b",), None),
    (("a", "b"), ("a", "b"), None),
    (("a", "b"), ("a", "a"), None),
]

EXTENSIONS: list[tuple[list[str], Any]] = [
    ([], []),
    ([""], []),
    ([" , ,, "], []),
    (["a"], [("a", [])]),
    (["a,b"], [("a", []), ("b", [])]),
    (["a , ,b,"], [("a", []), ("b", [])]),
    (["a", "b"], [("a", []), ("b", [])]),
    (["a;x"], [("a", [("x", None)])]),
    (["a ; x = 1 ;y\t;z=2, b;x"], [("a", [("x", "1"), ("y", None), ("z", "2")]), ("b", [("x", None)])]),
    (['a; x="1", b'], [("a", [("x", "1")]), ("b", [])]),
    (['a; x="1\\0"'], [("a", [("x", "10")])]),
    (["a;x;x=1"], [("a", [("x", None), ("x", "1")])]),
    (["a b"], None),
    (["a;"], None),
    (["a;;x"], None),
    ([";x"], None),
    (["a;x="], None),
    (["a;=1"], None),
    (["a;x=1 2"], None),
    (['a;x="1'], None),
    (['a;x="1"2'], None),
    (['a;x=""'], None),
    (['a;x="1,2"'], None),
    (['a;x="\\"'], None),
    (["(a)"], None),
    (["ä"], None),
    (["a", "b c"], None),
]


def asked(**changes: Any) -> HandshakeRequest:
    values: dict[str, Any] = {"url": parse_url("ws://h/"), "key": KEY, "compression": True, **changes}
    return HandshakeRequest(**values)


def answer(changed: dict[str, str | None] | None = None, added: Fields = (), **changes: Any) -> Response:
    fields = {**ANSWER, **(changed or {})}
    headers = tuple((name, value) for name, value in fields.items() if value is not None)
    return Response(**{"status": 101, "reason": "", "headers": Headers((*headers, *added)), **changes})


def test_accept_is_that_of_the_rfc_example() -> None:
    assert accept_key(KEY) == ACCEPT


def test_keys_are_sixteen_bytes_and_never_the_same() -> None:
    keys = {make_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


@pytest.mark.parametrize(("given", "expected"), PROTOCOLS)
def test_protocols_are_distinct_tokens(given: Any, expected: tuple[str, ...] | type[Exception]) -> None:
    if isinstance(expected, tuple):
        assert check_protocols(given) == expected
    else:
        with pytest.raises(expected):
            check_protocols(given)


def test_error_for_a_protocol_names_it() -> None:
    with pytest.raises(SyntaxErr, match=r"'b c'"):
        check_protocols(["a", "b c"])
    with pytest.raises(SyntaxErr, match=r"'A' is given twice"):
        check_protocols(["a", "A"])


def test_error_for_a_protocol_shows_no_more_than_its_beginning() -> None:
    token = "base64url.bearer.authorization.k8s.io.s3cret"
    for bad in ([token, token], f"{token} ", [token.encode()], token.encode(), {token: 1}):
        with pytest.raises((SyntaxErr, TypeError)) as caught:
            check_protocols(bad)  # type: ignore[arg-type]
        assert "protocols" in str(caught.value)
        assert "bearer" not in str(caught.value)


def test_shortest_request_has_the_fields_of_the_rfc_in_its_spelling_and_names_the_client() -> None:
    assert asked(compression=False).request().decode() == (
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"User-Agent: syncws/{__version__}\r\n\r\n"
    )


def test_request_has_all_that_was_asked_for() -> None:
    request = asked(
        url=parse_url("wss://us%40er:p:w@h:81/p%20q?x=1"),
        protocols=("a", "B"),
        origin="https://o",
        headers=(("X-One", "1"), ("X-Two", "é")),
    ).request()
    lines = request.decode("latin-1").split("\r\n")
    assert lines[0] == "GET /p%20q?x=1 HTTP/1.1"
    assert lines[1] == "Host: h:81"
    assert lines[7:] == [
        "Origin: https://o",
        "Sec-WebSocket-Protocol: a, B",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Authorization: Basic " + base64.b64encode(b"us@er:p:w").decode(),
        "X-One: 1",
        "X-Two: é",
        "",
        "",
    ]


@pytest.mark.parametrize("name", ["host", "user-agent", "authorization", "origin"])
def test_field_of_the_caller_takes_the_place_of_ours(name: str) -> None:
    plain = asked(url=parse_url("ws://u:p@h/"), origin="https://o")
    request = dataclasses.replace(plain, headers=((name, "x"),)).request()
    assert request.lower().count(f"\r\n{name}: ".encode()) == 1
    assert f"\r\n{name}: x\r\n".encode() in request
    assert request.count(b"\r\n") == plain.request().count(b"\r\n")


def test_field_that_the_protocol_rests_on_is_reserved() -> None:
    lines = asked(protocols=("a",)).request().decode().split("\r\n")[1:-2]
    names = {line.partition(":")[0].lower() for line in lines}
    assert names - RESERVED_HEADERS == {"host", "user-agent"}


@pytest.mark.parametrize(("changed", "added"), ACCEPTED)
def test_good_answer_is_accepted(changed: dict[str, str | None], added: Fields) -> None:
    response = answer(changed, added)
    agreed = check_response(asked(), response)
    assert (agreed.protocol, agreed.deflate, agreed.response) == ("", None, response)


@pytest.mark.parametrize(("changed", "added", "message"), REFUSED)
def test_bad_answer_is_refused_with_its_status_and_headers(
    changed: dict[str, str | None], added: Fields, message: str
) -> None:
    response = answer(changed, added)
    with pytest.raises(HandshakeError) as caught:
        check_response(asked(), response)
    assert message in str(caught.value)
    assert caught.value.status == 101
    assert caught.value.headers == response.headers


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_answer_of_another_http_version_is_refused(version: str) -> None:
    with pytest.raises(HandshakeError, match=f"HTTP/{version}"):
        check_response(asked(), answer(version=version))


@pytest.mark.parametrize(("wanted", "fields", "selected"), SELECTED)
def test_selected_protocol_is_one_of_those_asked_for(
    wanted: tuple[str, ...], fields: tuple[str, ...], selected: str | None
) -> None:
    response = answer({}, tuple(("Sec-WebSocket-Protocol", field) for field in fields))
    if selected is not None:
        assert check_response(asked(protocols=wanted), response).protocol == selected
    else:
        with pytest.raises(HandshakeError, match=r"subprotocol|2 Sec-WebSocket-Protocol headers"):
            check_response(asked(protocols=wanted), response)


@pytest.mark.parametrize(("wanted", "fields", "selected"), SELECTED)
def test_a_server_may_select_no_protocol_where_none_is_required(
    wanted: tuple[str, ...], fields: tuple[str, ...], selected: str | None
) -> None:
    response = answer({}, tuple(("Sec-WebSocket-Protocol", field) for field in fields))
    request = asked(protocols=wanted, require_protocol=False)
    if selected is not None:
        assert check_response(request, response).protocol == selected
    elif not any(fields):
        assert check_response(request, response).protocol == ""
    else:
        with pytest.raises(HandshakeError, match="not asked for|2 Sec-WebSocket-Protocol headers"):
            check_response(request, response)


def test_http_1_0_is_taken() -> None:
    assert check_response(asked(), answer(version="1.0")).protocol == ""


def test_error_for_a_protocol_that_the_server_selects_shows_no_more_than_the_beginning() -> None:
    token = "base64url.bearer.authorization.k8s.io.s3cret"
    with pytest.raises(HandshakeError) as caught:
        check_response(asked(protocols=(token,)), answer())
    assert "base64url.be" in str(caught.value) and "s3cret" not in str(caught.value)
    response = answer({}, (("Sec-WebSocket-Protocol", token),))
    with pytest.raises(HandshakeError, match=r"subprotocol 'base64url.be'\.\.\., which was not asked for"):
        check_response(asked(), response)


def test_agreed_compression_is_shown_as_the_server_wrote_it() -> None:
    written = "permessage-deflate; server_max_window_bits=10;client_no_context_takeover"
    agreed = check_response(asked(), answer({}, (("sec-websocket-extensions", written),)))
    assert agreed.extensions == written
    assert agreed.deflate == DeflateParameters(server_max_window_bits=10, client_no_context_takeover=True)


def test_compression_is_refused_when_it_was_not_offered() -> None:
    response = answer({}, (("Sec-WebSocket-Extensions", "permessage-deflate"),))
    with pytest.raises(HandshakeError, match="not asked for"):
        check_response(asked(compression=False), response)
    assert check_response(asked(), response).deflate == DeflateParameters()


@pytest.mark.parametrize(("values", "expected"), EXTENSIONS)
def test_extensions_follow_their_grammar(values: list[str], expected: Any) -> None:
    if expected is not None:
        assert list(parse_extensions(values)) == expected
    else:
        with pytest.raises(HandshakeError, match="Sec-WebSocket-Extensions"):
            list(parse_extensions(values))
