"""The options of a connection: every keyword that the calls take, with its default and its reason.

Owns: nothing at run time. Runs on: the caller's thread. Must not import: anything with I/O or threads.

`Options` is the one list of them. The four calls (`WebSocket`, `connect`, `reconnect` and
`ReconnectingWebSocket`) write each option out in their signatures, for editors and type checkers, and
tests/engine/test_signatures.py holds these equal to `Options`. To add an option: a field and its check here,
a parameter in each signature, a line in tests/typing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from ..._protocol.handshake import check_protocols
from ..._protocol.host import check_hostname
from ..._protocol.http11 import Fields, has_field
from ..._protocol.url import URL, check_port, parse_url
from ..trace_record import TraceRecord
from . import option_checks as checks
from .option_checks import check_dispatch as check_dispatch
from .option_checks import check_timeout as check_timeout
from .option_types import DEFAULT_QUEUE, FilePath, UnixPath, cookiejar, socket, ssl

if TYPE_CHECKING:
    from ..._protocol.proxy import Proxy

# The function that checks the value of an option. Other options are checked by their names below, or are
# changed into the one form in which the record holds them.
_CHECKS: dict[str, Callable[[Any], object]] = {
    "auth": checks.check_auth,
    "ca": checks.check_ca,
    "cert": checks.check_cert,
    "cookies": checks.check_cookies,
    "family": checks.check_family,
    "max_redirects": checks.check_redirects,
    "origin": checks.check_origin,
    "proxy": checks.check_proxy,
    "sock": checks.check_sock,
    "source_address": checks.check_source,
    "ssl_context": checks.check_context,
    "trace": checks.check_trace,
    "unix": checks.check_unix,
}
_CHECKS_BY_NAME: dict[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(("open_timeout", "close_timeout", "ping_interval", "ping_timeout"), checks.check_seconds),
    **dict.fromkeys(("max_size", "max_buffered"), checks.check_count),
    **dict.fromkeys(("require_protocol", "allow_blocked_port"), checks.check_bool),
}
_FORMS: dict[str, Callable[[Any], object]] = {
    "headers": checks.check_headers,
    "max_queue": checks.queue_limit,
    "server_hostname": lambda name: None if name is None else check_hostname(name),
    "socket_options": checks.socket_options,
}

# Pairs of options that exclude each other: each says how the same thing is done.
_CONTRADICTIONS = (
    ("ssl_context", "ca"),
    ("ssl_context", "cert"),
    *((one, other) for one in ("sock", "unix") for other in ("proxy", "source_address", "family")),
    ("sock", "unix"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one call, checked; `WebSocket` documents each of them, with the reason for its default.

    The record holds `headers`, `max_queue`, `server_hostname` and `socket_options` in one form each, of the
    several in which a caller may write them.
    """

    headers: Fields = field(default=(), repr=False)
    origin: str | None = None
    auth: tuple[str, str] | None = field(default=None, repr=False)
    # None stands first, since from Python 3.15 on dataclasses evaluates the first name of an annotation.
    cookies: None | cookiejar.CookieJar = field(default=None, repr=False)
    max_redirects: int = 0
    require_protocol: bool = True
    allow_blocked_port: bool = False
    ssl_context: None | ssl.SSLContext = None
    ca: FilePath | None = None
    cert: FilePath | tuple[FilePath, FilePath] | None = None
    server_hostname: str | None = None
    proxy: str | None = field(default="auto", repr=False)
    sock: None | socket.socket = None
    unix: UnixPath | None = None
    source_address: tuple[str, int] | None = None
    family: Literal[4, 6] | None = None
    socket_options: tuple[tuple[int, int, int | bytes], ...] = ()
    compression: Literal["deflate"] | None = "deflate"
    open_timeout: float | None = 10
    close_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_size: int | None = 16 * 2**20
    max_queue: tuple[int | None, int | None] = DEFAULT_QUEUE
    max_buffered: int | None = None
    trace: Callable[[TraceRecord], object] | None = None

    @classmethod
    def from_keywords(cls, **keywords: Any) -> Options:
        """Check the options of one call.

        Raises `TypeError` for a wrong type and `ValueError` for a bad value. Both name the option, and quote
        its value unless that may be a secret.
        """
        # Most options of most calls are the default objects themselves, which need no check.
        chosen = {name: value for name, value in keywords.items() if value is not _AS_GIVEN.get(name, _OTHER)}
        for name, value in chosen.items():
            if name in _CHECKS:
                _CHECKS[name](value)
            elif name in _CHECKS_BY_NAME:
                _CHECKS_BY_NAME[name](name, value)
            elif name in _FORMS:
                chosen[name] = _FORMS[name](value)
        if chosen.get("compression", "deflate") not in ("deflate", None):
            raise ValueError(f"compression must be 'deflate' or None, not {chosen['compression']!r}")
        options = cls(**chosen)
        options._check_together({name for name, value in chosen.items() if value is not None})
        return options

    def _check_together(self, given: set[str]) -> None:
        """`given`: the options that are neither the default nor None."""
        if self.proxy == "auto":
            given.discard("proxy")
        for one, other in _CONTRADICTIONS:
            if one in given and other in given:
                raise ValueError(f"{one} and {other} cannot be given together")
        if self.origin is not None and has_field(self.headers, "Origin"):
            raise ValueError("Origin is given twice: in headers and as origin=")
        if self.auth is not None and has_field(self.headers, "Authorization"):
            raise ValueError("credentials are given twice: as auth= and as Authorization in headers")


