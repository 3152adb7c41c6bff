"""What the public calls show to editors, type checkers and `help`, and what they say to a wrong argument."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import syncws
from syncws import Event, EventTarget, ReconnectingWebSocket, WebSocket, connect, reconnect
from syncws._engine.options.option_types import DEFAULT_QUEUE, HeadersLike, QueueLimit, SocketOptions
from syncws._engine.options.options import Options, check_timeout
from syncws.testing import LoopbackServer

URL = "ws://127.0.0.1:9999/"

CALLS: list[Callable[..., Any]] = [WebSocket, connect, reconnect, ReconnectingWebSocket]
OF_THE_CALLBACK_API = ["onopen", "onmessage", "onerror", "onclose", "dispatch"]
BESIDES_OPTIONS: dict[Callable[..., Any], list[str]] = {
    WebSocket: OF_THE_CALLBACK_API,
    connect: [],
    reconnect: ["policy"],
    ReconnectingWebSocket: [*OF_THE_CALLBACK_API, "policy"],
}

# The record holds these in one form, of the several that a caller may write: (annotation, default).
WRITTEN_OTHERWISE: dict[str, tuple[Any, Any]] = {
    "headers": (HeadersLike | None, None),
    "max_queue": (QueueLimit, DEFAULT_QUEUE),
    "socket_options": (SocketOptions, ()),
}
FOR_ONE_CONNECTION = {"sock"}  # is not among the options where connections are made again and again
MAY_BE_A_CALLABLE = {"headers"}  # where connections are made again and again

# A value of the wrong type for each option.
WRONG: dict[str, Any] = {
    **dict.fromkeys(Options.__slots__, object()),
    "compression": "zip",
}

UNKNOWN: list[tuple[Callable[..., Any], str, str]] = [
    *[
        (call, unknown, hint)
        for call in CALLS
        for unknown, hint in (
            ("open_timeot", "did you mean open_timeout"),
            ("openTimeout", "did you mean open_timeout"),
            ("sslContext", "did you mean ssl_context"),
            ("ssl", "here: ssl_context"),
            ("sslopt", "here: ssl_context"),
            ("subprotocols", "here: protocols"),
            ("additional_headers", "here: headers"),
            ("extra_headers", "here: headers"),
            ("header", "here: headers"),
            ("cookie", "here: headers={'Cookie': ...}, or cookies="),
            ("max_msg_size", "here: max_size"),
            ("timeout", "here: open_timeout"),
            ("heartbeat", "here: ping_interval"),
            ("http_proxy_host", "here: proxy='http://host:port'"),
            ("proxy_type", "here: proxy='socks5h://host:port'"),
            ("verify", "here: ca, or ssl_context"),
            ("enable_multithread", "every method may be called from any thread"),
            ("sslVerify", "here: ca, or ssl_context"),
            ("ca_certs", "here: ca"),
            ("check_hostname", "here: ssl_context"),
            ("username", "here: auth=(user, password)"),
            ("enableTrace", "here: trace=, or DEBUG on the logger"),
            ("autoclose", "every Close is answered"),
            ("proxy_headers", "here: proxy='http://user:password@host:port'"),
            ("recv_timeout", "here: recv(timeout=...)"),
            ("send_timeout", "here: flush(timeout=...), or max_buffered"),
            ("dispatcher", "here: dispatch=, of the callback API alone"),
            ("rejectUnauthorized", "here: ca, or ssl_context"),
            ("ping_payload", "here: WebSocket.ping(data)"),
            ("on_reconnect", "an open event comes at each return of a ReconnectingWebSocket"),
        )
    ],
    (WebSocket, "on_message", "did you mean onmessage?"),
    (ReconnectingWebSocket, "onMessage", "did you mean onmessage?"),
    (WebSocket, "onconnect", "did you mean onopen?"),
    (WebSocket, "on_data", "did you mean onmessage?"),
    (WebSocket, "onmesage", "did you mean onmessage?"),
    (ReconnectingWebSocket, "on_disconnect", "did you mean onclose?"),
    (WebSocket, "onwhatever", "(handlers are onopen, onmessage, onerror and onclose)"),
    (WebSocket, "on_pong", "addEventListener('pong', ...) hears of those"),
    (
        connect,
        "on_message",
        "of the callback API alone: WebSocket(url, onmessage=...); here recv() gives messages",
    ),
    (reconnect, "onopen", "of the callback API alone: ReconnectingWebSocket(url, onmessage=...)"),
    (WebSocket, "max_retries", "reconnect() and ReconnectingWebSocket come back"),
    (reconnect, "backoff", "policy= decides"),
    (reconnect, "delay", "policy= decides"),
    (connect, "dispatch", "of the callback API alone: WebSocket(url, onmessage=..., dispatch=...)"),
    (reconnect, "dispatch", "API alone: ReconnectingWebSocket(url, onmessage=..., dispatch=...)"),
    (connect, "process_exception", "reconnect() and ReconnectingWebSocket come back"),
    (
        WebSocket,
        "on_ping",
        "handlers are onopen, onmessage, onerror and onclose; addEventListener('ping', ...)",
    ),
    (reconnect, "reconnect_delays", "policy= decides"),
    (connect, "on_ping", "addEventListener('ping', ...) of a WebSocket hears of those; here trace= does"),
    (connect, "http_session", "unknown option: http_session"),
    (reconnect, "sock", "a socket is used up by its first connection"),
    (ReconnectingWebSocket, "sock", "a socket is used up by its first connection"),
    (connect, "colour", "unknown option: colour"),
]


def parameters(call: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(call).parameters)


def options_of(call: Callable[..., Any]) -> list[str]:
    again = "policy" in BESIDES_OPTIONS[call]
    return [name for name in Options.__slots__ if not (again and name in FOR_ONE_CONNECTION)]


CALLS_AND_OPTIONS = [(call, name) for call in CALLS for name in options_of(call)]


def hints(call: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(vars(call)["__init__"] if isinstance(call, type) else call)


@pytest.mark.parametrize("call", CALLS)
def test_signature_has_all_the_options_and_nothing_that_takes_any_keyword(call: Callable[..., Any]) -> None:
    shown = parameters(call)
    assert list(shown)[:2] == ["url", "protocols"]
    assert sorted(list(shown)[2:]) == sorted([*BESIDES_OPTIONS[call], *options_of(call)])
    for name in list(shown)[2:]:
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("call", "name"), CALLS_AND_OPTIONS)
def test_option_has_the_default_and_the_type_of_the_record(call: Callable[..., Any], name: str) -> None:
    recorded = typing.get_type_hints(Options)[name], getattr(Options(), name)
    annotation, default = WRITTEN_OTHERWISE.get(name, recorded)
    if name in MAY_BE_A_CALLABLE and "policy" in parameters(call):
        annotation = HeadersLike | Callable[[], HeadersLike] | None
    assert parameters(call)[name].default == default
    assert hints(call)[name] == annotation


@pytest.mark.parametrize(("call", "name"), CALLS_AND_OPTIONS)
def test_option_reaches_its_check_from_every_call(call: Callable[..., Any], name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        call(URL, **{name: WRONG[name]})


def test_what_may_be_asked_before_each_attempt_is_told_by_the_types() -> None:
    for call in (reconnect, ReconnectingWebSocket):
        assert hints(call)["url"] == str | Callable[[], str]
        strs = str | Iterable[str]
        assert hints(call)["protocols"] == strs | Callable[[], strs]


def test_every_option_is_documented() -> None:
    documentation = inspect.getdoc(WebSocket) or ""
    for name in Options.__slots__:
        assert f"    {name}: " in documentation
    for call in CALLS[1:]:
        for name in options_of(call):
            assert name in (inspect.getdoc(call) or "")


@pytest.mark.parametrize(("call", "unknown", "hint"), UNKNOWN)
def test_unknown_option_is_refused_with_the_name_that_was_meant(
    call: Callable[..., Any], unknown: str, hint: str
) -> None:
    with pytest.raises(TypeError, match=f"^unknown option: {unknown}") as caught:
        call(URL, **{unknown: 5})
    assert hint in str(caught.value)


def test_unknown_options_are_told_all_at_once_and_before_any_other_fault() -> None:
    with pytest.raises(TypeError, match=r"^unknown option: colour, ssl \(here: ssl_context\)$"):
        connect("no URL", ssl=5, colour="red", max_size="large")  # type: ignore[call-arg, arg-type]


EVALUATE_ALL = """
import sys
import syncws
assert "ssl" not in sys.modules and "asyncio" not in sys.modules
import inspect, typing
def functions(public):
    for name, member in vars(public).items():
        member = getattr(member, "__func__", getattr(member, "fget", member))
        member = inspect.unwrap(member) if callable(member) else member
        if inspect.isfunction(member):
            yield f"{public.__qualname__}.{name}", member
