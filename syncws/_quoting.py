"""The one place that decides which words of a caller, a server or a proxy a text may quote.

Owns: the rules, no state. Runs on: any thread. Must not import: anything of the package.

Exceptions, log records, warnings and reprs are read by more people than the program's settings: they end in
log files, issue trackers and monitors. So what may be a credential is never in them: userinfo, query and
fragment of a URL, the values of header fields except a few that hold none, all of a subprotocol but its
beginning, and the caller's own secrets that a server sends back.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable

#: The text that stands in the place of a hidden one.
HIDDEN = "..."

# How many characters of a text and of a body an error shows, and how long its text may be.
MAX_QUOTED = 200
MAX_TEXT = 1000

# Fields of an answer that hold no credential, whatever the server. All others are shown by name alone.
_HARMLESS_FIELDS = frozenset(
    {
        *("accept", "accept-encoding", "accept-ranges", "age", "allow", "alt-svc", "cache-control"),
        *("connection", "content-encoding", "content-language", "content-length", "content-type", "date"),
        *("expires", "host", "keep-alive", "last-modified", "retry-after", "sec-websocket-accept"),
        *("sec-websocket-extensions", "sec-websocket-version", "server", "strict-transport-security"),
        *("trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "x-powered-by"),
    }
)

# The form of the values of these fields. A server may put something else there.
_HARMLESS = frozenset('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,;:/+.()*_="-')
_LONGEST_HARMLESS = 64

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# For `str.translate`, which takes no Python step for each character: a field may have millions of them.
_PERCENT_ESCAPES = {byte: f"%{byte:02X}" for byte in range(256) if byte not in _UNRESERVED}

# Parts of the names of request fields that may hold a credential: the fields of the standards, and others.
# They are sent to no origin but the one that they were given for.
_CREDENTIAL_WORDS = (
    "auth",
    "token",
    "secret",
    "passw",
    "cookie",
    "session",
    "signature",
    "credential",
    "apikey",
    "-key",
)

# Parts of names in a query or a cookie: the values of such pairs are secrets, whatever they look like.
_CREDENTIAL_NAMES = (*_CREDENTIAL_WORDS, "key", "pass", "pwd", "sig", "code", "jwt", "user")

# From this length on, a word of letters alone counts as a credential, even if nothing else says so.
_SHORTEST_TOKEN = 8

_BASIC = re.compile("basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)

# The start of a URL, before its userinfo: with our schemes any number of slashes will do (WHATWG URL 4.4).
_URL_START = re.compile(r"(?:wss?|https?):[/\\]*|[a-z][a-z0-9+.-]*:[/\\]{2,}", re.IGNORECASE)


def printable(text: str) -> str:
    """The server's words for an error's text, with their control characters escaped: none of these may reach
    a terminal, or begin a new line in a log."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def quote(text: str) -> str:
    """The text as an error message shows it: escaped, and cut when it is very long."""
    return repr(text) if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]!r}{HIDDEN}"


def shorten(text: str) -> str:
    """An error's text, cut where a server's words made it very long."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}{HIDDEN}"


def shorten_protocol(name: str) -> str:
    """A subprotocol as texts show it: its beginning, since the rest may be a token (as with Kubernetes)."""
    return repr(name) if len(name) <= 12 else f"{name[:12]!r}{HIDDEN}"


def shown_fields(fields: Iterable[tuple[str, str]]) -> str:
    """Header fields as a repr shows them, with the values of those that hold no credential."""

    def shown(name: str, value: str) -> str:
        return repr(value) if _is_harmless(name.lower(), value) else HIDDEN

    return "{" + ", ".join(f"{name!r}: {shown(name, value)}" for name, value in fields) + "}"


def _is_harmless(name: str, value: str) -> bool:
    return name in _HARMLESS_FIELDS and len(value) <= _LONGEST_HARMLESS and _HARMLESS.issuperset(value)


def is_credential_field(name: str) -> bool:
    """Whether a field of a request may hold a credential, by its name."""
    lowered = name.lower()
    return bool([word for word in _CREDENTIAL_WORDS if word in lowered])


def has_url_start(text: str) -> bool:
    """Whether the text begins as a URL does: what comes before a mere colon may be a user's name."""
    return _URL_START.match(text) is not None


