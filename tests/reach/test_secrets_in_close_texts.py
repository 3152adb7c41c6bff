"""What the text of a Close shows: dots for a secret of ours, and every ordinary word."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import syncws
from syncws import WebSocket, connect
from syncws.testing import LoopbackServer, Peer
from tests.reach.secret_cases import ARGUMENTS, BASIC, WORD, watched
from tests.support.waiting import SECONDS

REASON = f"no such token: {WORD} (role: admin)"


@pytest.mark.parametrize("argument", ["query", "headers", "cookie field"])
def test_the_text_of_a_close_has_dots_for_our_secret_and_the_attribute_has_the_reason_as_it_came(
    argument: str,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(4001, REASON)

    _, options = ARGUMENTS[argument]
    options = dict(options)
    events: list[syncws.CloseEvent] = []
    with LoopbackServer(script) as server:
        url = server.url_for(f"/{options.pop('query', '')}")
        with pytest.raises(syncws.ConnectionClosed) as raised, connect(url, **options) as connection:
            connection.recv(SECONDS)
        WebSocket(url, onclose=events.append, **options).join(SECONDS)
    closed = raised.value
    copied = pickle.loads(pickle.dumps(closed))
    assert (closed.reason, copied.reason, connection.close_reason, events[0].reason) == (REASON,) * 4
    for shown in (
        str(closed),
        repr(closed),
        repr(closed.args),
        str(copied),
        repr(copied.args),
        repr(events[0]),
    ):
        assert "4001" in shown
        assert "no such token: ... (role: admin)" in shown


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer s3cr3t-t0ken", "User-Agent": "restart expired"}},
        {"query": "?token=s3cr3t"},
    ],
)
def test_ordinary_words_of_a_request_are_no_secrets(options: dict[str, Any]) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(4001, "Bearer token expired: restart")

    options = dict(options)
    with LoopbackServer(script) as server:
        url = server.url_for(f"/{options.pop('query', '')}")
        with pytest.raises(syncws.ConnectionClosed, match="4001 Bearer token expired: restart"):
            with connect(url, **options) as connection:
                connection.recv(SECONDS)


SHORT = {"Cookie": "theme=dark; seen=true", "X-Client": "chat", "User-Agent": "Mine (X11; Linux x86_64) " * 9}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "?v=10&encoding=json&stream=true&debug"}, "invalid json: true, 10; debug"),
        ({"headers": SHORT}, "the dark Linux chat is true"),
        ({"userinfo": "a:b@"}, "a or b: 1 is banned"),
        ({"userinfo": "ab:@"}, "abort"),
    ],
)
def test_ordinary_words_of_a_close_stay_where_the_request_has_them_too(
    options: dict[str, Any], said: str
) -> None:
    assert shown_of_close(said, options).endswith(f"4001 {said}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "?token=aB%2Bc%2Fd%3D%3D"}, "no aB+c/d=="),
        ({"query": "?token=aB%2Bc%2Fd%3D%3D"}, "no aB%2Bc%2Fd%3D%3D"),
        ({"query": "?key=open+sesame"}, "no open sesame"),
        ({"query": "?api_key=hunter"}, "no hunter"),
        ({"query": "?anything=hunter2"}, "no hunter2"),
        ({"query": "?hunter2"}, "no hunter2"),
        ({"headers": {"Cookie": "a=b; session=hunter"}}, "no hunter"),
        ({"headers": {"Authorization": "Bearer hunter"}}, "no hunter"),
        ({"headers": {"Authorization": f"Basic {BASIC}"}}, f"no {WORD}"),
        ({"headers": {"Authorization": f"basic {BASIC}"}}, f"no {BASIC}"),
        ({"userinfo": "a:closed@"}, "no closed"),
        ({"userinfo": "a:p%C3%A4ssword@"}, "no p\u00e4ssword"),
    ],
)
def test_a_secret_is_known_as_the_server_has_decoded_it_and_by_its_name(
    options: dict[str, Any], said: str
) -> None:
    assert shown_of_close(said, options).endswith("4001 no ...")


def shown_of_close(said: str, options: dict[str, Any]) -> str:
    """What the text of the error is where the server closes with these words."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(4001, said)

    options = dict(options)
    with LoopbackServer(script) as server:
        url = server.url_for(f"/{options.pop('query', '')}")
        url = url.replace("//", f"//{options.pop('userinfo', '')}", 1)
        with pytest.raises(syncws.ConnectionClosed) as raised, connect(url, **options) as connection:
            connection.recv(SECONDS)
    return str(raised.value)


def test_what_the_log_shows_of_a_message_has_dots_for_our_secret(caplog: pytest.LogCaptureFixture) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("x" * 95 + WORD)

    with watched(caplog), LoopbackServer(script) as server:
        with connect(server.url_for(f"/?token={WORD}")) as connection:
            assert connection.recv(SECONDS) == "x" * 95 + WORD
    assert "received text, 107 bytes: b'" + "x" * 95 + "...'" in caplog.text
