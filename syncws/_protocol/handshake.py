"""The opening handshake's meaning: key and accept, subprotocols, extensions (RFC 6455 4.1, WHATWG 2).

Owns: what the client asks for and what it accepts as an answer. Runs on: the caller's thread
(`check_protocols`) and the reader thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._exceptions import HandshakeError, SyntaxErr
from .._quoting import shorten_protocol
from .._version import __version__
from . import permessage_deflate
from .http11 import Fields, Response, basic_credentials, format_head, get_list, is_token

if TYPE_CHECKING:
    from .._headers import Headers
    from .url import URL

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Headers that the handshake itself sends: one of the caller's with such a name would contradict it.
RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)


def check_protocols(protocols: str | Iterable[str]) -> tuple[str, ...]:
    """The subprotocols asked for, as a tuple (WHATWG, the constructor's steps 7 and 8).

    Raises `TypeError` when they are not strings, `SyntaxErr` for one that is not a token or is given twice.
    """
    if not isinstance(protocols, Iterable) or isinstance(protocols, (Mapping, bytes, bytearray)):
        raise TypeError(f"protocols must be a str or an iterable of str, not {type(protocols).__name__}")
    names = (protocols,) if isinstance(protocols, str) else tuple(protocols)
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"protocols must be a str or an iterable of str, not {type(name).__name__}")
        if not is_token(name):
            raise SyntaxErr(f"protocols: {shorten_protocol(name)} is no HTTP token")
        if name.lower() in seen:
            raise SyntaxErr(f"protocols: {shorten_protocol(name)} is given twice")
        seen.add(name.lower())
    return names


def make_key() -> str:
    """A fresh Sec-WebSocket-Key (RFC 6455 4.1, item 7)."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that proves the server read the key (RFC 6455 4.2.2, item 5.4)."""
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """What one attempt asks for, and what its answer is checked against.

    Attributes:
        headers: further fields, as the caller gave them.
        auth: user and password, in the place of those of the URL.
        require_protocol: whether a server that selects none of the `protocols` is refused.
    """

    url: URL
    key: str
    protocols: tuple[str, ...] = field(default=(), repr=False)
    origin: str | None = None
    headers: Fields = field(default=(), repr=False)
    compression: bool = False
    require_protocol: bool = True
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password for Basic authentication: the caller's, or the URL's."""
        return self.auth or self.url.credentials

    def request(self, cookies: Iterable[tuple[str, str]] = ()) -> bytes:
        """The request head, with the RFC's own spelling: some servers compare names with case.

        `cookies` are the fields that send them.
        """
        fields = [
            ("Host", self.url.host_header),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self.key),
            ("Sec-WebSocket-Version", "13"),
            ("User-Agent", f"syncws/{__version__}"),
        ]
        if self.origin is not None:
            fields.append(("Origin", self.origin))
        if self.protocols:
            fields.append(("Sec-WebSocket-Protocol", ", ".join(self.protocols)))
        if self.compression:
            fields.append(("Sec-WebSocket-Extensions", permessage_deflate.OFFER))
        if self.credentials is not None:
            fields.append(("Authorization", basic_credentials(*self.credentials)))
        fields += cookies
        # The caller's own fields (Host, User-Agent, Authorization) take the place of ours.
        given = {name.lower() for name, _ in self.headers}
        ours = [field for field in fields if field[0].lower() not in given]
        return format_head(f"GET {self.url.resource}", [*ours, *self.headers])


@dataclass(frozen=True, slots=True)
class HandshakeResult:
    """What the server selected: the values of `protocol` and `extensions`, and the whole answer."""

    protocol: str
    extensions: str
    deflate: permessage_deflate.DeflateParameters | None
    response: Response


def check_response(request: HandshakeRequest, response: Response) -> HandshakeResult:
    """Check a 101 answer in full (RFC 6455 4.1, the six checks after *Once the client's opening handshake*).

    Raises `HandshakeError`, with the status and the headers, at the first check that fails. Its text quotes
    the answer in full; the caller knows the secrets, and shortens it.
    """
    try:
        _check_upgrade(request, response)
        return HandshakeResult(
            protocol=_check_protocol(request, response.headers),
            extensions=response.headers.get("Sec-WebSocket-Extensions", ""),
            deflate=_check_extensions(request, response.headers),
            response=response,
        )
    except HandshakeError as error:
        error.status, error.reason, error.headers = response.status, response.reason, response.headers
        raise


def _check_upgrade(request: HandshakeRequest, response: Response) -> None:
    headers = response.headers
    if response.version not in ("1.1", "1.0"):  # Browsers accept HTTP/1.0, too, and some servers send it.
        raise HandshakeError(f"the answer is HTTP/{response.version}, not HTTP/1.1")
    upgrade = _single(headers, "Upgrade")
    if upgrade.lower() != "websocket":
        raise HandshakeError(f"the answer's Upgrade header is {upgrade!r}, not 'websocket'")
    connection = get_list(headers.get_all("Connection"))
    # This is a list: an exception of a signal handler in a generator that is left early would be lost.
    if "upgrade" not in [option.lower() for option in connection]:
        raise HandshakeError(f"the answer's Connection header {', '.join(connection)!r} lacks 'upgrade'")
    accept, expected = _single(headers, "Sec-WebSocket-Accept"), accept_key(request.key)
    if accept != expected:
        raise HandshakeError(f"the answer's Sec-WebSocket-Accept is {accept!r}, not {expected!r}")


def _check_protocol(request: HandshakeRequest, headers: Headers) -> str:
    values = headers.get_all("Sec-WebSocket-Protocol")
    if not any(values):  # An empty field selects none either.
        if request.protocols and request.require_protocol:
            # WHATWG, *establish a WebSocket connection*, step 12, is stricter here than RFC 6455.
            asked_for = ", ".join(map(shorten_protocol, request.protocols))
            raise HandshakeError(
                f"the server selected none of the subprotocols {asked_for} "
                "(require_protocol=False lets such a connection open)"
            )
        return ""
    protocol = _single(headers, "Sec-WebSocket-Protocol")
    if protocol not in request.protocols:
        what = f"the subprotocol {shorten_protocol(protocol)}, which was not asked for"
        raise HandshakeError(f"the server selected {what}")
    return protocol


def _check_extensions(
    request: HandshakeRequest, headers: Headers
) -> permessage_deflate.DeflateParameters | None:
    deflate = None
    for name, parameters in parse_extensions(headers.get_all("Sec-WebSocket-Extensions")):
        if name != permessage_deflate.NAME or not request.compression:
            raise HandshakeError(f"the server selected the extension {name!r}, which was not asked for")
        if deflate is not None:
            raise HandshakeError(f"the server selected the extension {name!r} twice")
        deflate = permessage_deflate.negotiate(parameters)
    return deflate


def _single(headers: Headers, name: str) -> str:
    values = headers.get_all(name)
    if len(values) != 1:
        raise HandshakeError(f"the answer has {len(values) or 'no'} {name} header{'s' * bool(values)}")
    return values[0]


_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(rf"[ \t]*({_TOKEN})")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?')
_SEPARATOR = re.compile(r"[ \t]*(?:,|$)")

Parameters = list[tuple[str, str | None]]


def _unquote(quoted: str) -> str:
    """The text of a quoted string (RFC 9110 5.6.4), which must be a token (RFC 6455 9.1)."""
    text = re.sub(r"\\(.)", r"\1", quoted)
    if not is_token(text):
        raise HandshakeError(
            f"the answer's Sec-WebSocket-Extensions holds a value that is no token: {text!r}"
        )
    return text


def parse_extensions(values: list[str]) -> Iterator[tuple[str, Parameters]]:
    """The extensions of Sec-WebSocket-Extensions headers with their parameters (RFC 6455 9.1).

    Raises `HandshakeError` when a header does not follow the grammar.
    """
    for value in values:
        position = 0
        while position < len(value):
            name = _NAME.match(value, position)
            if name is not None:
                position = name.end()
                parameters: Parameters = []
                while (parameter := _PARAMETER.match(value, position)) is not None:
                    quoted = parameter[3]
                    parameters.append((parameter[1], parameter[2] if quoted is None else _unquote(quoted)))
                    position = parameter.end()
                yield name[1], parameters
            # RFC 9110 5.6.1.2: empty elements of a list are ignored.
            separator = _SEPARATOR.match(value, position)
            if separator is None:
                raise HandshakeError(f"the answer's Sec-WebSocket-Extensions is malformed: {value!r}")
            position = separator.end()
