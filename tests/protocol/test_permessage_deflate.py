"""`syncws._protocol.permessage_deflate`: its parameters, the compressor, the bounded inflater."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from syncws._exceptions import HandshakeError, ProtocolError
from syncws._protocol.handshake import parse_extensions
from syncws._protocol.permessage_deflate import NAME, OFFER, DeflateParameters, Deflater, Inflater, negotiate

STEP = 256 * 1024
HELLO = bytes.fromhex("f248cdc9c90700")

# The parameters of an answer, and what they come to; None where the client has to fail the connection.
PARAMETERS: list[tuple[str, dict[str, Any] | None]] = [
    ("", {}),
    ("server_no_context_takeover", {"server_no_context_takeover": True}),
    ("client_no_context_takeover", {"client_no_context_takeover": True}),
    *[(f"server_max_window_bits={bits}", {"server_max_window_bits": bits}) for bits in range(8, 16)],
    *[(f"client_max_window_bits={bits}", {"client_max_window_bits": bits}) for bits in range(8, 16)],
    ('client_max_window_bits="12"', {"client_max_window_bits": 12}),
    (
        "client_max_window_bits=9; server_no_context_takeover; server_max_window_bits=10; "
        "client_no_context_takeover",
        {
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
            "server_max_window_bits": 10,
            "client_max_window_bits": 9,
        },
    ),
    ("server_no_context_takeover=1", None),
    ("client_no_context_takeover=true", None),
    *[
        (f"{side}_max_window_bits{value}", None)
        for side in ("server", "client")
        for value in ("", "=7", "=16", "=0", "=08", "=015", "=+9", "=1", "=100", "=8.0", "=9x", "=-9")
    ],
    ("server_no_context_takeover; server_no_context_takeover", None),
    ("client_no_context_takeover; client_no_context_takeover", None),
    ("server_max_window_bits=10; server_max_window_bits=10", None),
    ("client_max_window_bits=10; client_max_window_bits=11", None),
    ("max_window_bits=10", None),
    ("Server_No_Context_Takeover", None),
    ("x", None),
    ("x=1; server_no_context_takeover", None),
]

# RFC 7692 7.2.3, one message each: its fragments.
EXAMPLES = [
    ("7.2.3.1 one block", ["f248cdc9c90700"]),
    ("7.2.3.1 in two fragments", ["f248cd", "c9c90700"]),
    ("7.2.3.3 no compression", ["000500faff48656c6c6f00"]),
    ("7.2.3.4 final block", ["f348cdc9c9070000"]),
    ("7.2.3.5 two blocks", ["f24805000000ffffcac9c90700"]),
    ("final block and nothing after it", ["f348cdc9c90700"]),
    ("final block, then an empty fragment", ["f348cdc9c90700", ""]),
    ("final block, then the single zero in a fragment", ["f348cdc9c90700", "00"]),
    ("final block cut in two", ["f348", "cdc9c90700"]),
    ("final block between others", ["f24805000000ffff", "030003000300", "cac9c90700"]),
    ("two final blocks", ["f3480500", "cbc9c90700"]),
    ("final stored block that ends the message", ["010500faff48656c6c6f"]),
    ("empty fragments all around", ["", "f248cd", "", "c9c90700", ""]),
]


def inflated(inflater: Inflater, *fragments: bytes) -> bytes:
    """One message."""
    last = len(fragments) - 1
    return b"".join(
        piece
        for number, fragment in enumerate(fragments)
        for piece in inflater.inflate(fragment, number == last)
    )


def packed(payload: bytes, level: int = -1) -> bytes:
    """The payload as an independent compressor makes it: one message, its tail taken off."""
    stream = zlib.compressobj(level, wbits=-15)
    wire = stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert wire.endswith(b"\0\0\xff\xff")
    return wire[:-4]


def fails(inflater: Inflater, *fragments: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        inflated(inflater, *fragments)
    assert caught.value.close_code == 1007
    assert isinstance(caught.value.__cause__, zlib.error)
    return caught.value


def test_offer_lets_the_server_choose_the_clients_window() -> None:
    assert list(parse_extensions([OFFER])) == [(NAME, [("client_max_window_bits", None)])]
    assert NAME == "permessage-deflate"


@pytest.mark.parametrize(("written", "expected"), PARAMETERS)
def test_parameters_of_the_answer_are_checked(written: str, expected: dict[str, Any] | None) -> None:
    ((_, parameters),) = parse_extensions([f"{NAME}; {written}" if written else NAME])
    if expected is not None:
        assert negotiate(parameters) == DeflateParameters(**expected)
        return
    with pytest.raises(HandshakeError) as caught:
        negotiate(parameters)
    assert any(repr(name) in str(caught.value) for name, _ in parameters)


@pytest.mark.parametrize("fragments", [case[1] for case in EXAMPLES], ids=[case[0] for case in EXAMPLES])
@pytest.mark.parametrize("takeover", [True, False])
def test_examples_of_the_rfc_are_hello(fragments: list[str], takeover: bool) -> None:
    inflater = Inflater(DeflateParameters(server_no_context_takeover=not takeover))
    # The second time and after a plain message: what one leaves behind must not hurt the next.
    for _ in range(2):
        assert inflated(inflater, *[bytes.fromhex(fragment) for fragment in fragments]) == b"Hello"
        assert inflated(inflater, HELLO) == b"Hello"


def test_second_message_refers_to_the_first_with_context_takeover() -> None:
    inflater = Inflater(DeflateParameters())
    assert inflated(inflater, HELLO) == b"Hello"
    assert inflated(inflater, bytes.fromhex("f200110000")) == b"Hello"


def test_reference_to_the_first_message_is_a_fault_without_context_takeover() -> None:
    inflater = Inflater(DeflateParameters(server_no_context_takeover=True))
    assert inflated(inflater, HELLO) == b"Hello"
    fails(inflater, bytes.fromhex("f200110000"))


def test_context_is_kept_over_a_fragmented_message_even_without_takeover() -> None:
    inflater = Inflater(DeflateParameters(server_no_context_takeover=True))
    assert inflated(inflater, HELLO + b"\0\0\xff\xff", bytes.fromhex("f200110000")) == b"HelloHello"


def test_compressed_message_repeats_without_takeover_and_shrinks_with_it() -> None:
    message = random.Random(1).randbytes(300)
    keeping = Deflater(DeflateParameters())
    first, second = keeping.compress(message), keeping.compress(message)
    assert len(second) < 20 < len(first)
    forgetting = Deflater(DeflateParameters(client_no_context_takeover=True))
    assert forgetting.compress(message) == forgetting.compress(message) == first


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", range(9, 16))
def test_what_is_compressed_inflates_again(bits: int, takeover: bool) -> None:
    deflater = Deflater(
        DeflateParameters(client_max_window_bits=bits, client_no_context_takeover=not takeover)
    )
    inflater = Inflater(
        DeflateParameters(server_max_window_bits=bits, server_no_context_takeover=not takeover)
    )
    plain = zlib.decompressobj(-bits)  # an independent inflater; it keeps its context
    assert deflater.usable
    source = random.Random(bits)
    for length in (5, 0, 0, 1, 1000, 40_000, 0, 5, 100_000):
        message = bytes(source.choices(b"abcdefgh", k=length))
        wire = deflater.compress(message)
        assert inflated(inflater, wire) == message
        assert plain.decompress(wire + b"\0\0\xff\xff") == message


def test_fragments_compress_to_one_message() -> None:
    for takeover in (True, False):
        deflater = Deflater(DeflateParameters(client_no_context_takeover=not takeover))
        inflater = Inflater(DeflateParameters(server_no_context_takeover=not takeover))
        for parts in ([b"a" * 100, b"b", b"a" * 100], [b"", b"x", b""], [b"", b""]):
            last = len(parts) - 1
            wire = [deflater.compress(part, number == last) for number, part in enumerate(parts)]
            assert inflated(inflater, *wire) == b"".join(parts)


def test_compressor_stays_within_the_agreed_window() -> None:
    message = random.Random(2).randbytes(2000)
    for bits in (9, 10, 15):
        deflater = Deflater(DeflateParameters(client_max_window_bits=bits))
        deflater.compress(message)
        reaches_back = len(deflater.compress(message)) < 100
        assert reaches_back == (2**bits > 2000)


def test_reference_beyond_the_agreed_window_is_a_fault() -> None:
    message = random.Random(3).randbytes(2000)
    wide = Deflater(DeflateParameters())
    first, second = wide.compress(message), wide.compress(message)
    inflater = Inflater(DeflateParameters(server_max_window_bits=9))
    assert inflated(inflater, first) == message
    fails(inflater, second)


def test_window_of_eight_bits_is_left_unused_going_out_and_understood_coming_in() -> None:
    assert not Deflater(DeflateParameters(client_max_window_bits=8)).usable
    assert inflated(Inflater(DeflateParameters(server_max_window_bits=8)), HELLO) == b"Hello"


@pytest.mark.parametrize("takeover", [True, False])
def test_empty_message_is_a_single_zero_byte(takeover: bool) -> None:
    deflater = Deflater(DeflateParameters(client_no_context_takeover=not takeover))
    inflater = Inflater(DeflateParameters(server_no_context_takeover=not takeover))
    for _ in range(3):
        assert deflater.compress(b"") == b"\0"
        assert inflated(inflater, b"\0") == b""
    assert inflated(inflater, deflater.compress(b"still in step")) == b"still in step"


@pytest.mark.parametrize("length", [STEP - 1, STEP, STEP + 1, 2 * STEP - 1, 2 * STEP, 2 * STEP + 1, 5 * STEP])
@pytest.mark.parametrize("level", [-1, 0])
def test_message_at_the_border_of_a_step_is_whole(length: int, level: int) -> None:
    inflater = Inflater(DeflateParameters())
    message = bytes(length - 1) + b"x"
    steps = list(inflater.inflate(packed(message, level), True))
    assert b"".join(steps) == message
    assert all(0 < len(step) <= STEP for step in steps)
    assert inflated(inflater, HELLO) == b"Hello"


def test_all_that_a_piece_holds_comes_out_with_it() -> None:
    # A match that crosses the border of a step is in zlib's hands when all the input is taken.
    data = packed(bytes(40 * STEP))
    plain = zlib.decompressobj(-15)
    length, cuts = 0, []
    for cut in range(1, len(data)):
        length += len(plain.decompress(data[cut - 1 : cut]))
        if 0 < length % STEP < 258 and length > STEP:
            cuts.append((cut, length))
    assert len(cuts) > 3
    for cut, length in cuts:
        assert sum(map(len, Inflater(DeflateParameters()).inflate(data[:cut], False))) == length


def test_bomb_is_inflated_no_further_than_asked() -> None:
    bomb = packed(bytes(64 * STEP))
    assert len(bomb) < STEP
    inflater = Inflater(DeflateParameters())
    asked = []
    for step in inflater.inflate(bomb, True):
        asked.append(len(step))
        if len(asked) == 3:
            break
    assert asked == [STEP] * 3


@pytest.mark.parametrize("limit", [0, 1, 1000, STEP - 1, STEP, STEP + 1, 3 * STEP])
def test_no_more_than_one_byte_beyond_the_limit_is_made(limit: int) -> None:
    bomb = packed(bytes(64 * STEP))
    made = 0
    for step in Inflater(DeflateParameters()).inflate(bomb, True, limit):
        assert len(step) <= STEP
        made += len(step)
        if made > limit:
            break
    assert made == limit + 1
    for exact in (packed(bytes(limit)), bomb):
        steps = Inflater(DeflateParameters()).inflate(
            exact, True, len(zlib.decompressobj(-15).decompress(exact))
        )
        assert b"".join(steps) == bytes(limit if exact is not bomb else 64 * STEP)


@pytest.mark.parametrize(
    "broken",
    [
        "ff",  # a block of the reserved type, marked final
        "06",  # the same, not final
        "000500fbff48656c6c6f00",  # a stored block whose length and its complement disagree
        "f200110000",  # a reference before the beginning
        "04" + "ff" * 20,  # a table of codes that is none
        "000500faff48656c",  # a stored block that takes the tail for its content
        "f348cdc9c90700" + "ff",  # broken after a final block
        HELLO.hex() + "00",  # a byte too many, which breaks the empty block that the tail completes
    ],
)
def test_broken_data_is_a_fault_with_its_cause(broken: str) -> None:
    assert "compressed data is broken" in str(fails(Inflater(DeflateParameters()), bytes.fromhex(broken)))


def test_message_cut_short_inflates_to_what_there_is_or_is_a_fault() -> None:
    message = bytes(random.Random(4).choices(b"abcd", k=500))
    whole = packed(message)
    ends = set()
    for length in range(1, len(whole) - 1):
        there = zlib.decompressobj(-15).decompress(whole[:length])
        try:
            got = inflated(Inflater(DeflateParameters()), whole[:length])
        except ProtocolError as error:
            assert error.close_code == 1007
            ends.add("fault")
        else:
            assert got.startswith(there)
            assert len(got) <= len(there) + 3 * 258  # the tail can be taken for some codes, no more
            ends.add("short")
    assert ends == {"fault", "short"}


def test_flipped_bits_never_raise_anything_but_the_fault() -> None:
    whole = packed(bytes(random.Random(5).choices(b"abcdefgh", k=300)))
    faults = 0
    for bit in range(8 * len(whole)):
        wire = bytearray(whole)
        wire[bit // 8] ^= 1 << bit % 8
        try:
            inflated(Inflater(DeflateParameters()), bytes(wire))
        except ProtocolError as error:
            assert error.close_code == 1007
            faults += 1
    assert faults > 50
