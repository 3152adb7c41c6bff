"""One HTTP/1.1 request head out, one response head in, within limits (RFC 9112, as RFC 6455 4 needs it).

Owns: the syntax of the opening handshake's two heads; `handshake` knows what their fields mean. Runs on: the
reader thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .._exceptions import HandshakeError
from .._headers import Headers

# The bounds of common servers (Apache, nginx: 8 KiB a line, 100 fields), doubled where cookies pile up.
MAX_LINE = 16 * 1024
MAX_FIELDS = 256
MAX_HEAD = 64 * 1024

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Characters that would end a field's line, and those that are not in Latin-1.
_UNSENDABLE = re.compile(r"[\r\n\0]|[^\0-\xff]")
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?: ([^\0\r\n]*))?")
# RFC 9110 5.5: visible characters, obs-text, and blanks. No NUL, no bare CR. The blanks around the value
# are left to `strip`: a pattern for them takes cubic time on a line of blanks that ends in a NUL.
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\0\r\n]*)")

#: Header fields of a request: (name, value) pairs in the order in which they are sent.
Fields = tuple[tuple[str, str], ...]


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 9110 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def has_field(fields: Iterable[tuple[str, str]], name: str) -> bool:
    """Whether there is a field of this name; names are compared without case."""
    return name.lower() in [other.lower() for other, _ in fields]


def get_list(values: Iterable[str]) -> list[str]:
    """The elements of a comma-separated field, over the values of all its lines (RFC 9110 5.3)."""
    return [part.strip(" \t") for value in values for part in value.split(",")]


@dataclass(frozen=True, slots=True)
class Response:
    """The head of the server's answer.

    Attributes:
        status: the three-digit status.
        reason: the reason phrase, which may be empty.
        headers: the header fields, a case-insensitive mapping: ``headers["X-Id"]``, `get`, `get_all`.
        version: of HTTP, for example ``"1.1"``.
    """

    status: int
    reason: str
    headers: Headers
    version: str = "1.1"

    @property
    def status_line(self) -> str:
        """The first line of the answer."""
        return f"HTTP/{self.version} {self.status} {self.reason}".rstrip()


def format_head(request: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a request head; `request` is the method and the target.

    The values were checked by `check_field` when the caller gave them.
    """
    lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def basic_credentials(user: str, password: str) -> str:
    """The value of an Authorization or Proxy-Authorization field (RFC 7617 2)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def check_field(name: object, value: object) -> tuple[str, str]:
    """Check a header field that the caller asked for.

    Raises `TypeError` when either is not a `str`, `ValueError` when the name is not a token, or when the
    value could end the line or cannot be sent (CR, LF, NUL, characters beyond Latin-1). No error quotes a
    value, or what follows the first bad character of a name ("Authorization: Bearer ..."), since it may be a
    secret.
    """
    if not isinstance(name, str):
        raise TypeError(f"headers: a field name must be a str, not {type(name).__name__}")
    if not name:
        raise ValueError("headers: a field name is empty")
    token = _TOKEN.match(name)
    good = token[0] if token else ""
    if good != name:
        raise ValueError(f"headers: the field name after {good!r} holds {name[len(good)]!r}, which none may")
    if not isinstance(value, str):
        raise TypeError(f"headers: the value of {name!r} must be a str, not {type(value).__name__}")
    bad = _UNSENDABLE.search(value)
    if bad:
        kind = {"\r": "CR", "\n": "LF", "\0": "NUL"}.get(bad[0], "a character beyond Latin-1")
        raise ValueError(f"headers: the value of {name!r} holds {kind} at index {bad.start()}")
    return name, value.strip(" \t")


class ResponseParser:
    """Takes the answer piece by piece, and returns its head once it is complete."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> tuple[Response, bytes] | None:
        """Take the next bytes; return the head and the bytes after it once the head is complete.

        Raises `HandshakeError` as soon as a limit is passed or a line is malformed.
        """
        self._received += data
        while True:
            end = self._received.find(b"\n", self._searched)
            line_start = self._line_start
            if end < 0:
                self._searched = len(self._received)
                self._check_sizes(len(self._received) - line_start)
                # The first bytes show a server of another protocol, which may never end its line.
                if not self._lines and not b"HTTP/".startswith(self._received[:5]):
                    # A TLS record (RFC 8446 5.1): an alert or a handshake message of version 3.x.
                    tls = bytes(self._received[:2]) in (b"\x15\x03", b"\x16\x03")
                    hint = " but TLS (should the URL be wss: ?)" if tls else ""
                    raise self._malformed(f"the answer is not HTTP{hint}", bytes(self._received))
                return None
            self._searched = end + 1
            self._check_sizes(end - line_start)
            # RFC 9112 2.2: LF alone ends a line, too.
            line = bytes(self._received[line_start:end]).removesuffix(b"\r")
            self._line_start = end + 1
            if not line and self._lines:
                return self._parse(), bytes(self._received[end + 1 :])
            self._lines.append(line)
            if len(self._lines) == 1 and not _STATUS_LINE.fullmatch(line):
                raise self._malformed("the answer's status line is malformed", line)
            if len(self._lines) > MAX_FIELDS + 1:
                raise HandshakeError(f"the answer has more than {MAX_FIELDS} header fields")

    _line_start = 0

    @property
    def started(self) -> bool:
        """Whether any byte has arrived."""
        return bool(self._received)

    @property
    def received(self) -> bytes:
        return bytes(self._received)

    def _check_sizes(self, line_length: int) -> None:
        if line_length > MAX_LINE:
            what = "header line" if self._lines else "status line"
            raise HandshakeError(f"the answer's {what} is longer than {MAX_LINE} bytes")
        if self._line_start + line_length > MAX_HEAD:
            raise HandshakeError(f"the answer's head is larger than {MAX_HEAD} bytes")

    def _parse(self) -> Response:
        match = _STATUS_LINE.fullmatch(self._lines[0])
        assert match is not None  # feed() has checked this line.
        version, status, reason = match.groups()
        headers = []
        for line in self._lines[1:]:
            field = _FIELD.fullmatch(line)
            if field is None:
                # This also refuses a continued line (obs-fold), as RFC 9112 5.2 allows a user agent to do.
                raise self._malformed("a header line of the answer is malformed", line, status=int(status))
            headers.append((field[1].decode("ascii"), field[2].strip(b" \t").decode("latin-1")))
        return Response(int(status), (reason or b"").decode("latin-1"), Headers(headers), version.decode())

    def _malformed(self, what: str, got: bytes, status: int | None = None) -> HandshakeError:
        # The text is cut where the secrets in it are hidden: a cut here might divide one.
        return HandshakeError(f"{what}: {got!r}", status=status, body=got[:1024])
