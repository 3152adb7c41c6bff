"""WebSocket URLs: parsing, serialising, and the ports that are blocked.

Owns: the parsed form of the URL and what the handshake, the resolver and TLS take from it. Runs on: any
thread; nothing here has state. Must not import: anything with I/O or threads, nor urllib.

The parser is the WHATWG URL Standard's basic URL parser (4.4) for absolute URLs with a special scheme. For
these its state machine only ever moves forward, so it is written as a sequence of splits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._exceptions import SecurityErr, SyntaxErr
from .._quoting import has_url_start, public_part, quote
from .host import HostError, parse_host, percent_decode

# WHATWG WebSockets, constructor: http and https become ws and wss, other schemes fail.
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_DEFAULT_PORTS = {"ws": 80, "wss": 443}

# These are the 83 ports that Fetch, port blocking, calls a "bad port".
BLOCKED_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587),
        *(601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)

_C0_CONTROL_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = {ord(c): None for c in "\t\n\r"}
_SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]*):")
_SLASH = re.compile(r"[/\\]")
_SLASH_OR_QUESTION_MARK = re.compile(r"[/\\?]")
# The host ends before a colon, but not before one inside the brackets of an IPv6 address (4.4, host state).
_HOST = re.compile(r"(?:\[[^\]]*\]?|[^:\[])*")

_SINGLE_DOT = frozenset({".", "%2e"})
_DOUBLE_DOT = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})


def _unsafe(characters: str) -> re.Pattern[str]:
    # WHATWG URL 1.3: every set has the C0 controls, DEL and all that is not ASCII.
    # As "not from space to tilde", since `re` compiles that many times faster than the range up to U+10FFFF.
    return re.compile(f"(?:[^ -~]|[{re.escape(characters)}])+")


_QUERY_UNSAFE = _unsafe(" \"#<>'")  # the special-query percent-encode set
_PATH_UNSAFE = _unsafe(' "#<>?^`{}')
_USERINFO_UNSAFE = _unsafe(' "#<>?^`{}/:;=@[\\]|')


@dataclass(frozen=True, slots=True, repr=False)
class URL:
    """A parsed ``ws:`` or ``wss:`` URL; ``str()`` serialises it as the standard does.

    ``repr()`` shows its public part alone.

    Attributes:
        scheme: ``"ws"`` or ``"wss"``.
        username: percent-encoded; ``""`` when there is none.
        password: percent-encoded; ``""`` when there is none.
        host: as serialised, for example ``"example.com"``, ``"127.0.0.1"``, ``"[::1]"``.
        port: None when it is the scheme's default.
        path: percent-encoded; starts with ``"/"``.
        query: percent-encoded, without its ``"?"``; None when absent, ``""`` when the URL ends in ``"?"``.
    """

    scheme: str
    username: str
    password: str
    host: str
    port: int | None
    path: str
    query: str | None

    @property
    def secure(self) -> bool:
        """Whether the connection runs over TLS."""
        return self.scheme == "wss"

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        return _DEFAULT_PORTS[self.scheme] if self.port is None else self.port

    @property
    def hostname(self) -> str:
        """The host without brackets: what to resolve. With a zone it is as the system writes it."""
        return self.host.strip("[]").replace("%25", "%")

    @property
    def certificate_name(self) -> str:
        """The name in the certificate: the host without the dot of an absolute name, and without the zone,
        which only this machine knows."""
        return self.hostname.partition("%")[0].rstrip(".")

    @property
    def host_header(self) -> str:
        """The value of the Host header: with the port only when it is not the default (RFC 6455 4.1, item 4),
        and without the zone, which only this machine knows (RFC 6874 4)."""
        host = self._host_elsewhere
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, always both: what a proxy is asked for."""
        return f"{self._host_elsewhere}:{self.effective_port}"

    @property
    def _host_elsewhere(self) -> str:
        """The host as other machines know it: without a zone."""
        host, percent, _ = self.host.partition("%25")
        return f"{host}]" if percent else host

    @property
    def origin(self) -> str:
        """The origin as serialised by HTML 7.1.1: what a ``MessageEvent`` shows."""
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")

    @property
    def resource(self) -> str:
        """The request target, which RFC 6455 3 calls the resource name: path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def public(self) -> str:
        """The URL without user, password and query, any of which may be a secret: for messages and logs."""
        return f"{self.origin}{self.path}"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, percent-decoded; None when both are empty."""
        if not self.username and not self.password:
            return None
        return percent_decode(self.username), percent_decode(self.password)

    def __repr__(self) -> str:
        return f"URL({self.public!r})"

    def __str__(self) -> str:
        password = f":{self.password}" if self.password else ""
        userinfo = f"{self.username}{password}@" if self.username or password else ""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{userinfo}{self.host}{port}{self.resource}"


# The URLs that were parsed before: programs connect to few, and parsing takes a tenth of a connect on
# loopback. It needs no lock, since each use is one operation of the dict.
_known: dict[str, URL] = {}
_MOST_KNOWN = 128


