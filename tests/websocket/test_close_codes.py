"""A failure shows 1006 whatever Close frame the client sent, and that frame carries the code of the fault."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from syncws import ProtocolError
from syncws._protocol.frames import CloseFrame, Opcode
from syncws.testing import Peer, frame_bytes
from tests.support.clients import run

MASK = b"\1\2\3\4"


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


# What the server sends after its 101, and the code of the Close frame that answers it (RFC 6455 7.4.1).
FAULTS = {
    "a reserved bit": (frame_bytes(Opcode.TEXT, b"a", rsv=2), 1002),
    "RSV1 without compression": (frame_bytes(Opcode.TEXT, b"a", rsv=4), 1002),
    "a masked frame": (frame_bytes(Opcode.TEXT, b"a", key=MASK), 1002),
    "opcode 3": (frame_bytes(3), 1002),
    "opcode 15": (frame_bytes(15), 1002),
    "a fragmented ping": (frame_bytes(Opcode.PING, fin=False), 1002),
    "a ping of 126 bytes": (frame_bytes(Opcode.PING, b"x" * 126), 1002),
    "a continuation of nothing": (frame_bytes(Opcode.CONTINUATION, b"a"), 1002),
    "a text inside a text": (frame_bytes(1, b"a", fin=False) + frame_bytes(1, b"b"), 1002),
    "a close of one byte": (frame_bytes(Opcode.CLOSE, b"\x03"), 1002),
    "close code 1005": (frame_bytes(Opcode.CLOSE, CloseFrame(1005).payload), 1002),
    "close code 1006": (frame_bytes(Opcode.CLOSE, CloseFrame(1006).payload), 1002),
    "close code 1015": (frame_bytes(Opcode.CLOSE, CloseFrame(1015).payload), 1002),
    "close code 2999": (frame_bytes(Opcode.CLOSE, CloseFrame(2999).payload), 1002),
    "close code 5000": (frame_bytes(Opcode.CLOSE, CloseFrame(5000).payload), 1002),
    "a length of 64 bits": (b"\x82\x7f" + b"\xff" * 8, 1002),
    "a length that is not minimal": (b"\x82\x7e\x00\x05", 1002),
    "text that is not UTF-8": (frame_bytes(Opcode.TEXT, b"\xff"), 1007),
    "text with a surrogate": (frame_bytes(Opcode.TEXT, b"\xed\xa0\x80"), 1007),
    "text that ends inside a character": (frame_bytes(Opcode.TEXT, b"\xe2\x82"), 1007),
    "a reason that is not UTF-8": (frame_bytes(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
    "a message over max_size": (frame_bytes(Opcode.BINARY, b"x" * 1001), 1009),
    "a header over max_size": (b"\x82\x7f" + (2**40).to_bytes(8, "big"), 1009),
    "fragments over max_size": (frame_bytes(2, b"x" * 600, fin=False) + frame_bytes(0, b"x" * 401), 1009),
}


def fail(data: bytes, extensions: str | None = None, **options: Any) -> tuple[Any, list[Any]]:
    def script(peer: Peer) -> None:
        peer.accept(extensions=extensions, glued=frame_bytes(Opcode.TEXT, b"before") + data)
        frames.append(peer.recv_frame())

    frames: list[Any] = []
    recorder = run(script, **options)
    return recorder, frames


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_server_fails_the_connection_and_tells_it_the_code(fault: str) -> None:
    data, code = FAULTS[fault]
    recorder, (frame,) = fail(data, max_size=1000)
    assert recorder.types == ["open", "message", "error", "close"]
    assert recorder.failed
    assert isinstance(recorder.error.error, ProtocolError)
    assert recorder.error.error.close_code == code
    assert frame.opcode == Opcode.CLOSE
    assert int.from_bytes(frame.payload[:2], "big") == code
    assert frame.payload[2:].decode()


def test_what_follows_the_fault_is_not_looked_at() -> None:
    data = frame_bytes(3) + frame_bytes(Opcode.TEXT, b"after") + frame_bytes(Opcode.CLOSE)
    recorder, _ = fail(data)
    assert recorder.data == ["before"]
    assert recorder.failed


@pytest.mark.parametrize(
    ("payload", "code"), [(b"\xff\xff\xff", 1007), (deflated(b"x" * 1001), 1009), (deflated(b"\xff"), 1007)]
)
def test_fault_in_compressed_data_fails_the_connection_and_tells_it_the_code(
    payload: bytes, code: int
) -> None:
    data = frame_bytes(Opcode.TEXT, payload, rsv=4)
    recorder, (frame,) = fail(data, "permessage-deflate", max_size=1000)
    assert recorder.types == ["open", "message", "error", "close"]
    assert recorder.failed
    assert int.from_bytes(frame.payload[:2], "big") == code


def test_message_over_max_size_says_both_numbers() -> None:
    recorder, _ = fail(frame_bytes(Opcode.BINARY, b"x" * 1001), max_size=1000)
    assert "1001" in recorder.error.message and "max_size=1000" in recorder.error.message


@pytest.mark.parametrize("extensions", [None, "permessage-deflate"])
def test_message_of_just_max_size_arrives(extensions: str | None) -> None:
    payload = b"x" * 1000
    if extensions:
        data = frame_bytes(Opcode.TEXT, deflated(payload), rsv=4)
    else:
        data = frame_bytes(Opcode.TEXT, payload[:600], fin=False) + frame_bytes(0, payload[600:])
    recorder, _ = fail(data + frame_bytes(Opcode.CLOSE), extensions, max_size=1000)
    assert recorder.data == ["before", payload.decode()]
    assert recorder.ending == (1005, "", True)


def test_max_size_none_has_no_limit_and_the_default_is_16_mib() -> None:
    data = frame_bytes(Opcode.BINARY, bytes(2**24 + 1)) + frame_bytes(Opcode.CLOSE)
    recorder, _ = fail(data, max_size=None, max_queue=None)
    assert [len(message) for message in recorder.data] == [6, 2**24 + 1]
    recorder, (frame,) = fail(data[:20])
    assert int.from_bytes(frame.payload[:2], "big") == 1009
    assert f"max_size={2**24}" in recorder.error.message


def test_server_that_breaks_the_protocol_while_closing_fails_the_connection() -> None:
    from tests.support.clients import connected

    def script(peer: Peer) -> None:
        peer.accept()
        assert peer.recv_frame().opcode == Opcode.CLOSE
        peer.send_bytes(frame_bytes(3))

    with connected(script) as (ws, recorder, _):
        ws.close()
        recorder.wait("close")
    assert recorder.types == ["open", "error", "close"]
    assert recorder.failed
