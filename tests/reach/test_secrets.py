"""No text of the package shows a secret: no exception, log record, warning or repr, whatever happens.

Each case has its secrets in one argument or one answer. They are looked for in everything that can be seen.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import itertools
import logging
import pickle
import socket
import ssl
import traceback
import warnings
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any

import pytest

import syncws
from syncws import ReconnectingWebSocket, WebSocket, connect, reconnect
from syncws.testing import LoopbackServer, Peer
from tests.support.proxies import Proxy
from tests.support.servers import drain, unanswering
from tests.support.stress import turns
from tests.support.waiting import SECONDS

SECRET = "s3cr3t"
WORD = f"{SECRET}-t0ken"
TOKEN = f"base64url.bearer.authorization.{WORD}"
BASIC = base64.b64encode(f"{WORD}:{WORD}".encode()).decode()

Seen = list[str]
Call = Callable[[str, dict[str, Any], Seen], None]


def texts_of(error: BaseException | None, known: set[int] | None = None) -> Iterator[str]:
    """All that an exception shows, and those behind it."""
    known = set() if known is None else known
    if error is None or id(error) in known:
        return
    known.add(id(error))
    yield str(error)
    yield repr(error)
    yield repr(error.args)
    yield "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    yield repr(getattr(error, "headers", ""))
    yield from texts_of(error.__cause__, known)
    yield from texts_of(error.__context__, known)


@contextlib.contextmanager
def watched(caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    """Collects what is seen, and looks through it at the end."""
    seen: Seen = []
    with caplog.at_level(logging.DEBUG, "syncws"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield seen
        gc.collect()
    for record in caplog.records:
        seen += [record.getMessage(), repr(record.args), repr(record.__dict__)]
        if record.exc_info:
            seen += texts_of(record.exc_info[1])
    seen += [f"{warning.message} {warning.source!r}" for warning in caught]
    assert len(seen) > 1
    shown = [text for text in seen if SECRET in text or BASIC in text]
    assert not shown


def tell(seen: Seen) -> Callable[[syncws.TraceRecord], object]:
    """What is told of each step is seen, too."""

    def trace(record: syncws.TraceRecord) -> None:
        seen.extend([repr(record), *texts_of(record.error)])

    return trace


def by_connect(url: str, options: dict[str, Any], seen: Seen) -> None:
    options = {**options, "trace": tell(seen)}
    try:
        with connect(url, options.pop("protocols", ()), **options) as connection:
            seen += [repr(connection), repr(connection.response), str(connection.response)]
            connection.recv(SECONDS)
    except Exception as error:
        seen += texts_of(error)


def by_websocket(url: str, options: dict[str, Any], seen: Seen) -> None:
    def note(event: Any) -> None:
        seen.extend([repr(event), repr(event.target)])
        if event.type == "error":
            seen.append(event.message)
            seen.extend(texts_of(event.error))

    options = {**options, "trace": tell(seen)}
    try:
        protocols = options.pop("protocols", ())
        ws = WebSocket(url, protocols, onopen=note, onmessage=note, onerror=note, onclose=note, **options)
    except Exception as error:
        seen += texts_of(error)
    else:
        seen.append(repr(ws))
        ws.join(SECONDS)


def by_reconnect(url: str, options: dict[str, Any], seen: Seen) -> None:
    def policy(loss: syncws.Loss) -> float | None:
        seen.extend([repr(loss), *texts_of(loss.error)])
        return 0.01 if loss.failures < 2 else None

    options = {**options, "trace": tell(seen)}
    try:
        with reconnect(url, options.pop("protocols", ()), policy=policy, **options) as connections:
            seen.append(repr(connections))
            for connection in connections:
                seen.append(repr(connection))
                try:
                    connection.recv(SECONDS)
                except syncws.ConnectionClosed as closed:
                    seen.extend(texts_of(closed))
                connections.stop()
    except Exception as error:
        seen += texts_of(error)


def twice(loss: syncws.Loss) -> float | None:
    return 0.01 if loss.failures < 2 else None


def by_reconnecting(url: str, options: dict[str, Any], seen: Seen) -> None:
    def note(event: Any) -> None:
        seen.append(repr(event))
        if event.type == "error":
            seen.append(event.message)
            seen.extend(texts_of(event.error))

    options = {**options, "trace": tell(seen)}
    try:
        protocols = options.pop("protocols", ())
        ws = ReconnectingWebSocket(url, protocols, policy=twice, onerror=note, onclose=note, **options)
    except Exception as error:
        seen += texts_of(error)
    else:
        seen.append(repr(ws))
        ws.join(SECONDS)


CALLS: dict[str, Call] = {
    "connect": by_connect,
    "WebSocket": by_websocket,
    "reconnect": by_reconnect,
    "ReconnectingWebSocket": by_reconnecting,
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return CALLS[request.param]


# Arguments that are refused at the call.

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


def test_variable_of_the_environment(
    call: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{WORD}:{WORD}@p:port")
    with watched(caplog) as seen:
        call("wss://h.test/", {}, seen)
        assert any("https_proxy" in text for text in seen)


# Good arguments, and what may happen to them on the way.


def jar() -> CookieJar:
    made = CookieJar()
    from syncws._headers import Headers
    from syncws._protocol.cookies import store_cookies
    from syncws._protocol.url import parse_url

    store_cookies(made, parse_url("ws://127.0.0.1/"), Headers([("Set-Cookie", f"session={WORD}")]))
    return made


ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "userinfo": (f"{WORD}:{WORD}@", {}),
    "query": ("", {"query": f"?token={WORD}&a=b"}),
    "auth": ("", {"auth": (WORD, WORD)}),
    "headers": ("", {"headers": {"Authorization": f"Bearer {WORD}", "X-Anything": WORD}}),
    "cookie field": ("", {"headers": {"Cookie": f"session={WORD}"}}),
    "cookies": ("", {"cookies": jar}),
    "protocol": ("", {"protocols": ["v1", TOKEN]}),
}


def everything(peer: Peer) -> bytes:
    """All that the client sent, as a careless server gives it back."""
    request = peer.read_request()
    return f"{request.target} {request.headers}".encode()


def refuse_with_all(peer: Peer) -> None:
    said = everything(peer)
    echoed = said.decode("latin-1").replace("\r", "").replace("\n", "")[:4000]
    head = (
        f"HTTP/1.1 403 no {echoed}\r\nX-Echo: {echoed}\r\nSet-Cookie: a={WORD}\r\nContent-Length: {len(said)}"
    )
    peer.send_bytes(head.encode("latin-1") + b"\r\n\r\n" + said)


def answer_wrongly(field: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        said = everything(peer).decode("latin-1")
        good = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "x"}
        lines = [f"{name}: {value}" for name, value in {**good, field: said}.items()]
        peer.send_bytes("\r\n".join(["HTTP/1.1 101 x", *lines, "", ""]).encode("latin-1"))
        drain(peer)

    return script


def say_all_and_end(peer: Peer) -> None:
    peer.send_bytes(b"HTTP/1.1 " + everything(peer))


def say_all_as_noise(peer: Peer) -> None:
    peer.send_bytes(everything(peer) + b"\r\n\r\n")


def redirect_with_all(peer: Peer) -> None:
    said = everything(peer)
    location = f"wss://{WORD}:{WORD}@other.test/path?{WORD}#{WORD}"
    peer.send_bytes(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    assert said


def select_a_token(peer: Peer) -> None:
    peer.accept(protocol=f"another.{TOKEN}")


def end_at_once(peer: Peer) -> None:
    peer.read_request()


def accept_and_break(peer: Peer) -> None:
    peer.accept(headers=[("Set-Cookie", f"session={WORD}"), ("X-Token", WORD)], protocol=chosen(peer))
    peer.send_bytes(b"\xff" * 20)
    drain(peer)


def accept_and_end(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))


def echoed(peer: Peer) -> str:
    """What a careless server quotes of the request in a Close, which has room for little."""
    request = peer.request or peer.read_request()
    words = str([request.target, *(value for _, value in request.headers.items())]).split()
    basic = [base64.b64decode(word.strip("',]")).decode() for word in words if BASIC in word]
    return " ".join([word for word in words if SECRET in word or BASIC in word] + basic)[:120]


def accept_and_close(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_close(4001, echoed(peer))


def accept_and_close_wrongly(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_frame(8, (4001).to_bytes(2, "big") + echoed(peer).encode() + b"\xc3")
    drain(peer)


def accept_and_close_with_a_code_that_is_none(peer: Peer) -> None:
    peer.accept(protocol=chosen(peer))
    peer.send_frame(8, (5000).to_bytes(2, "big") + echoed(peer).encode())
    drain(peer)


def chosen(peer: Peer) -> str | None:
    offered = (peer.request or peer.read_request()).headers.get("Sec-WebSocket-Protocol")
    return offered.split(", ")[-1] if offered else None


SCRIPTS: dict[str, Callable[[Peer], None]] = {
    "a refusal that says all": refuse_with_all,
    "a wrong Upgrade": answer_wrongly("Upgrade"),
    "a wrong Connection": answer_wrongly("Connection"),
    "a wrong Accept": answer_wrongly("Sec-WebSocket-Accept"),
    "wrong extensions": answer_wrongly("Sec-WebSocket-Extensions"),
    "half an answer": say_all_and_end,
    "noise": say_all_as_noise,
    "a redirect": redirect_with_all,
    "another protocol": select_a_token,
    "an end": end_at_once,
    "a broken frame": accept_and_break,
    "an end once open": accept_and_end,
    "a Close": accept_and_close,
    "a Close cut within a character": accept_and_close_wrongly,
    "a Close with a forbidden code": accept_and_close_with_a_code_that_is_none,
}


@pytest.mark.parametrize(("case", "way"), turns(itertools.product(SCRIPTS, ARGUMENTS), CALLS), ids=str)
def test_argument_and_answer(case: tuple[str, str], way: str, caplog: pytest.LogCaptureFixture) -> None:
    name, argument = case
    userinfo, options = ARGUMENTS[argument]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    query = options.pop("query", "")
    with watched(caplog) as seen, LoopbackServer(SCRIPTS[name]) as server:
        server.errors = _Ignored()
        CALLS[way](
            server.url_for(f"/path{query}").replace("//", f"//{userinfo}", 1),
            {"open_timeout": 5, **options},
            seen,
        )
        assert any("ws://127.0.0.1" in text for text in seen)


class _Ignored(list[BaseException]):
    """What becomes of a script does not matter."""

    def append(self, _: BaseException) -> None: ...


@pytest.mark.parametrize(("argument", "way"), turns(ARGUMENTS, CALLS))
def test_argument_and_a_way_that_fails(
    argument: str, way: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    userinfo, options = ARGUMENTS[argument]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    query = options.pop("query", "")
    with watched(caplog) as seen, unanswering() as url:
        for scheme in ("ws", "wss"):
            there = f"{scheme}://{userinfo}{url.partition('//')[2]}path{query}"
            CALLS[way](there, {"open_timeout": 0.1, **options}, seen)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        CALLS[way](f"ws://{userinfo}h.test/{query}", options, seen)
    assert any("open_timeout" in text for text in seen) and any("cannot resolve" in text for text in seen)


# Answers that are longer than what a text shows of them: each cut must leave nothing of a secret.
LONG: dict[str, bytes] = {
    "a body": b"HTTP/1.1 403 no\r\nContent-Length: %d\r\n\r\n",
    "a reason": b"HTTP/1.1 403 ",
    "a status line": b"HTTP/1.1 4x3 ",
    "a header": b"HTTP/1.1 403 no\r\nX ",
    "a location": b"HTTP/1.1 302 no\r\nLocation: /",
    "half a head": b"HTTP/1.1 403 no\r\nX: ",
    "noise": b"",
}


@pytest.mark.parametrize(("name", "way"), turns(LONG, CALLS))
@pytest.mark.parametrize("length", [9, 17, 100, 1100, 3500])
def test_secret_that_a_cut_would_divide(
    name: str, way: str, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    token = f"{SECRET}-{'0123456789' * length}"[:length]
    said = f"{token}|".encode() * (5000 // length)

    def script(peer: Peer) -> None:
        peer.read_request()
        head = LONG[name]
        head = head % len(said) if b"%d" in head else head
        peer.send_bytes(head + said + (b"" if name == "half a head" else b"\r\n\r\n"))

    with watched(caplog) as seen, LoopbackServer(script) as server:
        CALLS[way](server.url_for("/path"), {"headers": {"Authorization": f"Bearer {token}"}}, seen)
        assert any("ws://127.0.0.1" in text for text in seen)


ANSWERS_OF_PROXIES: dict[str, bytes] = {
    "407": f"HTTP/1.1 407 {WORD} {BASIC}\r\nX: {BASIC}\r\nContent-Length: 80\r\n\r\n{BASIC} {WORD}".encode(),
    "302": f"HTTP/1.1 302 x\r\nLocation: http://{WORD}@h/?{WORD}\r\nContent-Length: 0\r\n\r\n".encode(),
    "noise": f"{BASIC} {WORD}\r\n".encode(),
    "nothing": b"",
    "more": f"HTTP/1.1 200 {WORD}\r\n\r\n{WORD}".encode(),
}


@pytest.mark.parametrize("name", ANSWERS_OF_PROXIES)
def test_credentials_of_a_proxy(name: str, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    with watched(caplog) as seen, Proxy("http", answer=ANSWERS_OF_PROXIES[name]) as proxy:
        call("ws://h.test/", {"proxy": proxy.url_with(f"{WORD}:{WORD}@")}, seen)
        assert any(f"http://127.0.0.1:{proxy.port}" in text for text in seen)


def test_credentials_of_a_proxy_of_the_environment(
    call: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(caplog) as seen, Proxy("http", answer=ANSWERS_OF_PROXIES["407"]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url_with(f"{WORD}:{WORD}@"))
        call("ws://h.test/", {}, seen)
        assert any(f"http://127.0.0.1:{proxy.port}" in text for text in seen)


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


def test_error_of_tls(
    call: Any, caplog: pytest.LogCaptureFixture, server_ssl_context: ssl.SSLContext
) -> None:
    with watched(caplog) as seen, LoopbackServer(tls=server_ssl_context) as server:
        url = server.url_for(f"/path?{WORD}").replace("//", f"//{WORD}:{WORD}@")
        call(url, {"headers": {"X": WORD}}, seen)
        assert any("certificate verify failed" in text for text in seen)


# What is shown, and what is not.

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
