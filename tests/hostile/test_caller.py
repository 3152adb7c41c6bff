"""Header injection by the caller: refused at the call, before any network traffic, or made harmless."""

from __future__ import annotations

from typing import Any

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer, Request
from tests.hostile.hostile_server import ENDS_WITHIN

ENDINGS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\n "]
RESERVED = [
    "Upgrade", "Connection", "connection", "Sec-WebSocket-Key", "SEC-WEBSOCKET-VERSION",
    "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding",
]  # fmt: skip


def refused(api: str, error: type[Exception], url: str = "{}", protocols: Any = (), **options: Any) -> str:
    """What the call raises, at a server that nothing may reach."""
    open_ = syncws.WebSocket if api == "callback" else syncws.connect
    with LoopbackServer() as server, pytest.raises(error) as told:
        open_(url.format(server.url_for("")), protocols, **options)
    assert len(server.connections) == 0
    return str(told.value)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", ["{}Evil: yes", "good{}Evil: yes", "good{}", "{}"])
@pytest.mark.parametrize("as_pairs", [True, False], ids=["pairs", "mapping"])
def test_a_header_value_that_could_end_its_line_is_a_value_error_that_names_it(
    as_pairs: bool, shape: str, ending: str, api: str
) -> None:
    value = shape.format(ending)
    said = refused(api, ValueError, headers=[("X-Good", value)] if as_pairs else {"X-Good": value})
    assert "X-Good" in said


@pytest.mark.parametrize(
    "name", ["X: y\r\nEvil", "X\r\n", "X\n", "X\0", "X:", "X Y", " X", "X ", "", "Ä", "X(", "X\tY", "\x7f"]
)
def test_a_header_name_that_is_no_token_is_a_value_error(name: str, api: str) -> None:
    # The name is quoted up to its bad character: what follows may be a whole line, with a secret in it.
    said = refused(api, ValueError, headers={name: "value"})
    assert "headers: " in said and "field name" in said and "value" not in said


@pytest.mark.parametrize("name", RESERVED)
def test_a_header_of_the_handshake_itself_is_a_value_error(name: str, api: str) -> None:
    assert name in refused(api, ValueError, headers={name: "value"})


@pytest.mark.parametrize("value", ["☃", "\ud800"])
def test_a_header_value_that_cannot_be_sent_is_a_value_error(value: str, api: str) -> None:
    assert "'X'" in refused(api, ValueError, headers={"X": value})


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_origin_that_could_end_its_line_is_a_value_error_that_names_it(ending: str, api: str) -> None:
    assert "Origin" in refused(api, ValueError, origin=f"https://good.example{ending}Evil: yes")


@pytest.mark.parametrize(
    "protocol", ["chat\r\nEvil: yes", "chat\n", "chat\0", "chat, evil", "chat;q=1", "", " ", "chät", '"chat"']
)
def test_a_subprotocol_that_is_no_token_is_a_syntax_error(protocol: str, api: str) -> None:
    for protocols in (protocol, [protocol], ["good", protocol]):
        # Not more than twelve characters are quoted: a subprotocol may carry a token.
        assert repr(protocol[:12])[:-1] in refused(api, syncws.SyntaxErr, protocols=protocols)


@pytest.mark.parametrize(
    "url", ["{}/#a", "{}/#", "ws://good.example\0/", "ws://a b/", "ws://[::1\r\n", "//x/", "ws://a:b@:80/"]
)
def test_a_url_that_cannot_be_right_is_a_syntax_error(url: str, api: str) -> None:
    refused(api, syncws.SyntaxErr, url=url)


def first_request(api: str, path: str, user: str = "", **options: Any) -> Request:
    """The request that a server gets."""
    asked: list[Request] = []

    def script(peer: Peer) -> None:
        asked.append(peer.read_request())
        peer.refuse()
        peer.wait_eof(ENDS_WITHIN)

    with LoopbackServer(script) as server:
        url = server.url_for(path).replace("//", f"//{user}", 1)
        if api == "callback":
            syncws.WebSocket(url, **options).join(ENDS_WITHIN)
        else:
            with pytest.raises(syncws.HandshakeError):
                syncws.connect(url, **options)
    (request,) = asked
    return request


def names(request: Request) -> list[str]:
    return [name for name, _ in request.headers.multi_items()]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a\r\nEvil: yes", "/aEvil:%20yes"),  # the URL standard drops the newlines
        ("/a HTTP/1.1\r\nEvil: yes\r\n\r\n", "/a%20HTTP/1.1Evil:%20yes"),
        ("/?a\nb", "/?ab"),
        ("/?a b\0c", "/?a%20b%00c"),
        ("/\tä", "/%C3%A4"),
        ("/%0d%0aEvil:%20yes", "/%0d%0aEvil:%20yes"),  # stays escaped
        ("\r\n", "/"),
    ],
)
def test_a_url_cannot_add_a_line_to_the_request(path: str, target: str, api: str) -> None:
    request = first_request(api, path)
    assert (request.method, request.target, request.version) == ("GET", target, "HTTP/1.1")
    assert names(request) == names(first_request(api, "/plain"))


def test_credentials_in_a_url_cannot_add_a_line_to_the_request(api: str) -> None:
    request = first_request(api, "/", user="us%0D%0AEvil:p%0Aw@")
    assert names(request) == names(first_request(api, "/", user="plain:plain@"))
    assert "Authorization" in names(request)


def test_headers_that_are_lawful_arrive_as_they_are(api: str) -> None:
    given = [("X-A", "1, 2"), ("X-A", ""), ("X-B", "\xe4\tz")]
    request = first_request(api, "/", headers=given, origin="https://o.example")
    assert [pair for pair in request.headers.multi_items() if pair[0].startswith("X-")] == given
    assert request.headers.get("Origin") == "https://o.example"
