"""`syncws._protocol.decoder`: `max_size`, compressed messages, and what many tiny fragments cost."""

from __future__ import annotations

import random
import sys
import zlib
from types import FrameType
from typing import Any

import pytest

from syncws._exceptions import ProtocolError
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater, Inflater
from tests.protocol.parse_cases import Decoded, binary, decode, decode_chunks, frame, more, text, ways
from tests.support.stress import amount

pytestmark = pytest.mark.usefixtures("each_codec")

DEFLATE = DeflateParameters()
HELLO = bytes.fromhex("f248cdc9c90700")  # RFC 7692 7.2.3.1
PING = Opcode.PING


def packed(message: bytes) -> bytes:
    return Deflater(DEFLATE).compress(message)


@pytest.mark.parametrize("size", [1, 5, 124, 125, 126, 127, 500, 65535, 65536])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_message_of_max_size_arrives_and_one_byte_more_is_a_fault(size: int, opcode: int) -> None:
    letters = "x" * size
    message = letters if opcode == Opcode.TEXT else letters.encode()
    small = "y" if opcode == Opcode.TEXT else b"y"
    assert decode(frame(opcode, letters) * 2, max_size=size) == Decoded((message, message))
    too_big = frame(opcode, "y") + frame(opcode, letters + "x") + frame(opcode, "y")
    assert decode(too_big, max_size=size) == Decoded((small,), fault=1009)


@pytest.mark.parametrize("announced", [11, 125, 126, 65535, 65536, 2**40, 2**63 - 1])
def test_message_beyond_max_size_is_refused_on_its_header_alone(announced: int) -> None:
    for fin in (True, False):
        whole = frame(Opcode.BINARY, fin=fin, length=announced)
        assert decode(whole[:-1], max_size=10) == Decoded()
        assert decode(whole, max_size=10) == Decoded(fault=1009)


def test_fragments_are_counted_together() -> None:
    five = binary(b"12345", fin=False)
    assert decode(five + more(b"12345") + more(fin=True), max_size=10) == Decoded((b"1234512345",))
    # On the header of the fragment that is too much; a ping in between is delivered.
    stream = five + more(b"12345") + frame(PING) + frame(0, length=1, fin=True)
    assert decode(stream, max_size=10) == Decoded(controls=((PING, b""),), fault=1009)
    # The count begins anew with each message.
    assert decode((five + more(b"123", fin=True)) * 3, max_size=8) == Decoded((b"12345123",) * 3)


def test_text_is_counted_in_bytes() -> None:
    assert decode(text("ääää"), max_size=8) == Decoded(("ääää",))
    assert decode(text("ääää"), max_size=7) == Decoded(fault=1009)


def test_error_for_a_large_message_names_the_limit_and_the_size() -> None:
    decoder = Decoder(10)
    decoder.feed(binary(bytes(12)))
    assert "max_size=10" in str(decoder.ended)
    assert "12" in str(decoder.ended)


def test_compressed_messages_arrive_beside_plain_ones() -> None:
    stream = (
        text(HELLO, compressed=True) + text("plain") + binary(bytes.fromhex("f200110000"), compressed=True)
    )
    assert decode(stream + frame(PING), deflate=DEFLATE) == Decoded(
        ("Hello", "plain", b"Hello"), ((PING, b""),)
    )


def test_compressed_fragments_are_one_message() -> None:
    whole = packed("ä€😀, again and again and again".encode())
    for cut in range(len(whole) + 1):
        stream = text(whole[:cut], fin=False, compressed=True) + frame(PING) + more(whole[cut:], fin=True)
        stream += binary(HELLO, compressed=True)
        expected = Decoded(("ä€😀, again and again and again", b"Hello"), ((PING, b""),))
        assert decode(stream, deflate=DEFLATE) == expected


@pytest.mark.parametrize(
    "hexadecimal", ["00", "0300", "f348cdc9c9070000", "f348cdc9c90700", "010500faff48656c6c6f"]
)
def test_final_blocks_and_empty_messages_are_understood_however_they_are_cut(hexadecimal: str) -> None:
    expected = "Hello" if len(hexadecimal) > 4 else ""
    stream = text(bytes.fromhex(hexadecimal), compressed=True) + text(HELLO, compressed=True)
    assert decode(stream * 2, deflate=DEFLATE) == Decoded((expected, "Hello") * 2)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (text(HELLO, fin=False, compressed=True) + frame(0, HELLO, rsv=0x40), 1002),
        (text("a", fin=False) + frame(0, HELLO, rsv=0x40), 1002),
        (frame(PING, HELLO, rsv=0x40), 1002),
        (frame(Opcode.TEXT, HELLO, rsv=0x60), 1002),
        (frame(Opcode.TEXT, HELLO, rsv=0x20), 1002),
        (text(b"\xff", compressed=True), 1007),
        (binary(b"\xf2\0\x11\0\0", compressed=True), 1007),
        (text(packed(b"a\xffb"), compressed=True), 1007),
        (text(packed(b"a\xe2\x82"), compressed=True), 1007),
    ],
)
def test_fault_of_compressed_data_has_its_code(stream: bytes, code: int) -> None:
    assert decode(text("ok") + stream, deflate=DEFLATE) == Decoded(("ok",), fault=code)


