"""The three ways to feed a parser: whole, byte by byte, and in seeded random chunks.

A parse case is a run of bytes; `decode` and `parse_head` feed it in every way, hold that the results are
the same however TCP cuts the stream, and return that one result.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from syncws._exceptions import HandshakeError, ProtocolError
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import FIN, RSV1, CloseFrame, Opcode, header
from syncws._protocol.http11 import Response, ResponseParser
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import DeflateParameters, Inflater
from tests.support.stress import amount

Result = TypeVar("Result")

RANDOM_WAYS = 4

# In a short run, a longer stream is fed byte by byte only where frames begin and end in most of these tests:
# at its beginning, in its middle and at its end. Each of the three has so many bytes.
LONG = amount(10**9, 4096)
PLACE = 200


def ways(data: bytes, seed: int = 0) -> Iterator[tuple[str, list[bytes]]]:
    """Each way to cut `data`, as its name and its chunks; all but the first have at least one."""
    yield "whole", [data]
    if len(data) <= LONG:
        yield "byte by byte", [data[at : at + 1] for at in range(len(data))]
    else:
        middle = (len(data) - PLACE) // 2
        singly = {*range(PLACE), *range(middle, middle + PLACE), *range(len(data) - PLACE, len(data))}
        begins = sorted({*singly, PLACE, middle + PLACE})
        chunks = [data[begin:end] for begin, end in itertools.pairwise([*begins, len(data)])]
        yield "byte by byte in three places", chunks
    for number in range(RANDOM_WAYS):
        source = random.Random(f"{seed} {number} {len(data)}")
        # Once mostly within a frame's header, once over several frames, once in between.
        longest = source.choice((3, 9, 140, 70_000))
        if len(data) > LONG:
            longest = max(longest, 500)
        chunks = []
        position = 0
        while position < len(data):
            size = source.randint(1, longest)
            chunks.append(data[position : position + size])
            position += size
        yield f"random chunks, way {number}", chunks


def same_each_way(data: bytes, feed: Callable[[list[bytes]], Result]) -> Result:
    """What `feed` makes of the chunks, which must be the same each way."""
    results = [(way, feed(chunks)) for way, chunks in ways(data)]
    _, expected = results[0]
    for way, result in results:
        assert result == expected, f"fed {way}, {data[:100]!r} comes to something else than fed whole"
    return expected


@dataclass(frozen=True)
class Decoded:
    """What a `Decoder` made of a stream: `fault` is the close code of the `ProtocolError` that ended it."""

    messages: tuple[Message | MessagePart, ...] = ()
    controls: tuple[tuple[int, bytes], ...] = ()
    close: CloseFrame | None = None
    fault: int | None = None


def decode_chunks(decoder: Decoder, chunks: list[bytes]) -> Decoded:
    """Feed chunk by chunk, as the reader does: nothing goes in after the end."""
    messages: list[Message | MessagePart] = []
    for chunk in chunks:
        messages += decoder.feed(chunk)
        while decoder.has_more:
            messages += decoder.feed(b"")
        if decoder.ended is not None:
            break
    ended = decoder.ended
    return Decoded(
        messages=tuple(messages),
        controls=tuple(decoder.controls),
        close=ended if isinstance(ended, CloseFrame) else None,
        fault=ended.close_code if isinstance(ended, ProtocolError) else None,
    )


def decode(data: bytes, *, max_size: int | None = None, deflate: DeflateParameters | None = None) -> Decoded:
    """What a stream of frames comes to, fed in all ways."""

    def feed(chunks: list[bytes]) -> Decoded:
        return decode_chunks(Decoder(max_size, Inflater(deflate) if deflate else None), chunks)

    return same_each_way(data, feed)


def parse_head(data: bytes) -> tuple[Response, bytes] | HandshakeError | None:
    """What a response head comes to, fed in all ways: head and rest, the refusal, or None (not whole yet)."""

    def feed(chunks: list[bytes]) -> tuple[object, ...]:
        parser = ResponseParser()
        for number, chunk in enumerate(chunks, 1):
            try:
                result = parser.feed(chunk)
            except HandshakeError as error:
                errors.append(error)
                return ("refused", error.status)
            if result is not None:
                response, rest = result
                results.append((response, rest + b"".join(chunks[number:])))
                return ("parsed", *results[-1])
        return ("not whole",)

    errors: list[HandshakeError] = []
    results: list[tuple[Response, bytes]] = []
    same_each_way(data, feed)
    return results[0] if results else errors[0] if errors else None


def frame(
    opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0, length: int | None = None
) -> bytes:
    """A server's frame; `length` announces another length than the payload has."""
    data = payload.encode() if isinstance(payload, str) else payload
    return header((FIN if fin else 0) | rsv | opcode, len(data) if length is None else length, 0) + data


def text(payload: bytes | str = b"", *, fin: bool = True, compressed: bool = False) -> bytes:
    return frame(Opcode.TEXT, payload, fin=fin, rsv=RSV1 if compressed else 0)


def binary(payload: bytes = b"", *, fin: bool = True, compressed: bool = False) -> bytes:
    return frame(Opcode.BINARY, payload, fin=fin, rsv=RSV1 if compressed else 0)


def more(payload: bytes | str = b"", *, fin: bool = False) -> bytes:
    """A continuation frame; not the last one unless `fin`."""
    return frame(Opcode.CONTINUATION, payload, fin=fin)
