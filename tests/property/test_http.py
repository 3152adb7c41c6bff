"""Whatever a server answers, only `HandshakeError` is raised, however TCP cuts the answer."""

from __future__ import annotations

import time

from hypothesis import event, example, given
from hypothesis import strategies as st

from syncws._exceptions import HandshakeError
from syncws._protocol.handshake import HandshakeRequest, parse_extensions
from syncws._protocol.http11 import MAX_HEAD, MAX_LINE, ResponseParser
from tests.property.strategies import chunk_sizes, cut, examples
from tests.support.parser_checks import ACCEPT, check_answer, make_asked

askeds = st.builds(make_asked, st.sampled_from([(), ("chat",), ("chat", "superchat")]), st.booleans())


def check(data: bytes, sizes: list[int], asked: HandshakeRequest) -> None:
    byte_by_byte = [data[at : at + 1] for at in range(len(data))]
    event(check_answer(data, [byte_by_byte, cut(data, sizes)], asked))


@examples(200)
@given(st.binary(max_size=200) | st.binary(max_size=100).map(b"HTTP/1.1 101 ".__add__), chunk_sizes, askeds)
def test_any_bytes(data: bytes, sizes: list[int], asked: HandshakeRequest) -> None:
    check(data, sizes, asked)


# Answers that are right in most respects: each part is sometimes left out, doubled or wrong.
usually = st.sampled_from([True] * 9 + [False])
parameters = st.tuples(
    st.sampled_from(
        [
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
            "x",
        ]
    ),
    st.sampled_from(["", "", "=8", "=15", '="10"', '="1\\5"', "=16", "=08", "=", '="', '="a b"', " = 9"]),
).map("".join)
extensions = st.builds(
    lambda names, parts, glue: glue.join([*names, *parts]),
    st.lists(st.sampled_from(["permessage-deflate", " permessage-deflate", "x-other", ""]), max_size=2),
    st.lists(parameters, max_size=3),
    st.sampled_from(["; ", ";", " ;\t", ", ", ",,"]),
)
values = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20)
fields = st.one_of(
    st.just(("Upgrade", "websocket")),
    st.tuples(st.just("connection"), st.sampled_from(["Upgrade", "keep-alive, upgrade", "close", ",", ""])),
    st.just(("Sec-WebSocket-Accept", ACCEPT)),
    st.tuples(st.just("Sec-WebSocket-Protocol"), st.sampled_from(["chat", "superchat", "CHAT", "other", ""])),
    st.tuples(st.just("Sec-WebSocket-Extensions"), extensions | values),
    st.tuples(st.from_regex(r"[A-Za-z!#-]{1,8}", fullmatch=True), values),
    st.tuples(
        st.text(st.characters(codec="latin-1"), max_size=5),
        st.text(st.characters(codec="latin-1"), max_size=5),
    ),
)


@st.composite
def near_answers(draw: st.DrawFn) -> bytes:
    right = [("Upgrade", "WebSocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Accept", ACCEPT)]
    lines = [field for field in right if draw(usually)]
    lines += draw(st.lists(fields, max_size=4 if draw(st.booleans()) else 0))
    lines = draw(st.permutations(lines))
    status = "HTTP/1.1 101 Switching Protocols"
    if not draw(usually):
        status = draw(
            st.sampled_from(["HTTP/1.0 101 x", "HTTP/1.1 404", "HTTP/1.1 101x", "HTTP/2 101", "", "HTTQ"])
        )
    end = "\r\n" if draw(usually) else draw(st.sampled_from(["\n", "\r", "\r\n ", "\r\r\n", ""]))
    colon = st.sampled_from([": "] * 9 + [":", " :", ":\t ", ""])
    head = end.join([status, *(f"{name}{draw(colon)}{value}" for name, value in lines), "", ""])
    return head.encode("latin-1") + draw(st.binary(max_size=10))


@examples(600)
@given(near_answers(), chunk_sizes, askeds)
def test_answers_that_are_nearly_right(data: bytes, sizes: list[int], asked: HandshakeRequest) -> None:
    check(data, sizes, asked)


@examples(200)
@given(st.lists(extensions | values | st.text(max_size=10), max_size=3))
def test_extension_lists_are_parsed_or_refused(fields: list[str]) -> None:
    try:
        found = list(parse_extensions(fields))
    except HandshakeError as error:
        assert "Sec-WebSocket-Extensions" in str(error)
        return
    for name, parameters in found:
        assert any(name in field for field in fields)
        for parameter, value in parameters:
            assert any(parameter in field for field in fields)
            assert value is None or value


# Bytes that make up long lines; every regular expression must get over them in linear time.
runs = st.lists(
    st.tuples(
        st.sampled_from(
            [b" ", b"\t", b" a", b";", b'"', b"\\", b",", b"=", b";a", b":", b"a", b"\xe9", b'="\\']
        ),
        st.integers(1, 2500),
    ),
    min_size=1,
    max_size=3,
).map(lambda parts: b"".join(unit * count for unit, count in parts)[: MAX_LINE - 100])


@examples(60)
@example(b"X:", b" " * 2500, b"\0", make_asked((), True))
@given(
    st.sampled_from(
        [b"X:", b"Sec-WebSocket-Extensions: permessage-deflate", b"Connection: ", b"Sec-WebSocket-Protocol: "]
    ),
    runs,
    st.sampled_from([b"", b"\0", b"\r", b"x", b'"']),
    askeds,
)
def test_long_lines_take_linear_time(name: bytes, run: bytes, end: bytes, asked: HandshakeRequest) -> None:
    head = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    data = head + ACCEPT.encode() + b"\r\n" + name + run + end + b"\r\n\r\n"
    begun = time.process_time()
    check_answer(data, [], asked)
    # Linear time is below a millisecond, cubic time a quarter of a minute.
    assert time.process_time() - begun < 2


@examples(30)
@given(
    st.sampled_from([b"", b"HTTP/1.1 101 ", b"HTTP/1.1 101 x\r\nX: "]),
    st.binary(min_size=1, max_size=3),
    chunk_sizes,
)
def test_an_endless_head_is_refused_in_bounded_memory(begin: bytes, unit: bytes, sizes: list[int]) -> None:
    parser = ResponseParser()
    fed = 0
    for chunk in cut((begin + unit * (2 * MAX_HEAD))[: 2 * MAX_HEAD], [max(size, 100) for size in sizes]):
        try:
            if parser.feed(chunk) is not None:
                return
        except HandshakeError:
            return
        fed += len(chunk)
        assert fed <= MAX_HEAD
    raise AssertionError("never refused")