def public_part(url: str) -> str:
    """A URL that cannot be parsed, with dots for its userinfo, query and fragment."""
    match = _URL_START.match(url)
    start = match[0] if match else ""
    head, mark, tail = ([*re.split("([?#])", url, maxsplit=1), "", ""])[:3]
    if "@" in tail:
        return f"{start}{HIDDEN}"  # A password may hold "?" and "#", so all of it may be userinfo.
    end = f"{mark}{HIDDEN}" if tail else mark
    _, at, after = head.rpartition("@")
    return f"{start}{HIDDEN}@{after}{end}" if at else f"{head}{end}"


class Secrets:
    """The credentials that one attempt sends, and that a server may send back in an answer or in its Close.

    They are kept as they are. Their other forms are made only when there is a text to look through, since
    most connections never show one.
    """

    # Shorter texts would be found in ordinary words, and so short a password is no secret.
    _SHORTEST = 4
    # The first word of many credentials, and no secret: a server's "Bearer token expired" stays readable.
    _SCHEMES = frozenset({"basic", "bearer", "digest", "negotiate", "token"})

    # This much of a longer secret is hidden by itself as well, where a peer shows its beginning alone.
    _SHORTEST_BEGINNING = 16

    def __init__(self) -> None:
        self._given: tuple[str, ...] = ()
        self._doubtful: tuple[str, ...] = ()  # secrets whose names may belong to an ordinary value
        self._made: tuple[object, object, list[str]] = (None, None, [])

    def add(self, *secrets: str) -> None:
        """Add each of them, and its words: a server may quote a token without its scheme."""
        self._given += secrets

    def add_field(self, name: str, value: str) -> None:
        """Add the value of a field of the request, unless it is a field that holds no credential."""
        lowered = name.lower()
        if lowered == "cookie":
            self.add_pairs(value, ";")
        elif (basic := _BASIC.fullmatch(value)) is not None and len(basic[1]) % 4 == 0:
            user, _, password = binascii.a2b_base64(basic[1]).decode("utf-8", "replace").partition(":")
            self.add(user, password)
        if not _is_harmless(lowered, value):
            if is_credential_field(lowered):
                self._given += (value,)
            else:
                self._doubtful += (value,)

    def add_pairs(self, text: str, mark: str, decode: Callable[[str], str] = str) -> None:
        """Add the text, and the value of each of its pairs, also as `decode` makes it. The name of a pair,
        such as "token", is no secret."""
        given: list[str] = []
        doubtful = [text]
        for pair in map(str.strip, text.split(mark)):
            name, _, value = pair.partition("=")
            doubtful.append(pair)
            is_credential = [word for word in _CREDENTIAL_NAMES if word in name.lower()]
            (given if is_credential else doubtful).extend((value, decode(value)))
        self._given += tuple(given)
        self._doubtful += tuple(doubtful)

    def hide(self, text: str) -> str:
        """The text, with dots in the place of each of them, and of the beginning of each.

        The text must be whole: a secret that was cut at its end may be too short to be known.
        """
        given, doubtful = self._given, self._doubtful
        if (given or doubtful) and text:
            made = self._made
            if made[0] is not given or made[1] is not doubtful:
                forms = sorted(self._forms(given, doubtful), key=len, reverse=True)
                self._made = made = given, doubtful, forms
            for secret in made[2]:
                text = text.replace(secret, HIDDEN)
            for secret in made[2]:
                if (
                    len(secret) > self._SHORTEST_BEGINNING
                    and not secret[: self._SHORTEST_BEGINNING].isalpha()
                ):
                    text = _hide_beginnings(text, secret, self._SHORTEST_BEGINNING)
        return text

    def _forms(self, given: tuple[str, ...], doubtful: tuple[str, ...]) -> set[str]:
        """Each of them as it is, and as it looks in a URL, in a repr and in UTF-8 that is read as Latin-1."""
        words = {word for secret in given for word in (secret, *secret.split())}
        words |= {word for text in doubtful for word in (text, *text.split()) if not _is_ordinary(word)}
        forms: set[str] = set()
        for word in words:
            if len(word) >= self._SHORTEST and word.lower() not in self._SCHEMES:
                encoded = word.encode("utf-8", "surrogatepass")
                latin = encoded.decode("latin-1")
                escaped = latin.translate(_PERCENT_ESCAPES)
                forms |= {word, repr(word)[1:-1], repr(encoded)[2:-1], escaped}
                forms |= {latin, word.replace("'", "\\'"), escaped.lower()}
        return forms


