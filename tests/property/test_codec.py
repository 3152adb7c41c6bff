"""What a model peer sends is what the `Decoder` yields; what the `Encoder` emits a model peer understands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from syncws._protocol.decoder import Decoder
from syncws._protocol.encoder import MAX_WRITE, Encoder
from syncws._protocol.frames import FIN, CloseFrame
from syncws._protocol.permessage_deflate import DeflateParameters, Deflater, Inflater
from tests.property.strategies import (
    agreements,
    chunk_sizes,
    cut,
    examples,
    large_borders,
    make_payload,
    messages,
    small_borders,
)
from tests.support.model_peer import (
    BINARY,
    PING,
    PONG,
    TEXT,
    ModelDeflater,
    ModelServer,
    Sending,
    client_frames,
    server_frame,
)

# Where a test fails, hypothesis warns of long messages; as an error that would hide the failure itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    pytest.mark.usefixtures("each_codec"),
]

controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


def sendings(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[Sending]:
    return st.builds(
        Sending,
        messages(sizes),
        st.lists(st.floats(0, 1), max_size=6).map(tuple),
        st.lists(controls, max_size=4).map(tuple),
        st.booleans(),
        st.sampled_from(ModelDeflater.FLAVOURS),
    )


def check_receiving(
    plan: list[Sending], agreement: DeflateParameters | None, sizes: list[int], end: bytes
) -> None:
    deflater = ModelDeflater(agreement) if agreement else None
    wire = b"".join(sending.wire(deflater) for sending in plan) + end
    decoder = Decoder(None, Inflater(agreement) if agreement else None)
    received = []
    for chunk in cut(wire, sizes):
        assert decoder.ended is None
        received += decoder.feed(chunk)
        while decoder.has_more:
            received += decoder.feed(b"")
    assert received == [sending.message for sending in plan]
    assert decoder.controls == [control for sending in plan for control in sending.controls]
    assert decoder.ended == (CloseFrame(1000, "bye") if end else None)


ends = st.sampled_from([b"", server_frame(8, b"\x03\xe8bye")])


@examples(400)
@given(st.lists(sendings(small_borders), max_size=6), st.none() | agreements(8), chunk_sizes, ends)
def test_what_a_server_sends_in_whatever_way_is_received(
    plan: list[Sending], agreement: DeflateParameters | None, sizes: list[int], end: bytes
) -> None:
    event(f"compression: {agreement is not None}, messages: {bool(plan)}")
    check_receiving(plan, agreement, sizes, end)


@examples(25)
@given(
    st.lists(sendings(large_borders), min_size=1, max_size=3), st.none() | agreements(8), chunk_sizes, ends
)
def test_messages_at_the_borders_of_the_long_length_are_received(
    plan: list[Sending], agreement: DeflateParameters | None, sizes: list[int], end: bytes
) -> None:
    check_receiving(plan, agreement, [max(size, 61) for size in sizes], end)


@dataclass(frozen=True)
class Item:
    """A message to send, in as many fragments as there are cuts and one more; or a control frame."""

    content: str | bytes | tuple[int, bytes]
    cuts: tuple[float, ...] = ()

    def frames(self) -> list[tuple[int, bytes]]:
        """The first byte and the plain payload of each frame."""
        if isinstance(self.content, tuple):
            return [(FIN | self.content[0], self.content[1])]
        text = isinstance(self.content, str)
        payload = self.content.encode() if isinstance(self.content, str) else self.content
        places = [0, *sorted(round(cut * len(payload)) for cut in self.cuts), len(payload)]
        parts = [payload[begin:end] for begin, end in itertools.pairwise(places)]
        opcodes = [TEXT if text else BINARY] + [0] * len(self.cuts)
        fins = [0] * len(self.cuts) + [FIN]
        return [(fin | opcode, part) for fin, opcode, part in zip(fins, opcodes, parts, strict=True)]


def encode(items: list[Item], agreement: DeflateParameters | None, batch: int) -> bytes:
    """The wire bytes of messages and control frames, made as the writer makes them."""
    encoder = Encoder(Deflater(agreement) if agreement else None)
    wire: list[bytes] = []
    waiting: list[tuple[int, bytes]] = []
    for first, payload in (frame for item in items for frame in item.frames()):
        if first & 15 < 8:
            first, payload = encoder.compress(first, payload)
        if len(payload) >= MAX_WRITE or len(waiting) >= batch:
            wire.append(encoder.frames(waiting))
            waiting = []
        if len(payload) >= MAX_WRITE:
            handed_over = 0
            for piece, size in encoder.pieces(first, payload):
                wire.append(bytes(piece))
                handed_over += size
            assert handed_over == len(payload)
        else:
            waiting.append((first, payload))
    wire.append(encoder.frames(waiting))
    return b"".join(wire)


def check_sending(items: list[Item], agreement: DeflateParameters | None, batch: int) -> None:
    server = ModelServer(agreement)
    frames = list(client_frames(encode(items, agreement, batch)))
    assert [frame.opcode for frame in frames] == [first & 15 for item in items for first, _ in item.frames()]
    for frame in frames:
        server.take(frame)
    assert server.messages == [item.content for item in items if not isinstance(item.content, tuple)]
    assert server.controls == [item.content for item in items if isinstance(item.content, tuple)]
    # Fresh keys: two of 32 random bits may be equal by chance, three pairs of them never are.
    assert len(set(server.keys)) >= len(server.keys) - 2
    again = [frame.key for frame in client_frames(encode(items, agreement, batch))]
    assert sum(one == other for one, other in zip(server.keys, again, strict=True)) <= 2
    # A message in one frame is compressed when it is long enough to gain, one in fragments always.
    worth = [i for i in items if not isinstance(i.content, tuple) and (i.cuts or len(i.frames()[0][1]) >= 64)]
    # zlib cannot keep to a window of 2**8: then nothing is compressed.
    assert server.compressed == (len(worth) if agreement and agreement.client_max_window_bits > 8 else 0)


def items(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[Item]:
    cuts = st.just(()) | st.lists(st.floats(0, 1), max_size=3).map(tuple)
    return st.builds(Item, messages(sizes), cuts) | st.builds(Item, controls)


@examples(250)
@given(st.lists(items(small_borders), max_size=8), st.none() | agreements(8), st.sampled_from([1, 3, 1000]))
def test_a_server_understands_what_is_sent_and_the_masks_are_fresh(
    plan: list[Item], agreement: DeflateParameters | None, batch: int
) -> None:
    check_sending(plan, agreement, batch)


huge = st.builds(
    make_payload,
    st.sampled_from([MAX_WRITE - 1, MAX_WRITE, MAX_WRITE + 1, 2 * MAX_WRITE + 3]),
    st.integers(0, 9),
    st.just(2),
)


@examples(20)
@given(
    st.lists(items(large_borders) | st.builds(Item, huge), min_size=1, max_size=3),
    st.none() | agreements(8),
    st.sampled_from([1, 1000]),
)
def test_a_server_understands_messages_at_the_borders_of_the_long_length(
    plan: list[Item], agreement: DeflateParameters | None, batch: int
) -> None:
    check_sending(plan, agreement, batch)
