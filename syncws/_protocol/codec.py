"""The bytes of plain frames: parsing, framing and masking whole batches, in C where that was built.

Owns: the choice between the two. Runs on: any thread; nothing here has state. Must not import: anything with
I/O or threads.

`parse`, `frames` and `mask` are the functions of `_speedups`, or else those below, with the same results to
the byte. The environment variable `SYNCWS_SPEEDUPS=0` chooses those below in any case.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from .frames import FIN, MASKED, Buffer, Opcode, header, mask_large
from .frames import mask as mask_payload

if TYPE_CHECKING:
    from .messages import Message, MessagePart

_TEXT_FRAME = FIN | Opcode.TEXT
_BINARY_FRAME = FIN | Opcode.BINARY
#: The first byte of each kind of plain frame.
PLAIN_FRAMES = (int(_TEXT_FRAME), int(_BINARY_FRAME))


def parse_in_python(
    data: bytes, position: int, limit: int, messages: list[Message | MessagePart]
) -> tuple[int, int]:
    """Append the messages of the plain frames at `position`.

    Returns where the first byte after them stands, and how many bytes of payload they have.

    A plain frame is a whole message, not compressed, of at most `limit` (at most 65535) bytes, and all of it
    is in `data`. Nearly all traffic is of this kind. Other frames are left, and so is every fault: reserved
    bits, masks, lengths that are not in their shortest form, text that is not UTF-8.
    """
    end = len(data)
    append = messages.append
    size = 0
    while end - position >= 2:
        head_byte = data[position]
        length = data[position + 1]
        start = position + 2
        if length > 125:
            if length != 126 or end - start < 2:
                break
            length = data[start] << 8 | data[start + 1]
            start += 2
            if length < 126:
                break
        stop = start + length
        if stop > end or length > limit:
            break
        if head_byte == _TEXT_FRAME:
            try:
                # This does not use str(..., "utf-8"), with which PyPy accepts surrogates.
                append(data[start:stop].decode())
            except UnicodeDecodeError:
                break
        elif head_byte == _BINARY_FRAME:
            append(data[start:stop])
        else:
            break
        size += length
        position = stop
    return position, size


def _short_frame_pattern(length: int) -> tuple[int, int, int]:
    words = (length + 3) // 4 + 1
    key_over_payload = sum(1 << 32 * word for word in range(words))
    return key_over_payload, 8 * (-length % 4), (MASKED | length) << 8 * (length + 4)


# For each small length: the factor that spreads a key over the place before the payload and all of the
# payload; how many surplus bits that has at its end; and the second byte of the header, in its place. With
# these, a small frame takes three operations on integers.
_SHORT_FRAMES = [_short_frame_pattern(length) for length in range(126)]


def frames_in_python(items: list[tuple[int, bytes]], keys: bytes) -> bytes:
    """The wire bytes of masked frames, given as head bytes and payloads; four bytes of `keys` for each."""
    wire: list[Buffer] = []
    append, from_bytes = wire.append, int.from_bytes
    for (head_byte, payload), key in zip(items, struct.unpack(f">{len(items)}I", keys), strict=True):
        length = len(payload)
        if length < 126:
            key_over_payload, surplus_bits, length_byte = _SHORT_FRAMES[length]
            head = (head_byte << 8 * length + 40) ^ length_byte
            frame = head ^ (key * key_over_payload >> surplus_bits) ^ from_bytes(payload, "big")
            append(frame.to_bytes(length + 6, "big"))
        else:
            key_bytes = key.to_bytes(4, "big")
            wire += header(head_byte, length), key_bytes, mask_payload(payload, key_bytes)
    return b"".join(wire)


def mask_in_python(payload: bytes, key: bytes, start: int, stop: int, head: bytes) -> bytes | bytearray:
    """`head`, followed by the bytes start to stop of the masked payload (RFC 6455 5.3)."""
    phase = start % 4
    with memoryview(payload) as view, view[start:stop] as part:
        masked = mask_large(part, key[phase:] + key[:phase])
    return head + masked if head else masked


# The form that the package uses: "c", or None for the functions above.
speedups: str | None = None
parse: Callable[[bytes, int, int, list[Message | MessagePart]], tuple[int, int]] = parse_in_python
frames: Callable[[list[tuple[int, bytes]], bytes], bytes] = frames_in_python
mask: Callable[[bytes, bytes, int, int, bytes], Buffer] = mask_in_python

if os.environ.get("SYNCWS_SPEEDUPS") != "0":
    try:
        from . import _speedups
    except ImportError:  # The extension was not built, or not for this interpreter.
        pass
    else:
        speedups = "c"
        parse, frames, mask = _speedups.parse, _speedups.frames, _speedups.mask
