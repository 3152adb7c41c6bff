"""The options of a connection: every keyword that the calls take, with its default and its reason.

Owns: nothing at run time. Runs on: the caller's thread. Must not import: anything with I/O or threads.

`Options` is the one list of them. The four calls (`WebSocket`, `connect`, `reconnect` and
`ReconnectingWebSocket`) write each option out in their signatures, for editors and type checkers, and
tests/engine/test_signatures.py holds these equal to `Options`. To add an option: a field and its check here,
a parameter in each signature, a line in tests/typing.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from .._protocol.handshake import RESERVED_HEADERS, check_protocols
from .._protocol.http11 import Fields, check_field, has_field
from .._protocol.url import URL, check_port, parse_url

if TYPE_CHECKING:
    import ssl as ssl
else:

    class _SSL:
        """Stands for the module where annotations name it, so that only who evaluates these imports it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("ssl"), name)

    ssl = _SSL()

#: What `headers=` takes.
HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
#: What `max_queue=` takes: bytes, (bytes, messages), or None for no limit.
QueueLimit: TypeAlias = int | tuple[int | None, int | None] | None

_Call = TypeVar("_Call", bound=Callable[..., Any])

#: High enough that a burst is taken off the network in large reads, low enough that a consumer that
#: stands still costs a few MiB.
DEFAULT_QUEUE = (4 * 2**20, 16384)

# What other libraries call an option of ours, and the fields that they have an option for.
_NAMES_ELSEWHERE = {
    "additional_headers": "headers",
    "connect_timeout": "open_timeout",
    "connection_timeout": "open_timeout",
    "cookie": "headers={'Cookie': ...}",
    "cookies": "headers={'Cookie': ...}",
    "custom_headers": "headers",
    "extra_headers": "headers",
    "handshake_timeout": "open_timeout",
    "header": "headers",
    "heartbeat": "ping_interval",
    "host": "headers={'Host': ...}",
    "http_headers": "headers",
    "max_msg_size": "max_size",
    "max_payload": "max_size",
    "perMessageDeflate": "compression",
    "ssl": "ssl_context",
    "ssl_options": "ssl_context",
    "sslopt": "ssl_context",
    "subprotocol": "protocols",
    "subprotocols": "protocols",
    "timeout": "open_timeout, or recv(timeout=...)",
    "user_agent": "headers={'User-Agent': ...}",
    "user_agent_header": "headers={'User-Agent': ...}",
    "verify": "ssl_context",
    "write_limit": "max_buffered",
}

# What other libraries have an option for and this one has not.
_NOT_HERE = {
    "autoping": "every ping is answered",
    "enable_multithread": "not needed: every method may be called from any thread",
    "skip_utf8_validation": "text is always checked",
    "suppress_origin": "not needed: no Origin is sent unless origin= is given",
    **dict.fromkeys(
        ("http_no_proxy", "http_proxy_auth", "http_proxy_host", "http_proxy_port", "proxy", "proxy_type"),
        "there is no option for a proxy yet",
    ),
}

