"""`syncws._protocol.frames`: opcodes, close codes, headers, masking."""

from __future__ import annotations

import random

import pytest

from syncws._protocol.frames import (
    FIN,
    MASKED,
    RSV1,
    RSV_BITS,
    CloseCode,
    CloseFrame,
    Opcode,
    header,
    is_wire_close_code,
    mask,
    mask_large,
    mask_small,
)

# RFC 6455 5.7, the examples of a masked and an unmasked "Hello".
HELLO_KEY, HELLO_MASKED = bytes.fromhex("37fa213d"), bytes.fromhex("7f9f4d5158")

HEADERS = [
    (0, "8200"),
    (1, "8201"),
    (125, "827d"),
    (126, "827e007e"),
    (127, "827e007f"),
    (255, "827e00ff"),
    (256, "827e0100"),
    (65535, "827effff"),
    (65536, "827f0000000000010000"),
    (65537, "827f0000000000010001"),
    (2**32, "827f0000000100000000"),
    (2**63 - 1, "827f7fffffffffffffff"),
]


def plainly_masked(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3, word for word."""
    return bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))


def test_bits_of_the_first_byte_do_not_overlap() -> None:
    assert FIN | RSV_BITS | 0x0F == 0xFF
    assert FIN + RSV_BITS + 0x0F == 0xFF
    assert RSV1 & RSV_BITS == RSV1


def test_opcodes_are_those_of_the_rfc() -> None:
    assert {opcode.name: opcode.value for opcode in Opcode} == {
        "CONTINUATION": 0,
        "TEXT": 1,
        "BINARY": 2,
        "CLOSE": 8,
        "PING": 9,
        "PONG": 10,
    }


@pytest.mark.parametrize(("length", "expected"), HEADERS)
def test_header_announces_the_length_in_the_fewest_bytes(length: int, expected: str) -> None:
    assert header(FIN | Opcode.BINARY, length, 0).hex() == expected
    first, second, *rest = bytes.fromhex(expected)
    assert header(FIN | Opcode.BINARY, length) == bytes([first, second | MASKED, *rest])


def test_header_keeps_the_first_byte_as_it_is() -> None:
    for first in range(256):
        assert header(first, 5) == bytes([first, 0x85])
        assert header(first, 500)[0] == header(first, 70000)[0] == first


def test_masking_is_that_of_the_rfc_example() -> None:
    for masking in (mask, mask_small, mask_large):
        assert masking(b"Hello", HELLO_KEY) == HELLO_MASKED
        assert masking(HELLO_MASKED, HELLO_KEY) == b"Hello"


@pytest.mark.parametrize("length", [*range(34), 125, 126, 1022, 1023, 1024, 1025, 1026, 1027, 65536, 65539])
def test_each_way_to_mask_is_the_plain_one(length: int) -> None:
    source = random.Random(length)
    payload = source.randbytes(length)
    # Leading zeros of key and payload are where arithmetic on big integers goes wrong.
    for key in (source.randbytes(4), bytes(4), b"\0\0\0\1", b"\xff\0\0\0", b"\xff" * 4):
        for data in (payload, bytes(length)):
            expected = plainly_masked(data, key)
            assert mask_small(data, key) == expected
            assert mask_large(data, key) == expected
            assert mask(data, key) == expected


@pytest.mark.parametrize("length", [0, 5, 1023, 1024, 5000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_masking_leaves_the_payload_alone(kind: type, length: int) -> None:
    original = random.Random(length).randbytes(length)
    payload = kind(bytearray(original) if kind is memoryview else original)
    assert mask(payload, HELLO_KEY) == plainly_masked(original, HELLO_KEY)
    assert payload == original


def test_codes_that_may_travel_are_those_of_the_rfc_and_the_registry() -> None:
    may = {code for code in range(65536) if is_wire_close_code(code)}
    assert may == {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, *range(3000, 5000)}


def test_own_codes_may_travel_but_for_the_two_that_are_only_shown() -> None:
    own = {value for name, value in vars(CloseCode).items() if name.isupper()}
    assert len(own) > 5
    assert {code for code in own if not is_wire_close_code(code)} == {CloseCode.NO_STATUS, CloseCode.ABNORMAL}


@pytest.mark.parametrize(
    ("close", "payload"),
    [
        (CloseFrame(), b""),
        (CloseFrame(1000), b"\x03\xe8"),
        (CloseFrame(1000, "bye"), b"\x03\xe8bye"),
        (CloseFrame(4999, "Grüße €"), b"\x13\x87" + "Grüße €".encode()),
        (CloseFrame(CloseCode.GOING_AWAY), b"\x03\xe9"),
    ],
)
def test_close_payload_is_the_code_and_the_reason_in_utf8(close: CloseFrame, payload: bytes) -> None:
    assert close.payload == payload
