"""`syncws._protocol.url`: the WHATWG URL parser for WebSocket URLs, the parts of a URL, blocked ports."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from syncws._exceptions import SecurityErr, SyntaxErr
from syncws._protocol import url as url_module
from syncws._protocol.url import BLOCKED_PORTS, URL, check_port, parse_url

WS_URLS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("ws_urls.json").read_text(encoding="utf-8")
)

# Input and href; None where the standard's parser fails, or where there is a fragment.
Table = list[tuple[str, "str | None"]]

WHITESPACE: Table = [
    ("\x00\x1b\x04\x12 ws://example.com/\x1f \r ", "ws://example.com/"),
    ("ws://example\t.\norg", "ws://example.org/"),
    ("w\ts\ns\r:/\t/h\to\ns\rt:9\t0\n0\r0/p\ta\nt\rh?q\tu\ne\rry", "wss://host:9000/path?query"),
    ("ws://example.com/foo\tbar", "ws://example.com/foobar"),
    ("ws://f:\n/c", "ws://f/c"),
    ("ws://ho\x0bst/", None),
    ("ws://h/\xa0", "ws://h/%C2%A0"),
]

SCHEMES: Table = [
    ("http://h/", "ws://h/"),
    ("https://h/", "wss://h/"),
    ("HTTPS://h/", "wss://h/"),
    ("Ws://h/", "ws://h/"),
    ("http://h:443/", "ws://h:443/"),
    ("https://h:443/", "wss://h/"),
    ("ws:h", "ws://h/"),
    ("ws:/h", "ws://h/"),
    ("ws:///h", "ws://h/"),
    ("ws:\\\\/\\h\\p", "ws://h/p"),
    ("http:", None),
    ("ws://", None),
    ("ftp://h/", None),
    ("httpa://foo:80/", None),
    ("git+https://h/", None),
    ("blob:ws://example.org/", None),
    ("w://x:0", None),
    ("1ws://h/", None),
    (" ws ://h/", None),
    ("\u212as://h/", None),
]

RELATIVE: Table = [
    *[
        (text, None)
        for text in ("", " \t", "h", "h/", "/", "//h/p", "///h", "\\\\h", "?", "?q", "#", ":", "::")
    ],
    *[(text, None) for text in (":h/", ":23", "/:23", "[61:24:74]:98", "10.0.0.7:80/a", "localhost")],
]

USERINFO: Table = [
    ("ws://u:p@h/", "ws://u:p@h/"),
    ("ws:u:p@h", "ws://u:p@h/"),
    ("ws://u:@h", "ws://u@h/"),
    ("ws://:@h", "ws://h/"),
    ("ws://@h", "ws://h/"),
    ("ws::p@h", "ws://:p@h/"),
    ("ws://a:b@c\\", "ws://a:b@c/"),
    ("ws://foo.com/\\@", "ws://foo.com//@"),
    ("ws:\\\\a\\b:c\\d@foo.com\\", "ws://a/b:c/d@foo.com/"),
    ("ws://&a:foo(b]c@d:2/", "ws://&a:foo(b%5Dc@d:2/"),
    ("ws://::@c@d:2", "ws://:%3A%40c@d:2/"),
    ("ws://%25DOMAIN:foobar@h/", "ws://%25DOMAIN:foobar@h/"),
    ("wss://@test@test@example:800/", "wss://%40test%40test@example:800/"),
    ("ws://`{}:`{}@h/`{}?`{}", "ws://%60%7B%7D:%60%7B%7D@h/%60%7B%7D?`{}"),
    ("ws://foo:\U0001f4a9@h/", "ws://foo:%F0%9F%92%A9@h/"),
    ("wss://user:pass[\x7f@foo/bar", "wss://user:pass%5B%7F@foo/bar"),
    ("ws://user:pass@/", None),
    ("ws:@/h", None),
    ("ws://@:h", None),
]

DOMAINS: Table = [
    ("ws://ExAmPlE.CoM", "ws://example.com/"),
    ("ws://!\"$&'()*+,-.;=_`{}~/", "ws://!\"$&'()*+,-.;=_`{}~/"),
    ("ws://%65xample.com/", "ws://example.com/"),
    ("ws://./", "ws://./"),
    ("ws://a..b./", "ws://a..b./"),
    ("ws://-a-.ab--c._x/", "ws://-a-.ab--c._x/"),
    (f"ws://{'x' * 300}/", f"ws://{'x' * 300}/"),
    ("ws://a b/", None),
    ("ws://a%20b/", None),
    ("ws://a%2Fb/", None),
    ("ws://a%3Ab/", None),
    ("ws://a%40b/", None),
    ("ws://a%00b/", None),
    ("ws://a\x00b/", None),
    ("ws://a\x7fb/", None),
    ("ws://a<b", None),
    ("ws://a>b", None),
    ("ws://a^b", None),
    ("ws://a|b/", None),
    ("ws://a[b/", None),
    ("ws://a]b/", None),
    ("ws://a%b/", None),
    ("ws://%zz%66%a.com", None),
    ("ws://%25", None),
    ("ws://example.com%80/", None),
    ("ws://?", None),
    ("ws:///?q", None),
]

UNICODE_DOMAINS: Table = [
    ("ws://\u4f60\u597d\u4f60\u597d", "ws://xn--6qqa088eba/"),
    ("ws://B\xdccher.example/", "ws://xn--bcher-kva.example/"),
    ("ws://fa\xdf.ExAmPlE/", "ws://xn--fa-hia.example/"),
    ("ws://FA\u1e9e.example/", "ws://xn--fa-hia.example/"),
    ("ws://\u03b2\u03cc\u03bb\u03bf\u03c2.com", "ws://xn--nxasmm1c.com/"),
    ("ws://%e2%98%83", "ws://xn--n3h/"),
    ("ws://\uff27\uff4f.com", "ws://go.com/"),
    ("ws://www.foo\u3002bar\uff0ecom\uff61", "ws://www.foo.bar.com./"),
    ("ws://a%C2%ADb/", "ws://ab/"),
    ("ws://GOO\u200b\u2060\ufeffgoo.com", "ws://googoo.com/"),
    ("ws://\uff10\uff38\uff43\uff10\uff0e\uff10\uff12\uff15\uff10\uff0e\uff10\uff11", "ws://192.168.0.1/"),
    ("ws://a\u2020--", "ws://xn--a---kp0a/"),
    ("ws://-x.\xdf", "ws://-x.xn--zca/"),
    ("ws://x..\xdf", "ws://x..xn--zca/"),
    (f"ws://x{'0123456789' * 6}01\u2020", f"ws://xn--x{'0123456789' * 6}01-6963b/"),
    ("ws://XN--ZCA.\xdf", "ws://xn--zca.xn--zca/"),
    ("ws://\u2260", "ws://xn--1ch/"),
    ("ws://=\u0338", "ws://xn--1ch/"),
    ("ws://1.\u064a", "ws://1.xn--mhb/"),
    ("ws://\u0dc1\u0dca\u200d\u0dbb\u0dd3", "ws://xn--10cl1a0b660p/"),
    ("ws://\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "ws://xn--mgba3gch31f060k/"),
    ("ws://\xad/", None),
    ("ws://GOO\xa0\u3000goo.com", None),
    ("ws://\uff05\uff14\uff11.com", None),
    ("ws://\ufdd0zyx.com", None),
    ("ws://\ufffd.com", None),
    ("ws://xn--zn7c.com", None),
    ("ws://\ue000", None),
    ("ws://a\u202eb", None),
    ("ws://\u0300a", None),
    ("ws://\u2488com", None),
    ("ws://a\u2025b", None),
    ("ws://xn--", None),
    ("ws://xn--a", None),
    ("ws://xn--a-", None),
    ("ws://xn--a-ecp.com\xfc.xn--ls8h=", None),
    ("ws://xn--te\u0161la", None),
    ("ws://a.b.c.Xn--pokxncvks", None),
    ("ws://\u200d.example", None),
    ("ws://\u0628\u200c\u200c\u0628", None),
    ("ws://xn--1ug.example", None),
    ("ws://\u064aa", None),
    ("ws://a\u064a", None),
    ("ws://xn--a-yoc", None),
    ("ws://\u064a.1", None),
    ("ws://" + "\xe9" * 256, None),
]

IPV4: Table = [
    ("ws://127.1", "ws://127.0.0.1/"),
    ("ws://192.0x00A80001", "ws://192.168.0.1/"),
    ("ws://192.168.257.", "ws://192.168.1.1/"),
    ("ws://%30%78%63%30%2e%30%32%35%30.01%2e", "ws://192.168.0.1/"),
    ("ws://0x.0x.0", "ws://0.0.0.0/"),
    ("ws://256", "ws://0.0.1.0/"),
    ("ws://4294967295", "ws://255.255.255.255/"),
    ("ws://0xffffffff", "ws://255.255.255.255/"),
    (f"ws://0x{'0' * 5000}1", "ws://0.0.0.1/"),
    ("ws://256.com", "ws://256.com/"),
    ("ws://0x7f.0.0.0X7G", "ws://0x7f.0.0.0x7g/"),
    ("ws://foo.09..", "ws://foo.09../"),
    ("ws://4294967296", None),
    ("ws://0x100000000", None),
    ("ws://1.16777216", None),
    ("ws://192.168.0.257", None),
    ("ws://256.0.0.1", None),
    ("ws://1.2.3.4.5", None),
    ("ws://1.2.3.08", None),
    ("ws://0..0x300/", None),
    ("ws://foo.2.3.4.", None),
    ("ws://foo.0x", None),
    ("ws://\U0001f4a9.123/", None),
    (f"ws://{'9' * 5000}", None),
]

IPV6: Table = [
    ("ws://[::1]:8080/", "ws://[::1]:8080/"),
    ("ws://[::]", "ws://[::]/"),
    ("ws://[2001:DB8:0:0:1::]", "ws://[2001:db8:0:0:1::]/"),
    ("ws://[1:2:0:0:5:0:0:0]", "ws://[1:2:0:0:5::]/"),
    ("ws://[1:0:0:4:0:0:7:8]", "ws://[1::4:0:0:7:8]/"),
    ("ws://[0:1:0:1:0:1:0:1]", "ws://[0:1:0:1:0:1:0:1]/"),
    ("ws://[1:2:3:4:5:6:7::]", "ws://[1:2:3:4:5:6:7:0]/"),
    ("ws://[::127.0.0.1]", "ws://[::7f00:1]/"),
    ("ws://[0:0:0:0:0:0:13.1.68.3]", "ws://[::d01:4403]/"),
    ("ws://[]", None),
    ("ws://[:]", None),
    ("ws://[:::]", None),
    ("ws://[::1", None),
    ("ws://[::1]x", None),
    ("ws://[::1]:80:80", None),
    ("ws://2001::1", None),
    ("ws://[12345::]", None),
    ("ws://[0:0:]", None),
    ("ws://[0::0::0]", None),
    ("ws://[1:2:3:4:5:6:7:8::]", None),
    ("ws://[0:1:2:3:4:5:6:7:8]", None),
    ("ws://[0:1:2:3:4:5:6:7.0.0.0.1]", None),
    ("ws://[1.2.3.4::]", None),
    ("ws://[::1.2.3]", None),
    ("ws://[::1.2.3.]", None),
    ("ws://[::1.2.3.04]", None),
    ("ws://[::1.2.3.256]", None),
    ("ws://[::127.0.0.0.1]", None),
    ("ws://[::%31]", None),
    # RFC 6874: zones, of which the URL standard knows nothing, go with link-local addresses.
    ("ws://[fe80::1%25eth0]", "ws://[fe80::1%25eth0]/"),
    ("ws://[FE80:0::1%25en%2d1.2]:81/x", "ws://[fe80::1%25en-1.2]:81/x"),
    ("ws://[febf::1%25a]", "ws://[febf::1%25a]/"),
    ("ws://[fe80::1%25]", None),
    ("ws://[fe80::1%eth0]", None),
    ("ws://[fe80::1%25a%2Fb]", None),
    ("ws://[fe80::1%25a%25b]", None),
    ("ws://[::1%25eth0]", None),
    ("ws://[fec0::1%25eth0]", None),
    ("ws://%5B::1]", None),
    ("ws://[www.google.com]/", None),
]

PORTS: Table = [
    ("ws://h:/", "ws://h/"),
    ("ws://h:0/", "ws://h:0/"),
    ("ws://h:00000000000000/", "ws://h:0/"),
    ("ws://h:00000000000000000000080/", "ws://h/"),
    ("ws://h:65535/", "ws://h:65535/"),
    (f"ws://h:{'0' * 5000}81/", "ws://h:81/"),
    ("ws://h:65536/", None),
    ("ws://h:18446744073709551697/", None),
    (f"ws://h:{'9' * 5000}/", None),
    ("ws://h:-80/", None),
    ("ws://h:b/", None),
    ("ws://h: /", None),
    ("ws://h:8_0/", None),
    ("ws://h:\u0668\u0660/", None),
    ("ws://h: 21 / b ? d ", None),
]

PATHS: Table = [
    ("ws://h", "ws://h/"),
    ("ws://h/././foo", "ws://h/foo"),
    ("ws://h/./.foo", "ws://h/.foo"),
    ("ws://h/foo/.", "ws://h/foo/"),
    ("ws://h/foo/bar/..", "ws://h/foo/"),
    ("ws://h/foo/bar/../ton/../../a", "ws://h/a"),
    ("ws://h/foo/../../..", "ws://h/"),
    ("ws://h/foo/..bar", "ws://h/foo/..bar"),
    ("ws://h/foo/%2e", "ws://h/foo/"),
    ("ws://h/foo/%2E%2e", "ws://h/"),
    ("ws://h/foo/%2e%2", "ws://h/foo/%2e%2"),
    ("ws://h/foo/%2e./%2e%2e/.%2e/%2e.bar", "ws://h/%2e.bar"),
    ("ws://h////../..", "ws://h//"),
    ("ws://h/foo/bar//../..", "ws://h/foo/"),
    ("ws://h\\\\foo\\\\bar", "ws://h//foo//bar"),
    ("ws://h/a\\..\\b", "ws://h/b"),
    ("ws://h/foo%2zbar%", "ws://h/foo%2zbar%"),
    ("ws://h/%7Ffp3%3Eju", "ws://h/%7Ffp3%3Eju"),
    ("ws://h/(%28:%3A%29)@%40", "ws://h/(%28:%3A%29)@%40"),
    ("ws://h/\x00y\x91", "ws://h/%00y%C2%91"),
    ("ws://h/\u4f60\ufeff\uffff", "ws://h/%E4%BD%A0%EF%BB%BF%EF%BF%BF"),
]

QUERIES: Table = [
    ("ws://h?", "ws://h/?"),
    ("ws://h?q", "ws://h/?q"),
    ("ws://h/p;a??e", "ws://h/p;a??e"),
    ("ws://f:21/ b ? d ", "ws://f:21/%20b%20?%20d"),
    ("ws://h/?'\"<>`{}|^\\", "ws://h/?%27%22%3C%3E`{}|^\\"),
    ("ws://h/?../x/./@:", "ws://h/?../x/./@:"),
    ("ws://h/?\u2323\x7f\x00%GH%23", "ws://h/?%E2%8C%A3%7F%00%GH%23"),
]

FRAGMENTS: Table = [
    (url, None)
    for url in ("ws://h/#", "ws://h#", "ws://h/#x", "ws://h/p?q#", "ws://h/?#\x00", "wss://u@h#a#b", "ws://#")
]

SURROGATES: Table = [
    ("ws://h/\ud800", "ws://h/%EF%BF%BD"),
    ("ws://h/\udc00x?\ud800y", "ws://h/%EF%BF%BDx?%EF%BF%BDy"),
    ("ws://h/\ud83d\udca9", "ws://h/%F0%9F%92%A9"),
    ("ws://\ud800@h/", "ws://%EF%BF%BD@h/"),
    ("ws://h\ud800/", None),
    ("ws://h:\ud800/", None),
    ("\ud800", None),
]

TABLES: dict[str, Table] = {
    "whitespace": WHITESPACE,
    "schemes": SCHEMES,
    "relative": RELATIVE,
    "userinfo": USERINFO,
    "domains": DOMAINS,
    "unicode domains": UNICODE_DOMAINS,
    "ipv4": IPV4,
    "ipv6": IPV6,
    "ports": PORTS,
    "paths": PATHS,
    "queries": QUERIES,
    "fragments": FRAGMENTS,
    "surrogates": SURROGATES,
}
CASES = [(name, url, href) for name, table in TABLES.items() for url, href in table]
ACCEPTED = [(url, href) for _, url, href in CASES if href is not None]


def case_ids(name: str, urls: list[str]) -> list[str]:
    return [f"{name}-{ascii(url)[:40]}" for url in urls]


@pytest.mark.parametrize("entry", WS_URLS, ids=case_ids("wpt", [entry["input"] for entry in WS_URLS]))
def test_every_entry_of_the_standards_ws_test_data_parses_as_given(entry: dict[str, Any]) -> None:
    if "#" in entry["href"]:
        with pytest.raises(SyntaxErr):
            parse_url(entry["input"])
    else:
        assert str(parse_url(entry["input"])) == entry["href"]


@pytest.mark.parametrize(
    ("url", "href"), [case[1:] for case in CASES], ids=[case_ids(case[0], [case[1]])[0] for case in CASES]
)
def test_url_is_serialised_or_refused_as_the_standard_says(url: str, href: str | None) -> None:
    if href is None:
        with pytest.raises(SyntaxErr):
            parse_url(url)
    else:
        assert str(parse_url(url)) == href


@pytest.mark.parametrize(("url", "href"), ACCEPTED, ids=case_ids("again", [url for url, _ in ACCEPTED]))
def test_serialised_url_parses_to_the_same_parts(url: str, href: str) -> None:
    assert parse_url(href) == parse_url(url)


@pytest.mark.parametrize("code", [*range(0x21), *b"#/:<>?@[\\]^|%\x7f"])
def test_forbidden_domain_code_point_fails_when_percent_encoded(code: int) -> None:
    with pytest.raises(SyntaxErr):
        parse_url(f"ws://ho%{code:02X}st/")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "wss://u%20x:p@Example.com:8443/a b?c d",
            URL("wss", "u%20x", "p", "example.com", 8443, "/a%20b", "c%20d"),
        ),
        ("ws://h", URL("ws", "", "", "h", None, "/", None)),
        ("ws://h:80?", URL("ws", "", "", "h", None, "/", "")),
        ("https://[::1]:443", URL("wss", "", "", "[::1]", None, "/", None)),
    ],
)
def test_parse_url_gives_all_the_parts(url: str, expected: URL) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    ("text", "secure", "port", "hostname", "host_header", "origin", "resource"),
    [
        ("ws://h", False, 80, "h", "h", "ws://h", "/"),
        ("wss://h:80/p?", True, 80, "h", "h:80", "wss://h:80", "/p?"),
        ("wss://u:p@h:443/p?q=1&r", True, 443, "h", "h", "wss://h", "/p?q=1&r"),
        ("ws://[::1]:81?q", False, 81, "::1", "[::1]:81", "ws://[::1]:81", "/?q"),
        ("ws://h:0/", False, 0, "h", "h:0", "ws://h:0", "/"),
        ("ws://127.1/", False, 80, "127.0.0.1", "127.0.0.1", "ws://127.0.0.1", "/"),
    ],
)
def test_properties_derive_from_the_parts(
    text: str, secure: bool, port: int, hostname: str, host_header: str, origin: str, resource: str
) -> None:
    url = parse_url(text)
    assert url.secure is secure
    assert url.effective_port == port
    assert url.hostname == hostname
    assert url.host_header == host_header
    assert url.origin == origin
    assert url.resource == resource


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("ws://h", None),
        ("ws://:@h", None),
        ("ws://u@h", ("u", "")),
        ("ws://:p@h", ("", "p")),
        ("ws://a%40b:c%3ad:e@h", ("a@b", "c:d:e")),
        ("ws://\xe9:\u20ac@h", ("\xe9", "\u20ac")),
        ("ws://%ff%zz:%e2%82@h", ("\ufffd%zz", "\ufffd")),
    ],
)
def test_credentials_are_percent_decoded(text: str, credentials: tuple[str, str] | None) -> None:
    assert parse_url(text).credentials == credentials


def test_url_cannot_be_changed_and_hides_its_password_from_repr() -> None:
    url = parse_url("ws://user:hunter2@h/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        url.host = "other"  # type: ignore[misc]
    assert "hunter2" not in repr(url)
    assert "hunter2" in str(url)


@pytest.mark.parametrize("url", [None, 1, b"ws://h/", ["ws://h/"], Path("/")])
def test_url_of_another_type_is_a_type_error(url: Any) -> None:
    with pytest.raises(TypeError, match=f"url must be a str, not {type(url).__name__}"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("chat", "not absolute"),
        ("ftp://h/", "scheme must be ws, wss, http or https, not 'ftp'"),
        ("ws://h/#x", "fragment"),
        ("ws://", "no host"),
        ("ws://a b/", "forbidden character ' '"),
        ("ws://h:x/", "port 'x' is not a number"),
        ("ws://h:65536/", "greater than 65535"),
        ("ws://[::1", "bracket"),
        ("ws://[g::]/", "bad piece 'g'"),
        ("ws://[1:2]/", "wrong number of pieces"),
        ("ws://[::1.2.3]/", "bad IPv4 part '1.2.3'"),
        ("ws://1.2.3.4.5/", "'1.2.3.4.5' ends in a number but is no IPv4 address"),
        ("ws://256.0.0.1/", "number out of range"),
        ("ws://xn--a-/", "'xn--a-', which encodes no valid label"),
        ("ws://xn--\xe9/", "not valid Punycode"),
        ("ws://\u064aa/", "Bidi"),
        ("ws://\ud800/", "forbidden character"),
    ],
)
def test_error_quotes_the_url_and_says_what_is_wrong(url: str, reason: str) -> None:
    with pytest.raises(SyntaxErr) as caught:
        parse_url(url)
    assert repr(url.replace("#x", "#...")) in caught.value.message
    assert reason in caught.value.message
    assert caught.value.__cause__ is None


SECRET_URLS = [
    "wss://user:s3cret@host:99999/",
    "wss://user:s3cret@ho st/",
    "wss://user:s3cret@host/?q#f",
    "wss://s3cret@host:x/",
    "wss:user:s3cret@host:x/",
    "wss:\\\\user:s3cret@host:x/",
    " wss://user:s3cret@host:x/",
    "wss://user:s3cret@x@host:x/",
    "wss://user:s3cret/x@host:x/",
    "wss://user:x/s3cret@host:x/",
    "wss://s3 cret/x@host/",
    "wss://user:s3cret?x@host/",
    "wss://user:x?s3cret@host/",
    "wss://user:s3cret#x@host/",
    "wss://user:x#s3cret@host/",
    "s3cret:x@host/",
    "//user:s3cret@host/",
    "user:s3cret@host/",
    "ftp://user:s3cret@host/",
    "host/?s3cret",
    "wss://host:x/?s3cret",
    "wss://host/#s3cret",
    "wss://host:x/?a@s3cret",
    "wss://host:x/?a=s3cret@b",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_error_shows_neither_userinfo_nor_query_nor_fragment(url: str) -> None:
    with pytest.raises(SyntaxErr) as caught:
        parse_url(url)
    assert "cret" not in caught.value.message
    assert "user:" not in caught.value.message


@pytest.mark.parametrize(
    "prefix", ["x", "x:", "ws://1.", "ws://[", "ws://h:x", "ws://xn--a", "ws://\xe9", "ws://h/#"]
)
def test_error_message_stays_short_when_the_url_is_very_long(prefix: str) -> None:
    with pytest.raises(SyntaxErr) as caught:
        parse_url(prefix + "9" * 10_000)
    assert len(caught.value.message) < 700


def test_there_are_83_blocked_ports() -> None:
    assert len(BLOCKED_PORTS) == 83


@pytest.mark.parametrize("port", sorted(BLOCKED_PORTS))
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_blocked_port_is_a_security_error_that_names_it(scheme: str, port: int) -> None:
    with pytest.raises(SecurityErr, match=rf"\bport {port}\b"):
        check_port(parse_url(f"{scheme}://h:{port}/"))


@pytest.mark.parametrize(
    "url", ["ws://h", "wss://h", "ws://h:443", "wss://h:80", "ws://h:8080", "ws://h:65535", "ws://[::25]"]
)
def test_other_ports_are_not_blocked(url: str) -> None:
    check_port(parse_url(url))


def test_random_strings_raise_nothing_but_the_documented_errors() -> None:
    rng = random.Random(6455)
    pieces = [
        *map(chr, range(0x80)),
        "ws://",
        "wss:",
        "http://",
        "xn--",
        "::",
        "..",
        "%2e",
        "0x",
        "%ff",
        "1.2.3.4",
    ]
    pieces += [
        "\ud800",
        "\udc00",
        "\xad",
        "\xdf",
        "\u200c",
        "\u200d",
        "\u0300",
        "\u064a",
        "\u0660",
        "\u3002",
        "\ufffd",
    ]
    pieces += ["\u2488", "\ufdfa", "\U0001f4a9", "\U0010ffff", "\u0130", "\u0345"]
    heads = ["", "ws://", "ws://[", "ws://1.", "ws://h:", "ws://xn--", "ws://u:p@", "ws://h/", "ws://h/?"]
    accepted = 0
    for _ in range(20_000):
        text = rng.choice(heads) + "".join(rng.choices(pieces, k=rng.randrange(12)))
        try:
            url = parse_url(text)
            assert url.credentials is None or url.username or url.password
            assert (url.resource + url.host_header).isascii()
            assert not set(url.resource + url.host_header) & set(map(chr, range(0x21)))
            assert str(parse_url(str(url))) == str(url), ascii(text)
            check_port(url)
        except (SyntaxErr, SecurityErr):
            continue
        accepted += 1
    assert accepted > 2_000


def test_public_form_has_nothing_that_may_be_a_secret() -> None:
    url = parse_url("wss://user:password@example.com:8443/path?token=1")
    assert url.public == "wss://example.com:8443/path"


def test_a_zone_is_for_this_machine_alone() -> None:
    url = parse_url("wss://[fe80::1%25eth0]:81/a?b")
    assert str(url) == "wss://[fe80::1%25eth0]:81/a?b"
    assert url.hostname == "fe80::1%eth0"
    assert (url.host_header, url.authority, url.certificate_name) == (
        "[fe80::1]:81",
        "[fe80::1]:81",
        "fe80::1",
    )
    assert parse_url("ws://[fe80::1%25eth0]/").host_header == "[fe80::1]"


def test_certificate_is_for_a_name_without_the_dot_of_an_absolute_one() -> None:
    url = parse_url("wss://example.com./")
    assert (url.hostname, url.certificate_name) == ("example.com.", "example.com")
    assert (url.host_header, url.authority) == ("example.com.", "example.com.:443")


def test_url_is_parsed_once_and_one_with_a_password_is_not_kept() -> None:
    again = "wss://example.com/again?\u00e9"
    assert parse_url(again) is parse_url("".join(again))
    secret = "wss://user:s3cr3t@example.com/"
    assert parse_url(secret) == parse_url(secret)
    assert not [known for known in url_module._known if "s3cr3t" in known]
    for number in range(1000):
        assert parse_url(f"ws://example.com/{number}").path == f"/{number}"
    assert len(url_module._known) <= 128


def test_url_of_another_class_is_parsed_by_its_characters() -> None:
    class Odd(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    assert parse_url("ws://example.com/one").path == "/one"
    assert parse_url(Odd("ws://example.com/two")).path == "/two"
    assert parse_url("ws://example.com/two").path == "/two"
