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
    "authorization": "headers={'Authorization': ...}, or auth=(user, password)",
    "bearer_token": "headers={'Authorization': 'Bearer ...'}",
    "connect_timeout": "open_timeout",
    "connection_timeout": "open_timeout",
    "basic_auth": "auth",
    "ca_cert": "ca",
    "ca_certs": "ca",
    "cafile": "ca",
    "capath": "ca",
    "cert_reqs": "ssl_context",
    "certfile": "cert",
    "check_hostname": "ssl_context",
    "client_cert": "cert",
    "close_code": "close(code)",
    "cookie": "headers={'Cookie': ...}, or cookies= with an http.cookiejar.CookieJar",
    "cookie_jar": "cookies",
    "debug": "trace=, or DEBUG on the logger 'syncws'",
    "enable_trace": "trace=, or DEBUG on the logger 'syncws'",
    "custom_headers": "headers",
    "extra_headers": "headers",
    "handshake_timeout": "open_timeout",
    "follow_redirects": "max_redirects",
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
    "keyfile": "cert=(certificate, key)",
    "local_addr": "source_address",
    "logger": "the logger 'syncws'",
    "max_msg_size": "max_size",
    "max_payload": "max_size",
    "password": "auth=(user, password)",
    "perMessageDeflate": "compression",
    "proxies": "proxy",
    "proxy_auth": "proxy='http://user:password@host:port'",
    "proxy_type": "proxy='socks5h://host:port'",
    "receive_timeout": "recv(timeout=...)",
    "redirect_limit": "max_redirects",
    "sni": "server_hostname",
    "sockopt": "socket_options",
    "socket": "sock",
    "ssl": "ssl_context",
    "ssl_verify": "ca, or ssl_context",
    "ssl_options": "ssl_context",
    "sslopt": "ssl_context",
    "subprotocol": "protocols",
    "subprotocols": "protocols",
    "timeout": "open_timeout, or recv(timeout=...)",
    "user_agent": "headers={'User-Agent': ...}",
    "user_agent_header": "headers={'User-Agent': ...}",
    "token": "headers={'Authorization': 'Bearer ...'}",
    "uds": "unix",
    "unix_socket_path": "unix",
    "username": "auth=(user, password)",
    "verify": "ca, or ssl_context",
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
    "enable_multithread": "not needed: every method may be called from any thread",
    "loop": "not needed: there is no event loop",
    **dict.fromkeys(("params", "path", "port", "query"), "a part of the URL"),
    "skip_utf8_validation": "text is always checked",
    "suppress_origin": "not needed: no Origin is sent unless origin= is given",
}

# Options of other libraries that say when to reconnect.
_COMING_BACK = frozenset(
    {"autoreconnect", "auto_reconnect", "backoff", "max_retries", "reconnect", "retries", "retry"}
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
    if unknown == "sock":
        return "a socket is used up by its first connection, so there is none for those that come back"
    if folded.startswith("on") and len(folded) > 2:
        return _handler_hint(folded[2:], known)
    nearest = _nearest(unknown, known, 0.7)
    return f"did you mean {nearest}?" if nearest else ""


def _handler_hint(event: str, known: frozenset[str]) -> str:
    """The text that says what to use instead of ``on<event>``."""
    all_of_them = "handlers are onopen, onmessage, onerror and onclose"
    if "onopen" not in known:
        other = "ReconnectingWebSocket" if "policy" in known else "WebSocket"
        there = f"of the callback API alone: {other}(url, onmessage=...)"
        return f"{all_of_them}, {there}; here recv() gives messages"
    if event in ("ping", "pong"):
        return f"{all_of_them}; addEventListener({event!r}, ...) hears of those"
    meant = _EVENTS_ELSEWHERE.get(event) or _nearest(event, ("open", "message", "error", "close"), 0.6)
    return f"did you mean on{meant}?" if meant else all_of_them


def _nearest(unknown: str, known: Iterable[str], likeness: float) -> str | None:
    import difflib  # This import stands here, since it takes longer than everything else in this module.

    return next(iter(difflib.get_close_matches(unknown, known, n=1, cutoff=likeness)), None)
