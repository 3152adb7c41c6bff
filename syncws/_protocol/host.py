"""The host of a URL: domain to ASCII, IPv4 and IPv6 (WHATWG URL 3).

Owns: what a host in a ws: or wss: URL may be and how it is serialised. Runs on: any thread; nothing
here has state. Must not import: anything with I/O or threads, nor of the package more than `_quoting`.

Domain to ASCII follows UTS 46 as far as the standard library's Unicode tables carry: its mapping is
approximated by NFKC and case folding, its table of disallowed code points by the general category.
"""

from __future__ import annotations

import re

from .._quoting import quote

# WHATWG URL 3.2, forbidden domain code points.
_FORBIDDEN = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")

# UTS 46 table, status "ignored": soft hyphen, grapheme joiner, zero width space, word joiner, invisible
# plus, byte order mark, shorthand format controls, variation selectors.
_IGNORED = re.compile(
    "[\xad\u034f\u180b-\u180d\u180f\u200b\u2060\u2064\ufe00-\ufe0f\ufeff"
    "\U0001bca0-\U0001bca3\U000e0100-\U000e01ef]"
)

# UTS 46 2.3: the separators of labels.
_FULL_STOPS = ".\u3002\uff0e\uff61"
# UTS 46 4, nontransitional: sharp s, final sigma and joiners are kept.
_DEVIATIONS = "\xdf\u03c2\u200c\u200d"

# Cc and Cs to Co, unassigned, format characters and separators have no place in a domain (UTS 46 table).
_DISALLOWED_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_JOINERS = "\u200c\u200d"
_REPLACEMENTS = "\ufffc\ufffd"

# The standard sets no limit, but encoding Punycode takes quadratic time, and no name server knows a
# label of even a quarter of this length (RFC 1035 2.3.4).
_MAX_UNICODE_LABEL = 255

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_IPV4_DIGITS = {8: re.compile("[0-7]*"), 10: re.compile("[0-9]*"), 16: re.compile("[0-9A-Fa-f]*")}
_IPV6_PIECE = re.compile("[0-9A-Fa-f]{1,4}")
_ZONE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
_DECIMAL_BYTE = re.compile("0|[1-9][0-9]{0,2}")


class HostError(Exception):
    """The URL standard does not accept the host; the text says why."""


def percent_decode(text: str) -> str:
    """Replace percent-encoded bytes and decode the result as UTF-8, with U+FFFD where that fails."""
    return _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), text.encode()).decode("utf-8", "replace")


def parse_host(text: str) -> str:
    """Parse and serialise the host of a URL with a special scheme (WHATWG URL 3.5, host parser).

    Raises:
        HostError: the text is not a domain, an IPv4 address or an IPv6 address.
    """
    if not text:
        raise HostError("it has no host")
    if text.startswith("["):
        if not text.endswith("]"):
            raise HostError("the bracket of its IPv6 address is not closed")
        literal, percent, zone = text[1:-1].partition("%25")
        pieces = _parse_ipv6(literal)
        return f"[{_serialise_ipv6(pieces)}{percent}{_parse_zone(pieces, zone) if percent else ''}]"
    domain = _domain_to_ascii(percent_decode(text))
    if _ends_in_a_number(domain):
        return _parse_ipv4(domain)
    return domain


def parse_address(text: str) -> tuple[int, int] | None:
    """An IP address as its bits, 32 or 128, and its value; None for a name. A zone identifier is left out.

    An IPv4 address in IPv6 form (RFC 4291 2.5.5.2) is one of IPv4.
    """
    try:
        if ":" not in text:
            if not _ends_in_a_number(text):
                return None
            return 32, int.from_bytes(map(int, _parse_ipv4(text).split(".")), "big")
        pieces = _parse_ipv6(text.partition("%")[0])
    except HostError:
        return None
    value = int.from_bytes(b"".join(piece.to_bytes(2, "big") for piece in pieces), "big")
    return (32, value & 0xFFFFFFFF) if value >> 32 == 0xFFFF else (128, value)


def _parse_zone(pieces: list[int], zone: str) -> str:
    """RFC 6874 2: which of this machine's networks a link-local address is in, such as ``eth0``. The URL
    standard knows no zones, and other addresses have none."""
    name = percent_decode(zone)
    if pieces[0] >> 6 != 0xFE80 >> 6 or not name or not _ZONE.issuperset(name):
        raise HostError(
            "its host is no IPv6 address: a zone goes with a link-local one alone (fe80::...%25eth0)"
        )
    return name


