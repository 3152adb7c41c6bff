"""Messages as the application receives and sends them, and the checks that both APIs make at the call.

Owns: nothing. Runs on: any thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from .._exceptions import InvalidAccessErr, SyntaxErr
from .frames import Buffer, CloseFrame, Opcode

Message = str | bytes

# Constants: looking up a member of an enumeration takes longer than everything else in `encode_message`.
_TEXT, _BINARY = int(Opcode.TEXT), int(Opcode.BINARY)

_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")


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
        is_json = data is None or isinstance(data, (dict, list, bool, int, float))
        hint = " (json.dumps makes a str of it)" if is_json else ""
        kind = type(data).__name__
        raise TypeError(f"data must be a str or a bytes-like object, not {kind}{hint}") from error


def encode_message_as(data: str | Buffer, text: bool) -> tuple[int, bytes]:
    """Do the same as `encode_message`, but as text or binary by `text`, whatever the type of the data.

    Raises `SyntaxErr` for bytes that should be text and are not UTF-8, `TypeError` if `text` is no bool.
    """
    _check_text(text)
    opcode, payload = encode_message(data)
    if text and opcode == _BINARY and not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise SyntaxErr(
                f"data: not UTF-8 at byte {error.start}, and text=True: {error.reason}"
            ) from error
    return (_TEXT if text else _BINARY), payload


class ChunkEncoder:
    """The chunks of one message, which may cut a character in two."""

    def __init__(self, text: bool | None) -> None:
        """`text` is that of `encode_message_as`; None goes by the type of the chunks."""
        if text is not None:
            _check_text(text)
        self._text = text
        self._utf8 = _make_utf8_decoder() if text else None
        self._size = 0

    def encode(self, chunk: str | Buffer) -> tuple[int, bytes]:
        """The opcode and the payload of a chunk; raises as `encode_message_as`."""
        opcode, payload = encode_message(chunk)
        if self._text is None:
            return opcode, payload
        if self._utf8 is not None:
            self._check(payload, final=False)
        return (_TEXT if self._text else _BINARY), payload

    def finish(self) -> None:
        """Raises `SyntaxErr` if the last chunk of a text ends within a character."""
        if self._utf8 is not None:
            self._check(b"", final=True)

    def _check(self, payload: bytes, final: bool) -> None:
        assert self._utf8 is not None
        pending = len(self._utf8.getstate()[0])
        try:
            self._utf8.decode(payload, final)
        except UnicodeDecodeError as error:
            at = self._size - pending + error.start
            raise SyntaxErr(f"data: not UTF-8 at byte {at}, and text=True: {error.reason}") from error
        self._size += len(payload)


def encode_ping(data: Buffer) -> bytes:
    """The payload of a Ping (RFC 6455 5.5): at most 125 bytes, copied where they may change.

    Raises `TypeError` for what is no buffer, `ValueError` for more.
    """
    if isinstance(data, str):
        raise TypeError("data must be a bytes-like object, not str (a ping has no text: data.encode())")
    _, payload = encode_message(data)
    if len(payload) > 125:
        raise ValueError(f"data is {len(payload)} bytes, and a ping takes at most 125")
    return payload


def _check_text(text: object) -> None:
    if not isinstance(text, bool):
        raise TypeError(f"text must be True, False or None, not {text!r}")


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
