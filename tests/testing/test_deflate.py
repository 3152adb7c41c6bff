"""The server's end of permessage-deflate, against zlib alone."""

from __future__ import annotations

import random
import zlib

import pytest

from syncws.testing.deflate import Deflate

TAIL = b"\x00\x00\xff\xff"
TEXT = b"the same words again " * 50


def agree(offer: str) -> Deflate:
    deflate = Deflate.from_offer(offer)
    assert deflate is not None
    return deflate


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        (
            'x; a=1, permessage-deflate;server_no_context_takeover ; server_max_window_bits="10", more',
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
        ("Permessage-Deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"),
    ],
)
def test_what_the_client_asks_of_the_server_is_granted(offer: str, answer: str) -> None:
    assert agree(offer).answer == answer


@pytest.mark.parametrize("offer", ["", "x-webkit-deflate-frame", "permessage-bzip2; a"])
def test_no_offer_is_no_agreement(offer: str) -> None:
    assert Deflate.from_offer(offer) is None


def test_messages_share_a_window_unless_the_client_asks_for_a_fresh_one() -> None:
    shared, fresh = agree("permessage-deflate"), agree("permessage-deflate; server_no_context_takeover")
    sizes = [(len(shared.compress(TEXT)), len(fresh.compress(TEXT))) for _ in range(2)]
    assert sizes[0][0] == sizes[0][1]
    assert sizes[1][0] < sizes[1][1] == sizes[0][1]


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_what_it_compresses_is_plain_deflate_of_that_window(bits: int) -> None:
    deflate, inflater = agree(f"permessage-deflate; server_max_window_bits={bits}"), zlib.decompressobj(-bits)
    far = random.Random(1).randbytes(1500) * 2  # what repeats lies farther back than a small window reaches
    for _ in range(2):
        assert inflater.decompress(deflate.compress(far) + TAIL) == far


def test_it_reads_messages_that_share_a_window_and_those_that_end_their_stream() -> None:
    deflate, deflater = agree("permessage-deflate"), zlib.compressobj(wbits=-15)
    for _ in range(2):
        sent = deflater.compress(TEXT) + deflater.flush(zlib.Z_SYNC_FLUSH)
        assert deflate.decompress(sent[:-4]) == TEXT
    for _ in range(2):
        final = zlib.compressobj(wbits=-15)
        assert deflate.decompress(final.compress(TEXT) + final.flush() + b"\x00") == TEXT


def test_what_is_no_deflate_is_an_error_of_the_client() -> None:
    with pytest.raises(ValueError, match="not deflate"):
        agree("permessage-deflate").decompress(b"\xff\xff\xff")
