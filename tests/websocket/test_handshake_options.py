"""The opening handshake as the options shape it: headers, origin, credentials, subprotocols, extensions."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest

from syncws import HandshakeError, WebSocket
from syncws.testing import LoopbackServer, Peer, Request
from tests.support.clients import Recorder, connected, run
from tests.support.waiting import SECONDS


class Keeper:
    """A script that keeps the request, and refuses it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, peer: Peer) -> None:
        self.requests.append(peer.read_request())
        peer.refuse()


def request(path: str = "/", credentials: str = "", protocols: Any = (), **options: Any) -> Request:
    """The request that a client with these options sends."""
    keeper = Keeper()
    with LoopbackServer(keeper) as server:
        url = server.url_for(path).replace("//", f"//{credentials}", 1)
        WebSocket(url, protocols, **options).join(SECONDS)
    (kept,) = keeper.requests
    return kept


def test_request_is_a_get_of_path_and_query_with_the_names_spelled_as_in_the_rfc() -> None:
    asked = request("/chat/a%20b?x=1&y", protocols=["a", "b"])
    assert (asked.method, asked.target, asked.version) == ("GET", "/chat/a%20b?x=1&y", "HTTP/1.1")
    fields = dict(asked.headers)
    for name in (
        *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"),
        *("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"),
    ):
        assert name in fields
    assert (fields["Upgrade"], fields["Connection"]) == ("websocket", "Upgrade")
    assert fields["Sec-WebSocket-Version"] == "13"
    assert fields["Sec-WebSocket-Protocol"] == "a, b"
    assert len(base64.b64decode(fields["Sec-WebSocket-Key"], validate=True)) == 16
    names = [name.lower() for name, _ in asked.headers.multi_items()]
    assert len(names) == len(set(names))


def test_key_is_fresh_for_each_connection() -> None:
    keys = {request().headers.get("Sec-WebSocket-Key") for _ in range(3)}
    assert len(keys) == 3


def test_host_holds_the_port_and_no_credentials() -> None:
    keeper = Keeper()
    with LoopbackServer(keeper) as server:
        port = server.port
        WebSocket(f"ws://user:secret@LOCALHOST:{port}").join(SECONDS)
        WebSocket(f"ws://127.0.0.1:{port}").join(SECONDS)
    assert [kept.headers.get("Host") for kept in keeper.requests] == [
        f"localhost:{port}",
        f"127.0.0.1:{port}",
    ]
    assert [kept.target for kept in keeper.requests] == ["/", "/"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-One": "1", "Cookie": "a=b; c=d"},
        [("X-One", "1"), ("Cookie", "a=b; c=d")],
        (("X-One", "1"), ["Cookie", "a=b; c=d"]),
        iter([("X-One", "1"), ("Cookie", "a=b; c=d")]),
    ],
)
def test_headers_may_be_a_mapping_or_pairs_and_go_out_as_given(headers: Any) -> None:
    asked = request(headers=headers)
    assert [pair for pair in asked.headers.multi_items() if pair[0] in ("X-One", "Cookie")] == [
        ("X-One", "1"),
        ("Cookie", "a=b; c=d"),
    ]


def test_headers_may_repeat_a_name_and_hold_latin_1() -> None:
    asked = request(headers=[("X-A", "1"), ("X-A", "2"), ("x-b", "\xfc"), ("X-C", "")])
    assert [pair for pair in asked.headers.multi_items() if pair[0].lower().startswith("x-")] == [
        ("X-A", "1"),
        ("X-A", "2"),
        ("x-b", "\xfc"),
        ("X-C", ""),
    ]


def test_origin_is_sent_as_given_and_left_out_by_default() -> None:
    assert request(origin="https://example.com").headers.get("Origin") == "https://example.com"
    assert request().headers.get("Origin") is None


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ("user:secret@", b"user:secret"),
        ("user@", b"user:"),
        (":secret@", b":secret"),
        ("us%20er:p%3Aw%40@", b"us er:p:w@"),
        ("\xfc:\u20ac@", "\xfc:\u20ac".encode()),
    ],
)
def test_user_and_password_of_the_url_become_basic_authorization(credentials: str, sent: bytes) -> None:
    expected = "Basic " + base64.b64encode(sent).decode()
    assert request(credentials=credentials).headers.get("Authorization") == expected


@pytest.mark.parametrize("credentials", ["", "@", ":@"])
def test_url_without_user_and_password_sends_no_authorization(credentials: str) -> None:
    assert request(credentials=credentials).headers.get("Authorization") is None


@pytest.mark.parametrize("options", [{"headers": {"AUTHORIZATION": "Bearer x"}}, {"auth": ("a", "b")}])
def test_credentials_are_given_once(options: Any) -> None:
    with pytest.raises(ValueError, match="credentials are given twice") as caught:
        WebSocket("ws://user:s3cret@127.0.0.1:9999/", **options)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValueError, match="credentials are given twice"):
        WebSocket("ws://127.0.0.1:9999/", headers={"authorization": "x"}, auth=("user", "password"))


