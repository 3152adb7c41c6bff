"""Messages in frames and fragments, compressed or cut short, and what a client must make of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from syncws import ProtocolError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import Case, HostileServer

BEFORE = frame_bytes(Opcode.TEXT, b"before")
MESSAGES = ("before",)


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cuts(data: bytes) -> list[bytes]:
    """Its bytes, one by one."""
    return [data[at : at + 1] for at in range(len(data))]


def fragments(parts: Sequence[bytes], opcode: int = Opcode.TEXT, rsv: int = 0, more: bool = False) -> bytes:
    """A message in these fragments; with `more`, without its end."""
    last = len(parts) - 1
    return b"".join(
        frame_bytes(0 if index else opcode, part, fin=index == last and not more, rsv=0 if index else rsv)
        for index, part in enumerate(parts)
    )


def announcing(opcode: int, length: int, payload: bytes = b"", rsv: int = 0) -> bytes:
    """A frame that announces more than it brings."""
    head = frame_bytes(opcode, bytes(length), rsv=rsv)
    return head[: len(head) - length] + payload


def fails(
    hostile_server: HostileServer,
    data: bytes,
    code: int,
    *says: str,
    compressed: bool = False,
    **options: object,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate" if compressed else None)
        peer.send_bytes(BEFORE + data)

    hostile_server.check(Case("sends", script, ProtocolError, says, code, MESSAGES, options=options))


def arrives(
    hostile_server: HostileServer,
    data: bytes,
    message: str | bytes,
    compressed: bool = False,
    **options: object,
) -> None:
    def script(peer: Peer) -> None:
        peer.accept(extensions="permessage-deflate" if compressed else None)
        peer.send_bytes(BEFORE + data + frame_bytes(Opcode.CLOSE, b"\x03\xe8"))

    hostile_server.check(Case("sends", script, sent=1000, messages=(*MESSAGES, message), options=options))
