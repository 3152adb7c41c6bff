"""Whatever bytes come, the `Decoder` never raises. It ends with a valid code or waits, however TCP cuts."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from syncws._protocol.permessage_deflate import DeflateParameters
from tests.property.strategies import agreements, chunk_sizes, cut, examples
from tests.support.model_peer import SYNC_TAIL, ModelDeflater, Sending, server_frame
from tests.support.parser_checks import check_decoder

pytestmark = pytest.mark.usefixtures("each_codec")

limits = st.none() | st.sampled_from([1, 5, 64, 125, 126, 1000, 70_000])


def check(data: bytes, sizes: list[int], max_size: int | None, agreement: DeflateParameters | None) -> str:
    byte_by_byte = [data[at : at + 1] for at in range(len(data))]
    _, _, end = check_decoder(data, [byte_by_byte, cut(data, sizes)], max_size, agreement)
    return f"end: {end if isinstance(end, int) else type(end).__name__}"


@examples(400)
@given(st.binary(max_size=200), chunk_sizes, limits, st.none() | agreements(8))
def test_any_bytes(
    data: bytes, sizes: list[int], limit: int | None, agreement: DeflateParameters | None
) -> None:
    event(check(data, sizes, limit, agreement))


# Frames that are right in most respects: each part is sometimes wrong.
odd_payloads = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=20).map(str.encode),
    st.sampled_from(
        [
            b"\xed\xa0\x80",
            b"\xed\xa0",
            b"\xf4\x90\x80\x80",
            b"\xc0\xaf",
            b"\xe2\x82",
            b"\xac",
            b"\xf0\x9f\x98",
            b"\x80",
            b"\x03\xe8",
            b"\x03\xedx",
            b"\x0b\xb8\xff",
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00",
            b"\x00",
            b"\x03\x00",
            b"\x01\x00\x00\xff\xff",
            SYNC_TAIL,
        ]
    ),
)
firsts = st.sampled_from(
    [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, 0xC1, 0xC2, 0x41, 0x42]
) | st.integers(0, 255)


BORDERS = [0, 1, 125, 126, 127, 65535, 65536, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


@st.composite
def near_frames(draw: st.DrawFn) -> bytes:
    payload = draw(odd_payloads)
    first = draw(firsts)
    announced = len(payload) + draw(st.sampled_from([0] * 12 + [-1, 1, 1000]))
    announced = max(announced, 0)
    form = draw(st.sampled_from([0] * 12 + [1, 2, 3, 3, 4]))
    if form == 0:
        head = server_frame(first & 15, bytes(announced))[1:]
        return bytes((first,)) + head[: len(head) - announced] + payload
    if form == 1:
        return bytes((first, 126)) + announced.to_bytes(2, "big") + payload
    if form == 2:
        return bytes((first, 127)) + announced.to_bytes(8, "big") + payload
    if form == 3:
        wide = draw(st.sampled_from([2, 8]))
        length = draw(st.sampled_from(BORDERS[: 6 if wide == 2 else None]))
        return (
            bytes((first, 126 if wide == 2 else 127)) + length.to_bytes(wide, "big") + bytes(min(length, 127))
        )
    return bytes((first, 127)) + draw(st.binary(min_size=8, max_size=8)) + payload


@examples(700)
@given(st.lists(near_frames(), max_size=6).map(b"".join), chunk_sizes, limits, st.none() | agreements(8))
def test_frames_that_are_nearly_right(
    data: bytes, sizes: list[int], limit: int | None, agreement: DeflateParameters | None
) -> None:
    event(check(data, sizes, limit, agreement))


sendings = st.builds(
    Sending,
    st.binary(max_size=300) | st.text(max_size=100),
    st.lists(st.floats(0, 1), max_size=3).map(tuple),
    st.lists(st.tuples(st.sampled_from([9, 10]), st.binary(max_size=4)), max_size=2).map(tuple),
    st.booleans(),
    st.sampled_from(ModelDeflater.FLAVOURS),
)


@examples(500)
@given(st.data(), st.lists(sendings, min_size=1, max_size=4), chunk_sizes, limits, agreements(8))
def test_lawful_streams_with_a_few_bytes_changed(
    data: st.DataObject,
    plan: list[Sending],
    sizes: list[int],
    limit: int | None,
    agreement: DeflateParameters,
) -> None:
    deflater = ModelDeflater(agreement)
    wire = bytearray(b"".join(sending.wire(deflater) for sending in plan))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        what = data.draw(st.sampled_from(["flip", "drop", "add", "end"]))
        if what == "flip":
            wire[at] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "drop" and len(wire) > 1:
            del wire[at]
        elif what == "add":
            wire.insert(at, data.draw(st.integers(0, 255)))
        elif at:
            del wire[at:]
    event(check(bytes(wire), sizes, limit, agreement))


# What the tests of this folder, or the fuzz targets, have found.
@pytest.mark.parametrize(
    ("limit", "payload"),
    [
        (10, b"a" * 5 + b"\xff" + b"b" * 500),
        (10, b"a" * 20 + b"\xff"),
        (4, b"\xf0\x9f\x98\x80\xff"),
    ],
)
@pytest.mark.parametrize("broken", [b"", b"\xff\xff\xff"])
def test_of_two_faults_in_compressed_text_the_earlier_counts(
    limit: int, payload: bytes, broken: bytes
) -> None:
    packed = (
        ModelDeflater(DeflateParameters()).compress(payload, "sync") + SYNC_TAIL[: 4 * bool(broken)] + broken
    )
    check(server_frame(1, packed, rsv1=True), [3], limit, DeflateParameters())


@pytest.mark.parametrize("first", [0x01, 0x02, 0x81, 0x82, 0x89])
@pytest.mark.parametrize(
    ("wide", "length"), [(2, border) for border in BORDERS[:6]] + [(8, n) for n in BORDERS]
)
def test_lengths_at_the_borders(first: int, wide: int, length: int) -> None:
    head = bytes((first, 126 if wide == 2 else 127)) + length.to_bytes(wide, "big")
    check(head + bytes(min(length, 130)), [5], None, None)


@pytest.mark.parametrize(
    "bad", [b"\xed\xa0", b"\xf4\x90", b"\xe0\x80", b"\xf0\x8f", b"\xc0", b"\xf5", b"a\x80"]
)
@pytest.mark.parametrize("agreement", [None, DeflateParameters()])
def test_bad_text_is_refused_at_its_first_bad_byte(bad: bytes, agreement: DeflateParameters | None) -> None:
    """In a frame that goes on, and in a fragment that another one follows."""
    payload = ModelDeflater(agreement).compress(bad, "full") + SYNC_TAIL if agreement else bad
    first = 0x41 if agreement else 0x01
    for announced in (len(payload), 100):
        assert check(bytes((first, announced)) + payload, [1], None, agreement) == "end: 1007"


def test_a_message_must_not_refer_to_the_one_before_without_context_takeover() -> None:
    deflater = ModelDeflater(DeflateParameters())
    wire = b"".join(Sending(b"0123456789" * 9, compressed=True).wire(deflater) for _ in range(2))
    assert check(wire, [7], None, DeflateParameters()) == "end: NoneType"
    assert check(wire, [7], None, DeflateParameters(server_no_context_takeover=True)) == "end: 1007"
