"""`syncws._protocol.decoder`: what a message that is not whole yet costs."""

from __future__ import annotations

import pytest

from syncws._protocol.decoder import Decoder
from tests.protocol.parse_cases import binary, more, text
from tests.support.stress import amount

tracemalloc = pytest.importorskip("tracemalloc")

pytestmark = pytest.mark.usefixtures("each_codec")


@pytest.mark.parametrize("piece", [1, 100, 5000])
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_message_that_arrives_in_small_pieces_costs_about_its_own_size(piece: int, kind: str) -> None:
    size = amount(300_000, 60_000)
    message = "x" * size if kind == "text" else b"x" * size
    wire = text(message) if isinstance(message, str) else binary(message)
    decoder = Decoder()
    tracemalloc.start()
    try:
        for at in range(0, len(wire) - 1, piece):
            assert decoder.feed(wire[at : min(at + piece, len(wire) - 1)]) == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.collected == size - 1
    assert held < 1.3 * size + 10_000
    assert decoder.feed(wire[-1:]) == [message]


def test_pieces_of_all_sizes_are_joined_in_their_order() -> None:
    sizes = [1, 1, 5000, 1, 4096, 4095, 1, 10_000, 3, 0, 2]
    pieces = [chr(97 + number) * size for number, size in enumerate(sizes)]
    last = len(sizes) - 1
    for encode in (str, str.encode):
        decoder = Decoder()
        found = []
        for number, piece in enumerate(pieces):
            data = piece.encode()
            if number:
                wire = more(data, fin=number == last)
            else:
                wire = text(data, fin=False) if encode is str else binary(data, fin=False)
            found += decoder.feed(wire)
        assert found == [encode("".join(pieces))]