def test_max_size_counts_what_a_message_inflates_to() -> None:
    message = b"x" * 1000
    wire = binary(packed(message), compressed=True)
    assert len(wire) < 40
    assert decode(wire, max_size=1000, deflate=DEFLATE) == Decoded((message,))
    assert decode(text("ok") + wire, max_size=999, deflate=DEFLATE) == Decoded(("ok",), fault=1009)
    # Compressed data may itself be longer than the message.
    noise = random.Random(1).randbytes(100)
    assert len(packed(noise)) > 100
    assert decode(binary(packed(noise), compressed=True), max_size=100, deflate=DEFLATE) == Decoded((noise,))


def test_max_size_counts_inflated_fragments_together() -> None:
    deflater = Deflater(DEFLATE)
    wire = binary(deflater.compress(b"x" * 600, False), fin=False, compressed=True)
    wire += more(deflater.compress(b"x" * 400), fin=True)
    assert decode(wire, max_size=1000, deflate=DEFLATE) == Decoded((b"x" * 1000,))
    assert decode(wire, max_size=999, deflate=DEFLATE) == Decoded(fault=1009)
    assert decode(wire, max_size=599, deflate=DEFLATE) == Decoded(fault=1009)


def test_first_of_two_faults_counts_however_the_bytes_come() -> None:
    for fin in (True, False):
        early = text(packed(b"x" * 99 + b"\xff" + b"x" * 2000), fin=fin, compressed=True)
        late = text(packed(b"x" * 101 + b"\xff" * 2000), fin=fin, compressed=True)
        assert decode(early, max_size=100, deflate=DEFLATE) == Decoded(fault=1007)
        assert decode(late, max_size=100, deflate=DEFLATE) == Decoded(fault=1009)


def test_bomb_is_refused_before_it_fills_the_memory() -> None:
    stream = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(stream.compress(bytes(2**20)) for _ in range(64)) + stream.flush(zlib.Z_SYNC_FLUSH)
    decoder = Decoder(2**20, Inflater(DEFLATE))
    tracemalloc = pytest.importorskip("tracemalloc")
    tracemalloc.start()
    try:
        assert decoder.feed(binary(bomb[:-4], compressed=True)) == []
        while decoder.has_more:
            assert decoder.feed(b"") == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(decoder.ended, ProtocolError)
    assert decoder.ended.close_code == 1009
    assert peak < 8 * 2**20


def test_size_tells_what_the_messages_of_one_feed_hold() -> None:
    decoder = Decoder(None, Inflater(DEFLATE))
    decoder.feed(binary(bytes(1000)) * 10)
    assert 10_000 <= decoder.size <= 20_100
    decoder.feed(b"")
    assert decoder.size == 0
    for before in (b"", frame(PING), text("", fin=False) + more(fin=True)):
        decoder.feed(before + binary(bytes(500)) + frame(PING) + binary(bytes(500)))
        assert 1000 <= decoder.size <= 1010
    decoder.feed(binary(packed(bytes(100_000)), compressed=True))
    assert 100_000 <= decoder.size <= 110_000
    whole = binary(bytes(3000), fin=False) + more(bytes(3000), fin=True)
    decoder.feed(whole[:4000])
    decoder.feed(whole[4000:])
    assert 6000 <= decoder.size <= 12_000  # the whole message, not only what came last


def parts_of(
    chunks: list[bytes], deflate: DeflateParameters | None = None
) -> tuple[list[Message | MessagePart], Decoder]:
    decoder = Decoder(1000, Inflater(deflate) if deflate else None, partial_messages=True)
    found: list[Message | MessagePart] = []
    for chunk in chunks:
        if decoder.ended is None:
            found += decoder.feed(chunk)
    return found, decoder


