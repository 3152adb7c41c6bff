"""The page about error texts is true: each text that it explains is provoked here."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer
from tests.support.certificates import needs_certificate
from tests.support.servers import refusing
from tests.support.waiting import SECONDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
TEXTS = [text for line in re.findall("^### (.*)$", PAGE, re.M) for text in re.findall("`(.*?)`", line)]


def opening(script: Callable[[Peer], object], scheme: str = "ws", **options: Any) -> Callable[[], object]:
    """Try to connect to a server that plays this."""

    def attempt() -> None:
        with LoopbackServer(script) as server:
            syncws.connect(server.url.replace("ws:", f"{scheme}:"), **options)

    return attempt


def refusing_with(status: int) -> Callable[[], object]:
    return opening(lambda peer: peer.refuse(status, {"Location": "/there"} if status < 400 else {}))


def receiving(script: Callable[[Peer], object], **options: Any) -> Callable[[], object]:
    """Wait for a message of a server that plays this once it has accepted."""

    def whole(peer: Peer) -> None:
        peer.accept()
        script(peer)

    def attempt() -> None:
        with LoopbackServer(whole) as server, syncws.connect(server.url, **options) as connection:
            connection.recv(SECONDS)

    return attempt


def refused() -> None:
    with refusing() as url:
        syncws.connect(url)


def unknown_certificate() -> None:
    with LoopbackServer(tls=True) as server:
        syncws.connect(server.url)


def no_answer() -> None:
    with LoopbackServer(Peer.cut) as server:
        syncws.connect(server.url)


def no_message() -> None:
    with LoopbackServer() as server, syncws.connect(server.url) as connection:
        connection.recv(0.01)


def too_much() -> None:
    with LoopbackServer() as server, syncws.connect(server.url, max_buffered=10) as connection:
        connection.send("x" * 100)


def unsent() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.stop_reading()
        peer.stall()

    with (
        LoopbackServer(script) as server,
        syncws.connect(server.url, close_timeout=0.1, compression=None) as connection,
    ):
        connection.send(bytes(32 << 20))


def too_early() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ws = syncws.WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/", onerror=print)
        try:
            ws.send("x")
        finally:
            ws.close()
            ws.join(SECONDS)


def join_in_a_handler() -> None:
    raised: list[BaseException] = []

    def on_open(event: syncws.Event[syncws.WebSocket]) -> None:
        try:
            event.target.join()
        except RuntimeError as error:
            raised.append(error)
        event.target.close()

    with LoopbackServer() as server:
        syncws.WebSocket(server.url, onopen=on_open).join(SECONDS)
    raise raised[0]


async def handler(event: object) -> None: ...


def misspelt() -> None:
    with refusing() as url:
        ws = syncws.WebSocket(url, onerror=lambda event: None)
        try:
            setattr(ws, "on_message", print)  # noqa: B010
        finally:
            ws.join(SECONDS)


URL = "ws://127.0.0.1:8765/"
PROVOKED: dict[str, Callable[[], object]] = {
    **{f"answered {status}": refusing_with(status) for status in (200, 301, 302, 401, 403, 404)},
    "Connection refused": refused,
    "cannot resolve": lambda: syncws.connect("ws://no-such-host.invalid/"),
    "was not open within open_timeout": opening(Peer.stall, open_timeout=0.05),
    "does the server speak TLS on this port?": opening(Peer.stall, "wss", open_timeout=0.1),
    "a server that ends TCP without an answer": no_answer,
    "none of the subprotocols": opening(lambda peer: peer.accept(), protocols=["chat"]),
    "certificate verify failed": unknown_certificate,
    "ended TCP without a Close frame": receiving(Peer.cut),
    "Connection reset by peer": receiving(Peer.reset),
    "nothing came within ping_timeout": receiving(
        Peer.stall, ping_interval=0.05, ping_timeout=0.2, close_timeout=0.1
    ),
    "is over max_size": receiving(lambda peer: peer.send("x" * 100), max_size=10),
    "text is not UTF-8": receiving(lambda peer: peer.send_frame(1, b"\xff")),
    "were not sent": unsent,
    "is still CONNECTING": too_early,
    "no message came within": no_message,
    "do not fit": too_much,
    "which it would wait for": join_in_a_handler,
    "unknown option": lambda: syncws.connect(URL, sslopt={}),  # type: ignore[call-arg]
    "did you mean": misspelt,
    "which nothing would await": lambda: syncws.WebSocket(URL, onopen=handler),
    "invalid WebSocket URL": lambda: syncws.connect("127.0.0.1/"),
    "is blocked": lambda: syncws.connect("ws://127.0.0.1:25/"),
    "headers must not hold": lambda: syncws.connect(URL, headers={"Upgrade": "websocket"}),
    "headers: the value of": lambda: syncws.connect(URL, headers={"X-Token": "a\n"}),
}


def test_each_text_of_the_page_is_provoked_here() -> None:
    assert set(TEXTS) == set(PROVOKED)
    assert len(TEXTS) == len(set(TEXTS))


@pytest.mark.parametrize(
    "text",
    [pytest.param(one, marks=needs_certificate) if one.startswith("certificate") else one for one in TEXTS],
)
def test_the_text_is_what_the_error_says(text: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of many classes; the text is looked at below
        PROVOKED[text]()
    chain: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    assert any(text in str(one) for one in chain), chain


@needs_certificate
def test_the_causes_of_a_refused_certificate_are_those_of_openssl() -> None:
    with LoopbackServer(tls=True) as server:
        with pytest.raises(OSError, match="unable to get local issuer certificate|self-signed certificate"):
            syncws.connect(server.url)
        with pytest.raises(OSError, match="Hostname mismatch"):
            syncws.connect(server.url, ssl_context=server.ssl_context, server_hostname="other.example")
