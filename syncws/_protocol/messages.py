"""What an application receives and may send, and the checks that both APIs make at the call.

Owns: nothing. Runs on: any thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

from typing import NamedTuple

from .._exceptions import InvalidAccessErr, SyntaxErr
from .frames import Buffer, CloseFrame, Opcode

Message = str | bytes

# Looking up a member of an enumeration takes longer than all else that `encode_message` does.
_TEXT, _BINARY = int(Opcode.TEXT), int(Opcode.BINARY)


class MessagePart(NamedTuple):
    """A piece of a message that arrived in several. The last piece is final, and may be empty."""

    data: Message
    final: bool


def encode_message(data: str | Buffer) -> tuple[int, bytes]:
    """The opcode and the payload of a message; a mutable buffer is copied.

    Raises `SyntaxErr` for text with a lone surrogate, `TypeError` for data that is neither text nor a buffer.
    """
    if isinstance(data, str):
        try:
            return _TEXT, data.encode()
        except UnicodeEncodeError as error:
            raise SyntaxErr(f"data: the text holds a lone surrogate at index {error.start}") from error
    if type(data) is bytes:
        return _BINARY, data
    try:
        # The view is released at once: PyPy frees objects late, and until then the caller could not resize
        # its bytearray.
        with memoryview(data) as view:
            return _BINARY, view.tobytes()
    except TypeError as error:
        hint = " (json.dumps makes a str of it)" if isinstance(data, (dict, list)) else ""
        kind = type(data).__name__
        raise TypeError(f"data must be a str or a bytes-like object, not {kind}{hint}") from error


def validate_close(code: int | None, reason: str) -> CloseFrame:
    """The content of a Close frame that an application may send (WHATWG, *close*, steps 1 to 3)."""
    if code is not None and not (
        isinstance(code, int) and not isinstance(code, bool) and (code == 1000 or 3000 <= code <= 4999)
    ):
        raise InvalidAccessErr(f"code must be 1000 or from 3000 to 4999, not {code!r}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {reason!r}")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as error:
        raise SyntaxErr(f"reason: the text holds a lone surrogate at index {error.start}") from error
    if size > 123:
        raise SyntaxErr(f"reason is {size} bytes of UTF-8, more than 123: {reason!r}")
    if code is None and reason:
        raise SyntaxErr(f"reason {reason!r} without a code")
    return CloseFrame(code, reason)
