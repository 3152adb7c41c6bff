"""`syncws._protocol.encoder`: anything to be sent, in steps of bounded work."""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Iterable

import pytest

from syncws._protocol import permessage_deflate
from syncws._protocol.encoder import COMPRESS_STEP, FRAGMENTED_ABOVE, MAX_WRITE, Encoder
from syncws._protocol.frames import Buffer, Opcode
from syncws._protocol.permessage_deflate import (
    SAMPLE,
    SAMPLED_FROM,
    SAMPLES,
    DeflateParameters,
    Deflater,
    is_compressible,
)
from tests.support.stress import amount

pytestmark = pytest.mark.usefixtures("each_codec")

WHOLE_TEXT, WHOLE_BINARY, WHOLE_PING = 0x81, 0x82, 0x89
MIB = 2**20
Steps = list[tuple[Buffer, int, bool]]


def unmask(payload: bytes, key: bytes) -> bytes:
    lanes = bytearray(payload)
    for lane in range(4):
        lanes[lane::4] = lanes[lane::4].translate(bytes(octet ^ key[lane] for octet in range(256)))
    return bytes(lanes)


def parse(steps: Steps) -> list[tuple[int, bytes]]:
    """The frames, as head bytes and payloads, by RFC 6455 5.2 and 5.3 alone. Each step that says so must end
    with a frame, and no other may."""
    wire = b"".join(bytes(data) for data, _, _ in steps)
    found, position, ends = [], 0, set()
    while position < len(wire):
        head, length = struct.unpack_from("!BB", wire, position)
        length -= 128
        position += 2
        for code, form, size in ((126, "!H", 2), (127, "!Q", 8)):
            if length == code:
                (length,) = struct.unpack_from(form, wire, position)
                position += size
                break
        key = wire[position : position + 4]
        position += 4 + length
        assert position <= len(wire)
        found.append((head, unmask(wire[position - length : position], key)))
        ends.add(position)
    at = list(itertools.accumulate(len(data) for data, _, _ in steps))
    assert [end in ends for end in at] == [boundary for _, _, boundary in steps]
    return found


def inflate(frames: Iterable[tuple[int, bytes]]) -> bytes:
    """The message that compressed fragments make: the first has RSV1 and the opcode, the last has FIN."""
    frames = list(frames)
    heads = [head for head, _ in frames]
    expected = [heads[0] & 0x0F | 0x40, *[0] * (len(heads) - 1)]
    expected[-1] |= 0x80
    assert heads == expected
    return zlib.decompressobj(-15).decompress(b"".join(payload for _, payload in frames) + b"\0\0\xff\xff")


def compressing() -> Encoder:
    return Encoder(Deflater(DeflateParameters()))


