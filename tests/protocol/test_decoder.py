"""`syncws._protocol.decoder`: frames in, messages out; each case fed whole, by bytes and in random chunks."""

from __future__ import annotations

import random

import pytest

from syncws._exceptions import ProtocolError
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import FIN, RSV1, CloseFrame, Opcode, is_wire_close_code
from tests.protocol.parse_cases import Decoded, binary, decode, frame, more, text
from tests.support.stress import amount

pytestmark = pytest.mark.usefixtures("each_codec")

# RFC 6455 5.2: the lengths at which the header changes, and their neighbours.
BORDERS = [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537]

PING, PONG, CLOSE = Opcode.PING, Opcode.PONG, Opcode.CLOSE

# What a server sends, and the messages that result.
STREAMS: dict[str, tuple[bytes, Decoded]] = {
    "nothing": (b"", Decoded()),
    "half a header": (b"\x81", Decoded()),
    "header alone": (b"\x81\x05", Decoded()),
    "half a message": (text("Hello")[:-1], Decoded()),
    "text (RFC 6455 5.7)": (bytes.fromhex("810548656c6c6f"), Decoded(("Hello",))),
    "fragments (RFC 6455 5.7)": (bytes.fromhex("010348656c80026c6f"), Decoded(("Hello",))),
    "ping (RFC 6455 5.7)": (bytes.fromhex("890548656c6c6f"), Decoded(controls=((PING, b"Hello"),))),
    "empty messages": (text() + binary() + text(), Decoded(("", b"", ""))),
    "text with NUL, CR and LF": (text("a\0\r\nb\rc\n\ufeff"), Decoded(("a\0\r\nb\rc\n\ufeff",))),
    "text with NUL, CR and LF in fragments": (
        text("a\0\r", fin=False) + more("\nb\rc\n\ufeff", fin=True),
        Decoded(("a\0\r\nb\rc\n\ufeff",)),
    ),
    "several messages": (text("ä€😀") + binary(b"\xff\0") + text("b"), Decoded(("ä€😀", b"\xff\0", "b"))),
    "three fragments": (binary(b"a", fin=False) + more(b"b") + more(b"c", fin=True), Decoded((b"abc",))),
    "empty fragments": (
        text(fin=False) + more() + more("x") + more() + more(fin=True) + text("y"),
        Decoded(("x", "y")),
    ),
    "nothing but empty fragments": (binary(fin=False) + more() + more(fin=True), Decoded((b"",))),
    "character cut between fragments": (
        text(b"\xf0", fin=False) + more(b"\x9f\x98") + more(b"\x80!", fin=True),
        Decoded(("😀!",)),
    ),
    "control frames between fragments": (
        text("a", fin=False)
        + frame(PING, b"1")
        + frame(PONG)
        + more("b")
        + frame(PING, b"2")
        + more("c", fin=True),
        Decoded(("abc",), ((PING, b"1"), (PONG, b""), (PING, b"2"))),
    ),
    "control frames between the bytes of a character": (
        text(b"\xe2\x82", fin=False) + frame(PING, b"\xff") + more(b"\xac", fin=True),
        Decoded(("€",), ((PING, b"\xff"),)),
    ),
    "control frames of 0 and 125 bytes": (
        frame(PONG) + frame(PING, b"x" * 125),
        Decoded(controls=((PONG, b""), (PING, b"x" * 125))),
    ),
    "Close between fragments": (
        text("a", fin=False) + frame(CLOSE, b"\x03\xe8") + more("b", fin=True),
        Decoded(close=CloseFrame(1000)),
    ),
    "nothing after a Close": (
        text("a") + frame(CLOSE) + text("b") + frame(PING) + b"\xff\xff",
        Decoded(("a",), close=CloseFrame()),
    ),
}

