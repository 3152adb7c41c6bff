"""Fuzz target: the functions in C against those in Python, to the byte.

The first byte of the input chooses the function; the next ones its numbers; the rest is the data.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from tests.fuzz.harness import instrumented, main

with instrumented(__name__):
    from syncws._protocol import codec
    from syncws._protocol.messages import Message, MessagePart
    from tests.support.model_peer import server_frame

LIMITS = (0, 1, 125, 126, 300, 65535)

# Inputs that came to two results.
FOUND: list[bytes] = []


def find_speedups() -> Any:
    """The extension; where it is not built, the functions in Python, compared with themselves."""
    try:
        return importlib.import_module("syncws._protocol._speedups")
    except ImportError:
        return codec


speedups = find_speedups()


def check(data: bytes) -> None:
    if len(data) < 8:
        return
    choice, one, two, key, rest = data[0] % 3, data[1], data[2], data[3:7], data[7:]
    if choice == 0:
        found: list[list[Message | MessagePart]] = [[], []]
        position = one % (len(rest) + 1) if two & 128 else 0
        limit = LIMITS[two % len(LIMITS)]
        ends = [
            function(rest, position, limit, messages)
            for function, messages in zip((speedups.parse, codec.parse_in_python), found, strict=True)
        ]
        assert (ends[0], found[0]) == (ends[1], found[1]), (ends, found)
        assert [type(message) for message in found[0]] == [type(message) for message in found[1]]
    elif choice == 1:
        size = one + 1
        count = min(len(rest), 1000 // size)
        items = [(rest[at], rest[at * size : (at + 1) * size] * (1 + two % 9)) for at in range(count)]
        keys = (key * len(items))[: 4 * len(items)]
        assert speedups.frames(items, keys) == codec.frames_in_python(items, keys)
    else:
        payload = rest * (1 + two % 40)
        start, stop = sorted((one * len(payload) // 255, two * len(payload) // 255))
        made = [mask(payload, key, start, stop, rest[:one]) for mask in (speedups.mask, codec.mask_in_python)]
        assert made[0] == made[1]


def seeds() -> Iterator[bytes]:
    yield from FOUND
    sizes = (0, 1, 124, 125, 126, 127, 300)
    wire = b"".join(server_frame(1 + size % 2, b"a" * size) for size in sizes)
    for two in range(len(LIMITS)):
        yield bytes((0, 0, two)) + b"keys" + wire
        yield bytes((0, 3, two | 128)) + b"keys" + b"xyz" + wire
    for text in (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82", "ä€😀".encode()):
        yield bytes((0, 0, 5)) + b"keys" + server_frame(2, b"before") + server_frame(1, text)
    for head in (
        b"\x82\x7e\x00\x7d",
        b"\x82\x7f" + bytes(8),
        b"\x81\x81",
        b"\x89\x00",
        b"\xc1\x00",
        b"\x01\x00",
    ):
        yield bytes((0, 0, 5)) + b"keys" + server_frame(1, b"before") + head + bytes(130)
    for one in (0, 1, 3, 124, 125, 254, 255):
        for two in (0, 1, 8, 39, 128, 255):
            yield bytes((1, one, two)) + b"\0\x80\xff\x01" + wire
            yield bytes((2, one, two)) + b"\0\x80\xff\x01" + wire


if __name__ == "__main__":
    main(check, seeds())
