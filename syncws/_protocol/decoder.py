"""Bytes in, messages out: frames, fragments, text and compression checked as they arrive (RFC 6455 5).

Owns: the read side's protocol state. Runs on: the reader thread alone. Must not import: anything with I/O
or threads.
"""

from __future__ import annotations

import codecs
import io

from .._exceptions import ProtocolError
from .frames import FIN, MASKED, RSV1, RSV_BITS, CloseCode, CloseFrame, Opcode, is_wire_close_code
from .messages import Message, MessagePart
from .permessage_deflate import Inflater

_TEXT_FRAME = FIN | Opcode.TEXT
_BINARY_FRAME = FIN | Opcode.BINARY
# What compressed messages may inflate to before `feed` leaves the rest for later: one read from the network
# can hold many, each within max_size, and together a thousand times their size.
INFLATE_PER_FEED = 1024 * 1024
_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class _Assembly:
    """A message that is still arriving."""

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.compressed = compressed
        self.size = 0
        self.partial_messages = False
        self._utf8 = _make_utf8_decoder() if opcode == Opcode.TEXT else None
        self._text = io.StringIO(newline="")
        self._binary = io.BytesIO()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._utf8 is None:
            self._binary.write(data)
        else:
            self._text.write(self._utf8.decode(data))
            pending = self._utf8.getstate()[0]
            if pending[:1] == b"\xed" and pending[1:] >= b"\xa0":
                # A surrogate: CPython's decoder would wait for its third byte, whatever that is.
                self._utf8.decode(b"", True)

    def finish(self) -> Message | MessagePart:
        if self._utf8 is not None:
            self._text.write(self._utf8.decode(b"", True))
        data = self._collected()
        return MessagePart(data, final=True) if self.partial_messages else data

    def take_part(self) -> MessagePart | None:
        """What has come since the last part; None when nothing has."""
        data = self._collected()
        if not data:
            return None
        self.partial_messages = True
        self._text, self._binary = io.StringIO(newline=""), io.BytesIO()
        return MessagePart(data, final=False)

    def _collected(self) -> Message:
        return self._binary.getvalue() if self._utf8 is None else self._text.getvalue()


