"""What the tests of secrets share: arguments that hold some, and all that can be seen of a call with them.

Each case has its secrets in one argument or one answer. They are looked for in everything that can be seen.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any

import pytest

import syncws
from syncws import ReconnectingWebSocket, WebSocket, connect, reconnect
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


each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


# Good arguments, whose secrets no text may show.


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


def filled(argument: str) -> tuple[str, str, dict[str, Any]]:
    """The userinfo, the query and the options of one of `ARGUMENTS`."""
    userinfo, options = ARGUMENTS[argument]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    return userinfo, options.pop("query", ""), options
