"""`syncws._protocol.http11`: the request head out, the response head in, header fields."""

from __future__ import annotations

import pytest

from syncws._exceptions import HandshakeError
from syncws._headers import Headers
from syncws._protocol.http11 import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_LINE,
    Response,
    ResponseParser,
    check_field,
    format_head,
    get_list,
    has_field,
    is_token,
)
from tests.protocol.parse_cases import parse_head

STATUS = b"HTTP/1.1 101 Switching Protocols\r\n"

HEADS = [
    (STATUS + b"\r\n", Response(101, "Switching Protocols", Headers())),
    (b"HTTP/1.1 200\r\n\r\n", Response(200, "", Headers())),
    (b"HTTP/1.1 200 \r\n\r\n", Response(200, "", Headers())),
    (b"HTTP/1.0 404 Not  Found \r\n\r\n", Response(404, "Not  Found ", Headers(), "1.0")),
    (b"HTTP/2.0 503 \xfcberlastet\r\n\r\n", Response(503, "überlastet", Headers(), "2.0")),
    (STATUS + b"A: b\r\n\r\n", Response(101, "Switching Protocols", Headers([("A", "b")]))),
    (
        STATUS + b"A:b\r\nA: \t c d \t\r\n\r\n",
        Response(101, "Switching Protocols", Headers([("A", "b"), ("A", "c d")])),
    ),
    (STATUS + b"A:\r\nb: \r\n\r\n", Response(101, "Switching Protocols", Headers([("A", ""), ("b", "")]))),
    (
        STATUS + b"!#$%&'*+-.^_`|~09: :\r\n\r\n",
        Response(101, "Switching Protocols", Headers([("!#$%&'*+-.^_`|~09", ":")])),
    ),
    (
        STATUS + b"A: \xe9\x01\x7f\r\n\r\n",
        Response(101, "Switching Protocols", Headers([("A", "é\x01\x7f")])),
    ),
]

HEADS += [
    # RFC 9112 2.2: LF alone ends a line, too.
    (b"HTTP/1.1 200 OK\n\n", Response(200, "OK", Headers())),
    (b"HTTP/1.0 101 x\nA: b\n\n", Response(101, "x", Headers([("A", "b")]), "1.0")),
    (STATUS + b"A: b\n\r\n", Response(101, "Switching Protocols", Headers([("A", "b")]))),
    (STATUS + b"\n", Response(101, "Switching Protocols", Headers())),
]

NOT_WHOLE = [
    b"",
    b"H",
    b"HTTP/",
    b"HTTP/1.1 101",
    STATUS,
    STATUS + b"\r",
    STATUS + b"A: b\r\n",
    STATUS + b"A",
]

MALFORMED = [
    b"\r\n",
    b"\n",
    b"\0",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"220 mail.example ESMTP",
    b"http/1.1 200 OK\r\n",
    b"HTTQ",
    b"HTTP/1.1  200 OK\r\n",
    b"HTTP/1.1 20 OK\r\n",
    b"HTTP/1.1 2000 OK\r\n",
    b"HTTP/1.1 2x0 OK\r\n",
    b"HTTP/1.1 200\tOK\r\n",
    b"HTTP/11 200 OK\r\n",
    b"HTTP/1.1 200 O\0K\r\n",
    b"HTTP/1.1 200 O\rK\r\n",
    b"HTTP/\xb2.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\r\n\r\n",
]

MALFORMED_FIELDS = [
    b"A",
    b": b",
    b"A : b",
    b" A: b",
    b"A: b\r\n c",
    b"A: b\0",
    b"A: b\rc",
    b"A b: c",
    b"\xe9: c",
    b"(A): b",
]

FIELDS = [
    (("A", "b"), ("A", "b")),
    (("X-One", " \tb c\t "), ("X-One", "b c")),
    (("A", ""), ("A", "")),
    (("A", "é\x7f\x01"), ("A", "é\x7f\x01")),
    (("", "b"), ValueError),
    (("A b", "b"), ValueError),
    (("A:", "b"), ValueError),
    (("Ä", "b"), ValueError),
    (("A\n", "b"), ValueError),
    (("A", "b\r\nX: y"), ValueError),
    (("A", "b\r"), ValueError),
    (("A", "\nb"), ValueError),
    (("A", "b\0"), ValueError),
    (("A", "€"), ValueError),
    (("A", "\udc80"), ValueError),
    ((b"A", "b"), TypeError),
    (("A", b"b"), TypeError),
    (("A", 5), TypeError),
    (("A", None), TypeError),
]


@pytest.mark.parametrize(("head", "response"), HEADS)
@pytest.mark.parametrize("rest", [b"", b"\x81\x02hi", b"\r\n\r\nHTTP/1.1 200\r\n\r\n"])
def test_head_is_parsed_and_what_follows_it_is_left_alone(
    head: bytes, response: Response, rest: bytes
) -> None:
    assert parse_head(head + rest) == (response, rest)


@pytest.mark.parametrize("data", NOT_WHOLE)
def test_beginning_of_a_head_is_waited_for(data: bytes) -> None:
    assert parse_head(data) is None


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_line_is_refused_with_what_came(data: bytes) -> None:
    error = parse_head(data)
    assert isinstance(error, HandshakeError)
    assert error.status is None
    assert error.body in data
    assert repr(error.body[:100]) in str(error) and "the answer" in str(error)


