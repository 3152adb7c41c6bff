"""Whatever text is given as a URL, only the documented errors are raised, and what is parsed is stable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from syncws._exceptions import SecurityErr, SyntaxErr
from syncws._protocol.handshake import HandshakeRequest
from syncws._protocol.url import BLOCKED_PORTS, URL, check_port, parse_url
from tests.property.strategies import examples

PLAIN = HandshakeRequest(parse_url("ws://h/"), "key").request()


def check(text: str) -> None:
    try:
        url = parse_url(text)
    except SyntaxErr as error:
        event("refused")
        assert str(error)
        return
    event("parsed")
    serialised = str(url)
    again = parse_url(serialised)
    assert again == url
    assert str(again) == serialised
    check_parts(url)
    try:
        check_port(url)
    except SecurityErr:
        assert url.effective_port in BLOCKED_PORTS
    else:
        assert url.effective_port not in BLOCKED_PORTS


def check_parts(url: URL) -> None:
    """Hold that what the handshake takes from the URL can go out, and says nothing that it should not."""
    assert str(url).isascii() and str(url).isprintable()
    assert " " not in str(url) and "#" not in str(url) and "\\" not in url.path
    assert url.secure == (url.scheme == "wss")
    assert 0 <= url.effective_port <= 65535
    assert url.host and url.path.startswith("/")
    assert not {".", ".."} & set(url.path.lower().replace("%2e", ".").split("/"))
    assert str(url).startswith(url.scheme + "://") and str(url).endswith(url.host_header + url.resource)
    request = HandshakeRequest(url, "key").request()
    assert len(request.split(b"\r\n")[0].split(b" ")) == 3
    assert request.count(b"\r\n") == request.count(b"\r") == request.count(b"\n")
    # No part of the URL can add a line.
    assert request.count(b"\r\n") == PLAIN.count(b"\r\n") + (url.credentials is not None)


@examples(300)
@given(st.text(max_size=30) | st.text(max_size=30).map("ws://".__add__))
def test_any_text(text: str) -> None:
    check(text)


# Characters that may change the meaning of their neighbours, or have no place where they stand.
ODD = "./:?@[]\\%'\"<>^`{|}~ \t\n\r\0\x7f\xa0\u2028\ud800\udc00\ufdd0\ufffd"
WIDE = "\xdf\u0131\u03b1\u03c2\u0345\u0378\u06ff\u0627\u05d0\u0301\u200b\u200c\u200d\u2024\u3002\uff0e"
WIDE += "\ufeff\uff11\U0001f600\U000e0100"
plain = st.text("abxn019-", min_size=1, max_size=6)
wide = st.text(WIDE + "ab1", min_size=1, max_size=4)
words = st.one_of(plain, plain, wide, st.text("ab%2eE0" + ODD, max_size=5), st.text(max_size=4))
segments = st.one_of(words, st.sampled_from([".", "..", "%2e", ".%2E", "%2e%2e", "%00", "%ff", "%zz", ""]))
numbers = st.one_of(
    st.integers(0, 300).map(str),
    st.integers(0, 1 << 33).map(hex),
    st.integers(0, 1 << 33).map(lambda number: f"0{number:o}"),
    st.sampled_from(["0x", "0X", "08", "", "\uff11", "1" * 5000]),
)
ipv6_pieces = st.text("0fA", max_size=4)
hosts = st.one_of(
    plain,
    words,
    wide,
    st.lists(plain | wide, min_size=1, max_size=4).map(".".join),
    plain.map("xn--".__add__),
    wide.map(lambda text: "xn--" + text.encode("punycode", "replace").decode("ascii", "replace")),
    st.lists(numbers, min_size=1, max_size=5).map(".".join),
    st.lists(ipv6_pieces, min_size=7, max_size=8).map(":".join).map("[{}]".format),
    st.lists(ipv6_pieces | st.just("1.2.3.4"), max_size=9).map(":".join).map("[{}]".format),
    words.map("[{}]".format),
)
ports = st.one_of(
    st.sampled_from(["", "", "", ":"]),
    st.integers(0, 70_000).map(":{}".format),
    st.sampled_from(sorted(BLOCKED_PORTS)).map(":{}".format),
    st.sampled_from([":00080", ":443", ":80", ":-1", ":\u0661", ":" + "9" * 5000]),
    words.map(":".__add__),
)
near_urls = st.tuples(
    st.sampled_from(["ws", "wss"] * 4 + ["http", "https", "WS", " ws", "w\ts", "ftp", ""]),
    st.sampled_from(["://"] * 6 + [":", ":/", ":\\\\", ":///", "//"]),
    st.one_of(
        st.just(""),
        st.just(""),
        words.map("{}@".format),
        st.tuples(words, words).map(lambda pair: f"{pair[0]}:{pair[1]}@"),
    ),
    hosts,
    ports,
    st.one_of(st.just(""), st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))),
    st.one_of(st.just(""), words.map("?{}".format)),
    st.sampled_from([""] * 19 + ["#"]),
).map("".join)


@examples(800)
@given(near_urls)
def test_text_that_is_nearly_a_url(text: str) -> None:
    check(text)


@examples(50)
@given(st.one_of(st.none(), st.integers(), st.binary(), st.lists(st.text()), st.floats()))
def test_what_is_no_str_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        parse_url(value)
