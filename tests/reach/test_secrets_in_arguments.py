"""No text shows a secret of an argument: of one that is refused, and of a record that keeps it."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from syncws import connect
from syncws.testing import LoopbackServer
from tests.reach.secret_cases import CALLS, SECRET, TOKEN, WORD, Call, each_call, jar, watched
from tests.support.stress import turns

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a value with a line end": ("ws://h/", {"headers": {"Authorization": f"Bearer {WORD}\n"}}),
    "a value of bytes": ("ws://h/", {"headers": {"Authorization": f"Bearer {WORD}".encode()}}),
    "a value beyond Latin-1": ("ws://h/", {"headers": {"Authorization": f"Bearer {WORD} €"}}),
    "a field as one text": ("ws://h/", {"headers": [f"Authorization: {WORD}"]}),
    "headers as one text": ("ws://h/", {"headers": f"Authorization: {WORD}"}),
    "a reserved field": ("ws://h/", {"headers": {"Sec-WebSocket-Protocol": WORD}}),
    "a protocol with a blank": ("ws://h/", {"protocols": f"{TOKEN} "}),
    "a protocol twice": ("ws://h/", {"protocols": [TOKEN, TOKEN]}),
    "protocols of bytes": ("ws://h/", {"protocols": TOKEN.encode()}),
    "an origin with a line end": ("ws://h/", {"origin": f"https://{WORD}\n"}),
    "a port out of range": (f"wss://user:{WORD}@h:99999/?{WORD}", {}),
    "a fragment": (f"ws://h/#{WORD}", {}),
    "a fragment behind all": (f"ws://{WORD}:{WORD}@h/?{WORD}#{WORD}", {}),
    "another scheme": (f"ftp://{WORD}@h/?{WORD}", {}),
    "no scheme": (f"{WORD}:{WORD}@h/", {}),
    "a slash in a password": (f"ws://user:a/{WORD}@h/", {}),
    "a blocked port": (f"ws://user:{WORD}@h:25/?{WORD}", {}),
    "auth of one text": ("ws://h/", {"auth": f"user:{WORD}"}),
    "auth with a line end": ("ws://h/", {"auth": ("user", f"{WORD}\n")}),
    "auth with a colon": ("ws://h/", {"auth": (f"{WORD}:", WORD)}),
    "auth of bytes": ("ws://h/", {"auth": (WORD.encode(), WORD.encode())}),
    "auth of three": ("ws://h/", {"auth": ("user", WORD, WORD)}),
    "auth beside userinfo": (f"ws://{WORD}:{WORD}@h/", {"auth": (WORD, WORD)}),
    "a field beside userinfo": (f"ws://{WORD}:{WORD}@h/", {"headers": {"Authorization": WORD}}),
    "a field beside auth": ("ws://h/", {"headers": {"Authorization": WORD}, "auth": (WORD, WORD)}),
    "cookies of a mapping": ("ws://h/", {"cookies": {"session": WORD}}),
    "cookies of a text": ("ws://h/", {"cookies": f"session={WORD}"}),
    "a proxy of another scheme": ("ws://h/", {"proxy": f"ftp://{WORD}:{WORD}@p/"}),
    "a proxy with a bad port": ("ws://h/", {"proxy": f"http://{WORD}:{WORD}@p:port"}),
    "a proxy with a slash in a password": ("ws://h/", {"proxy": f"http://user:a/{WORD}@p"}),
    "a proxy of bytes": ("ws://h/", {"proxy": f"http://{WORD}@p".encode()}),
    "a proxy beside a socket's path": ("ws://h/", {"proxy": f"http://{WORD}@p", "unix": "/x"}),
    "an unknown option": ("ws://h/", {"http_proxy_auth": (WORD, WORD)}),
    "a context that is none": ("ws://h/", {"ssl_context": {"password": WORD}}),
    "a host name of bytes": ("ws://h/", {"server_hostname": WORD.encode()}),
    "a path of bytes": ("wss://h/", {"ca": WORD.encode(), "cert": 5}),
    "no address": ("ws://h/", {"source_address": WORD}),
    "no options": ("ws://h/", {"socket_options": [(WORD,)]}),
}


@pytest.mark.parametrize(("name", "way"), turns(REFUSED, CALLS))
def test_refused_argument(name: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    url, options = REFUSED[name]
    with watched(caplog) as seen:
        CALLS[way](url, options, seen)
        assert any("Err" in text for text in seen), seen


@each_call
def test_variable_of_the_environment(
    call: Call, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{WORD}:{WORD}@p:port")
    with watched(caplog) as seen:
        call("wss://h.test/", {}, seen)
        assert any("https_proxy" in text for text in seen)


def test_records_of_the_package_itself() -> None:
    """What shows when a traceback is printed with its variables."""
    from syncws._engine.options.options import check_arguments
    from syncws._protocol.handshake import HandshakeRequest

    given = {
        "headers": {"Authorization": WORD, "X": WORD},
        "auth": None,
        "cookies": jar(),
        "proxy": f"http://{WORD}:{WORD}@p",
    }
    url, protocols, options = check_arguments(f"ws://h/?{WORD}", [TOKEN], given)
    request = HandshakeRequest(url, "key", protocols, headers=options.headers, auth=(WORD, WORD))
    for record in (url, options, request, check_arguments(f"ws://{WORD}:{WORD}@h/", (), {})[0]):
        assert SECRET not in repr(record)


def test_unclosed_connection(caplog: pytest.LogCaptureFixture) -> None:
    with watched(caplog) as seen, LoopbackServer() as server:
        connection = connect(server.url_for(f"/?{WORD}"), headers={"X": WORD})
        seen.append(repr(connection))
        del connection
        gc.collect()
