"""The URL and the subprotocols as callables: asked before each attempt, by both APIs that come back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

import syncws
from syncws import Loss, ReconnectingWebSocket, SyntaxErr, reconnect
from syncws.testing import LoopbackServer, Peer, Request
from tests.support.waiting import wait_until

ROUNDS = 3


def play(call: Any, url: Any, protocols: Any, **options: Any) -> list[Exception]:
    """Come back until the connection has been made `ROUNDS` times; the losses in between."""
    losses: list[Exception] = []

    def policy(loss: Loss) -> float | None:
        losses.append(loss.error)
        return 0.0

    rounds = 0
    if call is reconnect:
        with reconnect(url, protocols, policy=policy, **options) as connections:
            for connection in connections:
                rounds += 1
                if rounds == ROUNDS:
                    break
                with contextlib.suppress(syncws.ConnectionClosed):
                    connection.recv()
        return losses
    opened: list[Any] = []
    with ReconnectingWebSocket(url, protocols, policy=policy, onopen=opened.append, **options):
        wait_until(lambda: len(opened) >= ROUNDS)
    return losses


def accept_the_first_protocol_and_end(peer: Peer) -> None:
    offered = peer.read_request().headers.get("Sec-WebSocket-Protocol")
    peer.accept(protocol=offered.split(", ")[0] if offered else None)


@pytest.fixture(params=[reconnect, ReconnectingWebSocket], ids=["reconnect", "ReconnectingWebSocket"])
def call(request: pytest.FixtureRequest) -> Any:
    return request.param


def requests(server: LoopbackServer) -> list[Request]:
    return [made.request for made in server.connections[:ROUNDS] if made.request is not None]


def test_url_is_asked_for_before_each_attempt(call: Any) -> None:
    asked: list[str] = []

    def url() -> str:
        asked.append(server.url_for(f"/?token={len(asked) + 1}"))
        return asked[-1]

    with LoopbackServer(accept_the_first_protocol_and_end) as server:
        play(call, url, ())
        assert [request.target for request in requests(server)] == ["/?token=1", "/?token=2", "/?token=3"]


def test_protocols_are_asked_for_before_each_attempt(call: Any) -> None:
    asked: list[list[str]] = []

    def protocols() -> list[str]:
        asked.append([f"token.{len(asked) + 1}", "chat"])
        return asked[-1]

    with LoopbackServer(accept_the_first_protocol_and_end) as server:
        play(call, server.url, protocols)
        offered = [request.headers["Sec-WebSocket-Protocol"] for request in requests(server)]
    assert offered == ["token.1, chat", "token.2, chat", "token.3, chat"]


def test_protocols_of_an_iterator_are_good_for_every_attempt(call: Any) -> None:
    with LoopbackServer(accept_the_first_protocol_and_end) as server:
        play(call, server.url, iter(["a", "b"]))
        offered = {request.headers["Sec-WebSocket-Protocol"] for request in requests(server)}
    assert offered == {"a, b"}


def test_what_a_callable_raises_is_a_loss_like_another(call: Any) -> None:
    asked: list[None] = []

    def url() -> str:
        asked.append(None)
        if len(asked) == 2:
            raise OSError("the token server is away")
        return server.url

    with LoopbackServer(accept_the_first_protocol_and_end) as server:
        losses = play(call, url, ())
    assert "the token server is away" in [str(loss) for loss in losses]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((lambda: "ws://h/#fragment", ()), SyntaxErr),
        ((lambda: 5, ()), TypeError),
        (("ws://127.0.0.1:9999/", lambda: ["a", "a"]), SyntaxErr),
        ((lambda: "ws://u:s3cret@h:x/?s3cret", ()), SyntaxErr),
    ],
)
def test_what_is_wrong_with_the_answer_is_told(
    arguments: tuple[Any, Any], kind: type[Exception], call: Callable[..., Any]
) -> None:
    def ask() -> None:
        made = call(*arguments, policy=lambda loss: None)
        if call is reconnect:
            next(made)

    with pytest.raises(kind) as caught:
        ask()
    assert "s3cret" not in str(caught.value)


def test_mistakes_in_what_is_no_callable_raise_at_the_call() -> None:
    with pytest.raises(ValueError, match="max_size"):
        reconnect(lambda: "ws://h/", max_size=0)
    with pytest.raises(SyntaxErr, match="given twice"):
        reconnect(lambda: "ws://h/", ["a", "a"])
    with pytest.raises(SyntaxErr):
        reconnect("no URL", lambda: ["a"])


def test_url_property_is_the_present_one() -> None:
    asked: list[None] = []

    def url() -> str:
        asked.append(None)
        return server.url_for(f"/{len(asked)}")

    opened: list[str] = []
    with LoopbackServer(accept_the_first_protocol_and_end) as server:
        with ReconnectingWebSocket(
            url, policy=lambda loss: 0.0, onopen=lambda event: opened.append(event.target.url)
        ):
            wait_until(lambda: len(opened) >= 2)
        assert opened[:2] == [server.url_for("/1"), server.url_for("/2")]


def test_log_names_the_url_of_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[None] = []

    def url() -> str:
        asked.append(None)
        return server.url_for(f"/{len(asked)}?s3cret")

    with LoopbackServer(lambda peer: peer.refuse(503)) as server:
        connections = reconnect(url, policy=lambda loss: 0.0 if loss.failures < 3 else None)
        with pytest.raises(syncws.HandshakeError):
            next(connections)
        urls = [getattr(record, "url", None) for record in caplog.records]
        assert urls == [server.url_for("/1"), server.url_for("/2")]
    assert "s3cret" not in caplog.text
