"""`syncws._protocol.decoder`: large messages that are read straight into their final buffer."""

from __future__ import annotations

import random

import pytest

from syncws._exceptions import ProtocolError
from syncws._protocol import assembly, decoder
from syncws._protocol.assembly import FIRST_ROOM, LARGEST_ROOM, LEAST_ROOM
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater, Inflater
from tests.protocol.parse_cases import binary, frame, more, text

pytestmark = pytest.mark.usefixtures("each_codec")

DEFLATE = DeflateParameters()
MIB = 2**20


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def receive(decoder: Decoder, wire: bytes, sizes: list[int]) -> tuple[list[Message | MessagePart], int]:
    """What comes of a stream that is read as a socket is, at most so many bytes at a time; and how many of
    them were read into a buffer of the decoder."""
    found: list[Message | MessagePart] = []
    position = straight = turn = 0
    while position < len(wire) and decoder.ended is None:
        size = sizes[turn % len(sizes)]
        turn += 1
        view = decoder.get_buffer()
        if view is None:
            found += decoder.feed(wire[position : position + size])
            position += size
            continue
        count = min(size, len(view), len(wire) - position)
        view[:count] = wire[position : position + count]
        found += decoder.buffer_updated(count)
        straight += count
        position += count
        with pytest.raises(ValueError, match="released"):
            view[0]
    return found, straight


@pytest.mark.parametrize("chunk", [1000, 65536, 262144, 2**30])
@pytest.mark.parametrize("size", [LEAST_ROOM, 2 * LEAST_ROOM + 1, MIB, 2 * LARGEST_ROOM + 12345])
def test_large_message_is_read_into_its_buffer_and_comes_whole(size: int, chunk: int) -> None:
    payload = noise(size)
    wire = binary(payload)
    decoder = Decoder()
    head = len(wire) - size
    assert decoder.feed(wire[: head + 10]) == []
    found, straight = receive(decoder, wire[head + 10 :], [chunk])
    assert found == [payload]
    assert type(found[0]) is bytes
    # All of it, but for what is fed when little is missing.
    assert straight >= size - 10 - LEAST_ROOM
    assert (decoder.size, decoder.collected) == (size, 0)
    assert decoder.feed(text("next")) == ["next"]


def test_fragments_text_and_control_frames_may_stand_around_what_is_read_into_the_buffer() -> None:
    parts = [noise(10), noise(MIB), noise(5000), b"", noise(200_000), noise(3)]
    wire = text("a") + binary(parts[0], fin=False) + frame(Opcode.PING, b"1") + more(parts[1])
    wire += more(parts[2]) + frame(Opcode.PONG) + more(parts[3]) + more(parts[4]) + frame(Opcode.PING, b"2")
    wire += more(parts[5], fin=True) + text("b" * 300_000) + binary(parts[1]) + text("c")
    for sizes in ([1 << 30], [70_000], [4096, 9], [5, 262144, 7]):
        decoder = Decoder()
        found, straight = receive(decoder, wire, sizes)
        assert found == ["a", b"".join(parts), "b" * 300_000, parts[1], "c"]
        assert decoder.controls == [(Opcode.PING, b"1"), (Opcode.PONG, b""), (Opcode.PING, b"2")]
        assert straight > MIB or sizes == [1 << 30]


def test_there_is_no_buffer_where_bytes_must_be_looked_at_or_are_given_in_parts() -> None:
    decoder = Decoder(None, Inflater(DEFLATE))
    assert decoder.get_buffer() is None
    for wire in (
        text("x" * MIB),
        binary(Deflater(DEFLATE).compress(noise(MIB)), compressed=True),
        binary(noise(LEAST_ROOM - 1)),
    ):
        assert decoder.feed(wire[:20]) == []
        assert decoder.is_inside_message
        assert decoder.get_buffer() is None
        decoder.feed(wire[20:])
        while decoder.has_more:
            decoder.feed(b"")
        assert not decoder.is_inside_message
    wire = binary(noise(MIB))
    decoder.streaming = True
    assert decoder.feed(wire[:20]) == [MessagePart(wire[10:20], False)]
    assert decoder.get_buffer() is None
    decoder.streaming = False  # the message goes on in parts
    assert decoder.get_buffer() is None
    assert decoder.feed(wire[20:-1])
    assert decoder.feed(wire[-1:]) == [MessagePart(wire[-1:], True)]
    assert decoder.feed(text("x") + wire[:20]) == ["x"]
    decoder.streaming = True  # what has come of it is still to be given
    assert decoder.get_buffer() is None
    decoder.streaming = False
    assert decoder.get_buffer() is not None
    assert decoder.size > 0
    assert decoder.buffer_updated(5) == []
    assert decoder.size == 0


