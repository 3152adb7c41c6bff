"""What a call says to an option that it does not know: the name that was meant.

Owns: the words of other libraries. Runs on: the caller's thread. Must not import: anything with I/O or
threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

_Call = TypeVar("_Call", bound=Callable[..., Any])

# What other libraries call an option of ours, and the fields that they have an option for.
_NAMES_ELSEWHERE = {
    "additional_headers": "headers",
    "connect_timeout": "open_timeout",
    "connection_timeout": "open_timeout",
    "basic_auth": "auth",
    "cafile": "ca",
    "capath": "ca",
    "certfile": "cert",
    "client_cert": "cert",
    "cookie": "headers={'Cookie': ...}, or cookies= with an http.cookiejar.CookieJar",
    "cookie_jar": "cookies",
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
    "local_addr": "source_address",
    "max_msg_size": "max_size",
    "max_payload": "max_size",
    "perMessageDeflate": "compression",
    "proxies": "proxy",
    "proxy_auth": "proxy='http://user:password@host:port'",
    "proxy_type": "proxy='socks5h://host:port'",
    "redirect_limit": "max_redirects",
    "sni": "server_hostname",
    "sockopt": "socket_options",
    "socket": "sock",
    "ssl": "ssl_context",
    "ssl_options": "ssl_context",
    "sslopt": "ssl_context",
    "subprotocol": "protocols",
    "subprotocols": "protocols",
    "timeout": "open_timeout, or recv(timeout=...)",
    "user_agent": "headers={'User-Agent': ...}",
    "user_agent_header": "headers={'User-Agent': ...}",
    "uds": "unix",
    "unix_socket_path": "unix",
    "verify": "ca, or ssl_context",
    "write_limit": "max_buffered",
}

# What other libraries have an option for and this one has not.
_NOT_HERE = {
    "autoping": "every ping is answered",
    "enable_multithread": "not needed: every method may be called from any thread",
    "skip_utf8_validation": "text is always checked",
    "suppress_origin": "not needed: no Origin is sent unless origin= is given",
}


def explain_unknown(call: _Call) -> _Call:
    """A decorator: what `call` does not know raises a `TypeError` that names the option that was meant.

    A constructor that raises has the object `_forsake` what it has begun.

    Its signature stays to be seen: `inspect.signature`, `help` and type checkers show that of `call`.
    """
    is_constructor = call.__name__ == "__init__"
    code = call.__code__  # `inspect.signature` would say the same, and is slow to import
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
            # Ctrl-C may come at the very last step, which is here; then nobody holds what was made.
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
    if unknown in _NAMES_ELSEWHERE:
        return f"here: {_NAMES_ELSEWHERE[unknown]}"
    if unknown in _NOT_HERE:
        return _NOT_HERE[unknown]
    if unknown == "sock":
        return "a socket is used up by its first connection, so there is none for those that come back"
    if folded.startswith("on") and len(folded) > 2:
        alone = "" if "onopen" in known else ", of the callback API alone (WebSocket)"
        heard = ""
        if folded in ("onping", "onpong"):
            heard = f"; addEventListener({folded[2:]!r}, ...) hears of those"
        return f"handlers are onopen, onmessage, onerror and onclose{heard}{alone}"
    import difflib  # imported here, since that takes longer than all of the above

    nearest = difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else ""