found = {}
for name in syncws.__all__:
    public = getattr(syncws, name)
    if issubclass(type(public), type):
        assert public.__module__ == "syncws", public
        found[name] = typing.get_type_hints(public)
        if not issubclass(public, BaseException):  # those of C have no signature
            inspect.signature(public, eval_str=True)
        for base in public.__mro__:
            if base.__module__.partition(".")[0] == "syncws":
                found.update((name, typing.get_type_hints(function)) for name, function in functions(base))
    elif callable(public) and inspect.isfunction(public):
        found[name] = typing.get_type_hints(public)
        inspect.signature(public, eval_str=True)
import ssl
assert found["connect"]["ssl_context"] == ssl.SSLContext | None
assert found["connect"]["return"] is syncws.Connection
assert found["Response"]["headers"] is syncws.Headers
assert found["Connection.recv"]["timeout"] == float | None
assert found["MessageEvent"]["data"] == str | bytes | bytearray
print(len(found))
"""


def test_type_hints_of_every_public_name_resolve_and_ssl_is_imported_only_for_them() -> None:
    command = [sys.executable, "-c", EVALUATE_ALL]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 60


def test_public_names_are_all_there_and_options_is_none_of_them() -> None:
    assert {name for name in syncws.__all__ if not hasattr(syncws, name)} == set()
    assert {"Dispatch", "HeadersLike", "Reconnector", "RetryPolicy"} <= set(syncws.__all__)
    assert not hasattr(syncws, "Options")


# Handlers.


class Target(EventTarget):
    onopen = WebSocket.onopen


async def coroutine(event: Event) -> None: ...


async def generator(event: Event) -> Any:
    yield event


class AsyncCallable:
    async def __call__(self, event: Event) -> None: ...


class AsyncListener:
    async def handleEvent(self, event: Event) -> None: ...


class AsyncMethod:
    async def method(self, event: Event) -> None: ...


ASYNC = [coroutine, generator, AsyncCallable(), AsyncMethod().method, functools.partial(coroutine)]


@pytest.mark.parametrize("handler", ASYNC)
def test_async_handler_is_refused_when_it_is_set(handler: Any) -> None:
    match = "async.*docs/guis-and-event-loops.md"
    target = Target()
    with pytest.raises(TypeError, match=f"onopen.*{match}"):
        target.onopen = handler
    assert target.onopen is None
    with pytest.raises(TypeError, match=f"callback.*{match}"):
        target.addEventListener("open", handler)
    for call in (WebSocket, ReconnectingWebSocket):
        with pytest.raises(TypeError, match=f"onclose.*{match}"):
            call(URL, onclose=handler)


async def later(*_: object) -> Any: ...


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (connect, "trace"),
        (WebSocket, "dispatch"),
        *((call, name) for call in (reconnect, ReconnectingWebSocket) for name in ("headers", "policy")),
        (reconnect, "protocols"),
        (ReconnectingWebSocket, "dispatch"),
    ],
)
def test_an_async_function_is_refused_wherever_a_callable_is_asked_for(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a plain function, not an async one"):
        call(URL, **{name: later})


@pytest.mark.parametrize("call", [reconnect, ReconnectingWebSocket])
def test_an_async_function_in_the_place_of_the_url_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match="^url must be a plain function, not an async one"):
        call(later)


def test_async_handle_event_is_refused_too() -> None:
    with pytest.raises(TypeError, match="callback.*async"):
        Target().addEventListener("open", AsyncListener())


def test_a_class_is_a_handler_also_when_its_instances_are_asynchronous_callables() -> None:
    class Job:
        def __init__(self, event: Event) -> None:
            made.append(event.type)

        async def __call__(self) -> None: ...

    made: list[str] = []
    target = Target()
    target.onopen = Job
    target.dispatchEvent(Event("open"))
    assert made == ["open"]


@pytest.mark.parametrize("call", [WebSocket, ReconnectingWebSocket])
@pytest.mark.parametrize("handler", ["open", "message", "error", "close"])
def test_other_spellings_of_a_handler_cannot_be_set_and_are_not_there(call: Any, handler: str) -> None:
    with LoopbackServer() as server, call(server.url) as ws:
        other_cases = (f"on{handler.capitalize()}", f"ON_{handler.upper()}", f"ON{handler.upper()}")
        slips = (f"on{handler}s", f"on{handler[:-1]}", f"on{handler[:-2]}{handler[:-3:-1]}")
        for name in (f"on_{handler}", f"On_{handler}", *other_cases, *slips):
            with pytest.raises(AttributeError, match=f"{call.__name__}.*{name}.*did you mean 'on{handler}'"):
                setattr(ws, name, print)
            assert not hasattr(ws, name)
            assert name not in dir(ws)
        assert f"on{handler}" in dir(ws)


@pytest.mark.parametrize("name", ["onmessage", "on_message", "onOpen", "onclose", "onerrors", "on_ping"])
def test_a_connection_that_calls_no_handlers_refuses_them(name: str) -> None:
    with LoopbackServer() as server, connect(server.url) as connection:
        with pytest.raises(AttributeError, match=f"^Connection .*'{name}'; recv\\(\\) gives messages here"):
            setattr(connection, name, print)
        assert not hasattr(connection, name)
        assert name not in dir(connection)


def test_a_subclass_may_use_the_other_spellings_and_any_other_attribute() -> None:
    class Chat(WebSocket):
        on_error = None

        def __init__(self, url: str) -> None:
            self.room = "lobby"
            self.on_ready = print
            super().__init__(url, onmessage=self.on_message)

        def on_message(self, event: Any) -> str:
            return f"{self.room} {event.data}"

    with LoopbackServer() as server, Chat(server.url) as ws:
        ws.room = "hall"
        assert ws.onmessage is not None
        assert ws.on_message(syncws.MessageEvent("message", "hello")) == "hall hello"
        assert (ws.on_error, ws.on_ready) == (None, print)
        with pytest.raises(AttributeError):
            ws.on_open = print  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", [WebSocket, ReconnectingWebSocket])
def test_handlers_of_pings_and_pongs_cannot_be_set_and_the_error_names_the_call_instead(call: Any) -> None:
    with LoopbackServer() as server, call(server.url) as ws:
        for name in ("onping", "on_ping", "onPing"):
            with pytest.raises(AttributeError, match=f"{name}.*addEventListener\\('ping', ...\\)"):
                setattr(ws, name, print)
            assert name not in dir(ws)
        with pytest.raises(AttributeError, match="onpong"):
            ws.onpong = print


# Arguments.


@pytest.mark.parametrize("timeout", ["5", b"5", [5], True, 5j, object()])
def test_timeout_that_is_no_number_is_refused_by_name(timeout: Any) -> None:
    with LoopbackServer() as server:
        with connect(server.url) as connection:
            for method in (connection.recv, connection.flush, connection.ping):
                with pytest.raises(TypeError, match="^timeout must be a number of seconds or None"):
                    method(timeout)
            with pytest.raises(TypeError, match="^timeout must be"):
                connection.recv_streaming(timeout)
        for call in (WebSocket, ReconnectingWebSocket):
            with call(server.url) as ws, pytest.raises(TypeError, match="^timeout must be"):
                ws.join(timeout)


def test_timeout_is_any_number_that_a_clock_can_count_to() -> None:
    for good in (None, 0, -1, 0.5, 5, 1e300, float("inf")):
        check_timeout("timeout", good)
    for bad in (float("nan"), 10**400, -(10**400)):
        with pytest.raises(ValueError, match="^timeout must be"):
            check_timeout("timeout", bad)


def test_headers_of_the_handshake_are_told_all_at_once_with_what_to_use() -> None:
    pasted = {
        "Connection": "Upgrade",
        "User-Agent": "s3cret",
        "Sec-WebSocket-Key": "s3cret",
        "sec-websocket-protocol": "s3cret",
        "Sec-WebSocket-Extensions": "s3cret",
    }
    with pytest.raises(ValueError, match="headers must not hold") as caught:
        connect(URL, headers=pasted)
    assert str(caught.value) == (
        "headers must not hold Connection (the handshake itself sets it), "
        "Sec-WebSocket-Key (the handshake itself sets it), "
        "sec-websocket-protocol (use protocols=), Sec-WebSocket-Extensions (use compression=)"
    )


def test_headers_of_several_kinds_of_mistakes_are_told_in_one_error() -> None:
    wrong = {"Upgrade": "websocket", "A": "s3cret\n", "Bad name": "s3cret", "B": "s3cret\r", "Good": "1"}
    with pytest.raises(ValueError, match="^headers: ") as caught:
        connect(URL, headers=wrong)
    assert str(caught.value) == (
        "headers: the value of 'A' holds LF at index 6; "
        "the field name after 'Bad' holds ' ', which none may; "
        "the value of 'B' holds CR at index 6; headers must not hold Upgrade (the handshake itself sets it)"
    )
    with pytest.raises(TypeError, match="'C' must be a str, not int; headers must not hold Connection"):
        connect(URL, headers={"C": 5, "Connection": "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer s3cret\n"}},
        {"headers": {"Authorization": b"Bearer s3cret"}},
        {"headers": {"Authorization": ["Bearer s3cret"]}},
        {"headers": {"Authorization": "Bearer s3cret €"}},
        {"headers": ["Authorization: Bearer s3cret"]},
        {"headers": [("Authorization: Bearer s3cret", "")]},
        {"headers": [("Authorization", "Bearer", "s3cret")]},
        {"headers": "Authorization: Bearer s3cret"},
        {"headers": b"Authorization: Bearer s3cret"},
        {"headers": {"Origin": "s3cret"}, "origin": "https://s3cret"},
        {"origin": b"https://s3cret"},
        {"origin": "https://s3cret\n"},
        {"ssl_context": {"password": "s3cret"}},
        {"ssl": {"password": "s3cret"}},
        {"server_hostname": b"s3cret"},
        {"protocols": "base64url.bearer.authorization.s3cret "},
    ],
)
def test_no_error_for_an_option_quotes_a_secret(options: dict[str, Any]) -> None:
    for call in CALLS:
        with pytest.raises((TypeError, ValueError)) as caught:
            call("wss://127.0.0.1:9999/", **options)
        assert "s3cret" not in str(caught.value)
        assert "s3cret" not in repr(caught.value.__context__)


@pytest.mark.parametrize("name", ["a\0b", "", ".example.com"])
def test_server_hostname_that_tls_would_refuse_is_refused_at_the_call(name: str) -> None:
    for call in CALLS:
        with pytest.raises(ValueError, match="^server_hostname must be a host name"):
            call("wss://127.0.0.1:9999/", server_hostname=name)