def test_what_was_read_into_the_buffer_is_given_in_parts_once_streaming_is_switched_on() -> None:
    payload = noise(MIB)
    for switched_at in ("between", "while the buffer is out"):
        decoder = Decoder()
        decoder.feed(binary(payload)[:100])
        view = decoder.get_buffer()
        assert view is not None
        view[:1000] = payload[90:1090]
        if switched_at == "between":
            assert decoder.buffer_updated(1000) == []
            assert decoder.collected == 1090
            decoder.streaming = True
            found = decoder.feed(b"")
        else:
            decoder.streaming = True
            found = decoder.buffer_updated(1000)
        assert found == [MessagePart(payload[:1090], False)]
        assert (decoder.size, decoder.collected) == (1090, 0)
        assert decoder.get_buffer() is None
        found += decoder.feed(payload[1090:])
        parts = [part for part in found if isinstance(part, MessagePart)]
        assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
        assert b"".join(part.data for part in parts if isinstance(part.data, bytes)) == payload


def test_nothing_written_changes_nothing() -> None:
    payload = noise(MIB)
    decoder = Decoder()
    decoder.feed(binary(payload)[:50])
    for _ in range(3):
        assert decoder.get_buffer() is not None
        assert decoder.buffer_updated(0) == []
        assert decoder.collected == 40
    assert decoder.feed(payload[40:]) == [payload]


def test_there_is_room_for_as_much_as_has_come_and_not_for_all_that_is_announced() -> None:
    decoder = Decoder()
    decoder.feed(frame(Opcode.BINARY, b"begun", length=2**40))
    come = 5
    for _ in range(9):
        view = decoder.get_buffer()
        assert view is not None
        assert LEAST_ROOM <= len(view) <= max(FIRST_ROOM, min(come, LARGEST_ROOM))
        come += len(view)
        decoder.buffer_updated(len(view))
    assert decoder.collected == come


def test_buffer_ends_with_the_frame_and_a_fault_behind_it_is_found() -> None:
    decoder = Decoder(2 * MIB)
    payload = noise(MIB)
    assert decoder.feed(binary(payload)[:10] + payload[:-LEAST_ROOM]) == []
    view = decoder.get_buffer()
    assert view is not None
    assert len(view) == LEAST_ROOM
    view[:] = payload[-LEAST_ROOM:]
    assert decoder.buffer_updated(LEAST_ROOM) == [payload]
    assert decoder.feed(frame(Opcode.BINARY, length=2 * MIB + 1)) == []
    assert isinstance(decoder.ended, ProtocolError)
    assert decoder.ended.close_code == 1009


def test_random_streams_come_to_the_same_read_into_buffers_and_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assembly, decoder):
        monkeypatch.setattr(module, "LEAST_ROOM", 1)
    monkeypatch.setattr(assembly, "LARGEST_ROOM", 100)
    source = random.Random(11)
    straight = 0
    for _ in range(300):
        wire, expected = b"", []
        for _ in range(source.randint(1, 6)):
            payload = source.randbytes(source.choice((0, 1, 3, 125, 126, 1000)))
            cuts = sorted(source.randint(0, len(payload)) for _ in range(source.choice((0, 0, 1, 4))))
            parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
            for number, part in enumerate(parts):
                wire += frame(0 if number else Opcode.BINARY, part, fin=number == len(parts) - 1)
                if source.random() < 0.2:
                    wire += frame(Opcode.PING, b"x")
            expected.append(payload)
        sizes = [source.choice((1, 2, 5, 50, 300)) for _ in range(7)]
        found, count = receive(Decoder(), wire, sizes)
        assert found == expected
        straight += count
    assert straight > 50_000
