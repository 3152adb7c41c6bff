"""`WebSocket(url, protocols, …)`: its arguments, what it refuses, what it returns."""

from __future__ import annotations

import inspect
import re
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from syncws import ReconnectingWebSocket, SecurityErr, SyntaxErr, WebSocket
from syncws._engine.options.options import Options
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import run
from tests.support.leftovers import wait_for_no_threads
from tests.support.servers import hold, unanswering
from tests.support.waiting import SECONDS

READ_ONLY = ("url", "readyState", "bufferedAmount", "extensions", "protocol")
CONSTANTS = {"CONNECTING": 0, "OPEN": 1, "CLOSING": 2, "CLOSED": 3}


def assert_nothing_was_started() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("syncws")]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("ws://127.0.0.1:{port}", "ws://127.0.0.1:{port}/"),
        ("http://127.0.0.1:{port}/a", "ws://127.0.0.1:{port}/a"),
        ("HTTPS://LOCALHOST:{port}/a", "wss://localhost:{port}/a"),
        ("wss://localhost:{port}/?q", "wss://localhost:{port}/?q"),
        ("WS://LocalHost:{port}/a b/../ü?ü", "ws://localhost:{port}/%C3%BC?%C3%BC"),
        ("  ws:\\\\0x7f.1:{port}\\a\n", "ws://127.0.0.1:{port}/a"),
    ],
)
def test_url_is_shown_absolute_and_serialised_from_the_start(given: str, shown: str) -> None:
    with unanswering() as free:
        port = free.rpartition(":")[2].rstrip("/")
        ws = WebSocket(given.format(port=port))
        assert ws.url == shown.format(port=port)
        ws.close()
        ws.join(SECONDS)
        assert ws.url == shown.format(port=port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/relative",
        "relative",
        "?query",
        "//127.0.0.1/",
        "127.0.0.1",
        "127.0.0.1:80/",
        "ftp://127.0.0.1/",
        "file:///etc/hosts",
        "mailto:a@localhost",
        "about:blank",
        "wsx://127.0.0.1/",
        "ws://",
        "ws:///",
        "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:a/",
        "ws://127.0.0.300/",
        "ws://[::1/",
        "ws://a b/",
        "ws://127.0.0.1/#",
        "ws://127.0.0.1/#fragment",
        "http://127.0.0.1/?#",
    ],
)
def test_url_that_is_none_or_relative_or_of_another_scheme_or_with_a_fragment_is_a_syntax_err(
    url: str,
) -> None:
    with pytest.raises(SyntaxErr) as caught:
        WebSocket(url)
    assert (caught.value.name, caught.value.code) == ("SyntaxError", 12)
    # Neither user and password nor query nor fragment are quoted: they may hold secrets.
    assert re.split("[?#]", url)[0].rpartition("@")[2] in str(caught.value)
    assert_nothing_was_started()


@pytest.mark.parametrize("url", [None, 5, b"ws://127.0.0.1/", ["ws://127.0.0.1/"]])
def test_url_that_is_no_str_is_a_type_error_that_names_it(url: Any) -> None:
    with pytest.raises(TypeError, match="url"):
        WebSocket(url)


