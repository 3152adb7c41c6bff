"""`syncws._protocol.encoder`: what goes out is read back by a parser that shares nothing with the package."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from syncws._protocol.encoder import MAX_WRITE, Encoder
from syncws._protocol.frames import Opcode
from syncws._protocol.permessage_deflate import MIN_COMPRESSED, DeflateParameters, Deflater, Inflater
from tests.protocol.parse_cases import Decoded, decode, frame

pytestmark = pytest.mark.usefixtures("each_codec")

# Where the header or the way to mask changes, and the neighbours.
BORDERS = [*range(130), 255, 256, 257, *range(1022, 1030), 65534, 65535, 65536, 65537, 65538]

FIRST = 0x82


@dataclass(frozen=True)
class Parsed:
    first: int
    key: bytes
    payload: bytes


def parse(wire: bytes) -> Iterator[Parsed]:
    """A client's frames, by RFC 6455 5.2 and 5.3 alone; each length must be in its shortest form."""
    position = 0
    while position < len(wire):
        first, second = struct.unpack_from("!BB", wire, position)
        position += 2
        assert second >= 128, "a frame without a mask"
        length = second - 128
        if length == 126:
            (length,) = struct.unpack_from("!H", wire, position)
            position += 2
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack_from("!Q", wire, position)
            position += 8
            assert length > 0xFFFF
        key, masked = wire[position : position + 4], wire[position + 4 : position + 4 + length]
        position += 4 + length
        assert position <= len(wire), "a frame is cut short"
        yield Parsed(first, key, bytes(octet ^ mask for octet, mask in zip(masked, itertools.cycle(key))))


def payloads(length: int) -> list[bytes]:
    """Leading and trailing zeros are where arithmetic on big integers goes wrong."""
    one_at_the_end = (bytes(length) + b"\x01")[-length:] if length else b""
    return [random.Random(length).randbytes(length), bytes(length), b"\xff" * length, one_at_the_end]


@pytest.mark.parametrize("length", BORDERS)
def test_message_of_each_length_is_one_masked_frame(length: int) -> None:
    for payload in payloads(length):
        (parsed,) = parse(Encoder().frames([(FIRST, payload)]))
        assert (parsed.first, parsed.payload) == (FIRST, payload)


def test_all_first_bytes_go_out_as_they_are() -> None:
    for first in range(256):
        for payload in (b"", b"a", b"abc", bytes(125), bytes(126)):
            (parsed,) = parse(Encoder().frames([(first, payload)]))
            assert (parsed.first, parsed.payload) == (first, payload)


def test_frames_go_out_in_order_and_nothing_for_none() -> None:
    source = random.Random(7)
    items = [
        (source.choice((0x81, 0x82, 0x89, 0x8A)), source.randbytes(source.choice(BORDERS))) for _ in range(50)
    ]
    items.append((0x88, b"\x03\xe8"))
    assert [(parsed.first, parsed.payload) for parsed in parse(Encoder().frames(items))] == items
    assert Encoder().frames([]) == b""


