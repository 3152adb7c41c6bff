"""The choice of the proxy for a connection, and the request to an HTTP proxy (RFC 9110 9.3.6).

Owns: the meaning of `proxy=` and of the environment's variables. Runs on: any thread; nothing here has state.
Must not import: anything with I/O or threads, nor urllib.

The environment is read as `urllib.request.getproxies` reads it, which takes longer to import than the whole
of this package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._quoting import public_part, quote
from .._version import __version__
from .host import HostError, parse_address, parse_host, percent_decode
from .http11 import basic_credentials, format_head

if TYPE_CHECKING:
    from .url import URL

# Each scheme and its default port. "socks" is what desktops write into all_proxy.
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_SYNONYMS = {"socks": "socks5h"}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A parsed proxy URL. ``repr()`` shows its public part alone.

    Attributes:
        scheme: ``"http"``, ``"https"``, ``"socks4"``, ``"socks4a"``, ``"socks5"`` or ``"socks5h"``.
        host: a name, or an address without brackets.
        credentials: user and password, percent-decoded; None when there are none.
    """

    scheme: str
    host: str
    port: int
    credentials: tuple[str, str] | None = None

    @property
    def is_http(self) -> bool:
        """Whether it speaks HTTP, so that CONNECT asks it for a tunnel."""
        return self.scheme in ("http", "https")

    @property
    def secure(self) -> bool:
        """Whether the connection to the proxy itself runs over TLS."""
        return self.scheme == "https"

    @property
    def resolves(self) -> bool:
        """Whether the proxy looks up the server's name."""
        return self.scheme not in ("socks4", "socks5")

    @property
    def public(self) -> str:
        """The URL without user and password: for messages and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self.public!r})"


def parse_proxy(text: str, source: str = "proxy") -> Proxy:
    """Parse the URL of a proxy; without a scheme it is ``http``.

    Raises `ValueError`, which names `source`, when it cannot be parsed or has another scheme.
    """

    def fault(why: str) -> ValueError:
        return ValueError(f"{source}: {quote(public_part(text.strip()))} is no URL of a proxy: {why}")

    match = _SCHEME.match(text.strip())
    scheme = match[1].lower() if match else "http"
    scheme = _SYNONYMS.get(scheme, scheme)
    if scheme not in _PORTS:
        raise fault(f"its scheme must be one of {', '.join(_PORTS)}")
    rest = text.strip()[match.end() if match else 0 :]
    authority = re.split(r"[/\\?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        raise fault("'/', '?' and '#' in a user or password must be %-encoded")
    userinfo, _, host_and_port = authority.rpartition("@")
    parts = _HOST_AND_PORT.fullmatch(host_and_port)
    if parts is None or int((parts[2] or "0")[:9]) > 65535:
        raise fault("it must be scheme://user:password@host:port")
    try:
        host = parse_host(parts[1]).strip("[]").replace("%25", "%")
    except HostError as error:
        raise fault(str(error)) from None
    if _LONE_SURROGATE.search(userinfo):
        # Python makes lone surrogates of bytes in the environment that are not UTF-8.
        raise fault("its user or password holds bytes that are not UTF-8, which must be %-encoded")
    user, _, password = userinfo.partition(":")
    credentials = (percent_decode(user), percent_decode(password)) if user or password else None
    return Proxy(scheme, host, int(parts[2]) if parts[2] else _PORTS[scheme], credentials)


def choose_proxy(option: str | None, url: URL, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a URL; None for none. `option` is that of the calls.

    Raises `ValueError` for a proxy that is no URL, and names the variable that it is from.
    """
    if option is None:
        return None
    if option != "auto":
        return parse_proxy(option)
    proxies = _read_environment(environment)
    wanted = "https" if url.secure else "http"
    scheme = wanted if wanted in proxies else "all"
    if scheme not in proxies or is_loopback(url.hostname):
        return None
    if _is_listed(url.hostname, url.effective_port, proxies.get("no", "")):
        return None
    return parse_proxy(proxies[scheme], f"{scheme}_proxy in the environment")


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Each scheme's proxy, and under "no" the hosts that need none. Lower case wins over upper case."""
    found = [(name, value) for name, value in environment.items() if name[-6:].lower() == "_proxy"]
    proxies = {name[:-6].lower(): value for name, value in found if value}
    if "REQUEST_METHOD" in environment:
        # In a CGI program HTTP_PROXY is a request's header field "Proxy" (CVE-2016-1000110).
        proxies.pop("http", None)
    for name, value in found:
        if name[-6:] == "_proxy":
            proxies.pop(name[:-6].lower(), None)
            if value:
                proxies[name[:-6].lower()] = value
    return proxies


def is_loopback(host: str) -> bool:
    """Whether the host is this machine itself, by its name or its address (RFC 6761 6.3)."""
    address = parse_address(host)
    if address is not None:
        bits, value = address
        return value == 1 if bits == 128 else value >> 24 == 127
    name = host.rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def _is_listed(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` names the host: as it is, as part of a domain or of a network, with or without a
    port; an asterisk names all."""
    host = host.rstrip(".").lower()
    address = parse_address(host)
    for entry in re.split(r"[,\s]+", no_proxy):
        name, port_there = _split_port(entry.lower())
        if port_there is not None and port_there != port:
            continue
        if name == "*":
            return True
        name = _in_ascii(name.removeprefix("*").strip("."))
        if name and (name == host or _is_in_network(address, name)):
            return True
        if name and address is None and host.endswith(f".{name}"):
            return True
    return False


def _in_ascii(name: str) -> str:
    """A name of no_proxy as URLs have it; one that is no name matches nothing."""
    try:
        return name if name.isascii() else parse_host(name)
    except HostError:
        return ""


def _split_port(entry: str) -> tuple[str, int | None]:
    """The host and the port of an entry of no_proxy; an IPv6 address needs brackets before a port."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})", entry)
    name, port = (match[1], int(match[2])) if match else (entry, None)
    return name.strip("[]"), port


def _is_in_network(address: tuple[int, int] | None, network: str) -> bool:
    """Whether an address is the one written, or in the network that is (CIDR, RFC 4632 3.1)."""
    text, _, length = network.partition("/")
    base = parse_address(text.strip("[]"))
    if address is None or base is None or address[0] != base[0]:
        return False
    bits = base[0]
    if not length:
        kept = bits
    elif length.isascii() and length.isdecimal() and int(length[:4]) <= bits:
        kept = int(length[:4])
    else:
        return False
    return address[1] >> (bits - kept) == base[1] >> (bits - kept)


def connect_request(authority: str, proxy: Proxy) -> bytes:
    """The request that makes a proxy open a tunnel to `authority`, which is host:port (RFC 9110 9.3.6)."""
    fields = [("Host", authority), ("User-Agent", f"syncws/{__version__}")]
    if proxy.credentials is not None:
        fields.append(("Proxy-Authorization", basic_credentials(*proxy.credentials)))
    return format_head(f"CONNECT {authority}", fields)