@pytest.mark.parametrize("port", [0, 1, 22, 25, 80 - 1, 6000, 6665, 6667, 10080, 4190, 65535 - 60000 - 475])
@pytest.mark.parametrize("scheme", ["ws", "wss", "http"])
def test_blocked_port_is_a_security_err_before_any_network_traffic(
    port: int, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect_ex", refuse, raising=False)
    with pytest.raises(SecurityErr, match=f"port {port} ") as caught:
        WebSocket(f"{scheme}://127.0.0.1:{port}/")
    assert (caught.value.name, caught.value.code) == ("SecurityError", 18)
    assert_nothing_was_started()


@pytest.mark.parametrize(
    ("protocols", "bad"),
    [
        ("", ""),
        ([""], ""),
        ("a b", "a b"),
        ("a,b", "a,b"),
        ("chat\n", "chat\n"),
        ("ü", "ü"),
        ("a\0", "a\0"),
        (["chat", "a/b"], "a/b"),
        (["chat", "chat"], "chat"),
        (["chat", "x", "CHAT"], "CHAT"),
        (("a", "a"), "a"),
        ('"a"', '"a"'),
        ("a=b", "a=b"),
    ],
)
def test_protocols_with_a_duplicate_or_no_token_is_a_syntax_err(protocols: Any, bad: str) -> None:
    with pytest.raises(SyntaxErr) as caught:
        WebSocket("ws://127.0.0.1/", protocols)
    assert caught.value.code == 12
    assert "protocols" in str(caught.value) and repr(bad) in str(caught.value)
    assert_nothing_was_started()


@pytest.mark.parametrize("protocols", [None, 5, [5], ["a", None], b"a", [b"a"]])
def test_protocols_that_are_no_strings_is_a_type_error_that_names_them(protocols: Any) -> None:
    with pytest.raises(TypeError, match="protocols"):
        WebSocket("ws://127.0.0.1/", protocols)


@pytest.mark.parametrize(
    ("protocols", "sent"),
    [
        ("chat", "chat"),
        (["a", "b"], "a, b"),
        (("!#$%&'*+-.^_`|~09AZaz",), "!#$%&'*+-.^_`|~09AZaz"),
        ((name for name in ("x", "y")), "x, y"),
        ((), None),
        ([], None),
    ],
)
def test_protocols_may_be_a_string_or_a_sequence_or_left_out(protocols: Any, sent: str | None) -> None:
    asked: list[str | None] = []

    def script(peer: Peer) -> None:
        asked.append(peer.read_request().headers.get("Sec-WebSocket-Protocol"))
        peer.refuse()

    assert run(script, protocols).failed
    assert asked == [sent]


def test_checks_come_in_the_order_url_then_protocols_then_port() -> None:
    with pytest.raises(SyntaxErr, match="scheme"):
        WebSocket("ftp://127.0.0.1:25/", "")
    with pytest.raises(SyntaxErr, match="protocols"):
        WebSocket("ws://127.0.0.1:25/", "")


def test_returns_at_once_in_connecting_while_the_server_sleeps() -> None:
    with LoopbackServer(hold) as server:
        ws = WebSocket(server.url)
        assert ws.readyState == WebSocket.CONNECTING
        assert (ws.bufferedAmount, ws.extensions, ws.protocol, ws.binaryType) == (0, "", "", "blob")
        assert (ws.onopen, ws.onmessage, ws.onerror, ws.onclose) == (None, None, None, None)
        ws.close()
        ws.join(SECONDS)


def test_attributes_but_binary_type_and_handlers_are_read_only() -> None:
    with unanswering() as url:
        ws = WebSocket(url)
        for name in READ_ONLY:
            before = getattr(ws, name)
            with pytest.raises(AttributeError):
                setattr(ws, name, before)
            assert getattr(ws, name) == before
        ws.close()
        ws.join(SECONDS)


def test_constants_are_on_the_class_and_on_every_instance() -> None:
    with unanswering() as url:
        ws = WebSocket(url)
        for name, value in CONSTANTS.items():
            assert getattr(WebSocket, name) == value
            assert getattr(ws, name) == value
        ws.close()
        ws.join(SECONDS)


def test_constants_of_an_instance_are_read_only() -> None:
    with unanswering() as url:
        ws = WebSocket(url)
        for name, value in CONSTANTS.items():
            with pytest.raises(AttributeError):
                setattr(ws, name, 9)
            assert getattr(ws, name) == value
        ws.close()
        ws.join(SECONDS)


def test_repr_shows_the_url_without_secrets_and_the_state() -> None:
    with unanswering() as url:
        ws = WebSocket(url.replace("//", "//user:secret@"))
        assert "CONNECTING" in repr(ws) and "127.0.0.1" in repr(ws)
        assert "secret" not in repr(ws)
        ws.close()
        ws.join(SECONDS)
        assert "CLOSED" in repr(ws)


NO_CONTEXT = object()  # nor a callable


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (TypeError, "nonsense", 1),
        (TypeError, "onopen", 5),
        (TypeError, "onmessage", "f"),
        (TypeError, "onerror", NO_CONTEXT),
        (TypeError, "onclose", []),
        (TypeError, "dispatch", 5),
        (TypeError, "headers", 5),
        (TypeError, "headers", [5]),
        (TypeError, "headers", "ab"),
        (TypeError, "headers", ["ab"]),
        (TypeError, "headers", {"a": 1}),
        (TypeError, "headers", {1: "a"}),
        (TypeError, "headers", [("a", "b", "c")]),
        (ValueError, "headers", {"a b": "c"}),
        (ValueError, "headers", {"": "c"}),
        (ValueError, "headers", {"X-A": "b\r\nc"}),
        (ValueError, "headers", {"X-A": "b\rc"}),
        (ValueError, "headers", {"X-A": "b\nc"}),
        (ValueError, "headers", [("X-A", "b\0c")]),
        (ValueError, "headers", {"X-A": "\u20ac"}),
        (ValueError, "headers", {"cONNECTION": "a"}),
        (ValueError, "headers", {"Sec-WebSocket-Key": "a"}),
        (ValueError, "headers", {"upgrade": "a"}),
        (TypeError, "origin", 5),
        (ValueError, "origin", "a\r\nb"),
        (TypeError, "ssl_context", NO_CONTEXT),
        (TypeError, "server_hostname", 5),
        (ValueError, "compression", "gzip"),
        (ValueError, "compression", False),
        *(
            (kind, option, value)
            for option in ("open_timeout", "close_timeout", "ping_interval", "ping_timeout")
            for kind, value in (
                (TypeError, "1"),
                (TypeError, True),
                (ValueError, 0),
                (ValueError, -1),
                (ValueError, float("nan")),
            )
        ),
        *(
            (kind, option, value)
            for option in ("max_size", "max_queue", "max_buffered")
            for kind, value in ((TypeError, "1"), (TypeError, 1.5), (ValueError, 0), (ValueError, -5))
        ),
        (TypeError, "max_queue", (1, 2, 3)),
        (TypeError, "max_queue", (1, "2")),
        (ValueError, "max_queue", (1, 0)),
    ],
)
def test_bad_option_is_refused_by_an_error_that_names_it(
    kind: type[Exception], option: str, value: Any
) -> None:
    with pytest.raises(kind) as caught:
        WebSocket("ws://127.0.0.1/", **{option: value})
    assert type(caught.value) is kind
    assert option.removeprefix("on") in str(caught.value).lower()
    assert_nothing_was_started()