def test_compression_offers_permessage_deflate_by_default_and_none_does_not() -> None:
    for asked in (request(), request(compression="deflate")):
        offer = asked.headers.get("Sec-WebSocket-Extensions")
        assert offer is not None and offer.startswith("permessage-deflate")
    assert request(compression=None).headers.get("Sec-WebSocket-Extensions") is None


def accept_with(**options: Any) -> Any:
    def script(peer: Peer) -> None:
        peer.accept(**options)
        peer.echo()

    return script


@pytest.mark.parametrize(
    ("protocols", "selected"), [("chat", "chat"), (["a", "b"], "b"), (["Chat", "x"], "Chat")]
)
def test_protocol_is_what_the_server_selected(protocols: Any, selected: str) -> None:
    with connected(accept_with(protocol=selected), protocols=protocols) as (ws, recorder, _):
        assert ws.protocol == selected
        ws.close()
        recorder.wait("close")
        assert ws.protocol == selected


def test_protocol_and_extensions_are_empty_until_open_and_set_in_the_open_callback() -> None:
    def dispatch(batch: Any) -> None:
        seen.append((ws.protocol, ws.extensions))
        batch()
        ws.close()

    seen: list[tuple[str, str]] = []
    extensions = "permessage-deflate; server_no_context_takeover"
    with LoopbackServer(accept_with(protocol="a", extensions=extensions)) as server:
        ws = WebSocket(
            server.url,
            "a",
            onopen=lambda event: seen.append((event.target.protocol, event.target.extensions)),
            dispatch=dispatch,
        )
        ws.join(SECONDS)
    assert seen[:2] == [("", ""), ("a", extensions)]


@pytest.mark.parametrize(
    ("protocols", "selected", "says"),
    [
        (["a", "b"], None, "none of the subprotocols 'a', 'b'"),
        (["a"], "b", "'b'"),
        (["a"], "A", "'A'"),
        (["a", "b"], "a, b", "'a, b'"),
        (["a"], "", "none of the subprotocols 'a'"),
        ((), "a", "'a'"),
    ],
)
def test_subprotocol_that_was_not_asked_for_or_is_missing_fails_the_connection(
    protocols: Any, selected: str | None, says: str
) -> None:
    recorder = run(accept_with(protocol=selected), protocols)
    assert recorder.types == ["error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, HandshakeError)
    assert says in recorder.error.message
    assert recorder.error.error.status == 101


@pytest.mark.parametrize(
    "extensions",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=12; server_max_window_bits=10",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        'permessage-deflate; client_max_window_bits="9"',
    ],
)
def test_extensions_is_the_header_value_and_messages_go_both_ways(extensions: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions=extensions)
        frame = peer.recv_frame()
        for _ in range(2):
            peer.send_frame(frame.opcode, frame.payload, rsv=frame.rsv)
            frame = peer.recv_frame()
        peer.send_frame(frame.opcode, frame.payload)

    with connected(script) as (ws, recorder, _):
        assert ws.extensions == extensions
        ws.send("x" * 1000)
        recorder.wait("message")
        ws.send(b"y" * 1000)
        recorder.wait("message", 2)
    assert recorder.data == ["x" * 1000, b"y" * 1000]


@pytest.mark.parametrize(
    "extensions",
    [
        "x-unknown",
        "permessage-deflate, x-unknown",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; ;",
        "a b",
    ],
)
def test_extension_that_was_not_asked_for_or_is_malformed_fails_the_connection(extensions: str) -> None:
    recorder = run(accept_with(extensions=extensions))
    assert recorder.types == ["error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, HandshakeError)


def test_extension_that_compression_none_did_not_offer_fails_the_connection() -> None:
    recorder = run(accept_with(extensions="permessage-deflate"), compression=None)
    assert recorder.failed
    assert "permessage-deflate" in recorder.error.message


def test_ssl_context_and_server_hostname_are_used_for_wss(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    recorder = Recorder()
    with LoopbackServer(tls=server_ssl_context) as server:
        for url, name in (
            (server.url, None),
            (server.url.replace("localhost", "127.0.0.1"), None),
            (server.url.replace("localhost", "127.0.0.1"), "localhost"),
        ):
            recorder = Recorder()
            with WebSocket(
                url, **recorder.handlers, ssl_context=client_ssl_context, server_hostname=name
            ) as ws:
                recorder.wait("open")
                ws.send("over TLS")
                recorder.wait("message")
            assert recorder.data == ["over TLS"]
            assert recorder.ending == (1000, "", True)
            assert recorder.events[1].origin == url.rstrip("/")  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["authority", "name"])
def test_certificate_that_does_not_verify_fails_the_connection_with_1006(
    fault: str, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    recorder = Recorder()
    options: dict[str, Any] = {"server_hostname": "other.test", "ssl_context": client_ssl_context}
    with LoopbackServer(tls=server_ssl_context) as server:
        WebSocket(server.url, **recorder.handlers, **(options if fault == "name" else {})).join(SECONDS)
    assert recorder.types == ["error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, ssl.SSLCertVerificationError)
    assert "localhost" in recorder.error.message and "certificate" in recorder.error.message