# What takes the place of a header that the handshake sends itself.
_INSTEAD_OF_HEADERS = {
    "sec-websocket-extensions": "use compression=",
    "sec-websocket-protocol": "use protocols=",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller chose, checked; `WebSocket` documents each option, with the reason for its default.

    The record holds `headers` and `max_queue` in one form each, of the several in which a caller may write
    them.
    """

    headers: Fields = ()
    origin: str | None = None
    # None first: from Python 3.15 on, dataclasses evaluates the first name of an annotation.
    ssl_context: None | ssl.SSLContext = None
    server_hostname: str | None = None
    compression: Literal["deflate"] | None = "deflate"
    open_timeout: float | None = 10
    close_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_size: int | None = 16 * 2**20
    max_queue: tuple[int | None, int | None] = DEFAULT_QUEUE
    max_buffered: int | None = None

    @classmethod
    def from_keywords(cls, headers: HeadersLike | None = None, **keywords: Any) -> Options:
        """Check the options that a call was given.

        Raises `TypeError` for a wrong type and `ValueError` for a bad value; both name the option, and the
        value where that can be no secret.
        """
        for name in ("open_timeout", "close_timeout", "ping_interval", "ping_timeout"):
            _check_seconds(name, keywords.get(name))
        for name in ("max_size", "max_buffered"):
            _check_count(name, keywords.get(name))
        if "max_queue" in keywords:
            keywords["max_queue"] = _queue_limit(keywords["max_queue"])
        if keywords.get("compression", "deflate") not in ("deflate", None):
            raise ValueError(f"compression must be 'deflate' or None, not {keywords['compression']!r}")
        if keywords.get("origin") is not None:
            if not isinstance(keywords["origin"], str):
                raise TypeError(f"origin must be a str or None, not {type(keywords['origin']).__name__}")
            check_field("Origin", keywords["origin"])
        context = keywords.get("ssl_context")
        if context is not None and not hasattr(context, "wrap_bio"):
            raise TypeError(f"ssl_context must be an ssl.SSLContext or None, not {type(context).__name__}")
        _check_hostname(keywords.get("server_hostname"))
        fields = _check_headers(headers)
        if keywords.get("origin") is not None and has_field(fields, "Origin"):
            raise ValueError("Origin is given twice: in headers and as origin=")
        return cls(headers=fields, **keywords)


def chosen(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options among the arguments of a call, as its ``locals()`` hold them at its first line."""
    return {name: arguments[name] for name in Options.__slots__}


def explain_unknown(call: _Call) -> _Call:
    """A decorator: what `call` does not know raises a `TypeError` that names the option that was meant.

    Its signature stays to be seen: `inspect.signature`, `help` and type checkers show that of `call`.
    """
    known = frozenset(inspect.signature(call).parameters)

    @functools.wraps(call)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        unknown = keywords.keys() - known
        if unknown:
            names = ", ".join(_explain(name, known) for name in sorted(unknown))
            raise TypeError(f"unknown option: {names}")
        return call(*arguments, **keywords)

    return cast(_Call, checked)


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
    if folded.startswith("on") and len(folded) > 2:
        alone = "" if "onopen" in known else ", of the callback API alone (WebSocket)"
        return f"handlers are onopen, onmessage, onerror and onclose{alone}"
    import difflib  # here, since it takes longer to import than all of the above

    nearest = difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else ""


def _check_headers(headers: HeadersLike | None) -> Fields:
    if headers is None:
        return ()
    must = "headers must be a mapping or (name, value) pairs, not"
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
        raise TypeError(f"{must} {type(headers).__name__}")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)):
            raise TypeError(f"{must} an iterable of {type(pair).__name__}")
        if len(pair) != 2:
            raise TypeError(f"{must} a {type(pair).__name__} of {len(pair)}")
        fields.append(check_field(*pair))
    reserved = {
        name: _INSTEAD_OF_HEADERS.get(name.lower(), "the handshake itself sets it")
        for name, _ in fields
        if name.lower() in RESERVED_HEADERS
    }
    if reserved:
        listed = ", ".join(f"{name} ({why})" for name, why in reserved.items())
        raise ValueError(f"headers must not hold {listed}")
    return tuple(fields)


def _check_hostname(hostname: object) -> None:
    if hostname is None:
        return
    if not isinstance(hostname, str):
        raise TypeError(f"server_hostname must be a str or None, not {type(hostname).__name__}")
    # What the ssl module refuses too, but not before there is a connection.
    if not hostname or hostname.startswith(".") or "\0" in hostname:
        raise ValueError(f"server_hostname must be a host name, not {hostname!r}")


def check_timeout(name: str, value: object) -> None:
    """Check a time-out of a method: a number of seconds, or None for no end; 0 and less do not wait.

    Raises `TypeError` for what is no number, `ValueError` for one that no clock can count to; both name it.
    """
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if value != value or abs(value) > sys.float_info.max and isinstance(value, int):
        raise ValueError(f"{name} must be a number of seconds or None, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not 0 < value <= sys.float_info.max:  # neither infinite nor NaN, nor an int beyond what a float holds
        raise ValueError(f"{name} must be greater than 0 seconds, or None, not {value!r}")


def _check_count(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, or None, not {value!r}")


def _queue_limit(value: QueueLimit) -> tuple[int | None, int | None]:
    pair = value if isinstance(value, tuple) else (value, None if value is None else DEFAULT_QUEUE[1])
    if len(pair) != 2:
        raise TypeError(f"max_queue must be bytes, (bytes, messages) or None, not {value!r}")
    for part in pair:
        if part is not None and (not isinstance(part, int) or isinstance(part, bool)):
            raise TypeError(f"max_queue must be bytes, (bytes, messages) or None, not {value!r}")
        _check_count("max_queue", part)
    return pair


def check_arguments(
    url: str, protocols: str | Iterable[str], options: dict[str, Any]
) -> tuple[URL, tuple[str, ...], Options]:
    """What a connection is made of; raises for the caller's mistakes, as `WebSocket` and `connect` say."""
    parsed = parse_url(url)
    checked = check_protocols(protocols)
    check_port(parsed)
    return parsed, checked, Options.from_keywords(**options)
