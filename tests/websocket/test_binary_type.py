"""`binaryType`: how binary messages arrive; read when a message is dispatched."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from syncws import Event, MessageEvent, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, echo, frame_bytes
from tests.support.clients import connected, run, socket_of
from tests.support.servers import finish
from tests.support.waiting import SECONDS


def four_binaries(peer: Peer) -> None:
    peer.accept(glued=b"".join(frame_bytes(Opcode.BINARY, bytes((number,))) for number in range(4)))
    peer.send("text")
    peer.send_close()
    finish(peer)


def test_blob_is_the_default_and_binary_messages_arrive_as_bytes() -> None:
    recorder = run(four_binaries)
    assert recorder.data == [b"\0", b"\1", b"\2", b"\3", "text"]
    assert [type(data) for data in recorder.data] == [bytes] * 4 + [str]
    assert socket_of(recorder.close).binaryType == "blob"


def test_arraybuffer_has_them_arrive_as_bytearray_and_text_as_ever() -> None:
    with connected(echo) as (ws, recorder, _):
        ws.binaryType = "arraybuffer"
        assert ws.binaryType == "arraybuffer"
        for data in (b"abc", b"", b"x" * 70_000, "text"):
            ws.send(data)
        recorder.wait("message", 4)
    assert recorder.data == [bytearray(b"abc"), bytearray(), bytearray(b"x" * 70_000), "text"]
    assert [type(data) for data in recorder.data] == [bytearray] * 3 + [str]


def test_change_counts_from_the_next_message_though_it_has_arrived_already() -> None:
    """All four are in one segment, so the change in the first callback comes after the arrival of all."""

    def change(event: Event) -> None:
        assert isinstance(event, MessageEvent)
        types.append(type(event.data))
        ws = socket_of(event)
        ws.binaryType = "arraybuffer" if len(types) in (1, 2) else "blob"

    types: list[Any] = []
    with LoopbackServer(four_binaries) as server:
        ws = WebSocket(server.url, onmessage=change)
        ws.join(SECONDS)
    assert types == [bytes, bytearray, bytearray, bytes, str]


@pytest.mark.parametrize("value", ["", "Blob", "BLOB", "bytes", "array buffer", "blob ", None, 5, [], bytes])
def test_another_value_is_ignored_and_logged(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    with connected(echo) as (ws, _, _):
        for present in ("blob", "arraybuffer"):
            ws.binaryType = present
            with caplog.at_level(logging.WARNING, "syncws"):
                ws.binaryType = value
            assert ws.binaryType == present
    assert len(caplog.records) == 2
    assert all("binaryType" in r.getMessage() and repr(value) in r.getMessage() for r in caplog.records)


def test_may_be_set_in_every_state() -> None:
    recorder = run(Peer.refuse)
    ws = socket_of(recorder.close)
    ws.binaryType = "arraybuffer"
    assert ws.binaryType == "arraybuffer"
