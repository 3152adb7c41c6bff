"""The error for an unknown option, which names the option that was probably meant.

Owns: the names that other libraries use. Runs on: the caller's thread. Must not import: anything with I/O or
threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

_Call = TypeVar("_Call", bound=Callable[..., Any])

# Options of other libraries, and ours that does the same; header fields for which others have an option.
_NAMES_ELSEWHERE = {
    "additional_headers": "headers",
    "agent": "proxy",
    "auth_token": "headers={'Authorization': 'Bearer ...'}",
    "authorization": "headers={'Authorization': ...}, or auth=(user, password)",
    "basic_auth": "auth",
    "bearer_token": "headers={'Authorization': 'Bearer ...'}",
    "ca_cert": "ca",
    "ca_certs": "ca",
    "cafile": "ca",
    "capath": "ca",
    "cert_reqs": "ssl_context",
    "certfile": "cert",
    "check_hostname": "ssl_context",
    "client_cert": "cert",
    "close_code": "close(code)",
    "connect_timeout": "open_timeout",
    "connection_timeout": "open_timeout",
    "cookie": "headers={'Cookie': ...}, or cookies= with an http.cookiejar.CookieJar",
    "cookie_jar": "cookies",
    "custom_headers": "headers",
    "debug": "trace=, or DEBUG on the logger 'syncws'",
    "dispatcher": "dispatch=, of the callback API alone",
    "enable_trace": "trace=, or DEBUG on the logger 'syncws'",
    "extensions": "compression",
    "extra_headers": "headers",
    "follow_redirects": "max_redirects",
    "handshake_timeout": "open_timeout",
    "header": "headers",
    "heartbeat": "ping_interval",
    "host": "headers={'Host': ...}",
    "http_headers": "headers",
    "http_no_proxy": "the environment variable no_proxy, or proxy=None",
    "http_proxy": "proxy",
    "http_proxy_auth": "proxy='http://user:password@host:port'",
    "http_proxy_host": "proxy='http://host:port'",
    "http_proxy_port": "proxy='http://host:port'",
    "http_proxy_timeout": "open_timeout",
    "insecure": "ca, or ssl_context",
    "keepalive": "ping_interval",
    "keepalive_ping_interval_seconds": "ping_interval",
    "keyfile": "cert=(certificate, key)",
    "local_addr": "source_address",
    "logger": "the logger 'syncws'",
    "max_message_size": "max_size",
    "max_msg_size": "max_size",
    "max_payload": "max_size",
    "no_proxy": "the environment variable no_proxy, or proxy=None",
    "password": "auth=(user, password)",
    "perMessageDeflate": "compression",
    "ping_payload": "WebSocket.ping(data)",
    "proxies": "proxy",
    "proxy_auth": "proxy='http://user:password@host:port'",
    "proxy_headers": "proxy='http://user:password@host:port'",
    "proxy_type": "proxy='socks5h://host:port'",
    "read_timeout": "recv(timeout=...)",
    "receive_timeout": "recv(timeout=...)",
    "recv_timeout": "recv(timeout=...)",
    "redirect_limit": "max_redirects",
    "reject_unauthorized": "ca, or ssl_context",
    "request_headers": "headers",
    "send_timeout": "flush(timeout=...), or max_buffered",
    "sni": "server_hostname",
    "socket": "sock",
    "sockopt": "socket_options",
    "ssl": "ssl_context",
    "ssl_ca_certs": "ca",
    "ssl_options": "ssl_context",
    "ssl_verify": "ca, or ssl_context",
    "sslopt": "ssl_context",
    "subprotocol": "protocols",
    "subprotocols": "protocols",
    "timeout": "open_timeout, or recv(timeout=...)",
    "tls": "ssl_context",
    "token": "headers={'Authorization': 'Bearer ...'}",
    "uds": "unix",
    "unix_socket_path": "unix",
    "uri": "url",
    "user_agent": "headers={'User-Agent': ...}",
    "user_agent_header": "headers={'User-Agent': ...}",
    "username": "auth=(user, password)",
    "verify": "ca, or ssl_context",
    "verify_mode": "ssl_context",
    "verify_ssl": "ca, or ssl_context",
    "write_limit": "max_buffered",
}

# These are recognised in other spellings, too: sslVerify, verifySSL.
_FOLDED = {name.replace("_", "").lower(): ours for name, ours in _NAMES_ELSEWHERE.items()}

# Options of other libraries that have no counterpart here, and the reason.
_NOT_HERE = {
    "autoclose": "every Close is answered",
    "autoping": "every ping is answered",
    "daemon": "not needed: the threads inside do not keep the process from ending",
    "binary_type": "an attribute: binaryType",
    "class_": "a connection is always a Connection",
    "connection": "not needed: the handshake's own Connection header is always sent",
    "create_connection": "a connection is always a Connection",
    "enable_multithread": "not needed: every method may be called from any thread",
    "fire_cont_frame": "recv_streaming() gives a message in parts",
    "get_mask_key": "masking keys are always random",
    "keep_running": "close() ends it",
    "legacy": "there is one kind of connect()",
    "loop": "not needed: there is no event loop",
    **dict.fromkeys(("params", "path", "port", "query"), "a part of the URL"),
    "skip_utf8_validation": "text is always checked",
    "suppress_origin": "not needed: no Origin is sent unless origin= is given",
}

# Options of other libraries that say when to reconnect.
_COMING_BACK = frozenset(
    {
        "auto_reconnect",
        "autoreconnect",
        "backoff",
        "delay",
        "max_retries",
        "process_exception",
        "reconnect",
        "reconnect_delays",
        "reconnect_interval",
        "retries",
        "retry",
    }
)

# Event names of other libraries, and ours.
_EVENTS_ELSEWHERE = {
    **dict.fromkeys(("connect", "connected", "connection", "opened", "ready"), "open"),
    **dict.fromkeys(("binary", "contmessage", "data", "receive", "received", "recv", "text"), "message"),
    **dict.fromkeys(("exception", "fail", "failed", "failure"), "error"),
    **dict.fromkeys(("disconnect", "disconnected", "closed", "closing", "end"), "close"),
}


def explain_unknown(call: _Call) -> _Call:
    """A decorator: an option that `call` does not know raises a `TypeError` that names the one that was
    meant.

    If a constructor raises, the `_forsake` of its object undoes what has begun.

    `inspect.signature`, `help` and type checkers still show the signature of `call`.
    """
    is_constructor = call.__name__ == "__init__"
    code = call.__code__  # `inspect.signature` would say the same, but `inspect` is slow to import.
    known = frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])

    @functools.wraps(call)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        unknown = keywords.keys() - known
        if unknown:
            names = ", ".join(_explain(name, known) for name in sorted(unknown))
            raise TypeError(f"unknown option: {names}")
        try:
            made = call(*arguments, **keywords)
        except BaseException:
            # Ctrl-C may come at the very last step, which is this one; then nobody holds the new object.
            if is_constructor:
                arguments[0]._forsake()
            raise
        return made

    return cast("_Call", checked)


def _explain(unknown: str, known: frozenset[str]) -> str:
    hint = _hint(unknown, known)
    return f"{unknown} ({hint})" if hint else unknown


def _hint(unknown: str, known: frozenset[str]) -> str:
    folded = unknown.replace("_", "").lower()
    for name in known:
        if name.replace("_", "") == folded:
            return f"did you mean {name}?"
    if folded in _FOLDED:
        return f"here: {_FOLDED[folded]}"
    if unknown in _NOT_HERE:
        return _NOT_HERE[unknown]
    if unknown in _COMING_BACK:
        return "policy= decides" if "policy" in known else "reconnect() and ReconnectingWebSocket come back"
    if unknown == "dispatch":
        other = "ReconnectingWebSocket" if "policy" in known else "WebSocket"
        return f"of the callback API alone: {other}(url, onmessage=..., dispatch=...)"
    if unknown == "sock":
        return "a socket is used up by its first connection, so there is none for those that come back"
    if folded.startswith("on") and len(folded) > 2:
        return _handler_hint(folded[2:], known)
    nearest = _nearest(unknown, known, 0.7)
    return f"did you mean {nearest}?" if nearest else ""


def _handler_hint(event: str, known: frozenset[str]) -> str:
    """The text that says what to use instead of ``on<event>``."""
    all_of_them = "handlers are onopen, onmessage, onerror and onclose"
    if event == "reconnect":
        return "an open event comes at each return of a ReconnectingWebSocket"
    if "onopen" not in known:
        other = "ReconnectingWebSocket" if "policy" in known else "WebSocket"
        there = f"of the callback API alone: {other}(url, onmessage=...)"
        if event in ("ping", "pong"):
            return f"addEventListener({event!r}, ...) of a {other} hears of those; here trace= does"
        return f"{all_of_them}, {there}; here recv() gives messages"
    if event in ("ping", "pong"):
        return f"{all_of_them}; addEventListener({event!r}, ...) hears of those"
    meant = _EVENTS_ELSEWHERE.get(event) or _nearest(event, ("open", "message", "error", "close"), 0.6)
    return f"did you mean on{meant}?" if meant else all_of_them


def _nearest(unknown: str, known: Iterable[str], likeness: float) -> str | None:
    import difflib  # This import stands here, since it takes longer than everything else in this module.

    return next(iter(difflib.get_close_matches(unknown, known, n=1, cutoff=likeness)), None)
