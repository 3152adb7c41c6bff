"""`syncws._protocol.decoder`: what the error says about a Close frame of the server's that is wrong."""

from __future__ import annotations

import pytest

from syncws._exceptions import ProtocolError
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from tests.protocol.parse_cases import frame, ways

pytestmark = pytest.mark.usefixtures("each_codec")

E_ACUTES = ("é" * 62).encode()[:123]  # cut in the middle of the last character


def close(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


CASES = [
    (close(1006, b"worker died"), 1002, "the forbidden code 1006 with the reason 'worker died'"),
    (close(0, b"worker died"), 1002, "the forbidden code 0 with the reason 'worker died'"),
    (close(5000, b"worker died"), 1002, "the forbidden code 5000 with the reason 'worker died'"),
    (close(1005), 1002, "the forbidden code 1005"),
    (close(2999, b"a\x1b[2J\nb\xff"), 1002, "the reason 'a\\x1b[2J\\nb\ufffd'"),
    (close(4001, E_ACUTES), 1007, f"the code 4001 has a reason that is not UTF-8: '{'é' * 61}\ufffd'"),
    (close(1000, b"\xffbye\r\n"), 1007, "the code 1000 has a reason that is not UTF-8: '\ufffdbye\\r\\n'"),
    (b"\x03", 1002, "a payload of one byte, 0x03"),
]


@pytest.mark.parametrize(("payload", "code", "says"), CASES, ids=[case[2][:40] for case in CASES])
def test_error_tells_that_it_was_the_close_frame_its_code_and_its_reason(
    payload: bytes, code: int, says: str
) -> None:
    for _, chunks in ways(frame(Opcode.CLOSE, payload)):
        decoder = Decoder()
        for chunk in chunks:
            assert decoder.ended is None
            assert decoder.feed(chunk) == []
        assert isinstance(decoder.ended, ProtocolError)
        assert str(decoder.ended) == str(decoder.ended).strip()
        assert "the server's Close frame" in str(decoder.ended)
        assert str(decoder.ended).endswith(says)
        assert decoder.ended.close_code == code
        assert str(decoder.ended).isprintable()