@pytest.mark.parametrize("field", MALFORMED_FIELDS)
def test_malformed_field_is_refused_with_the_status(field: bytes) -> None:
    error = parse_head(STATUS + b"A: b\r\n" + field + b"\r\n\r\n")
    assert isinstance(error, HandshakeError)
    assert error.status == 101
    assert "header line of the answer is malformed" in str(error)


def test_server_of_another_protocol_is_refused_at_its_first_wrong_byte() -> None:
    parser = ResponseParser()
    for byte in b"HTT":
        assert parser.feed(bytes([byte])) is None
    with pytest.raises(HandshakeError, match="not HTTP"):
        parser.feed(b"X")


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 ", STATUS + b"A: "])
def test_line_is_taken_up_to_its_limit_and_refused_beyond(start: bytes) -> None:
    line = start.rpartition(b"\n")[2]
    room = MAX_LINE - len(line) - 1  # the CR counts
    assert isinstance(parse_head(start + b"x" * room + b"\r\n\r\n"), tuple)
    error = parse_head(start + b"x" * (room + 1) + b"\r\n\r\n")
    assert isinstance(error, HandshakeError)
    assert str(MAX_LINE) in str(error)
    assert ("status line" in str(error)) == start.startswith(b"HTTP/1.1 200")
    with pytest.raises(HandshakeError):  # a line that never ends is refused, too
        ResponseParser().feed(start + b"x" * (room + 2))


def test_fields_are_taken_up_to_their_limit_and_refused_beyond() -> None:
    field = b"A: b\r\n"
    result = parse_head(STATUS + field * MAX_FIELDS + b"\r\n")
    assert isinstance(result, tuple)
    assert len(result[0].headers.get_all("a")) == MAX_FIELDS
    error = parse_head(STATUS + field * (MAX_FIELDS + 1))
    assert isinstance(error, HandshakeError)
    assert str(MAX_FIELDS) in str(error)


def test_head_is_taken_up_to_its_limit_and_refused_beyond() -> None:
    field = b"A: " + b"x" * 8000 + b"\r\n"
    most = STATUS + field * ((MAX_HEAD - len(STATUS)) // len(field))
    last = MAX_HEAD - len(most) - len(b"A: \r")
    assert isinstance(parse_head(most + b"A: " + b"y" * (last - 2) + b"\r\n\r\n"), tuple)
    error = parse_head(most + b"A: " + b"y" * (last + 1) + b"\r\n\r\n")
    assert isinstance(error, HandshakeError)
    assert str(MAX_HEAD) in str(error)


def test_parser_tells_whether_and_what_it_received() -> None:
    parser = ResponseParser()
    assert not parser.started
    parser.feed(b"HTTP/1.1")
    parser.feed(b" 20")
    assert parser.started
    assert parser.received == b"HTTP/1.1 20"


def test_request_head_is_a_get_with_its_fields_in_order() -> None:
    fields = [("Host", "h:81"), ("B", "é"), ("A", "")]
    head = b"GET /p?q HTTP/1.1\r\nHost: h:81\r\nB: \xe9\r\nA: \r\n\r\n"
    assert format_head("GET /p?q", fields) == head


@pytest.mark.parametrize(("given", "expected"), FIELDS)
def test_field_of_the_caller_is_checked(
    given: tuple[object, object], expected: tuple[str, str] | type[Exception]
) -> None:
    if isinstance(expected, tuple):
        assert check_field(*given) == expected
        return
    with pytest.raises(expected) as caught:
        check_field(*given)
    assert str(caught.value).startswith("headers: ")


def test_error_for_a_field_quotes_no_value_and_nothing_after_the_bad_character_of_a_name() -> None:
    texts = []
    for given in (
        *(("X-Key", f"s3cret{bad}s3cret") for bad in "\r\n\0€"),
        *(("X-Key", value) for value in (b"s3cret", ["s3cret"], {"s3cret": 1})),
        *((name, "x") for name in ("X-Key: s3cret", "X-Key\ns3cret", b"X-Key: s3cret", ("X-Key", "s3cret"))),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            check_field(*given)
        assert caught.value.__context__ is None
        texts.append(str(caught.value))
    assert not [text for text in texts if "s3cret" in text]
    assert [text for text in texts[:4] if "'X-Key'" in text and "at index 6" in text] == texts[:4]
    assert "CR" in texts[0] and "LF" in texts[1] and "NUL" in texts[2] and "Latin-1" in texts[3]


def test_token_is_what_the_rfc_lists() -> None:
    for code in range(0x180):
        character = chr(code)
        ascii_alphanumeric = character.isalnum() and code < 128
        assert is_token(f"a{character}") == (ascii_alphanumeric or character in "!#$%&'*+-.^_`|~"), character
    assert not is_token("")


def test_fields_are_looked_up_without_case_and_in_order() -> None:
    assert get_list(["a, b", " c ,\td,"]) == ["a", "b", "c", "d", ""]
    assert get_list([]) == []
    assert has_field((("Via", "a"),), "VIA")
    assert not has_field((("Via2", "a"),), "VIA")