# The defaults, as in the signatures of the calls. Checking every option takes longer than making a socket.
_AS_GIVEN: dict[str, object] = {
    **{field.name: field.default for field in fields(Options)},
    "headers": None,
}
_OTHER = object()


def chosen(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The options among the arguments of a call, as its ``locals()`` hold them at its first line."""
    return {name: arguments[name] for name in Options.__slots__ if name in arguments}


def check_arguments(
    url: str, protocols: str | Iterable[str], options: dict[str, Any]
) -> tuple[URL, tuple[str, ...], Options]:
    """Check the arguments of a call that opens a connection, and return them parsed.

    Raises for the caller's mistakes, as `WebSocket` and `connect` document it.
    """
    parsed = parse_url(url)
    checked = check_protocols(protocols)
    if not options.get("allow_blocked_port"):
        check_port(parsed)
    chosen_options = Options.from_keywords(**options)
    if parsed.credentials is not None:
        for name, given in (
            ("auth=", chosen_options.auth is not None),
            ("Authorization in headers", has_field(chosen_options.headers, "Authorization")),
        ):
            if given:
                raise ValueError(f"credentials are given twice: in the URL and as {name}")
    return parsed, checked, _prepare(parsed, chosen_options)


def choose_proxy(options: Options, url: URL) -> Proxy | None:
    """The proxy for a URL, or None.

    Raises `ValueError` when a variable of the environment is no URL of a proxy.
    """
    if options.sock is not None or options.unix is not None or options.proxy is None:
        return None
    if options.proxy == "auto" and not _names_proxy():
        return None
    # This import stands here, since most connections have no proxy.
    from ..._protocol import proxy

    return proxy.choose_proxy(options.proxy, url, os.environ)


def missing_package(proxy: Proxy) -> str:
    """The text of the error when the package for SOCKS is not installed."""
    return f"the proxy {proxy.public} takes the package socksio: pip install 'syncws[socks]'"


def _names_proxy() -> bool:
    """Whether the environment may name a proxy.

    This looks at the names as bytes if the system has them, since `os.environ` decodes every name.
    """
    if sys.platform != "win32":
        return b"_proxy" in b" ".join(os.environb).lower()
    return "_proxy" in " ".join(os.environ).lower()


def _prepare(url: URL, options: Options) -> Options:
    """Import the modules and read the files that the connection needs, on the caller's thread.

    If a thread that opens a connection imported a module, a fork could find it holding the import lock. And
    a missing file is the caller's mistake.
    """
    proxy = choose_proxy(options, url)
    if options.max_redirects:
        from ..._protocol import redirect  # noqa: F401
    if options.cookies is not None:
        from ..._protocol import cookies  # noqa: F401
    if proxy is not None and not proxy.is_http:
        try:
            from ..._transport import socks  # noqa: F401
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(missing_package(proxy), name=error.name) from error
    if url.secure or options.max_redirects or (proxy is not None and proxy.secure):
        from ..._transport import trust

        if options.ca is not None or options.cert is not None:
            return replace(options, ssl_context=trust.make_context(options.ca, options.cert))
    return options