def check_hostname(name: object) -> str:
    """The ASCII form of a host name that a certificate is to be checked for: a domain or an IP address.

    Raises:
        TypeError: it is not a `str`.
        ValueError: no certificate can be issued for it: it is empty, it holds a NUL, a space, a port or the
            like, or one of its labels is empty or too long.
    """
    if not isinstance(name, str):
        raise TypeError(f"server_hostname must be a str or None, not {type(name).__name__}")
    try:
        if ":" in name:
            return _serialise_ipv6(_parse_ipv6(name))
        domain = _domain_to_ascii(name)
        if _ends_in_a_number(domain):
            return _parse_ipv4(domain)
    except HostError as error:
        raise ValueError(f"server_hostname must be a host name, not {quote(name)}: {error}") from None
    # RFC 1035 2.3.4. A dot at the end, which makes a name absolute, is no label.
    labels = domain.removesuffix(".").split(".")
    if not all(0 < len(label) <= 63 for label in labels) or len(domain) > 254:
        raise ValueError(
            f"server_hostname must be a host name, not {quote(name)}: a label is empty or too long"
        )
    return domain


def _domain_to_ascii(domain: str) -> str:
    """WHATWG URL 3.3, domain to ASCII with beStrict false: no limit of length, no rule for hyphens."""
    lowered = domain.lower() if domain.isascii() else None
    if lowered is not None and not any(label.startswith("xn--") for label in lowered.split(".")):
        result = lowered
    else:
        result = _unicode_to_ascii(domain)
    if not result:
        raise HostError("it has no host")
    forbidden = _FORBIDDEN.search(result)
    if forbidden:
        raise HostError(f"its host has the forbidden character {forbidden[0]!r}")
    return result


def _unicode_to_ascii(domain: str) -> str:
    """UTS 46 4.2 ToASCII: nontransitional, CheckBidi, CheckJoiners, no STD3 rules, no length check."""
    labels = [_to_unicode(label) for label in _map(domain).split(".")]
    wide = [label for label in labels if not label.isascii()]
    for label in wide:
        _check_label(label)
    # RFC 5893 1.4: where one label is right-to-left, all labels must satisfy the Bidi rule. Here only those
    # that are not ASCII must, since the standard's test data (toascii.json) accepts "1.\u064a".
    if any(_bidi_class(c) in ("R", "AL", "AN") for label in wide for c in label):
        for label in wide:
            if not _satisfies_bidi_rule(label):
                raise HostError(f"its host has the label {quote(label)}, which breaks the Bidi rule")
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels
    )


def _map(text: str) -> str:
    """UTS 46 4, steps 1 and 2, approximated: drop ignored code points, NFKC case-fold each of the others."""
    from unicodedata import normalize

    mapped = []
    for c in _IGNORED.sub("", text):
        if c in _FULL_STOPS:
            mapped.append(".")
        elif c == "\u1e9e":
            mapped.append("\xdf")
        elif c in _DEVIATIONS:
            mapped.append(c)
        else:
            folded = normalize("NFKC", normalize("NFKC", c).casefold())
            # UTS 46 table: a character that stands for text with a dot, such as U+2488, is disallowed.
            if any(dot in folded for dot in _FULL_STOPS):
                raise HostError(f"its host has the forbidden character {c!r}")
            mapped.append(folded)
    return normalize("NFC", "".join(mapped))


def _to_unicode(label: str) -> str:
    """UTS 46 4, step 4: a label that starts with xn-- stands for the label that its Punycode encodes."""
    if not label.startswith("xn--"):
        return label
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        raise HostError(f"its host has the label {quote(label)}, which is not valid Punycode") from None
    if decoded.isascii() or decoded.startswith("xn--") or _map(decoded) != decoded:
        raise HostError(f"its host has the label {quote(label)}, which encodes no valid label")
    return decoded


def _check_label(label: str) -> None:
    """UTS 46 4.1, validity criteria, without those for hyphens and directions."""
    from unicodedata import category, combining

    if len(label) > _MAX_UNICODE_LABEL:
        raise HostError(f"its host has a label of {len(label)} characters; the limit is {_MAX_UNICODE_LABEL}")
    if category(label[0]).startswith("M"):
        raise HostError(f"its host has the label {quote(label)}, which starts with a combining mark")
    for i, c in enumerate(label):
        if c in _JOINERS:
            # RFC 5892 A.1 and A.2: a joiner may follow a virama. A.1 also allows U+200C between letters that
            # would join. The standard library has no joining types, so any two Arabic letters will do.
            behind_virama = i > 0 and combining(label[i - 1]) == 9
            neighbours = [_bidi_class(neighbour) for neighbour in label[max(i - 1, 0) : i + 2 : 2]]
            parts_letters = c == "\u200c" and neighbours == ["AL", "AL"]
            if not behind_virama and not parts_letters:
                raise HostError(f"its host has the label {quote(label)}, which has a joiner out of place")
        elif not c.isascii() and (c in _REPLACEMENTS or category(c) in _DISALLOWED_CATEGORIES):
            raise HostError(f"its host has the forbidden character {c!r}")