def _hide_beginnings(text: str, secret: str, least: int) -> str:
    """The text, with dots where it has the first characters of the secret, at least so many."""
    beginning = secret[:least]
    at = text.find(beginning)
    while at >= 0:
        same = least
        while same < len(secret) and text[at + same : at + same + 1] == secret[same]:
            same += 1
        text = text[:at] + HIDDEN + text[at + same :]
        at = text.find(beginning, at + len(HIDDEN))
    return text


def _is_ordinary(word: str) -> bool:
    """Whether the server may well use this word itself, as "json" of `?encoding=json` in "invalid json"."""
    return len(word) < _SHORTEST_TOKEN and word.isascii() and word.isalpha()


def quote_location(location: str, secrets: Secrets) -> str:
    """Where a redirect leads, without its query, for an error's text."""
    return quote(public_part(secrets.hide(location)))


def quote_body(body: bytes, secrets: Secrets) -> str:
    """The beginning of an answer's body as an error's text ends with it; nothing for an empty one."""
    if not body:
        return ""
    # A cut must not divide a secret, so secrets are hidden first. Latin-1 keeps every byte.
    shown = secrets.hide(body.decode("latin-1"))[:MAX_QUOTED]
    return f": {shown.encode('latin-1')!r}"


# Fields of our own request that hold no value of the caller's.
_OURS = frozenset({"origin", "sec-websocket-key", "sec-websocket-protocol"})


def masked_head(head: bytes) -> bytes:
    """The head of a request as a trace shows it: the query, and the values of all fields that may hold a
    credential, with dots in their place."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, _, rest = first.partition(" ")
    resource, _, version = rest.rpartition(" ")
    shown = [f"{method} {public_part(resource)} {version}"]
    for line in lines:
        name, _, value = line.partition(": ")
        lowered = name.lower()
        if lowered == "sec-websocket-protocol":
            value = ", ".join(_shortened(protocol) for protocol in value.split(", "))
        elif lowered not in _OURS and not _is_harmless(lowered, value):
            value = HIDDEN
        shown.append(f"{name}: {value}")
    return _head(shown)


def _shortened(protocol: str) -> str:
    return protocol if len(protocol) <= 12 else f"{protocol[:12]}{HIDDEN}"


def masked_answer(first: str, fields: Iterable[tuple[str, str]], secrets: Secrets) -> bytes:
    """The head of an answer as a trace shows it: without the caller's own `secrets`, without a query, and
    without the value of any field with the name of a credential."""
    shown = [secrets.hide(first)]
    for name, value in fields:
        hidden = is_credential_field(name)
        if name.lower() == "sec-websocket-protocol":
            value = _shortened(secrets.hide(value))
        elif not hidden and not _is_harmless(name.lower(), value):
            value = secrets.hide(value)
            if "?" in value or "@" in value:
                value = public_part(value)
        shown.append(f"{name}: {HIDDEN if hidden else value}")
    return _head(shown)


def _head(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