@pytest.mark.parametrize("length", [0, 5, 125, 126, 2000, 65536])
def test_key_differs_from_frame_to_frame(length: int) -> None:
    count = 1000 if length < 1000 else 20
    items = [(FIRST, bytes(length))] * count
    encoder = Encoder()
    keys = {parsed.key for parsed in parse(encoder.frames(items))}
    keys |= {parsed.key for item in items for parsed in parse(encoder.frames([item]))}
    keys |= {
        parsed.key
        for parsed in parse(b"".join(bytes(wire) for wire, _ in encoder.pieces(FIRST, bytes(MAX_WRITE))))
    }
    # 2001 of 2^32: two keys are the same in one run of 2000.
    assert len(keys) >= 2 * count
    # Each byte of the key changes, not only some.
    for place in range(4):
        assert len({key[place] for key in keys}) > min(16, count // 2)


@pytest.mark.parametrize(
    "length",
    [1, MAX_WRITE - 1, MAX_WRITE, MAX_WRITE + 1, 2 * MAX_WRITE - 1, 2 * MAX_WRITE, 2 * MAX_WRITE + 3],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_frame_goes_out_in_pieces_that_are_one_frame(length: int, kind: type) -> None:
    payload = random.Random(length).randbytes(length)
    pieces = [(bytes(wire), size) for wire, size in Encoder().pieces(FIRST, kind(payload))]
    assert [size for _, size in pieces] == [MAX_WRITE] * (length // MAX_WRITE) + [length % MAX_WRITE] * bool(
        length % MAX_WRITE
    )
    head = (2 if length < 126 else 4 if length < 65536 else 10) + 4
    assert [len(wire) - size for wire, size in pieces] == [head] + [0] * (len(pieces) - 1)
    (parsed,) = parse(b"".join(wire for wire, _ in pieces))
    assert (parsed.first, parsed.payload) == (FIRST, payload)


def test_pieces_hold_on_to_the_payload_no_longer_than_they_come() -> None:
    payload = bytearray(2 * MAX_WRITE)
    pieces = Encoder().pieces(FIRST, payload)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    payload.clear()  # raises BufferError while there is a view of it
    payload += bytes(MAX_WRITE)
    assert len(list(Encoder().pieces(FIRST, payload))) == 1
    payload.clear()


def test_message_is_compressed_only_where_that_was_agreed_and_gains() -> None:
    agreed = Encoder(Deflater(DeflateParameters()))
    large, small = b"x" * MIN_COMPRESSED, b"x" * (MIN_COMPRESSED - 1)
    for first in (0x81, 0x82):
        first_out, payload = agreed.compress(first, large)
        assert first_out == first | 0x40
        assert len(payload) < 20
        assert agreed.compress(first, small) == (first, small)
    eight_bits = Encoder(Deflater(DeflateParameters(client_max_window_bits=8)))
    for without in (Encoder(), Encoder(None), eight_bits):
        assert not without.compresses
        assert without.compress(0x81, large) == (0x81, large)
    assert agreed.compresses


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_what_is_encoded_with_compression_decodes_again(bits: int, takeover: bool) -> None:
    encoder = Encoder(
        Deflater(DeflateParameters(client_max_window_bits=bits, client_no_context_takeover=not takeover))
    )
    source = random.Random(bits)
    messages: list[str | bytes] = []
    compressed, stream = 0, b""
    for number in range(40):
        letters = "".join(source.choices("aä€😀 \n", k=source.choice((0, 5, 30, 300, 3000))))
        message: str | bytes = letters.encode() if number % 2 else letters
        messages.append(message)
        item = encoder.compress(0x82 if number % 2 else 0x81, letters.encode())
        (parsed,) = parse(encoder.frames([item]))
        compressed += bool(parsed.first & 0x40)
        stream += frame(parsed.first & 0x0F, parsed.payload, rsv=parsed.first & 0x70)
    assert 10 < compressed < 40
    mirrored = DeflateParameters(server_max_window_bits=bits, server_no_context_takeover=not takeover)
    assert decode(stream, deflate=mirrored) == Decoded(tuple(messages))


@pytest.mark.parametrize("takeover", [True, False])
def test_fragmented_message_is_compressed_throughout_with_the_bit_on_its_first_frame(takeover: bool) -> None:
    encoder = Encoder(Deflater(DeflateParameters(client_no_context_takeover=not takeover)))
    mirrored = DeflateParameters(server_no_context_takeover=not takeover)
    text = ["ä€😀", "", "x" * 1000, "y"]
    stream = b""
    for _ in range(2):
        firsts = []
        for number, part in enumerate(text):
            opcode = Opcode.CONTINUATION if number else Opcode.TEXT
            first, payload = encoder.compress(0x80 * (number == len(text) - 1) | opcode, part.encode())
            firsts.append(first)
            stream += frame(first & 0x0F, payload, fin=first >= 0x80, rsv=first & 0x70)
        assert firsts == [0x41, 0, 0, 0x80]
    assert decode(stream, deflate=mirrored) == Decoded(("".join(text),) * 2)
    assert Encoder().compress(0x01, b"x" * 1000) == (0x01, b"x" * 1000)


def test_large_compressed_message_inflates_again_over_its_pieces() -> None:
    payload = random.Random(8).randbytes(3 * MAX_WRITE) + bytes(MAX_WRITE)
    encoder = Encoder(Deflater(DeflateParameters()))
    first, packed = encoder.compress(0x82, payload)
    (parsed,) = parse(b"".join(bytes(wire) for wire, _ in encoder.pieces(first, packed)))
    assert parsed.first == 0xC2
    assert b"".join(Inflater(DeflateParameters()).inflate(parsed.payload, True)) == payload
