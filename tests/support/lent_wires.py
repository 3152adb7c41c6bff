"""What arrives where reading is lent, and what must come of it; for tests of each step of a read."""

from __future__ import annotations

import zlib
from typing import Any

from syncws._engine.consumer import event_queue, inbox
from syncws._engine.reading import read_lease
from syncws._protocol import whole_messages
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message
from syncws._protocol.permessage_deflate import DeflateParameters, Inflater
from syncws.testing.wire import frame_bytes
from tests.support.lent_link import LentLink, text

#: Whose steps are interrupted.
READING = (read_lease, whole_messages, inbox, event_queue)


def pack(*payloads: str) -> list[bytes]:
    """Frames of a server that compresses; each but the first refers to the one before."""
    packer = zlib.compressobj(wbits=-15)
    packed = [packer.compress(payload.encode()) + packer.flush(zlib.Z_SYNC_FLUSH) for payload in payloads]
    return [frame_bytes(Opcode.TEXT, payload[:-4], rsv=4) for payload in packed]


LONG = ("twenty times " * 20, "twenty times " * 20 + "one")
FIRST, SECOND = pack(*LONG)

WIRES: dict[str, tuple[bytes, bytes, list[Message]]] = {
    "whole": (text("one") + text("two"), b"", ["one", "two"]),
    "half": (text("one") + text("two")[:3], text("two")[3:], ["one", "two"]),
    "for the reader": (text("one") + frame_bytes(Opcode.PING, b"x"), text("two"), ["one", "two"]),
    "nothing": (b"", text("one"), ["one"]),
    "compressed": (FIRST + SECOND, b"", [*LONG]),
    "compressed by half": (text("one") + FIRST + SECOND[:3], SECOND[3:], ["one", *LONG]),
    "compressed, and for the reader": (FIRST + frame_bytes(Opcode.PING, b"x"), SECOND, [*LONG]),
}


def make_inflater() -> Inflater:
    return Inflater(DeflateParameters())


LENDS = {"keeps the turn": False, "lends again": True}


def take_back(link: LentLink[Any], lends: bool) -> None:
    """What the reader does: it takes the turn back, and may lend it again."""
    link.take_over()
    if lends:
        link.decoder.clear_controls()
        link.decoder.keeps_beginning = True
        link.lend()


def check_all_is_there(link: LentLink[Any], rest: bytes, messages: list[Message]) -> None:
    """The reader is served last: nothing is lost or doubled, and the counts are right."""
    if link.lease.input.chunks and not link.lease._reader_has and not link.lease.input.unfed:
        assert not link.lease.input.needs_reader or link.wakes, "nobody tells the reader"
    if rest:
        link.serve(rest)
    link.take_over()
    assert not link.lease.input.unfed, "the reader would spin"
    assert link.messages == messages
    assert link.counted == (len(messages), sum(map(len, messages)))
    assert link.stream.received == link.sent
    link.decoder.clear_controls()