def _bidi_class(c: str) -> str:
    from unicodedata import bidirectional

    return bidirectional(c)


def _satisfies_bidi_rule(label: str) -> bool:
    """RFC 5893 2, the six conditions."""
    classes = [_bidi_class(c) for c in label]
    core = list(classes)
    while core[-1:] == ["NSM"]:
        core.pop()
    found = set(classes)
    if classes[0] in ("R", "AL"):
        return (
            found <= {"R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
            and core[-1] in ("R", "AL", "EN", "AN")
            and not {"EN", "AN"} <= found
        )
    return (
        classes[0] == "L"
        and found <= {"L", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
        and core[-1] in ("L", "EN")
    )


def _ends_in_a_number(domain: str) -> bool:
    """WHATWG URL 3.5, ends-in-a-number checker: a domain that does must be an IPv4 address."""
    labels = domain.split(".")
    if not labels[-1] and len(labels) > 1:
        labels.pop()
    last = labels[-1]
    return (last.isascii() and last.isdigit()) or _parse_ipv4_number(last) is not None


def _parse_ipv4(text: str) -> str:
    """WHATWG URL 3.5, IPv4 parser: one to four numbers; the last one fills the bytes that are left."""
    labels = text.split(".")
    if not labels[-1]:
        labels.pop()
    numbers = [_parse_ipv4_number(label) for label in labels]
    if len(numbers) > 4 or None in numbers:
        raise HostError(f"its host {quote(text)} ends in a number but is no IPv4 address")
    *leading, last = [number for number in numbers if number is not None]
    if any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        raise HostError(f"its host {quote(text)} is an IPv4 address with a number out of range")
    address = last + sum(number << (24 - 8 * i) for i, number in enumerate(leading))
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))


def _parse_ipv4_number(text: str) -> int | None:
    """WHATWG URL 3.5, IPv4 number parser: decimal, hexadecimal after 0x, octal after 0; else None."""
    if not text:
        return None
    base = 10
    if text.startswith(("0x", "0X")):
        text, base = text[2:], 16
    elif len(text) > 1 and text.startswith("0"):
        text, base = text[1:], 8
    if not _IPV4_DIGITS[base].fullmatch(text):
        return None
    digits = text.lstrip("0")
    # int() refuses very long decimals with an error of its own; anything this long is out of range.
    return 1 << 40 if len(digits) > 16 else int(digits or "0", base)


def _parse_ipv6(text: str) -> list[int]:
    """WHATWG URL 3.5, IPv6 parser: the eight pieces of the address."""
    head, gap, tail = text.partition("::")
    before = _parse_ipv6_pieces(head, may_end_in_ipv4=not gap)
    after = _parse_ipv6_pieces(tail, may_end_in_ipv4=True)
    missing = 8 - len(before) - len(after)
    if missing < 1 if gap else missing != 0:
        raise HostError("its host is no IPv6 address: wrong number of pieces")
    return before + [0] * missing + after


def _parse_ipv6_pieces(text: str, *, may_end_in_ipv4: bool) -> list[int]:
    pieces: list[int] = []
    labels = text.split(":") if text else []
    for i, label in enumerate(labels):
        if _IPV6_PIECE.fullmatch(label):
            pieces.append(int(label, 16))
        elif may_end_in_ipv4 and i == len(labels) - 1 and "." in label:
            pieces += _parse_embedded_ipv4(label)
        else:
            raise HostError(f"its host is no IPv6 address: bad piece {quote(label)}")
    return pieces


def _parse_embedded_ipv4(text: str) -> list[int]:
    """The last two pieces, written as IPv4: here it must be four decimals without leading zeros."""
    parts = text.split(".")
    if len(parts) != 4 or not all(_DECIMAL_BYTE.fullmatch(part) and int(part) < 256 for part in parts):
        raise HostError(f"its host is no IPv6 address: bad IPv4 part {quote(text)}")
    a, b, c, d = map(int, parts)
    return [a << 8 | b, c << 8 | d]


def _serialise_ipv6(pieces: list[int]) -> str:
    """WHATWG URL 3.6, IPv6 serializer: the first longest run of two or more zeros becomes ``::``."""
    start, length = 0, 1
    for i in range(8):
        run = 0
        while i + run < 8 and pieces[i + run] == 0:
            run += 1
        if run > length:
            start, length = i, run
    texts = [f"{piece:x}" for piece in pieces]
    if length == 1:
        return ":".join(texts)
    return ":".join(texts[:start]) + "::" + ":".join(texts[start + length :])
