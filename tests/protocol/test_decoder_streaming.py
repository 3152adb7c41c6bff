"""`syncws._protocol.decoder`: messages in parts on demand, and steps of bounded work."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest

from syncws._protocol.decoder import INFLATE_PER_FEED, LARGEST_PART, LEAST_STEP, Decoder
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import INFLATE_STEP, DeflateParameters, Deflater, Inflater
from tests.protocol.parse_cases import Decoded, binary, decode, frame, more, text, ways

pytestmark = pytest.mark.usefixtures("each_codec")

DEFLATE = DeflateParameters()
MIB = 2**20


def packed(message: bytes) -> bytes:
    return Deflater(DEFLATE).compress(message)


def parts(data: list[Message | MessagePart]) -> list[MessagePart]:
    assert all(isinstance(item, MessagePart) for item in data)
    return [item for item in data if isinstance(item, MessagePart)]


def joined(data: list[MessagePart]) -> Message:
    """The message that the parts are, which must be one whole message."""
    assert [part.final for part in data] == [False] * (len(data) - 1) + [True]
    whole = [part.data for part in data]
    if isinstance(whole[0], str):
        return "".join(piece for piece in whole if isinstance(piece, str))
    return b"".join(piece for piece in whole if isinstance(piece, bytes))


def test_what_was_collected_is_given_in_parts_once_streaming_is_switched_on() -> None:
    decoder = Decoder()
    payload = random.Random(1).randbytes(3 * LARGEST_PART + 10)
    assert decoder.feed(binary(payload[:1000], fin=False)) == []
    assert decoder.feed(more(payload[1000:-5])) == []
    assert decoder.collected == len(payload) - 5
    decoder.streaming = True
    found = parts(decoder.feed(b""))
    assert [len(part.data) for part in found] == [LARGEST_PART] * 3 + [5]
    assert (decoder.collected, decoder.size) == (0, len(payload) - 5)
    assert decoder.feed(b"") == []
    found += parts(decoder.feed(more(payload[-5:], fin=True)))
    assert joined(found) == payload


def test_message_of_which_a_part_was_given_goes_on_in_parts_and_the_next_comes_whole() -> None:
    decoder = Decoder()
    assert decoder.feed(text("a", fin=False)) == []
    decoder.streaming = True
    assert decoder.feed(more("b")) == [MessagePart("ab", False)]
    decoder.streaming = False
    assert decoder.feed(more("c")) == [MessagePart("c", False)]
    assert decoder.feed(more("d", fin=True) + text("e", fin=False)) == [MessagePart("d", True)]
    assert decoder.feed(more("f", fin=True)) == ["ef"]


def test_message_that_is_whole_comes_whole_also_while_streaming_unless_it_is_large() -> None:
    decoder = Decoder(partial_messages=True)
    small, large = bytes(LARGEST_PART), bytes(LARGEST_PART + 1)
    assert decoder.feed(binary(small) + text("x")) == [small, "x"]
    found = parts(decoder.feed(binary(large)))
    assert [len(part.data) for part in found] == [LARGEST_PART, 1]
    assert joined(found) == large
    decoder.streaming = False
    assert decoder.feed(binary(large)) == [large]


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_no_part_of_a_text_is_larger_than_the_bound_in_utf8(letter: str) -> None:
    message = letter * (2 * LARGEST_PART)
    wire = text(message)
    for _, chunks in itertools.islice(ways(wire[:20]), 3):
        decoder = Decoder(partial_messages=True)
        found: list[Message | MessagePart] = []
        for chunk in (*chunks, wire[20:]):
            found += decoder.feed(chunk)
        assert joined(parts(found)) == message
        assert max(len(str(part.data).encode()) for part in parts(found)) <= LARGEST_PART


def test_collected_counts_the_bytes_of_a_character_that_is_cut() -> None:
    decoder = Decoder(partial_messages=True)
    euro = "€".encode()
    assert decoder.feed(text(b"ab" + euro[:2], fin=False)) == [MessagePart("ab", False)]
    assert decoder.collected == 2
    assert decoder.feed(more(euro[2:], fin=True)) == [MessagePart("€", True)]
    assert decoder.collected == 0


def test_compressed_fragments_are_given_in_parts_too() -> None:
    payload = bytes(random.Random(2).choices(b"abc", k=50_000))
    deflater = Deflater(DEFLATE)
    wire = binary(deflater.compress(payload[:20_000], False), fin=False, compressed=True)
    wire += frame(Opcode.PING, b"p") + more(deflater.compress(payload[20_000:]), fin=True)
    for _, chunks in ways(wire):
        decoder = Decoder(None, Inflater(DEFLATE), partial_messages=True)
        found: list[Message | MessagePart] = []
        for chunk in chunks:
            found += decoder.feed(chunk)
        if found != [payload]:
            assert joined(parts(found)) == payload
        assert decoder.controls == [(Opcode.PING, b"p")]


def feed_in_steps(decoder: Decoder, data: bytes) -> list[list[Message | MessagePart]]:
    steps = [decoder.feed(data)]
    while decoder.has_more:
        steps.append(decoder.feed(b""))
    return steps


@pytest.mark.parametrize("streaming", [False, True])
def test_a_message_that_inflates_a_thousandfold_takes_many_steps_of_bounded_size(streaming: bool) -> None:
    message = bytes(20 * MIB)
    wire = binary(packed(message), compressed=True) + frame(Opcode.PING, b"p") + text("next")
    decoder = Decoder(None, Inflater(DEFLATE), streaming)
    steps = feed_in_steps(decoder, wire)
    assert len(steps) >= 20
    assert decoder.controls == [(Opcode.PING, b"p")]
    if streaming:
        bound = INFLATE_PER_FEED + INFLATE_STEP
        given = [parts([item for item in step if item != "next"]) for step in steps]
        assert all(sum(len(part.data) for part in step) <= bound for step in given)
        assert max(len(part.data) for step in given for part in step) <= LARGEST_PART
        assert joined([part for step in given for part in step]) == message
        assert steps[-1][-1] == "next"
    else:
        assert [item for step in steps for item in step] == [message, "next"]


def test_pings_between_fragments_that_inflate_far_come_while_more_is_pending() -> None:
    deflater = Deflater(DEFLATE)
    wire = b""
    for number in range(4):
        piece = deflater.compress(bytes(4 * MIB), number == 3)
        wire += binary(piece, fin=False, compressed=True) if not number else more(piece, fin=number == 3)
        wire += frame(Opcode.PING, b"%d" % number)
    decoder = Decoder(None, Inflater(DEFLATE))
    decoder.feed(wire)
    pings = []
    while decoder.has_more:
        pings.append(len(decoder.controls))
        decoder.feed(b"")
    assert pings == sorted(pings)
    assert set(pings) >= {0, 1, 2, 3}
    assert len(decoder.controls) == 4


def test_bytes_may_be_fed_while_more_is_pending() -> None:
    message = bytes(3 * MIB)
    wire = binary(packed(message), compressed=True) + text("next")
    for cut in (10, 500, len(wire) - 3):
        decoder = Decoder(None, Inflater(DEFLATE))
        found = decoder.feed(wire[:cut])
        for at in range(cut, len(wire)):
            found += decoder.feed(wire[at : at + 1])
        while decoder.has_more:
            found += decoder.feed(b"")
        assert found == [message, "next"]


# Each of these blocks is final (BFINAL), and so ends a zlib stream inside the message (RFC 7692 7.2.3.4).
FINAL_BLOCKS = {"fixed": b"\x03\x00", "stored": b"\x01\x00\x00\xff\xff", "with a byte": b"\x4b\x04\x00"}


@pytest.mark.parametrize("block", FINAL_BLOCKS.values(), ids=FINAL_BLOCKS)
def test_many_final_blocks_take_work_in_proportion_and_many_steps(
    block: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = 0

    class Stream:
        """A zlib stream that counts what it copies: its input, and what it leaves over."""

        def __init__(self, wbits: int) -> None:
            self._real = make(wbits)

        def decompress(self, data: bytes, limit: int) -> bytes:
            nonlocal copied
            plain = self._real.decompress(data, limit)
            copied += len(data) + len(self._real.unused_data) + len(self._real.unconsumed_tail)
            return plain

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    make = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Stream)
    costs = []
    for count in (10_000, 20_000):
        copied = 0
        decoder = Decoder(None, Inflater(DEFLATE))
        steps = feed_in_steps(decoder, binary(block * count, compressed=True))
        (message,) = [item for step in steps for item in step]
        assert len(message) in (0, count)
        assert len(steps) >= count * LEAST_STEP // INFLATE_PER_FEED
        costs.append(copied)
    assert costs[1] < 2.1 * costs[0]


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_text_with_a_surrogate_is_no_text(opcode: int) -> None:
    for surrogate in (b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80"):
        wire = frame(opcode, b"a" + surrogate)
        whole = Decoded(fault=1007) if opcode == Opcode.TEXT else Decoded((b"a" + surrogate,))
        assert decode(wire) == whole


@pytest.mark.parametrize("half", [b"\xed\xa0", b"\xed\xbf", b"a\xed\xa0", b"\xf4\x90", b"\xe0\x80"])
def test_text_that_can_only_become_wrong_is_refused_at_the_end_of_its_fragment(half: bytes) -> None:
    assert decode(text(half, fin=False)) == Decoded(fault=1007)
    packed_half = Deflater(DEFLATE).compress(half, False)
    assert decode(text(packed_half, fin=False, compressed=True), deflate=DEFLATE) == Decoded(fault=1007)
