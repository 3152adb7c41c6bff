"""How many examples a property test runs, and the strategies that several of them share."""

from __future__ import annotations

import itertools
import os
import random

from hypothesis import settings
from hypothesis import strategies as st

from syncws._protocol.permessage_deflate import DeflateParameters
from tests.support.stress import amount

# The long profile is for an afternoon. Every run takes a fifth of the examples, `tox -e stress` all.
_LONG = os.environ.get("SYNCWS_HYPOTHESIS") == "long"


def number_of_examples(count: int) -> int:
    return count * 30 if _LONG else amount(count, max(count // 5, 10))


def examples(count: int) -> settings:
    return settings(max_examples=number_of_examples(count))


def agreements(smallest: int = 9) -> st.SearchStrategy[DeflateParameters]:
    """Any answer to the offer of permessage-deflate."""
    bits = st.integers(smallest, 15)
    return st.builds(DeflateParameters, st.booleans(), st.booleans(), bits, bits)


# How TCP cuts the stream: sizes of chunks, used over and over.
chunk_sizes = st.one_of(
    st.just([1]),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.lists(st.sampled_from([1, 2, 3, 7, 125, 130, 4096, 65536, 70000]), min_size=1, max_size=8),
    st.just([1 << 30]),
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in chunks of these sizes, used over and over."""
    chunks: list[bytes] = []
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(data):
            return chunks
        chunks.append(data[position : position + size])
        position += size
    return chunks


def make_payload(size: int, seed: int, density: int) -> bytes:
    """`size` bytes: density 0 is one byte repeated, 1 words of a small set, 2 noise."""
    source = random.Random(seed)
    if density == 2:
        return source.randbytes(size)
    words = [source.randbytes(source.randint(1, 9)) for _ in range(8 * density + 1)]
    made = bytearray()
    while len(made) < size:
        made += source.choice(words)
    return bytes(made[:size])


def make_text(size: int, seed: int, density: int) -> str:
    """Text of `size` bytes of UTF-8, with characters of one to four bytes in it."""
    source = random.Random(seed)
    alphabet = ("a", "ab\u00e9\u20ac\U0001f600 \n", "".join(map(chr, (*range(1, 0xD800, 97), 0x10FFFF))))[
        density
    ]
    made, length = [], 0
    while length < size:
        character = source.choice(alphabet)
        wide = len(character.encode())
        if length + wide > size:
            character, wide = "x", 1
        made.append(character)
        length += wide
    return "".join(made)


_SEEDS = st.integers(0, 1 << 16)
_DENSITIES = st.sampled_from([0, 1, 2])


def messages(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[str | bytes]:
    """Messages with the sizes given, and small ones made by hypothesis, which shrink well."""
    return st.one_of(
        st.binary(max_size=40),
        st.text(max_size=20),
        st.builds(make_payload, sizes, _SEEDS, _DENSITIES),
        st.builds(make_text, sizes, _SEEDS, _DENSITIES),
    )


# The borders: too small to compress, the three forms of the length, two ways to mask.
small_borders = st.sampled_from([0, 1, 63, 64, 65, 124, 125, 126, 127, 128, 1023, 1024, 1025, 4096])
large_borders = st.sampled_from([65534, 65535, 65536, 65537, 65600])