def letters(length: int) -> bytes:
    return (b"".join(b"%d," % number for number in range(length // 4)) + bytes(length))[:length]


@pytest.mark.parametrize("encoder", [Encoder(), compressing()], ids=["plain", "compressing"])
def test_nothing_comes_of_nothing_and_all_bytes_of_the_payloads_are_counted(encoder: Encoder) -> None:
    assert list(encoder.encode([])) == []
    source = random.Random(1)
    lengths = [0, 5, 1000, MAX_WRITE - 1, MAX_WRITE, 3 * MIB, 7, 65536, 2 * MIB]
    items = [
        (WHOLE_BINARY, source.randbytes(length // 2) + letters(length - length // 2)) for length in lengths
    ]
    steps = list(encoder.encode(items))
    assert sum(size for _, size, _ in steps) == sum(lengths)
    assert all(size >= 0 for _, size, _ in steps)
    assert max(len(data) for data, _, _ in steps) <= MAX_WRITE + 1000
    parse(steps)
    assert steps[-1][2]


def test_small_frames_share_a_step_up_to_the_bound() -> None:
    items = [(WHOLE_TEXT, b"x" * 1000), (WHOLE_PING, b"p"), (WHOLE_BINARY, b"y" * 100)] * 1000
    steps = list(Encoder().encode(items))
    assert parse(steps) == items
    assert len(steps) == 5
    assert [boundary for _, _, boundary in steps] == [True] * 5


def test_large_plain_frame_is_one_frame_in_pieces_between_the_small_ones() -> None:
    large = random.Random(2).randbytes(3 * MAX_WRITE + 5)
    items = [(WHOLE_TEXT, b"before"), (WHOLE_BINARY, large), (WHOLE_TEXT, b"after")]
    steps = list(Encoder().encode(items))
    assert parse(steps) == items
    assert [size for _, size, _ in steps] == [6, MAX_WRITE, MAX_WRITE, MAX_WRITE, 5, 5]
    assert [boundary for _, _, boundary in steps] == [True, False, False, False, True, True]


def test_control_frames_and_small_messages_are_not_compressed() -> None:
    items = [(WHOLE_PING, b"p" * 125), (0x88, b"\x03\xe8" + b"x" * 100), (WHOLE_TEXT, b"x" * 20)]
    assert parse(list(compressing().encode(items))) == items


def test_message_up_to_the_border_is_one_frame_and_one_byte_more_goes_out_in_fragments() -> None:
    for length, count in (
        (FRAGMENTED_ABOVE, 1),
        (FRAGMENTED_ABOVE + 1, FRAGMENTED_ABOVE // COMPRESS_STEP + 1),
    ):
        message = letters(length)
        steps = list(compressing().encode([(WHOLE_TEXT, message)]))
        frames = parse(steps)
        assert len(frames) == count
        assert inflate(frames) == message
        assert sum(size for _, size, _ in steps) == length


def test_each_step_of_a_large_message_compresses_a_bounded_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    compress = Deflater.compress

    def count(self: Deflater, payload: Buffer, final: bool = True) -> bytes:
        taken.append(len(payload))
        return compress(self, payload, final)

    monkeypatch.setattr(Deflater, "compress", count)
    message = letters(amount(8, 2) * MIB + 3)
    items = [*[(WHOLE_TEXT, b"x" * 50_000)] * 40, (WHOLE_BINARY, message)]
    frames, worked = [], []
    for step in compressing().encode(items):
        worked.append(sum(taken))
        taken.clear()
        frames.append(step)
    assert max(worked) <= COMPRESS_STEP + FRAGMENTED_ABOVE
    assert sum(worked) == 40 * 50_000 + len(message)
    assert len(parse(frames)) == 40 + -(-len(message) // COMPRESS_STEP)


def test_fragments_of_an_application_are_one_compressed_message_however_large_each_is() -> None:
    size = amount(MIB, FRAGMENTED_ABOVE // 2 + 1)
    for pieces in (
        [letters(3 * size), letters(10), b"", letters(2 * size)],
        [b"", letters(2 * size), b""],
        [b"a", b"b"],
        [letters(2 * size), b""],
    ):
        last = len(pieces) - 1
        items = [
            ((0x80 if number == last else 0) | (0 if number else Opcode.BINARY), piece)
            for number, piece in enumerate(pieces)
        ]
        encoder = compressing()
        # One after the other, as they come, and the next message as well.
        steps = [step for item in items for step in encoder.encode([item])]
        assert inflate(parse(steps)) == b"".join(pieces)
        after = parse(list(encoder.encode([(WHOLE_TEXT, b"next " * 20)])))
        assert after[0][0] == 0xC1


def test_what_does_not_compress_goes_out_as_it_is() -> None:
    noise = random.Random(3).randbytes(2 * MIB)
    encoder = compressing()
    assert parse(list(encoder.encode([(WHOLE_BINARY, noise)]))) == [(WHOLE_BINARY, noise)]
    # The first fragment of a message decides for all of them.
    begun = parse(list(encoder.encode([(Opcode.BINARY, noise), (0, letters(1000)), (0x80, b"")])))
    assert begun == [(Opcode.BINARY, noise), (0, letters(1000)), (0x80, b"")]
    assert inflate(parse(list(encoder.encode([(WHOLE_BINARY, letters(9000))])))) == letters(9000)


@pytest.mark.parametrize("size", [SAMPLE, SAMPLE * SAMPLES, SAMPLE * SAMPLES + 1, SAMPLED_FROM, 100_000])
def test_a_few_samples_tell_what_compresses(size: int) -> None:
    source = random.Random(4)
    assert is_compressible(letters(size))
    assert is_compressible(bytes(source.choices(b"0123456789abcdef", k=size)))
    assert not is_compressible(source.randbytes(size))
    text = bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz \n", k=2 * size))
    assert is_compressible(text)
    assert not is_compressible(zlib.compress(text)[:size])
    half = source.randbytes(size // 2) + bytes(size - size // 2)
    assert is_compressible(half)


def test_text_is_compressed_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("syncws._protocol.encoder.is_compressible")
    message = bytes(random.Random(5).choices(range(33, 127), k=100_000))
    frames = parse(list(compressing().encode([(WHOLE_TEXT, message)])))
    assert inflate(frames) == message
    assert len(frames[0][1]) < 0.9 * len(message)
    begun = parse(list(compressing().encode([(Opcode.TEXT, message), (0x80, b"")])))
    assert inflate(begun) == message


def test_small_binary_messages_are_tried_until_one_does_not_get_smaller_and_then_by_a_sample() -> None:
    source = random.Random(6)
    noise, more = ([source.randbytes(size) for size in (1000, 64, 8000, 500)] for _ in range(2))
    text = [letters(size) for size in (1000, 200, 70)]
    messages = [*text, *noise, *text, *more]
    encoder = compressing()
    frames = [
        frame for message in messages for frame in parse(list(encoder.encode([(WHOLE_BINARY, message)])))
    ]
    # Tried and small; tried and not; as they are; small by a sample, and so tried again; as before
    assert [head == 0xC2 for head, _ in frames] == [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    stream = zlib.decompressobj(-15)
    for message, (head, payload) in zip(messages, frames, strict=True):
        plain = stream.decompress(payload + b"\0\0\xff\xff") if head == 0xC2 else payload
        assert plain == message


def test_fragments_say_nothing_of_the_messages_after_them() -> None:
    encoder = compressing()
    noise = random.Random(7).randbytes(SAMPLE - 1)
    begun = [(Opcode.BINARY, noise), (0, noise), (0x80, b"")]  # too little to tell, and so compressed
    assert inflate(parse(list(encoder.encode(begun)))) == noise * 2
    assert parse(list(encoder.encode([(WHOLE_BINARY, random.Random(8).randbytes(1000))])))[0][0] == 0xC2
    begun[0] = (Opcode.BINARY, random.Random(9).randbytes(SAMPLE))
    assert parse(list(encoder.encode(begun))) == begun


@pytest.mark.parametrize("bits", [9, 15])
@pytest.mark.parametrize("keeps_context", [True, False])
def test_noise_inside_a_compressed_message_is_stored_and_what_follows_is_compressed(
    bits: int, keeps_context: bool
) -> None:
    parameters = DeflateParameters(client_max_window_bits=bits, client_no_context_takeover=not keeps_context)
    encoder = Encoder(Deflater(parameters))
    source = random.Random(11)
    noise = [source.randbytes(size) for size in (SAMPLED_FROM, 65535, 65536, 150_000)]
    text = letters(20_000)
    fragments = [text, noise[0], text, *noise[1:], text, noise[0], text]
    stream = zlib.decompressobj(-bits)
    for last in (b"", noise[0], text):
        items = [(0, fragment) for fragment in fragments]
        items[0] = (Opcode.BINARY, fragments[0])
        frames = parse(list(encoder.encode([*items, (0x80, last)])))
        assert [head for head, _ in frames] == [0x42, *[0] * (len(items) - 1), 0x80]
        plain = stream.decompress(b"".join(payload for _, payload in frames) + b"\0\0\xff\xff")
        assert plain == b"".join(fragments) + last
        for (_, packed), fragment in zip(frames[:-1], fragments, strict=True):
            if fragment in noise:
                assert len(packed) == len(fragment) + 5 * (-(-len(fragment) // 65535))
            else:
                assert len(packed) < len(fragment) / 2


def test_noise_in_a_large_message_that_begins_otherwise_is_stored() -> None:
    message = letters(3 * COMPRESS_STEP) + random.Random(12).randbytes(2 * COMPRESS_STEP)
    frames = parse(list(compressing().encode([(WHOLE_BINARY, message)])))
    assert frames[0][0] == 0x42  # by its samples all of it is worth it
    assert inflate(frames) == message
    assert [len(packed) for _, packed in frames[3:]] == [COMPRESS_STEP + 25, COMPRESS_STEP + 26]


def test_steps_are_the_same_where_nothing_is_compressed_and_where_nothing_can_be() -> None:
    source = random.Random(10)
    for _ in range(amount(30, 6)):
        sizes = [source.choice((0, 1, 63, 63, 5000, 100_000, MAX_WRITE - 14, MAX_WRITE)) for _ in range(40)]
        items = [
            (source.choice((WHOLE_TEXT, WHOLE_BINARY)) if size < 64 else WHOLE_PING, bytes(size))
            for size in sizes
        ]
        plain, other = list(Encoder().encode(items)), list(compressing().encode(items))
        assert parse(plain) == parse(other) == items
        assert [step[1:] for step in plain] == [step[1:] for step in other]
        assert [len(step[0]) for step in plain] == [len(step[0]) for step in other]


@pytest.mark.parametrize("encoder", [Encoder(), compressing()], ids=["plain", "compressing"])
def test_steps_of_empty_messages_are_bounded(encoder: Encoder) -> None:
    steps = list(encoder.encode([(WHOLE_TEXT, b"")] * 100_000))
    assert sum(len(data) for data, _, _ in steps) == 600_000
    assert MAX_WRITE // 4 < max(len(data) for data, _, _ in steps) <= MAX_WRITE


def test_samples_are_taken_from_the_beginning_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled: list[bytes] = []
    compress = zlib.compress

    def see(data: bytes, level: int) -> bytes:
        sampled.append(data)
        return compress(data, level)

    monkeypatch.setattr(zlib, "compress", see)
    payload = b"A" + letters(1_000_000) + b"Z"
    is_compressible(payload)
    (sample,) = sampled
    assert (sample[:1], sample[-1:]) == (b"A", b"Z")
    assert len(sample) == permessage_deflate.SAMPLES * permessage_deflate.SAMPLE


@pytest.mark.parametrize("error", [MemoryError(), zlib.error("no stream")])
def test_an_error_of_the_compressor_is_passed_on(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(Deflater, "compress", fail)
    with pytest.raises(type(error)):
        list(compressing().encode([(WHOLE_TEXT, letters(1000))]))