def parse_url(url: str) -> URL:
    """Parse an absolute ``ws:``, ``wss:``, ``http:`` or ``https:`` URL; the last two become the first two.

    Raises:
        TypeError: ``url`` is not a ``str``.
        SyntaxErr: it cannot be parsed, is relative, has another scheme, or has a fragment, even an empty one.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    plain = type(url) is str  # A subclass of the program's may compare as it likes.
    known = _known.get(url) if plain else None
    if known is not None:
        return known
    parsed = _parse(url)
    if plain and parsed.credentials is None:  # A password is kept no longer than its connection.
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[url] = parsed
    return parsed


def _parse(url: str) -> URL:
    text = _to_scalar_values(url).strip(_C0_CONTROL_OR_SPACE).translate(_TAB_OR_NEWLINE)

    match = _SCHEME.match(text)
    if not match:
        raise _error(url, "it is not absolute: it has no scheme, such as ws:// or wss://")
    scheme = _SCHEMES.get(match[1].lower())
    if scheme is None:
        # Text before a colon without slashes may be a user's name.
        found = f", not {quote(match[1].lower())}" if has_url_start(text) else ""
        raise _error(url, f"its scheme must be ws, wss, http or https{found} (ws://host:port/path)")
    # WHATWG WebSockets, constructor: a fragment that is not null fails, so an empty one does too. After the
    # scheme "#" always begins the fragment, whatever state the parser is in (4.4).
    if "#" in text:
        raise _error(url, "it has a fragment, which a WebSocket URL must not have")

    # 4.4, special authority slashes and special authority ignore slashes state: any number will do.
    rest = text[match.end() :].lstrip("/\\")
    authority = _SLASH_OR_QUESTION_MARK.split(rest, maxsplit=1)[0]
    path, question_mark, query = rest[len(authority) :].partition("?")
    userinfo, _, host_and_port = authority.rpartition("@")
    username, _, password = userinfo.partition(":")
    host_match = _HOST.match(host_and_port)
    host = host_match[0] if host_match else ""
    try:
        return URL(
            scheme=scheme,
            username=_encode(_USERINFO_UNSAFE, username),
            password=_encode(_USERINFO_UNSAFE, password),
            host=parse_host(host),
            port=_parse_port(host_and_port[len(host) :], _DEFAULT_PORTS[scheme]),
            path=_parse_path(path),
            query=_encode(_QUERY_UNSAFE, query) if question_mark else None,
        )
    except HostError as error:
        why = str(error)
        if "@" in path or "@" in query:
            # The text that was read as host or port may be the start of a password.
            why = "its host or port is not valid ('/', '?' and '#' in a user or password must be %-encoded)"
        raise _error(url, why) from None


def check_port(url: URL) -> None:
    """Refuse a port that the Fetch standard blocks (its bad ports).

    Raises:
        SecurityErr: the URL's port is one of ``BLOCKED_PORTS``.
    """
    if url.effective_port in BLOCKED_PORTS:
        remedy = "allow_blocked_port=True connects all the same"
        raise SecurityErr(f"port {url.effective_port} of {url.origin} is blocked, as in browsers ({remedy})")


def _error(url: str, why: str) -> SyntaxErr:
    return SyntaxErr(f"invalid WebSocket URL {quote(public_part(url))}: {why}")


def _to_scalar_values(text: str) -> str:
    """Web IDL, USVString: surrogate pairs are joined, and each lone surrogate becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _encode(unsafe: re.Pattern[str], text: str) -> str:
    """WHATWG URL 1.3, UTF-8 percent-encode; an existing ``%`` is left alone, even a stray one."""
    return unsafe.sub(lambda run: "".join(f"%{byte:02X}" for byte in run[0].encode()), text)


def _parse_port(text: str, default: int) -> int | None:
    """WHATWG URL 4.4, port state. `text` follows the host: it is empty, or a colon and maybe digits."""
    digits = text[1:]
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit()):
        raise HostError(f"its port {quote(digits)} is not a number")
    # The digits are cut to a few, since int() refuses very long numbers with an error of its own.
    port = int(digits.lstrip("0")[:6] or "0")
    if port > 65535:
        raise HostError("its port is greater than 65535")
    return None if port == default else port


def _parse_path(text: str) -> str:
    """WHATWG URL 4.4, path start and path state: backslashes count as slashes, dot segments are resolved."""
    segments: list[str] = []
    names = _SLASH.split(text[1:])
    for name in names:
        lowered = name.lower()
        if lowered in _DOUBLE_DOT:
            del segments[-1:]
        elif lowered not in _SINGLE_DOT:
            segments.append(_encode(_PATH_UNSAFE, name))
    if names[-1].lower() in _SINGLE_DOT | _DOUBLE_DOT:
        segments.append("")
    return "/" + "/".join(segments)