@pytest.mark.parametrize("option", ["open_timeout", "close_timeout", "ping_interval", "ping_timeout"])
def test_a_time_beyond_all_use_is_as_good_as_none(option: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.echo()

    with LoopbackServer(script) as server:
        opened = threading.Event()
        options: dict[str, Any] = {option: 1e12}
        with WebSocket(server.url, onopen=lambda _: opened.set(), **options):
            assert opened.wait(SECONDS)


def test_default_options_are_those_of_the_interface() -> None:
    options = Options()
    assert (options.open_timeout, options.close_timeout) == (10, 10)
    assert (options.ping_interval, options.ping_timeout) == (20, 20)
    assert (options.max_size, options.max_buffered) == (16 * 2**20, None)
    assert options.compression == "deflate"
    assert (options.headers, options.origin, options.server_hostname) == ((), None, None)
    assert all(limit for limit in options.max_queue)


@pytest.mark.parametrize("kind", [WebSocket, ReconnectingWebSocket])
def test_ctrl_c_after_the_last_step_of_the_constructor_leaves_no_connection(
    kind: type[WebSocket] | type[ReconnectingWebSocket],
) -> None:
    constructor = inspect.unwrap(kind.__init__).__code__

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        if event == "return" and frame.f_code is constructor:
            sys.setprofile(None)
            raise KeyboardInterrupt

    told: list[object] = []
    with LoopbackServer() as server:
        try:
            with pytest.raises(KeyboardInterrupt):
                sys.setprofile(interrupt)
                kind(server.url, onclose=told.append, onerror=told.append)
        finally:
            sys.setprofile(None)
        wait_for_no_threads()
    assert told == []
