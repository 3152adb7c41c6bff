"""`syncws._protocol.body`: where the body of a refusal ends, and what belongs to it."""

from __future__ import annotations

import pytest

from syncws._headers import Headers
from syncws._protocol.body import MAX_BODY, BodyParser
from syncws._protocol.http11 import Response
from tests.protocol.parse_cases import same_each_way

BODY = b'{"error": "no seats left"}'
CHUNKED = ("Transfer-Encoding", "chunked")


def parse(data: bytes, *fields: tuple[str, str], status: int = 503) -> tuple[bytes, bool]:
    """The body and whether it is whole, fed in all ways."""

    def feed(chunks: list[bytes]) -> tuple[bytes, bool]:
        parser = BodyParser(Response(status, "", Headers(fields)))
        for chunk in chunks:
            parser.feed(chunk)
        return parser.body, parser.done

    return same_each_way(data, feed)


def chunk(data: bytes, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return b"%x%s%s%s%s" % (len(data), extension, end, data, end)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [(), (("Content-Length", "26"),), (CHUNKED,)])
def test_there_is_none_where_the_status_says_so(status: int, fields: tuple[tuple[str, str], ...]) -> None:
    assert parse(b"", *fields, status=status) == (b"", True)
    assert parse(BODY, *fields, status=status) == (b"", True)


@pytest.mark.parametrize("length", ["26", " 26", "026", "26, 26"])
def test_it_is_as_long_as_content_length_says(length: str) -> None:
    assert parse(BODY, ("Content-Length", length)) == (BODY, True)
    assert parse(BODY + b"HTTP/1.1 200", ("Content-Length", length)) == (BODY, True)
    assert parse(BODY[:-1], ("Content-Length", length)) == (BODY[:-1], False)


def test_a_length_of_0_is_no_body() -> None:
    assert parse(b"", ("Content-Length", "0")) == (b"", True)


@pytest.mark.parametrize("length", ["", "many", "-5", "+5", "5.0", "0x5", "5, 6", "٥"])
def test_without_a_length_that_can_be_told_it_ends_with_the_connection(length: str) -> None:
    assert parse(BODY) == (BODY, False)
    assert parse(BODY, ("Content-Length", length)) == (BODY, False)
    assert parse(BODY, ("Content-Length", "5"), ("Content-Length", "6")) == (BODY, False)


def test_a_length_of_thousands_of_digits_is_one_beyond_the_limit() -> None:
    assert parse(BODY, ("Content-Length", "9" * 5000)) == (BODY, False)


WHOLE = [
    chunk(BODY) + chunk(b""),
    chunk(BODY[:1]) + chunk(BODY[1:20]) + chunk(BODY[20:]) + chunk(b""),
    chunk(BODY[:9], b";a=b") + chunk(BODY[9:], b' ; c="d"') + b"0;last\r\n\r\n",
    chunk(BODY, end=b"\n") + chunk(b"", end=b"\n"),
    b"0001A\r\n" + BODY + b"\r\n000\r\n\r\n",
    b" 1a\t\r\n" + BODY + b"\r\n0\r\nX-Trailer: a\r\nX-More: b\r\n\r\n",
]


@pytest.mark.parametrize("data", WHOLE)
def test_chunks_are_joined_and_the_last_one_ends_it(data: bytes) -> None:
    assert parse(data, CHUNKED) == (BODY, True)
    assert parse(data + b"HTTP/1.1 200 OK", CHUNKED) == (BODY, True)
    assert parse(data, ("transfer-encoding", "gzip, Chunked")) == (BODY, True)
    for end in range(len(data) - 1):
        body, done = parse(data[:end], CHUNKED)
        assert BODY.startswith(body) and not done


def test_chunked_goes_before_a_length() -> None:
    assert parse(WHOLE[0], ("Content-Length", "3"), CHUNKED) == (BODY, True)


def test_another_transfer_coding_ends_with_the_connection() -> None:
    for coding in ("gzip", "chunked, gzip"):
        assert parse(BODY, ("Transfer-Encoding", coding), ("Content-Length", "3")) == (BODY, False)


@pytest.mark.parametrize(
    "end", [b"x\r\n", b"-1\r\n", b"\r\n", b"0x5\r\n", b"1" * 17 + b"\r\n", b";a\r\n", b" \r\n"]
)
def test_what_is_malformed_ends_it_and_what_came_before_counts(end: bytes) -> None:
    assert parse(chunk(BODY) + end + BODY, CHUNKED) == (BODY, True)


def test_data_that_is_longer_than_its_chunk_ends_it() -> None:
    assert parse(b"1a\r\n" + BODY + b"more\r\n0\r\n\r\n", CHUNKED) == (BODY, True)
    assert parse(b"1a\r\n" + BODY + b"5\r\n5\r\nhello\r\n0\r\n\r\n", CHUNKED) == (BODY, True)


@pytest.mark.parametrize("start", [b"", b"5;", b"0\r\nX: "])
def test_a_line_without_an_end_ends_it(start: bytes) -> None:
    assert parse(start + b"1" * 5000, CHUNKED) == (b"", True)
    assert parse(start + b"1" * 1000, CHUNKED) == (b"", False)


@pytest.mark.parametrize("fields", [(), (("Content-Length", "999999"),), (CHUNKED,)])
def test_no_more_than_64_kib_are_kept(fields: tuple[tuple[str, str], ...]) -> None:
    data = b"x" * (MAX_BODY - 1)
    framed = chunk(data) if fields == (CHUNKED,) else data
    parser = BodyParser(Response(503, "", Headers(fields)))
    parser.feed(framed)
    assert (parser.body, parser.done) == (data, False)
    parser.feed(chunk(b"yz") if fields == (CHUNKED,) else b"yz")
    assert (parser.body, parser.done) == (data + b"y", True)
    parser.feed(b"more")
    assert parser.body == data + b"y"


def test_it_tells_whether_its_end_is_framed() -> None:
    assert BodyParser(Response(503, "", Headers([CHUNKED]))).framed
    assert BodyParser(Response(503, "", Headers([("Content-Length", "5")]))).framed
    assert not BodyParser(Response(503, "", Headers())).framed
