"""The functions in C and those in Python come to the same, to the byte; those in C keep and leak nothing."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from syncws._protocol.codec import frames_in_python, mask_in_python, parse_in_python
from syncws._protocol.messages import Message, MessagePart
from tests.property.strategies import examples
from tests.support.model_peer import server_frame, unmask

speedups = pytest.importorskip("syncws._protocol._speedups", reason="the extension is not built here")

Parsed = tuple[tuple[int, int], list[Message | MessagePart]]

borders = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 124, 125, 126, 127, 128, 255, 256])


def payloads(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Noise, one byte repeated (zeros and ones are where arithmetic goes wrong), and text."""
    made = st.one_of(
        st.builds(lambda size, seed: random.Random(seed).randbytes(size), sizes, st.integers(0, 99)),
        st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.sampled_from([0, 1, 127, 128, 255])),
        st.builds(lambda size, text: (text.encode() * (size + 1))[:size], sizes, st.text(min_size=1)),
    )
    return made | st.text(max_size=50).map(str.encode)


heads = st.sampled_from([0x81] * 6 + [0x82] * 6 + [0x01, 0x02, 0x80, 0x88, 0x89, 0xC1, 0xC2, 0x91, 0x8B])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames that are plain for the most part, and cut anywhere."""
    wire = b""
    for _ in range(draw(st.integers(0, 8))):
        head, payload = draw(heads), draw(payloads(borders))
        frame = bytes((head,)) + server_frame(0, payload)[1:]
        if not draw(st.integers(0, 15)):  # masked, or announced in more bytes than it takes
            size = min(len(payload), 65535)
            frame = draw(
                st.sampled_from(
                    [
                        bytes((head, frame[1] | 128)) + bytes(4) + payload,
                        bytes((head, 126)) + size.to_bytes(2, "big") + payload,
                        bytes((head, 127)) + len(payload).to_bytes(8, "big") + payload,
                        bytes((head, 255)) + b"\xff" * 8 + payload,
                    ]
                )
            )
        wire += frame
    return wire[: draw(st.integers(0, len(wire)))] if draw(st.booleans()) else wire


def parse_with(parse: Callable[..., tuple[int, int]], wire: bytes, position: int, limit: int) -> Parsed:
    messages: list[Message | MessagePart] = ["before"]
    return parse(wire, position, limit, messages), messages


def check_parsing(wire: bytes, position: int, limit: int) -> Parsed:
    found = parse_with(speedups.parse, wire, position, limit)
    assert found == parse_with(parse_in_python, wire, position, limit)
    assert [type(message) for message in found[1]] == [
        type(message) for message in parse_with(parse_in_python, wire, position, limit)[1]
    ]
    return found


@examples(200)
@given(
    streams() | st.binary(max_size=60), st.integers(0, 300), st.sampled_from([0, 1, 125, 126, 65535, 65535])
)
def test_any_bytes_are_parsed_alike(wire: bytes, position: int, limit: int) -> None:
    position = min(position, len(wire)) if position > 20 else 0
    (after, payload), messages = check_parsing(wire, position, limit)
    event(f"messages: {min(len(messages) - 1, 4)}")
    assert position <= after <= len(wire)
    assert (after > position) == (len(messages) > 1)
    texts = [message.encode() if isinstance(message, str) else message for message in messages[1:]]
    assert payload == sum(map(len, texts))


def test_many_random_streams_are_parsed_alike() -> None:
    source = random.Random(5)
    whole = 0
    for _ in range(6000):
        wire = b""
        for _ in range(source.randint(1, 6)):
            size = source.choice((0, 1, 2, 10, 124, 125, 126, 127, 300))
            payload = source.choice((source.randbytes(size), b"a" * size, "ä€😀".encode() * (size // 9)))
            frame = bytearray(server_frame(source.choice((1, 2)), payload))
            if source.random() < 0.1:
                frame[source.randrange(min(4, len(frame)))] ^= 1 << source.randrange(8)
            wire += frame
        cut = source.choice((len(wire), source.randint(0, len(wire))))
        (position, _), _ = check_parsing(wire[:cut], 0, source.choice((125, 300, 65535)))
        whole += position == len(wire)
    assert 1000 < whole < 5000


def test_each_first_and_second_byte_is_parsed_alike_with_any_number_of_bytes_behind_it() -> None:
    for head in range(256):
        for length in range(256):
            for rest in (b"", b"\0", b"\0\x7d", b"\0\x7e", b"\0\x7e" + b"a" * 126, bytes(8) + b"b" * 200):
                check_parsing(bytes((head, length)) + rest, 0, 65535)


def test_stream_is_parsed_alike_wherever_it_ends_and_wherever_one_begins() -> None:
    wire = b"".join(
        server_frame(1 + size % 2, b"\xc3\xa4" * (size // 2) + b"a" * (size % 2))
        for size in (0, 1, 2, 125, 126, 300, 3)
    )
    for position in range(len(wire) + 1):
        check_parsing(wire[:position], 0, 65535)
        check_parsing(wire, position, 65535)


@pytest.mark.parametrize("size", [65534, 65535, 65536, 70_000])
def test_longest_plain_frames_are_parsed_alike(size: int) -> None:
    wire = server_frame(2, b"x" * size) * 2
    for limit in (65533, 65534, 65535):
        check_parsing(wire, 0, limit)
        check_parsing(wire[:-1], 0, limit)


# Borders of UTF-8 (Unicode, table 3-7), each right or wrong in its last byte.
@pytest.mark.parametrize("start", [b"", b"abc", b"a" * 15, "ä".encode() * 9, "😀".encode() * 5])
def test_text_is_checked_alike(start: bytes) -> None:
    for lead in range(0x7E, 0x100):
        for second in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0):
            for rest in (b"", b"\x80", b"\x80\x80", b"\xbf\xbfz"):
                payload = start + bytes((lead, second)) + rest
                check_parsing(server_frame(1, payload) + server_frame(1, b"next"), 0, 65535)


items = st.tuples(st.integers(0, 255), payloads(borders | st.sampled_from([2047, 2048, 65535, 65536])))


@examples(400)
@given(st.lists(items, max_size=12), st.randoms(use_true_random=False))
@example([(0x81, b"")], random.Random(0))
def test_any_frames_are_made_alike(some: list[tuple[int, bytes]], source: random.Random) -> None:
    for keys in (source.randbytes(4 * len(some)), bytes(4 * len(some)), b"\xff" * (4 * len(some))):
        wire = speedups.frames(some, keys)
        assert type(wire) is bytes
        assert wire == frames_in_python(some, keys)


@examples(600)
@given(
    payloads(borders | st.sampled_from([1000, 4097, 70_000])),
    st.binary(min_size=4, max_size=4),
    st.floats(0, 1),
    st.floats(0, 1),
    st.binary(max_size=14),
)
def test_any_piece_of_a_payload_is_masked_alike(
    payload: bytes, key: bytes, one: float, other: float, head: bytes
) -> None:
    start, stop = sorted((round(one * len(payload)), round(other * len(payload))))
    wire = speedups.mask(payload, key, start, stop, head)
    assert type(wire) is bytes
    assert wire == mask_in_python(payload, key, start, stop, head)
    assert wire == head + unmask(payload, key)[start:stop]


def test_every_short_piece_is_masked_alike() -> None:
    payload, key = random.Random(1).randbytes(80), b"\x01\x80\xff\x00"
    for start in range(80):
        for stop in range(start, 81):
            wire = speedups.mask(payload, key, start, stop, b"")
            assert wire == mask_in_python(payload, key, start, stop, b"")


class Odd(int):
    """An integer whose code must not be run."""

    def __index__(self) -> int:
        raise AssertionError

    __int__ = __index__


# Each with what is wrong, which is refused whatever it is.
WRONG: list[tuple[str, tuple[Any, ...]]] = [
    ("parse", ()),
    ("parse", (b"", 0, 5)),
    ("parse", (bytearray(b"\x81\0"), 0, 5, [])),
    ("parse", (memoryview(b"\x81\0"), 0, 5, [])),
    ("parse", ("\x81\0", 0, 5, [])),
    ("parse", (b"\x81\0", 0, 5, ())),
    ("parse", (b"\x81\0", None, 5, [])),
    ("parse", (b"\x81\0", 0, 5.0, [])),
    ("parse", (b"\x81\0", -1, 5, [])),
    ("parse", (b"\x81\0", 3, 5, [])),
    ("parse", (b"\x81\0", 1 << 200, 5, [])),
    ("frames", ([],)),
    ("frames", ((), b"")),
    ("frames", ([], bytearray())),
    ("frames", ([(1, b"")], b"123")),
    ("frames", ([(1, b"")], b"12345")),
    ("frames", ([(1, b"")], b"12345678")),
    ("frames", ([(1, b""), (1, b"")], b"1234567")),
    ("frames", ([None], b"1234")),
    ("frames", ([[1, b""]], b"1234")),
    ("frames", ([(1,)], b"1234")),
    ("frames", ([(1, b"", b"")], b"1234")),
    ("frames", ([(256, b"")], b"1234")),
    ("frames", ([(-1, b"")], b"1234")),
    ("frames", ([(1 << 200, b"")], b"1234")),
    ("frames", ([("1", b"")], b"1234")),
    ("frames", ([(1, "")], b"1234")),
    ("frames", ([(1, bytearray(5))], b"1234")),
    ("frames", ([(1, None)], b"1234")),
    ("mask", (b"abc", b"1234", 0, 3)),
    ("mask", ("abc", b"1234", 0, 3, b"")),
    ("mask", (b"abc", "1234", 0, 3, b"")),
    ("mask", (b"abc", b"123", 0, 3, b"")),
    ("mask", (b"abc", b"12345", 0, 3, b"")),
    ("mask", (b"abc", b"1234", -1, 3, b"")),
    ("mask", (b"abc", b"1234", 0, 4, b"")),
    ("mask", (b"abc", b"1234", 2, 1, b"")),
    ("mask", (b"abc", b"1234", 0, sys.maxsize, b"")),
    ("mask", (b"abc", b"1234", -sys.maxsize, 3, b"")),
    ("mask", (b"abc", b"1234", 0, 1 << 200, b"")),
    ("mask", (b"abc", b"1234", 0, 3, bytearray())),
    ("mask", (b"abc", b"1234", "0", 3, b"")),
]


@pytest.mark.parametrize(("function", "arguments"), WRONG)
def test_wrong_arguments_are_refused(function: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        getattr(speedups, function)(*arguments)


def test_no_code_of_an_argument_is_run() -> None:
    found: list[Message | MessagePart] = []
    assert speedups.frames([(Odd(1), b"a")], bytes(4)) == b"\x01\x81\0\0\0\0a"
    assert speedups.mask(b"abc", bytes(4), Odd(1), Odd(2), b"") == b"b"
    assert speedups.parse(b"__\x82\x01a", Odd(2), Odd(5), found) == (5, 1)
    assert found == [b"a"]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="there is no reference count to look at")
def test_nothing_is_kept_whether_a_call_returns_or_raises() -> None:
    wire = server_frame(1, b"text" * 50) + server_frame(2, b"data" * 50) + server_frame(1, b"\xff")
    payload, key, head = b"payload" * 99, b"keys" * 1, b"head" * 1
    watched = [wire, payload, key, head]
    before = [sys.getrefcount(item) for item in watched]
    sizes = []
    for _ in range(3):
        for _ in range(2000):
            parse_with(speedups.parse, wire, 0, 65535)
            speedups.frames([(0x81, payload), (0x82, b"")], key * 2)
            speedups.mask(payload, key, 1, 500, head)
            for function, arguments in WRONG[:3] + WRONG[-3:]:
                with pytest.raises((TypeError, ValueError, OverflowError)):
                    getattr(speedups, function)(*arguments)
            with pytest.raises(TypeError):
                speedups.frames([(0x81, payload), (0x81, None)], key * 2)
        sizes.append(sys.getallocatedblocks())
    assert [sys.getrefcount(item) for item in watched] == before
    assert sizes[2] - sizes[1] < 500


def test_another_thread_may_change_the_lists_meanwhile() -> None:
    """What comes of it is anybody's guess; that it does no harm is what free-threaded builds ask for."""
    items: list[tuple[int, bytes]] = []
    messages: list[Message | MessagePart] = []
    wire = server_frame(2, b"data") * 50
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.is_set():
            number += 1
            items[:] = [(0x82, bytes(number % 300))] * (number % 5)
            del messages[:]

    changing = [threading.Thread(target=change) for _ in range(2)]
    for thread in changing:
        thread.start()
    try:
        for count in [0, 1, 2, 3, 4] * 1000:
            with contextlib.suppress(ValueError):  # as many keys as items
                made = speedups.frames(items, bytes(4 * count))
                assert len(made) % count == 0 if count else made == b""
            assert speedups.parse(wire, 0, 65535, messages) == (len(wire), 200)
    finally:
        over.set()
        for thread in changing:
            thread.join()
