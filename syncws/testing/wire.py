"""The server's side of the handshake, and the layout of one frame.

Owns: `Request`, the answer to a client's key, one frame to bytes and back. Runs on: any thread; nothing here
has state. Must not import: anything of the client but the layout of frames and the mapping of headers, so
that a fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from .._headers import Headers
from .._protocol.frames import FIN, MASKED, RSV_BITS, Buffer, header, mask

Pairs = Iterable[tuple[str, str]]
"""Names and values of header fields, in the order in which they travel."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a client's HTTP request.

    Attributes:
        method: ``"GET"`` for a WebSocket.
        target: path and query, as they stand in the request line.
        version: ``"HTTP/1.1"``.
        headers: the header fields, see `syncws.Headers`.
    """

    method: str
    target: str
    version: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as received (RFC 6455 5.2); ``payload`` is already unmasked, but not decompressed."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes


def parse_request(head: bytes) -> Request:
    """The request of a head without its last empty line; ValueError when that is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not all(":" in line for line in lines):
        raise ValueError(f"the client sent no HTTP request, but {head[:60]!r}")
    method, target, version = words
    fields = Headers((name, value.strip()) for name, value in (line.split(":", 1) for line in lines))
    return Request(method, target, version, fields)


def answer_head(status: int, reason: str, headers: Pairs) -> bytes:
    """The head of an answer, its last empty line included."""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def accept_key(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455 4.2.2)."""
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode()


def frame_bytes(
    opcode: int, payload: Buffer = b"", *, fin: bool = True, rsv: int = 0, key: bytes | None = None
) -> bytes:
    """A frame as it travels, so that a script can cut it anywhere.

    Args:
        opcode: 0 to 15, whether RFC 6455 knows it or not.
        fin: whether it is the last frame of its message.
        rsv: the three reserved bits, 0 to 7.
        key: four bytes that mask the payload, as no server may.
    """
    first = (FIN if fin else 0) | rsv << 4 | opcode
    if key is None:
        return header(first, len(payload), 0) + payload
    return header(first, len(payload)) + key + mask(payload, key)


def parse_frame(data: bytearray, at: int) -> tuple[Frame, int] | None:
    """The frame at ``at`` and where it ends; None when it is not whole."""
    start = at + 2
    if len(data) < start:
        return None
    first, second = data[at], data[at + 1]
    length, masked = second & 127, second >= MASKED
    if length > 125:
        start += 2 if length == 126 else 8
        length = int.from_bytes(data[at + 2 : start], "big")
    start += 4 if masked else 0
    # A length that is cut short does no harm, since `start` itself then lies beyond the data.
    end = start + length
    if len(data) < end:
        return None
    payload = mask(data[start:end], bytes(data[start - 4 : start])) if masked else data[start:end]
    return Frame(first >= FIN, (first & RSV_BITS) >> 4, first & 15, masked, bytes(payload)), end
