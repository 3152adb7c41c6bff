"""The options of a connection: every keyword that both faces take, with its default and its reason.

Owns: nothing at run time. Runs on: the caller's thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._protocol.handshake import RESERVED_HEADERS, check_protocols
from .._protocol.http11 import Headers, check_field, get_all
from .._protocol.url import URL, check_port, parse_url

if TYPE_CHECKING:
    import ssl

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]
QueueLimit = int | None | tuple[int | None, int | None]

#: High enough that a burst is taken off the network in large reads, low enough that a consumer that
#: stands still costs a few MiB.
DEFAULT_QUEUE = (4 * 2**20, 16384)


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose. Each is a keyword of `WebSocket`, `connect` and their reconnecting kin, as in
    ``connect(url, max_size=2**20)``; this record is what they make of them.

    Attributes:
        headers: further fields of the request head, a mapping or (name, value) pairs. Raises `ValueError` for
            CR, LF or NUL, and for a field that the handshake sets itself.
        origin: the Origin field; a browser's page has one, a program has none by default.
        ssl_context: for ``wss``; None verifies against the system's trust store.
        server_hostname: the name to send (SNI) and to verify; None takes the URL's host.
        compression: ``"deflate"`` offers permessage-deflate, as browsers do; None does not.
        open_timeout: seconds for DNS, TCP, TLS and the handshake in all. 10 s: longer than a bad mobile
            link takes, shorter than a person waits.
        close_timeout: seconds for the closing handshake and the end of TCP. 10 s, as `open_timeout`.
        ping_interval: seconds between keepalive pings. 20 s: below the idle time-outs of common proxies
            and NATs (30 to 60 s).
        ping_timeout: seconds of silence after a ping before the link counts as dead. 20 s: a link that
            stalls for less often comes back.
        max_size: bytes of one message after decompression. 16 MiB: what fits a worker's memory several
            times over; a hostile server cannot make the process swell.
        max_queue: (bytes, messages) waiting to be dispatched before reading pauses; an int is bytes. 4 MiB
            and 16384: a burst is taken in large reads, and a consumer that stands still costs a few MiB.
        max_buffered: bytes that `send` may have waiting, else it raises `BufferFull`. None: `bufferedAmount`
            is for the caller to watch.

    None turns a time-out, the pings or a limit off.
    """

    headers: Headers = ()
    origin: str | None = None
    ssl_context: ssl.SSLContext | None = None
    server_hostname: str | None = None
    compression: str | None = "deflate"
    open_timeout: float | None = 10
    close_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_size: int | None = 16 * 2**20
    max_queue: tuple[int | None, int | None] = DEFAULT_QUEUE
    max_buffered: int | None = None

    @classmethod
    def from_keywords(cls, headers: HeadersLike | None = None, **keywords: Any) -> Options:
        """Check the keywords that a face was given.

        Raises `TypeError` for an unknown keyword or a wrong type, `ValueError` for a bad value; both name
        the option and the value.
        """
        unknown = keywords.keys() - cls.__slots__
        if unknown:
            raise TypeError(f"unknown option: {', '.join(_explain(name) for name in sorted(unknown))}")
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
                raise TypeError(f"origin must be a str or None, not {keywords['origin']!r}")
            check_field("Origin", keywords["origin"])
        context = keywords.get("ssl_context")
        if context is not None and not hasattr(context, "wrap_bio"):
            raise TypeError(f"ssl_context must be an ssl.SSLContext or None, not {context!r}")
        hostname = keywords.get("server_hostname")
        if hostname is not None and not isinstance(hostname, str):
            raise TypeError(f"server_hostname must be a str or None, not {hostname!r}")
        fields = _check_headers(headers)
        if keywords.get("origin") is not None and get_all(fields, "Origin"):
            raise ValueError(f"Origin is given twice: in headers and as origin={keywords['origin']!r}")
        return cls(headers=fields, **keywords)


def _explain(unknown: str) -> str:
    if unknown.startswith("on") and len(unknown) > 2:
        return f"{unknown} (handlers are onopen, onmessage, onerror and onclose, of WebSocket alone)"
    import difflib  # here, since it takes longer to import than all of the above

    close = difflib.get_close_matches(unknown, Options.__slots__)
    return f"{unknown} (did you mean {' or '.join(sorted(close))}?)" if close else unknown


def _check_headers(headers: HeadersLike | None) -> Headers:
    if headers is None:
        return ()
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
        raise TypeError(f"headers must be a mapping or (name, value) pairs, not {headers!r}")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"headers must be a mapping or (name, value) pairs, not {pair!r}")
        name, value = check_field(*pair)
        if name.lower() in RESERVED_HEADERS:
            raise ValueError(f"headers: {name!r} is set by the handshake itself")
        fields.append((name, value))
    return tuple(fields)


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
