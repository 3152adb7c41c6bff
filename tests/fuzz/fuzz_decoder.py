"""Fuzz target: any stream of bytes, with any agreement and limit, against the model of a client.

The first three bytes of the input choose the agreement, the limit and the cuts; the rest is the stream.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.harness import cut, instrumented, main

with instrumented(__name__):
    from syncws._protocol.permessage_deflate import DeflateParameters
    from tests.support.model_peer import SYNC_TAIL, ModelDeflater, Sending, server_frame
    from tests.support.parser_checks import check_decoder

LIMITS = (None, 1, 5, 100, 126, 1000)

# Streams that something went wrong with, whole inputs.
FOUND: list[bytes] = []


def choose_agreement(choice: int) -> DeflateParameters | None:
    """Bits of `choice`: 0 compression, 1 no context takeover, 2 to 4 the window bits from 8 to 15."""
    return (
        DeflateParameters(
            server_no_context_takeover=bool(choice & 2), server_max_window_bits=8 + (choice >> 2 & 7)
        )
        if choice & 1
        else None
    )


def check(data: bytes) -> None:
    if len(data) < 3:
        return
    limit = LIMITS[data[1] % len(LIMITS)]
    check_decoder(data[3:], cut(data[3:], data[2]), limit, choose_agreement(data[0]))


def seeds() -> Iterator[bytes]:
    yield from FOUND
    for payload in ("", "Hello", "h\u00e9llo \u20ac \U0001f600", "abc" * 45):
        for message in (payload, payload.encode()):
            plain = Sending(message, (0.3, 0.5), ((9, b"ping"), (10, b"")))
            yield bytes(3) + plain.wire(None) + server_frame(8, b"\x03\xe8bye")
            for flavour in ModelDeflater.FLAVOURS:
                for choice in (1, 3, 29, 31):
                    deflater = ModelDeflater(choose_agreement(choice) or DeflateParameters())
                    packed = Sending(message, (0.4,), (), True, flavour)
                    wire = packed.wire(deflater) + packed.wire(deflater)
                    yield from (bytes((choice, limit, 1)) + wire for limit in range(len(LIMITS)))
    for bad in (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82", b"\x80"):
        yield bytes((0, 0, 2)) + server_frame(1, bad, fin=False) + server_frame(0, b"\xac")
    for close in (b"", b"\x03", b"\x03\xe8", b"\x03\xed", b"\x0b\xb8\xff", b"\x13\x87ok", b"\x13\x88"):
        yield bytes((1, 2, 3)) + server_frame(8, close)
    for first in range(256):
        yield bytes((1, 0, 4, first, 0))
    for head in (
        b"\x82\x7e\x00\x7d",
        b"\x82\x7f" + bytes(8),
        b"\x82\x7f\x80" + bytes(7),
        b"\x81\x81",
        b"\x89\x7e",
    ):
        yield bytes((0, 3, 5)) + head
    # Long text in a short frame, bad or broken behind a limit of five bytes.
    for too_much in (b"aaaa\xff", b"aaaaa\xff", b"a" * 300):
        stream = ModelDeflater(DeflateParameters()).compress(too_much, "sync") + SYNC_TAIL + b"\xff\xff"
        yield bytes((29, 2, 6)) + server_frame(1, stream, rsv1=True)


if __name__ == "__main__":
    main(check, seeds())
