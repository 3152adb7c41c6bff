"""The decoder and the encoder that tell of each frame do the same as the plain ones besides."""

from __future__ import annotations

import random
import zlib

import pytest

from syncws._protocol import traced
from syncws._protocol.decoder import Decoder
from syncws._protocol.encoder import COMPRESS_STEP, MAX_WRITE, Encoder
from syncws._protocol.frames import FIN, RSV1, Opcode
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater, Inflater
from syncws._protocol.traced import TracedDecoder, TracedEncoder
from tests.protocol.parse_cases import binary, frame, more, same_each_way, text

pytestmark = pytest.mark.usefixtures("each_codec")

Told = list[tuple[int, bytes, int, int]]

DEFLATE = DeflateParameters()


def packed(data: bytes) -> bytes:
    """One message, as permessage-deflate has it."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def decode(wire: bytes, deflate: bool = False, max_size: int | None = None) -> Told:
    """What is told of a stream, fed in every way; the messages must be those of a plain decoder."""

    def feed(chunks: list[bytes]) -> Told:
        told: Told = []
        plain = Decoder(max_size, Inflater(DEFLATE) if deflate else None)
        decoder = TracedDecoder(
            max_size, Inflater(DEFLATE) if deflate else None, lambda *frame: told.append(frame)
        )
        for chunk in chunks:
            assert decoder.feed(chunk) == plain.feed(chunk)
            while decoder.has_more or plain.has_more:
                assert decoder.feed(b"") == plain.feed(b"")
            assert decoder.controls == plain.controls
            assert repr(decoder.ended) == repr(plain.ended)
            assert decoder.bytes_received == plain.bytes_received
            assert decoder.messages_received == plain.messages_received
            assert decoder.get_buffer() is None
            if decoder.ended is not None:
                break
        return told

    return same_each_way(wire, feed)


def test_each_frame_is_told_in_the_order_of_the_wire() -> None:
    wire = (
        text("ä") + frame(Opcode.PING, b"p") + binary(bytes(200)) + frame(Opcode.PONG) + binary(bytes(70_000))
    )
    assert decode(wire) == [
        (0x81, "ä".encode(), 2, 4),
        (0x89, b"p", 1, 3),
        (0x82, bytes(200), 200, 204),
        (0x8A, b"", 0, 2),
        (0x82, bytes(70_000), 70_000, 70_010),
    ]


def test_fragments_are_told_one_by_one() -> None:
    wire = text("a", fin=False) + frame(Opcode.PING) + more("", fin=False) + more("b", fin=True) + text("")
    assert decode(wire) == [
        (0x01, b"a", 1, 3),
        (0x89, b"", 0, 2),
        (0x00, b"", 0, 2),
        (0x80, b"b", 1, 3),
        (0x81, b"", 0, 2),
    ]


def test_a_compressed_frame_is_told_as_the_application_knows_it() -> None:
    data = b"hello " * 100
    wire = packed(data)
    assert decode(frame(Opcode.TEXT, wire, rsv=RSV1) + text("x"), deflate=True) == [
        (0x81, data, 600, len(wire) + 2),
        (0x81, b"x", 1, 3),
    ]


def test_fragments_of_a_compressed_message_have_each_what_inflates_of_them() -> None:
    data = random.Random(1).randbytes(3000)
    wire = packed(data)
    stream = frame(Opcode.BINARY, wire[:1000], fin=False, rsv=RSV1) + more(wire[1000:], fin=True)
    told = decode(stream, deflate=True)
    assert [frame[0] for frame in told] == [0x02, 0x80]
    assert b"".join(frame[1] for frame in told) == data
    assert sum(frame[2] for frame in told) == 3000
    assert [frame[3] for frame in told] == [1004, len(wire) - 1000 + 4]


def test_what_inflates_over_several_feeds_is_one_frame() -> None:
    data = bytes(5 * 2**20)
    ((head_byte, payload, size, _),) = decode_whole(frame(Opcode.BINARY, packed(data), rsv=RSV1))
    assert (head_byte, payload, size) == (0x82, data, len(data))


def decode_whole(wire: bytes) -> Told:
    told: Told = []
    decoder = TracedDecoder(None, Inflater(DEFLATE), lambda *frame: told.append(frame))
    decoder.feed(wire)
    while decoder.has_more:
        assert not told
        decoder.feed(b"")
    return told


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (text(b"\xff"), [(0x81, b"\xff", 1, 3)]),
        (frame(Opcode.CLOSE, b"\x03"), [(0x88, b"\x03", 1, 3)]),
        (frame(3), []),
    ],
)
def test_a_frame_that_is_wrong_is_told_as_far_as_it_can_be(bad: bytes, told: Told) -> None:
    assert decode(text("a") + bad) == [(0x81, b"a", 1, 3), *told]


def test_of_a_large_payload_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "LARGEST_KEPT", 1000)
    assert decode(binary(bytes(3000)) + text("x")) == [(0x82, bytes(1000), 3000, 3004), (0x81, b"x", 1, 3)]
    told: Told = []
    TracedEncoder(None, lambda *frame: told.append(frame)).frames([(0x82, bytes(3000))])
    assert told == [(0x82, bytes(1000), 3000, 3008)]


# The encoder.

ITEMS = [
    (FIN | Opcode.TEXT, b"hello"),
    (FIN | Opcode.BINARY, bytes(200)),
    (Opcode.TEXT, b"a" * 2000),
    (FIN | Opcode.CONTINUATION, b""),
    (FIN | Opcode.BINARY, b"x" * (MAX_WRITE + 1)),
    (FIN | Opcode.TEXT, b"y" * (5 * COMPRESS_STEP + 7)),
]


@pytest.mark.parametrize("deflate", [False, True])
def test_what_is_sent_is_what_a_plain_encoder_sends_and_is_told_before_its_bytes(deflate: bool) -> None:
    told: Told = []
    encoder = TracedEncoder(Deflater(DEFLATE) if deflate else None, lambda *frame: told.append(frame))
    assert encoder.compresses == deflate
    sent = wire_size = 0
    for wire, size, _ in encoder.encode(ITEMS):
        sent += size
        wire_size += len(wire)
        assert sum(frame[3] for frame in told) >= wire_size, "a frame's bytes came before it was told"
        assert sum(frame[2] for frame in told) >= sent
    assert sent == sum(len(payload) for _, payload in ITEMS)
    assert sum(frame[3] for frame in told) == wire_size
    assert b"".join(frame[1] for frame in told) == b"".join(payload for _, payload in ITEMS)
    if not deflate:
        assert [(head, len(payload)) for head, payload, _, _ in told] == [
            (head, len(payload)) for head, payload in ITEMS
        ]
    plain = Encoder(Deflater(DEFLATE) if deflate else None)
    assert wire_size == sum(len(wire) for wire, _, _ in plain.encode(ITEMS))
    assert all(not head & RSV1 for head, _, _, _ in told)


@pytest.mark.parametrize("deflate", [False, True])
def test_a_control_frame_between_two_steps_is_told_in_the_order_of_the_wire(deflate: bool) -> None:
    told: Told = []
    encoder = TracedEncoder(Deflater(DEFLATE) if deflate else None, lambda *frame: told.append(frame))
    wire_size = 0
    for wire, _, is_boundary in encoder.encode(ITEMS):
        wire_size += len(wire)
        if is_boundary:
            assert sum(frame[3] for frame in told) == wire_size, "a later frame was told before its turn"
            wire_size += len(encoder.frames([(FIN | Opcode.PING, b"")]))
            assert told[-1] == (0x89, b"", 0, 6)


def test_small_frames_are_told_each() -> None:
    told: Told = []
    encoder = TracedEncoder(None, lambda *frame: told.append(frame))
    wire = encoder.frames([(FIN | Opcode.TEXT, b"1"), (FIN | Opcode.CLOSE, b"\x03\xe8")])
    assert told == [(0x81, b"1", 1, 7), (0x88, b"\x03\xe8", 2, 8)]
    assert len(wire) == 15