def test_what_has_come_of_a_message_is_given_in_parts_that_are_the_message() -> None:
    letters = "aä€😀" * 60
    compressed = text(packed(letters.encode()), compressed=True)
    fragments = text(letters.encode()[:251], fin=False) + frame(PING) + more(letters.encode()[251:], fin=True)
    for stream, deflate in ((text(letters), None), (fragments, None), (compressed, DEFLATE)):
        for way, chunks in ways(binary(b"before") + stream + binary(b"after")):
            found, decoder = parts_of(chunks, deflate)
            whole: list[Message] = []
            begun: list[Message] = []
            for item in found:
                if isinstance(item, MessagePart):
                    assert item.data or item.final, way
                    begun.append(item.data)
                if not isinstance(item, MessagePart) or item.final:
                    ended = begun if isinstance(item, MessagePart) else [item]
                    empty: Any = "" if isinstance(ended[0], str) else b""
                    whole.append(empty.join(ended))
                    begun = []
            assert whole == [b"before", letters, b"after"], way
            assert not begun
            assert decoder.ended is None


def test_message_that_comes_whole_is_no_part() -> None:
    assert parts_of([text("a") + binary(b"b") * 2, text("c", fin=False) + more("d", fin=True)])[0] == [
        *("a", b"b", b"b"),
        "cd",
    ]
    assert parts_of([text("a", fin=False), more("b"), more(fin=True)])[0] == [
        MessagePart("a", False),
        MessagePart("b", False),
        MessagePart("", True),
    ]


def test_part_before_a_fault_is_given_and_the_limit_holds_over_all_parts() -> None:
    found, decoder = parts_of([text("abc", fin=False), more(b"d\xff")])
    assert found == [MessagePart("abc", False)]
    assert isinstance(decoder.ended, ProtocolError)
    assert decoder.ended.close_code == 1007
    found, decoder = parts_of([binary(bytes(600), fin=False), more(bytes(400)), more(b"x")])
    assert found == [MessagePart(bytes(600), False), MessagePart(bytes(400), False)]
    assert isinstance(decoder.ended, ProtocolError)
    assert decoder.ended.close_code == 1009


class Counted(bytes):
    """Bytes that count how many of them slices and joins copy."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, bytes):
            Counted.copied += len(part)
        return part

    def __radd__(self, other: bytes) -> Counted:
        Counted.copied += len(other) + len(self)
        return Counted(bytes(other) + bytes(self))


def cost(stream: bytes, chunk: int, deflate: DeflateParameters | None = None) -> tuple[int, int]:
    """What it takes to decode a stream: the calls made and the bytes copied."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    chunks: list[bytes] = [Counted(stream[at : at + chunk]) for at in range(0, len(stream), chunk)]
    decoder = Decoder(None, Inflater(deflate) if deflate else None)
    Counted.copied = 0
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        decoded = decode_chunks(decoder, chunks)
    finally:
        sys.setprofile(before)
    assert len(decoded.messages) == 1
    return calls, Counted.copied


@pytest.mark.parametrize(
    ("chunk", "opcode", "deflate"),
    [
        (5, Opcode.TEXT, None),
        (4096, Opcode.TEXT, DEFLATE),
        (2**20, Opcode.BINARY, DEFLATE),
        (2**20, Opcode.BINARY, None),
    ],
)
def test_tiny_fragments_cost_the_same_each_however_many_there_are(
    chunk: int, opcode: int, deflate: DeflateParameters | None
) -> None:
    def stream(fragments: int) -> bytes:
        if deflate is None:
            return frame(opcode, "x", fin=False) + more("x") * (fragments - 2) + more("x", fin=True)
        data = packed(bytes(random.Random(2).choices(b"abcdefghijklmnop", k=2 * fragments)))[:fragments]
        wire = frame(opcode, data[:1], fin=False, rsv=0x40)
        return wire + b"".join(more(data[at : at + 1]) for at in range(1, len(data))) + more(fin=True)

    times = amount(32, 8)
    few_calls, few_copied = cost(stream(2048), chunk, deflate)
    many_calls, many_copied = cost(stream(2048 * times), chunk, deflate)
    assert many_calls < times * few_calls * 1.2 + 1000
    assert many_copied < times * few_copied * 1.2 + 1000
    assert many_copied < 8 * 2048 * times + 2 * chunk


def test_65536_fragments_are_one_message_even_when_all_are_empty() -> None:
    chunks = [text(fin=False) + more() * 65_534 + more("end", fin=True)]
    assert decode_chunks(Decoder(), chunks) == Decoded(("end",))
    chunks = [binary(b"x", fin=False), *[more(b"x")] * 65_534, more(b"x", fin=True)]
    assert decode_chunks(Decoder(), chunks) == Decoded((b"x" * 65_536,))