# What breaks the protocol, and the code of the Close frame that answers it. Each stands after a whole
# message and a ping, which are delivered.
FAULTS: dict[str, tuple[bytes, int]] = {
    "RSV1 without compression": (text("a", compressed=True), 1002),
    "RSV2": (frame(Opcode.TEXT, "a", rsv=0x20), 1002),
    "RSV3": (frame(Opcode.BINARY, b"a", rsv=0x10), 1002),
    "RSV1 on a control frame": (frame(PING, rsv=RSV1), 1002),
    "RSV1 on a continuation": (text("a", fin=False) + frame(Opcode.CONTINUATION, "b", rsv=RSV1), 1002),
    "masked message": (b"\x81\x81\0\0\0\0a", 1002),
    "masked empty message": (b"\x81\x80\0\0\0\0", 1002),
    "masked message of length 126": (b"\x82\xfe\0\x80" + bytes(132), 1002),
    "masked ping": (b"\x89\x80\0\0\0\0", 1002),
    "masked Close": (b"\x88\x82\0\0\0\0\x03\xe8", 1002),
    **{f"opcode {opcode}": (frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "opcode 3 not final": (frame(3, fin=False), 1002),
    "opcode 5 inside a message": (text(fin=False) + frame(5), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "fragmented Close": (frame(CLOSE, fin=False), 1002),
    "ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "pong of 65536 bytes": (frame(PONG, bytes(65536)), 1002),
    "Close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "continuation of nothing": (more("a"), 1002),
    "final continuation of nothing": (more("a", fin=True), 1002),
    "continuation after the last fragment": (text("", fin=False) + more("", fin=True) + more(fin=True), 1002),
    "message inside a message": (text("a", fin=False) + text("b"), 1002),
    "binary message inside text": (text("a", fin=False) + binary(b"b", fin=False), 1002),
    "2^63 bytes": (b"\x82\x7f\x80" + bytes(7), 1002),
    "2^64 - 1 bytes": (b"\x82\x7f" + b"\xff" * 8, 1002),
    "125 bytes announced in 16 bits": (b"\x82\x7e\x00\x7d" + bytes(125), 1002),
    "0 bytes announced in 16 bits": (b"\x82\x7e\x00\x00", 1002),
    "65535 bytes announced in 64 bits": (b"\x82\x7f" + bytes(6) + b"\xff\xff" + bytes(65535), 1002),
    "5 bytes announced in 64 bits": (b"\x81\x7f" + bytes(7) + b"\x05Hello", 1002),
    "continuation of 125 bytes announced in 16 bits": (
        binary(fin=False) + b"\x80\x7e\x00\x7d" + bytes(125),
        1002,
    ),
    "Close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "Close reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "Close reason that is cut short": (frame(CLOSE, b"\x03\xe8\xe2\x82"), 1007),
    "text that ends inside a character": (text(b"a\xe2\x82"), 1007),
    "fragments that end inside a character": (text(b"a\xe2", fin=False) + more(b"\x82", fin=True), 1007),
    "text of 300 bytes that is not UTF-8": (text(b"a" * 299 + b"\xff"), 1007),
}

# Each ends with the first byte at which no continuation makes it UTF-8 (Unicode, table 3-7).
BAD_UTF8 = {
    "continuation byte at the start": b"\x80",
    "continuation byte after a character": b"\xc3\xa4\xa4",
    "0xc0": b"abc\xc0",
    "0xc1": b"\xc1",
    "0xf5": b"\xf5",
    "0xff": b"\xff",
    "two bytes, cut": b"\xc3a",
    "three bytes, overlong": b"\xe0\x9f",
    "three bytes, cut": b"\xe2\x82a",
    "surrogate": b"\xed\xa0",
    "four bytes, overlong": b"\xf0\x8f",
    "four bytes, cut": b"\xf0\x9f\x98\xc3",
    "beyond U+10FFFF": b"\xf4\x90",
    "after much text": "Grüße, 世界 😀".encode() * 3 + b"\xe1\xff",
}

CLOSE_PAYLOADS: list[tuple[bytes, CloseFrame]] = [
    (b"", CloseFrame()),
    *[
        (code.to_bytes(2, "big"), CloseFrame(code))
        for code in (1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999)
    ],
    (b"\x03\xe8bye", CloseFrame(1000, "bye")),
    (b"\x03\xe9" + "Grüße 😀".encode(), CloseFrame(1001, "Grüße 😀")),
    (b"\x03\xe8\0", CloseFrame(1000, "\0")),
    (b"\x0f\xa0" + b"x" * 123, CloseFrame(4000, "x" * 123)),
]

BEFORE = text("before") + frame(PING, b"b")


@pytest.mark.parametrize("name", STREAMS)
def test_stream_comes_to_its_messages(name: str) -> None:
    stream, expected = STREAMS[name]
    assert decode(stream) == expected


@pytest.mark.parametrize("length", BORDERS)
@pytest.mark.parametrize("fin", [True, False])
def test_message_of_each_length_arrives(length: int, fin: bool) -> None:
    payload = random.Random(length).randbytes(length)
    letters = "".join(random.Random(length).choices("abc", k=length))
    stream = binary(payload, fin=fin) + (b"" if fin else more(payload, fin=True))
    stream += text(letters, fin=fin) + (b"" if fin else more(letters, fin=True))
    once = 1 if fin else 2
    assert decode(stream) == Decoded((payload * once, letters * once))


@pytest.mark.parametrize("length", [2**32, 2**62, 2**63 - 1])
def test_longest_lengths_are_waited_for_without_a_limit(length: int) -> None:
    assert decode(frame(Opcode.BINARY, b"begun", length=length)) == Decoded()
    assert decode(frame(Opcode.BINARY, b"begun", length=length), max_size=2**24) == Decoded(fault=1009)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_ends_the_stream_with_its_code_after_what_was_complete(name: str) -> None:
    stream, code = FAULTS[name]
    expected = Decoded(("before",), ((PING, b"b"),), fault=code)
    if name == "continuation after the last fragment":
        expected = Decoded(("before", ""), ((PING, b"b"),), fault=code)
    assert decode(BEFORE + stream + text("after")) == expected
    assert decode(BEFORE + stream + text("after"), max_size=100_000) == expected


@pytest.mark.parametrize(
    "name", [name for name in FAULTS if FAULTS[name][1] == 1002 and "Close of" not in name]
)
def test_fault_of_a_header_is_found_before_the_payload(name: str) -> None:
    stream, code = FAULTS[name]
    decoder = Decoder()
    fed = 0
    while decoder.ended is None:
        decoder.feed(stream[fed : fed + 1])
        fed += 1
        assert fed <= len(stream)
    # No header is longer than 10 bytes; those that need a message around them have it at the front.
    assert fed <= 16
    assert isinstance(decoder.ended, ProtocolError)
    assert decoder.ended.close_code == code


@pytest.mark.parametrize("name", BAD_UTF8)
def test_first_bad_byte_of_text_is_the_end(name: str) -> None:
    good, bad = BAD_UTF8[name][:-1], BAD_UTF8[name][-1:]
    for first in (FIN | Opcode.TEXT, Opcode.TEXT):
        for announced in (len(good) + 2, 1000, 100_000):  # more text would follow
            start = frame(first & 15, good, fin=bool(first & FIN), length=announced)
            assert decode(start) == Decoded()
            assert decode(start + bad) == Decoded(fault=1007)
    # The character stands over the border of two fragments, with a ping in between.
    for cut in range(len(good) + 1):
        start = text(good[:cut], fin=False) + frame(PING) + frame(0, good[cut:], fin=False, length=1000)
        assert decode(start) == Decoded(controls=((PING, b""),))
        assert decode(start + bad) == Decoded(controls=((PING, b""),), fault=1007)
    # In whole frames, large and small, the message before is delivered.
    for padding in ("", "x" * 130):
        assert decode(text("ok") + text(padding.encode() + good + bad)) == Decoded(("ok",), fault=1007)
    # Binary data may be anything.
    assert decode(binary(good + bad)) == Decoded((good + bad,))


def test_every_character_arrives_whatever_its_bytes() -> None:
    characters = "".join(
        map(chr, [*range(0x300), *range(0x7F0, 0x810), 0xD7FF, 0xE000, 0xFFFE, 0xFFFF, 0x10000])
    )
    characters += "\U0010ffff"
    data = characters.encode()
    assert decode(text(data)) == Decoded((characters,))
    cuts = [data[at : at + 1] for at in range(len(data))]
    stream = text(fin=False) + b"".join(map(more, cuts)) + more(fin=True)
    assert decode(stream) == Decoded((characters,))


@pytest.mark.parametrize(("payload", "close"), CLOSE_PAYLOADS)
def test_close_frame_is_read(payload: bytes, close: CloseFrame) -> None:
    assert decode(BEFORE + frame(CLOSE, payload)) == Decoded(("before",), ((PING, b"b"),), close=close)


def test_close_frame_with_a_code_that_may_not_travel_is_a_fault() -> None:
    step = amount(1, 101)  # beyond the codes that mean something
    for code in (*range(5100), *range(5100, 65536, step)):
        decoder = Decoder()
        assert decoder.feed(frame(CLOSE, code.to_bytes(2, "big") + b"x")) == []
        if is_wire_close_code(code):
            assert decoder.ended == CloseFrame(code, "x")
        else:
            assert isinstance(decoder.ended, ProtocolError)
            assert decoder.ended.close_code == 1002
            assert str(code) in str(decoder.ended)


def test_fault_keeps_the_decoding_error_as_its_cause() -> None:
    decoder = Decoder()
    decoder.feed(text(b"\xff"))
    assert isinstance(decoder.ended, ProtocolError)
    assert isinstance(decoder.ended.__cause__, UnicodeDecodeError)


def test_binary_message_is_bytes_and_nothing_of_the_buffer_fed() -> None:
    for payload in (b"ab", bytes(200), bytes(70_000)):
        (message,) = Decoder().feed(binary(payload))
        assert type(message) is bytes
        assert message == payload


def test_random_streams_come_to_what_was_sent() -> None:
    source = random.Random(6)
    for _ in range(30):
        stream, messages, controls = b"", [], []
        for _ in range(source.randint(1, 20)):
            letters = "".join(source.choices("aä€😀", k=source.choice((0, 1, 30, 125, 200))))
            data = letters.encode()
            is_text = source.random() < 0.5
            cuts = sorted(source.randint(0, len(data)) for _ in range(source.choice((0, 0, 1, 4))))
            parts = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            for number, part in enumerate(parts):
                opcode = 0 if number else Opcode.TEXT if is_text else Opcode.BINARY
                stream += frame(opcode, part, fin=number == len(parts) - 1)
                if source.random() < 0.3:
                    payload = source.randbytes(source.choice((0, 5, 125)))
                    controls.append((int(PONG), payload))
                    stream += frame(PONG, payload)
            messages.append(letters if is_text else data)
        assert decode(stream) == Decoded(tuple(messages), tuple(controls))


def test_each_control_frame_has_its_place_between_the_messages_of_its_feed() -> None:
    wire = frame(PING, b"a") + text("1") + frame(PONG, b"b") + frame(PING) + text("2") + frame(PONG, b"c")
    decoder = Decoder()
    assert decoder.feed(wire) == ["1", "2"]
    assert decoder.controls == [(PING, b"a"), (PONG, b"b"), (PING, b""), (PONG, b"c")]
    assert decoder.control_places == [0, 1, 1, 2]
    decoder.clear_controls()
    assert (decoder.controls, decoder.control_places) == ([], [])
    decoder.feed(text("3") + frame(PING, b"d"))
    assert (decoder.controls, decoder.control_places) == ([(PING, b"d")], [1])
