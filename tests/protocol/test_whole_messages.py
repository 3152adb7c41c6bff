"""`whole_messages`: what is made of bytes on trial is what the decoder would make of them."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest

from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import FIN, RSV1, Opcode
from syncws._protocol.permessage_deflate import DeflateParameters, Inflater
from syncws._protocol.whole_messages import WholeMessages
from syncws.testing.wire import frame_bytes

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY
LIMIT = 65_535
TAIL = b"\x00\x00\xff\xff"


class Server:
    """Compresses as a server does, with one state for all messages."""

    def __init__(self, keeps_context: bool = True) -> None:
        self._parameters = DeflateParameters(server_no_context_takeover=not keeps_context)
        self.inflater = Inflater(self._parameters)
        self._keeps_context = keeps_context
        self._stream = zlib.compressobj(wbits=-15)

    def decoder(self) -> Decoder:
        """A decoder that has an inflater of its own, and makes all of the messages."""
        return Decoder(None, Inflater(self._parameters))

    def pack(self, payload: bytes) -> bytes:
        if not self._keeps_context:
            self._stream = zlib.compressobj(wbits=-15)
        packed = self._stream.compress(payload) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(TAIL)]

    def text(self, payload: str) -> bytes:
        return compressed(TEXT, self.pack(payload.encode()))

    def binary(self, payload: bytes) -> bytes:
        return compressed(BINARY, self.pack(payload))


def compressed(opcode: int, packed: bytes) -> bytes:
    frame = frame_bytes(opcode, packed)
    return bytes((frame[0] | RSV1,)) + frame[1:]


def plain(payload: str) -> bytes:
    return frame_bytes(TEXT, payload.encode())


@pytest.fixture(params=[True, False], ids=["context", "no context"])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


def mixed(server: Server) -> bytes:
    frames = [
        server.text("a"),
        server.text("é" * 300),
        plain("p" * 130),
        server.binary(random.Random(1).randbytes(200)),
        plain(""),
        server.text("a" * 1000),
        server.text("a" * 1000),
    ]
    return b"".join(frames)


def go_on(found: WholeMessages, inflater: Inflater) -> None:
    """What a consumer does with them."""
    inflater.zlib_stream = found.zlib_stream


def test_whole_messages_are_those_of_the_decoder(server: Server) -> None:
    wire = mixed(server)
    found = WholeMessages([wire], LIMIT, server.inflater)
    assert found.rest == b"" and not found.for_decoder
    decoder = server.decoder()
    assert decoder.feed(wire) == found.messages
    assert (found.wire, found.size, found.payload) == (len(wire), decoder.size, decoder.bytes_received)


def test_nothing_changes_until_the_state_is_put_in_its_place(server: Server) -> None:
    texts = [" ".join(map(str, range(start, start + 300))) for start in (1000, 1001, 1002)]
    for text in texts:
        wire = server.text(text)
        for _ in range(3):
            found = WholeMessages([wire], LIMIT, server.inflater)
            assert found.messages == [text]
        go_on(found, server.inflater)


def test_they_are_the_same_wherever_a_chunk_ends(server: Server) -> None:
    wire = mixed(server)
    whole = WholeMessages([wire], LIMIT, server.inflater)
    for cut in range(1, len(wire)):
        for other in {1, len(wire) - cut, cut // 2} & set(range(1, len(wire) - cut + 1)):
            chunks = [wire[:cut], wire[cut : cut + other], wire[cut + other :]]
            found = WholeMessages([chunk for chunk in chunks if chunk], LIMIT, server.inflater)
            assert (found.messages, found.rest) == (whole.messages, b""), (cut, other)
            counts = found.wire, found.size, found.payload
            assert counts == (whole.wire, whole.size, whole.payload), (cut, other)


def test_a_message_that_is_not_whole_is_waited_for(server: Server) -> None:
    wire = server.text("a") + server.binary(random.Random(1).randbytes(200))
    first = wire.index(b"\xc2")
    for end in range(first + 1, len(wire)):
        found = WholeMessages([wire[:end]], LIMIT, server.inflater)
        assert (found.messages, found.rest, found.for_decoder) == (["a"], wire[first:end], False)


def wrong_frames() -> Iterator[tuple[str, bytes]]:
    server = Server(keeps_context=False)
    good = server.pack(b"good")
    yield "a ping", frame_bytes(Opcode.PING, b"x")
    yield "broken deflate", compressed(TEXT, b"\xff\xff\xff")
    yield "no UTF-8", server.binary(b"\xff").replace(b"\xc2", b"\xc1", 1)
    yield "nothing at all", compressed(TEXT, b"")
    ending = zlib.compressobj(wbits=-15)
    yield "the end of a stream", compressed(TEXT, ending.compress(b"end") + ending.flush() + good)
    yield "more than the limit", server.binary(bytes(LIMIT + 1))
    yield "a first fragment", bytes((compressed(TEXT, good)[0] & ~FIN,)) + compressed(TEXT, good)[1:]
    yield "other reserved bits", bytes((compressed(TEXT, good)[0] | 0x20,)) + compressed(TEXT, good)[1:]
    yield "a length that is wrong", b"\xc1\x7e\x00\x03" + good[:3]
    yield "a mask", b"\xc1\x85" + good
    yield "a length of 64 bits", compressed(BINARY, random.Random(1).randbytes(70_000))


@pytest.mark.parametrize("wire", [pytest.param(wire, id=name) for name, wire in wrong_frames()])
@pytest.mark.parametrize("before", ["", "plain", "compressed", "compressed, plain"])
def test_what_is_not_for_us_is_left_to_the_decoder_as_it_came(wire: bytes, before: str) -> None:
    server = Server(keeps_context=False)
    made = {"plain": plain("p"), "compressed": server.text("c")}
    beginning = b"".join(made[name] for name in before.split(", ") if name)
    whole = beginning + wire + server.text("behind")
    expected = server.decoder()
    messages = expected.feed(whole)
    while expected.has_more:
        messages += expected.feed(b"")
    found = WholeMessages([whole], LIMIT, server.inflater)
    assert found.for_decoder and len(found.rest) >= len(wire)
    go_on(found, server.inflater)
    decoder = Decoder(None, server.inflater)
    behind = decoder.feed(found.rest)
    while decoder.has_more:
        behind += decoder.feed(b"")
    assert found.messages + behind == messages
    assert repr(decoder.ended) == repr(expected.ended)
    assert found.payload + decoder.bytes_received == expected.bytes_received


def test_without_context_a_message_that_refers_to_another_is_for_the_decoder() -> None:
    server, inflater = Server(), Server(keeps_context=False).inflater
    first, second = server.text("twenty times " * 20), server.text("twenty times " * 20)
    found = WholeMessages([first + second], LIMIT, inflater)
    assert found.for_decoder and (found.messages, found.rest) == ([], first + second)


def test_without_compression_a_compressed_frame_is_for_the_decoder() -> None:
    wire = Server().text("a")
    found = WholeMessages([wire], LIMIT, None)
    assert (found.messages, found.rest, found.for_decoder) == ([], wire, True)


@pytest.mark.parametrize(("limit", "waits"), [(200, True), (199, False)])
@pytest.mark.parametrize("first", [0x82, 0xC2])
def test_only_a_frame_of_at_most_the_limit_is_waited_for(limit: int, waits: bool, first: int) -> None:
    beginning = bytes((first,)) + frame_bytes(BINARY, bytes(200))[1:100]
    assert WholeMessages([beginning], limit, Server().inflater).for_decoder is not waits


@pytest.mark.parametrize("limit", [100, 99])
def test_only_a_message_of_at_most_the_limit_is_made(limit: int) -> None:
    server = Server()
    found = WholeMessages([server.text("a" * 100)], limit, server.inflater)
    assert found.messages == ["a" * 100] * (limit == 100)


def test_the_rest_of_a_frame_whose_length_is_wrong_is_not_waited_for() -> None:
    assert WholeMessages([b"\x81\x7e\x00\x05hel"], LIMIT, None).for_decoder


def test_what_inflates_a_thousandfold_is_left_to_the_decoder_after_a_while(server: Server) -> None:
    one = server.binary(bytes(60_000))
    wire = one + b"".join(server.binary(bytes(60_000)) for _ in range(100))
    found = WholeMessages([wire], LIMIT, server.inflater)
    assert 1_000_000 < found.payload < 1_200_000
    assert found.for_decoder


def test_a_connection_goes_on_by_either_by_chance(server: Server) -> None:
    chance = random.Random(7)
    decoder = Decoder(None, server.inflater)
    sent: list[str] = []
    came: list[object] = []
    chunks: list[bytes] = []
    for number in range(600):
        sent.append(f"message {number} " * chance.choice((1, 1, 5, 100)))
        wire = server.text(sent[-1]) if chance.random() < 0.7 else plain(sent[-1])
        for start in range(0, len(wire), step := chance.choice((1, 7, 10_000))):
            chunks.append(wire[start : start + step])
            rest = decoder.unread() if chance.random() < 0.5 else None
            if rest is None:
                came += decoder.feed(b"".join(chunks))
                chunks = []
                continue
            chunks = [rest, *chunks] if rest else chunks
            found = WholeMessages(chunks, LIMIT, server.inflater)
            go_on(found, server.inflater)
            came += found.messages
            chunks = [found.rest] if found.rest else []
    came += decoder.feed(b"".join(chunks))
    assert came == sent