class Decoder:
    """The receiving half of the protocol.

    Attributes:
        controls: the Ping and Pong frames met since the list was last cleared, as (opcode, payload).
        ended: None while the stream goes on; then the server's `CloseFrame`, or the `ProtocolError` that it
            committed. Nothing may be fed after that.
        size: the bytes that the messages of the last `feed` hold, near enough for a bound.
        has_more: whether the last `feed` left frames for later; ``feed(b"")`` goes on with them.
    """

    def __init__(
        self, max_size: int | None = None, inflater: Inflater | None = None, partial_messages: bool = False
    ) -> None:
        """`partial_messages`: `feed` returns what has come of an incomplete message as a `MessagePart`."""
        self.controls: list[tuple[int, bytes]] = []
        self.ended: CloseFrame | ProtocolError | None = None
        self.size = 0
        self.has_more = False
        self._inflated = 0  # what the last `feed` has made of whole compressed messages
        self._max_size = max_size
        self._inflater = inflater
        self._partial_messages = partial_messages
        # The longest payload that `_parse` handles in line.
        self._plain_limit = 65535 if max_size is None else min(65535, max_size)
        self._tail = b""  # the beginning of a frame whose header, or whose control payload, is not whole
        self._assembly: _Assembly | None = None
        self._missing = 0  # bytes of the present data frame's payload that are still to come
        self._final = False  # whether the present data frame is its message's last

    def feed(self, data: bytes) -> list[Message | MessagePart]:
        """Take the next bytes of the stream, and return the messages that they complete.

        Never raises for what the server sent: what was complete before a fault, or before a Close
        frame, is returned, and `ended` tells the rest.
        """
        messages: list[Message | MessagePart] = []
        self.size = self._inflated = 0
        self.has_more = False
        try:
            self._parse(data, messages)
        except ProtocolError as error:
            self.ended = error
        except UnicodeDecodeError as error:
            self.ended = ProtocolError(f"text is not UTF-8: {error}", CloseCode.INVALID_DATA)
            self.ended.__cause__ = error
        if self._partial_messages and self._assembly is not None:
            part = self._assembly.take_part()
            if part is not None:
                self.size += len(part.data)
                messages.append(part)
        return messages

    def _parse(self, data: bytes, messages: list[Message | MessagePart]) -> None:
        position = 0
        if self._missing:
            piece = data[: self._missing]
            position = len(piece)
            self._take(piece, messages)
        elif self._tail:
            data = self._tail + data
        end = len(data)
        self.size += end - position
        limit = self._plain_limit
        append = messages.append
        while end - position >= 2:
            head_byte = data[position]
            length = data[position + 1]
            # A whole message of moderate size in one frame: nearly all traffic is of this kind. All else,
            # and all that is wrong, takes the longer way.
            start = position + 2
            stop = start + length
            if length > 125:
                stop = end + 1
                if length == 126 and end - position >= 4:
                    start = position + 4
                    length = data[position + 2] << 8 | data[position + 3]
                    if length > 125:
                        stop = start + length
            if stop <= end and length <= limit and self._assembly is None:
                if head_byte == _TEXT_FRAME:
                    append(str(data[start:stop], "utf-8"))
                    position = stop
                    continue
                if head_byte == _BINARY_FRAME:
                    append(data[start:stop])
                    position = stop
                    continue
            after = self._frame(data, position, end, messages)
            if after < 0:
                break
            position = after
            if self.ended is not None:
                return
            if self._inflated >= INFLATE_PER_FEED and position < end:
                self.has_more = True
                break
        self._tail = data[position:]

    def _frame(self, data: bytes, position: int, end: int, messages: list[Message | MessagePart]) -> int:
        """Handle the frame at `position`, and return where the next one begins.

        Returns -1 when more bytes are needed before anything can be done with it.
        """
        head_byte, length = data[position], data[position + 1]
        self._check_start(head_byte, length)
        start = position + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if end - start < size:
                return -1
            length = int.from_bytes(data[start : start + size], "big")
            start += size
            if length >> 63:
                raise ProtocolError(f"a frame announces a length beyond 2^63: {length}")
            if length < (126 if size == 2 else 65536):
                # RFC 6455 5.2: the minimal number of bytes must be used.
                raise ProtocolError(f"a frame announces its length, {length}, in {size} bytes")
        opcode = head_byte & 15
        if opcode >= Opcode.CLOSE:
            if end - start < length:
                return -1
            self._control(opcode, data[start : start + length])
            return start + length
        self._begin(head_byte, opcode, length)
        piece = data[start : start + length]
        self._missing = length
        self._take(piece, messages)
        return start + len(piece)

    def _check_start(self, head_byte: int, length_byte: int) -> None:
        """Refuse what the first two bytes already show to be wrong (RFC 6455 5.1, 5.2, 5.4, 5.5)."""
        opcode = head_byte & 15
        if head_byte & RSV_BITS:
            starts_message = opcode in (Opcode.TEXT, Opcode.BINARY)
            if head_byte & RSV_BITS != RSV1 or self._inflater is None or not starts_message:
                raise ProtocolError(f"reserved bits are set in a frame that begins 0x{head_byte:02x}")
        if length_byte & MASKED:
            raise ProtocolError("the server sent a masked frame")
        if opcode >= Opcode.CLOSE:
            if opcode > Opcode.PONG:
                raise ProtocolError(f"unknown opcode {opcode}")
            if not head_byte & FIN:
                raise ProtocolError(f"a control frame (opcode {opcode}) is fragmented")
            if length_byte > 125:
                raise ProtocolError(f"a control frame (opcode {opcode}) announces more than 125 bytes")
        elif opcode > Opcode.BINARY:
            raise ProtocolError(f"unknown opcode {opcode}")
        elif opcode == Opcode.CONTINUATION:
            if self._assembly is None:
                raise ProtocolError("a continuation frame without a message to continue")
        elif self._assembly is not None:
            raise ProtocolError("a new message begins inside a fragmented one")

    def _begin(self, head_byte: int, opcode: int, length: int) -> None:
        self._final = bool(head_byte & FIN)
        if self._assembly is None:
            self._assembly = _Assembly(opcode, bool(head_byte & RSV1))
        if not self._assembly.compressed:
            # On the header alone, before a byte of the payload is kept.
            self._check_size(self._assembly.size + length)

    def _take(self, piece: bytes, messages: list[Message | MessagePart]) -> None:
        """Take the next bytes of the present data frame."""
        assembly = self._assembly
        assert assembly is not None
        self._missing -= len(piece)
        ends = self._final and not self._missing
        if not assembly.compressed:
            assembly.write(piece)
        else:
            assert self._inflater is not None  # else RSV1 was refused
            room = None if self._max_size is None else self._max_size - assembly.size
            for plain in self._inflater.inflate(piece, ends, room):
                if self._max_size is not None and len(plain) > self._max_size - assembly.size:
                    assembly.write(plain[: self._max_size - assembly.size])  # a bad byte in it came first
                    self._check_size(assembly.size + 1)
                assembly.write(plain)
        if ends:
            message = assembly.finish()
            self.size += len(message.data) if isinstance(message, MessagePart) else assembly.size
            self._inflated += assembly.size if assembly.compressed else 0
            messages.append(message)
            self._assembly = None

    def _check_size(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise ProtocolError(
                f"a message of at least {size} bytes is over max_size={self._max_size}", CloseCode.TOO_BIG
            )

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode != Opcode.CLOSE:
            self.controls.append((opcode, payload))
            return
        if not payload:
            self.ended = CloseFrame()
            return
        if len(payload) == 1:
            raise ProtocolError("a Close frame with one byte")
        code = int.from_bytes(payload[:2], "big")
        if not is_wire_close_code(code):
            raise ProtocolError(f"a Close frame with the code {code}")
        self.ended = CloseFrame(code, payload[2:].decode())
