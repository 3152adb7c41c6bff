"""Checks that must hold for any bytes from a server, for the property tests and the fuzz targets."""

from __future__ import annotations

import itertools

from syncws._exceptions import HandshakeError, ProtocolError
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import CloseFrame
from syncws._protocol.handshake import HandshakeRequest, HandshakeResult, accept_key, check_response
from syncws._protocol.http11 import Response, ResponseParser
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import DeflateParameters, Inflater
from syncws._protocol.url import parse_url
from tests.support.model_client import ModelClient

Fed = tuple[list[Message], list[tuple[int, bytes]], object]

# The codes that RFC 6455 7.4.1 has for a server's faults.
FAULTS = {1002, 1007, 1009}


def join_parts(received: list[Message | MessagePart]) -> list[Message]:
    """The messages that are whole, each from its parts where it came in parts."""
    messages: list[Message] = []
    waiting: list[Message] = []
    for item in received:
        if not isinstance(item, MessagePart):
            assert not waiting, "a message came between the parts of another one"
            messages.append(item)
            continue
        assert item.data or item.final, "a part without a byte"
        waiting.append(item.data)
        if item.final:
            empty: Message = "" if isinstance(item.data, str) else b""
            messages.append(empty.join(waiting))  # type: ignore[arg-type]
            waiting = []
    return messages


def feed_decoder(
    chunks: list[bytes], max_size: int | None, agreement: DeflateParameters | None, in_parts: bool = False
) -> Fed:
    decoder = Decoder(max_size, Inflater(agreement) if agreement else None, in_parts)
    received: list[Message | MessagePart] = []
    for chunk in chunks:
        received += decoder.feed(chunk)
        while decoder.has_more:
            received += decoder.feed(b"")
        if decoder.ended is not None:
            break
    assert in_parts or not any(isinstance(item, MessagePart) for item in received)
    messages = join_parts(received)
    ended = decoder.ended
    if isinstance(ended, ProtocolError):
        assert ended.close_code in FAULTS
        assert str(ended)
        return messages, decoder.controls, ended.close_code
    assert ended is None or isinstance(ended, CloseFrame)
    return messages, decoder.controls, ended and (ended.code, ended.reason)


def check_decoder(
    data: bytes, chunks: list[list[bytes]], max_size: int | None, agreement: DeflateParameters | None
) -> Fed:
    """Check that `Decoder` and the model agree about `data`, however it is cut. Returns their result."""
    model = ModelClient(max_size, agreement).read(data)
    ends = (model.end, model.or_else if model.or_else is not None else model.end)
    for in_parts, one_way in itertools.product((False, True), ([data], *chunks)):
        fed = feed_decoder(one_way, max_size, agreement, in_parts)
        assert fed[:2] == (model.messages, model.controls) and fed[2] in ends, (
            f"{data!r} with {max_size=}, {agreement}, fed as {one_way!r}: {fed!r}, not {model!r}"
        )
    return model.messages, model.controls, model.end


def feed_answer(chunks: list[bytes], asked: HandshakeRequest) -> tuple[str, object]:
    """The result of an answer: its kind, and all details."""
    parser = ResponseParser()
    for number, chunk in enumerate(chunks):
        try:
            parsed = parser.feed(chunk)
        except HandshakeError as error:
            assert str(error) and not error.headers
            return "malformed", error.status
        if parsed is not None:
            response, rest = parsed
            rest += b"".join(chunks[number + 1 :])
            try:
                agreed = check_response(asked, response)
            except HandshakeError as error:
                assert (error.status, error.headers) == (response.status, response.headers)
                return "refused", (str(error), response, rest)
            check_agreed(asked, agreed, response)
            return "accepted", (agreed, rest)
    return "not whole", None


def check_agreed(asked: HandshakeRequest, agreed: HandshakeResult, response: Response) -> None:
    """Check that RFC 6455 4.1 allows a client to accept what was accepted."""
    fields = [(name.lower(), value) for name, value in response.headers.multi_items()]
    assert [value for name, value in fields if name == "sec-websocket-accept"] == [accept_key(asked.key)]
    assert [value.lower() for name, value in fields if name == "upgrade"] == ["websocket"]
    connection = ",".join(value for name, value in fields if name == "connection")
    assert "upgrade" in [option.strip(" \t").lower() for option in connection.split(",")]
    assert (agreed.protocol in asked.protocols) if asked.protocols else agreed.protocol == ""
    if agreed.deflate is not None:
        assert asked.compression and "permessage-deflate" in agreed.extensions
        assert 8 <= agreed.deflate.server_max_window_bits <= 15
        assert 8 <= agreed.deflate.client_max_window_bits <= 15
    else:
        # An empty list selects nothing; a name that is there needs an agreement.
        assert not agreed.extensions.strip(" \t,")


KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def make_asked(protocols: tuple[str, ...], compression: bool) -> HandshakeRequest:
    return HandshakeRequest(parse_url("ws://example.com/"), KEY, protocols, compression=compression)


def check_answer(data: bytes, chunks: list[list[bytes]], asked: HandshakeRequest) -> str:
    """Check that an answer has the same result however it is cut. Returns its kind."""
    kind, expected = feed_answer([data], asked)
    for one_way in chunks:
        fed = feed_answer(one_way, asked)
        assert fed == (kind, expected), f"{data!r} fed as {one_way!r}: {fed!r}, not {(kind, expected)!r}"
    return kind
