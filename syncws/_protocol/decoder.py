"""Bytes in, messages out: frames, fragments, text and compression checked as they arrive (RFC 6455 5).

Owns: the read side's protocol state. Runs on: the thread that reads, one at a time. Must not import: anything
with I/O or threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exceptions import ProtocolError, printable
from .._freed_memory import keep_freed_memory
from .assembly import LEAST_ROOM, Assembly
from .codec import PLAIN_FRAMES, parse
from .frames import FIN, MASKED, RSV1, RSV_BITS, CloseCode, CloseFrame, Opcode, is_wire_close_code
from .messages import Message, MessagePart

if TYPE_CHECKING:
    from .permessage_deflate import Inflater

# How many bytes one `feed` inflates before it leaves the rest to the next: one read from the network can hold
# a thousand times its size, and pings and deadlines must not wait for all of it.
INFLATE_PER_FEED = 1024 * 1024
# A step of inflating counts as at least so many bytes, since an empty step also takes some microseconds.
LEAST_STEP = 256

# The largest part of a message that is returned in parts, in bytes.
LARGEST_PART = 256 * 1024


class Decoder:
    """The receiving half of the protocol.

    Attributes:
        streaming: while True, each `feed` returns what has arrived of an incomplete message as
            `MessagePart`s, and a message that is larger than `LARGEST_PART` is returned in parts even if it
            is complete. While False, a message is returned in one piece once it is complete. It may be set
            between any two calls of `feed`; a message of which a part was returned goes on in parts to its
            end.
        controls: the Ping and Pong frames since `clear_controls`, as (opcode, payload).
        control_places: for each of these, how many of the messages that its `feed` returned came before it.
        ended: None while the stream goes on; then the server's `CloseFrame`, or a `ProtocolError` for what
            the server did wrong. Nothing may be fed after that.
        size: how many bytes the last `feed` returned in messages and parts; small frames count with their
            headers.
        messages_received: how many messages were returned so far; one in parts counts with its last part.
        bytes_received: the bytes of all payloads so far, those of text as UTF-8.
        has_more: whether the last `feed` left work for the next one; ``feed(b"")`` goes on with it.
        plain_limit: the longest payload of a plain frame, in bytes; see `codec`.
        inflater: inflates what the server has compressed; None where that was not agreed on.
        keeps_beginning: whether the bytes of a plain frame that has only begun are kept for `unread`.
    """

    def __init__(
        self, max_size: int | None = None, inflater: Inflater | None = None, partial_messages: bool = False
    ) -> None:
        """`partial_messages` is the first value of `streaming`."""
        self.streaming = partial_messages
        self.controls: list[tuple[int, bytes]] = []
        self.control_places: list[int] = []
        self.ended: CloseFrame | ProtocolError | None = None
        self.size = 0
        self.messages_received = 0
        self.bytes_received = 0
        self.has_more = False
        self._to_inflate = 0  # how many bytes the present `feed` may still inflate
        self._max_size = max_size
        self.inflater = inflater
        self.plain_limit = 65535 if max_size is None else min(65535, max_size)
        self.keeps_beginning = False
        self._rest = _Rest()
        self._assembly: Assembly | None = None

    @property
    def is_inside_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._assembly is not None

    @property
    def collected(self) -> int:
        """The bytes held of the message that is not complete yet."""
        return 0 if self._assembly is None else self._assembly.held

    def feed(self, data: bytes) -> list[Message | MessagePart]:
        """Take the next bytes of the stream, and return the messages that they complete.

        It never raises for what the server sent. Messages that were complete before a fault or a Close frame
        are returned, and `ended` says what came after them.
        """
        messages: list[Message | MessagePart] = []
        position = 0
        if self._assembly is None and not self._rest.data:
            position, payload = parse(data, 0, self.plain_limit, messages)
            self.messages_received += len(messages)
            self.bytes_received += payload
            if position == len(data):  # There were only plain frames, as nearly always.
                self.size = position
                return messages
        self.size = position
        self._to_inflate = INFLATE_PER_FEED
        self.has_more = False
        try:
            self._parse(data, position, messages)
        except ProtocolError as error:
            self.ended = error
        except UnicodeDecodeError as error:
            self.ended = ProtocolError(f"text is not UTF-8: {error}", CloseCode.INVALID_DATA)
            self.ended.__cause__ = error
        self._give_parts(messages)
        return messages

    def unread(self) -> bytes | None:
        """Give back the bytes of an incomplete frame, which will be fed again later; ``b""`` if there is
        none.

        Returns None if that is impossible: the frame is not plain, or its message has others.
        """
        if self._assembly is None:
            data, position = self._rest.take(b"")
            return data[position:]
        beginning = self._assembly.beginning
        if not beginning:
            return None
        self._assembly = None
        self.bytes_received -= len(beginning) - (2 if beginning[1] < 126 else 4)
        return beginning

    def clear_controls(self) -> None:
        """Forget the control frames so far."""
        self.controls.clear()
        self.control_places.clear()

    def get_buffer(self) -> memoryview | None:
        """Where the next bytes of the stream may be written instead of being fed; None when they must be fed.

        There is a buffer inside a large frame of binary data that is neither compressed nor given in parts:
        bytes that are read into it get into the message without a copy. `buffer_updated` must be the next
        call, also when nothing was written; it releases the view, of which no slice may exist then.
        """
        assembly = self._assembly
        if (
            assembly is None
            or assembly.missing < LEAST_ROOM
            or self.streaming
            or assembly.in_parts
            or not assembly.is_binary
            or assembly.compressed
        ):
            return None
        return assembly.get_room()

    def buffer_updated(self, count: int) -> list[Message | MessagePart]:
        """Take the `count` bytes that were written to what `get_buffer` returned, as `feed` would."""
        assembly = self._assembly
        assert assembly is not None
        messages: list[Message | MessagePart] = []
        assembly.beginning = b""
        self.size = 0
        assembly.advance(count)
        self.bytes_received += count
        self._go_on(assembly, messages)
        self._give_parts(messages)
        return messages

    def _give_parts(self, messages: list[Message | MessagePart]) -> None:
        """While streaming, append the parts of the incomplete message."""
        assembly = self._assembly
        if assembly is not None and (self.streaming or assembly.in_parts):
            self.size += assembly.held
            if data_so_far := assembly.take():
                assembly.in_parts = True
                messages += _split(data_so_far, final=False)

    def _parse(self, data: bytes, position: int, messages: list[Message | MessagePart]) -> None:
        """Parse everything from `position` on, which is 0 if there is a `_rest`."""
        rest = self._rest
        if rest.data:
            data, position = rest.take(data)
        if self._assembly is not None:
            self._assembly.beginning = b""
            position = self._resume(self._assembly, data, position, messages)
            if self.has_more:
                rest.data, rest.position = data, position
                return
        end = len(data)
        while True:
            if self._assembly is None:
                start, count = position, len(messages)
                position, payload = parse(data, position, self.plain_limit, messages)
                self.size += position - start
                self.messages_received += len(messages) - count
                self.bytes_received += payload
            if end - position < 2:
                break
            after = self._frame(data, position, end, messages)
            if after < 0:
                break
            position = after
            if self.ended is not None:
                break
            if self.has_more or (self._to_inflate <= 0 and position < end):
                self.has_more = True
                break
        # While there is more to do, nothing is copied: each of many steps would copy the rest again.
        rest.data, rest.position = (data, position) if self.has_more else (data[position:], 0)

    def _resume(
        self, assembly: Assembly, data: bytes, position: int, messages: list[Message | MessagePart]
    ) -> int:
        """Go on inside the present message; return the position after the bytes of `data` that were used."""
        self._go_on(assembly, messages)
        if assembly.missing and not self.has_more:
            piece = data[position : position + assembly.missing]
            self._take(assembly, piece)
            position += len(piece)
            self._go_on(assembly, messages)
        return position

    def _frame(self, data: bytes, position: int, end: int, messages: list[Message | MessagePart]) -> int:
        """Handle the frame at `position`, and return where the next one begins.

        Returns -1 when more bytes are needed to begin with it.
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
            self._control(opcode, data[start : start + length], len(messages))
            return start + length
        assembly = self._begin(head_byte, opcode, length)
        if (
            self.keeps_beginning
            and end - start < length <= self.plain_limit
            and head_byte in PLAIN_FRAMES
            and not self.streaming
        ):
            assembly.beginning = data[position:]
        piece = data[start : start + length]
        self._take(assembly, piece)
        self._go_on(assembly, messages)
        return start + len(piece)

    def _check_start(self, head_byte: int, length_byte: int) -> None:
        """Refuse what the first two bytes already show to be wrong (RFC 6455 5.1, 5.2, 5.4, 5.5)."""
        opcode = head_byte & 15
        if head_byte & RSV_BITS:
            starts_message = opcode in (Opcode.TEXT, Opcode.BINARY)
            if head_byte & RSV_BITS != RSV1 or self.inflater is None or not starts_message:
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

    def _begin(self, head_byte: int, opcode: int, length: int) -> Assembly:
        assembly = self._assembly
        if assembly is None:
            assembly = self._assembly = Assembly(opcode, bool(head_byte & RSV1))
        assembly.missing = length
        assembly.final = bool(head_byte & FIN)
        if not assembly.compressed:
            # The header alone decides, before a byte of the payload is kept.
            self._check_size(assembly.size + length)
        if length >= LEAST_ROOM:
            keep_freed_memory()
        return assembly

    def _take(self, assembly: Assembly, piece: bytes) -> None:
        """Take the next bytes of the present data frame; `_go_on` must follow."""
        assembly.missing -= len(piece)
        if not assembly.compressed:
            self.bytes_received += len(piece)
            assembly.write(piece)
        else:
            assert self.inflater is not None  # Without an inflater, `_check_start` refuses RSV1.
            room = None if self._max_size is None else self._max_size - assembly.size
            assembly.inflating = self.inflater.inflate(piece, assembly.final and not assembly.missing, room)

    def _go_on(self, assembly: Assembly, messages: list[Message | MessagePart]) -> None:
        """Inflate pending bytes, as many as this `feed` may, and end the message with its last byte."""
        if assembly.inflating is not None:
            for plain in assembly.inflating:
                if self._max_size is not None and len(plain) > self._max_size - assembly.size:
                    # An invalid byte before the limit comes first, so it is the fault to report.
                    assembly.write(plain[: self._max_size - assembly.size])
                    self._check_size(assembly.size + 1)
                assembly.write(plain)
                self.bytes_received += len(plain)
                self._to_inflate -= max(len(plain), LEAST_STEP)
                if self._to_inflate <= 0:
                    self.has_more = True
                    return
            assembly.inflating = None
        if assembly.final and not assembly.missing:
            self._finish(assembly, messages)

    def _finish(self, assembly: Assembly, messages: list[Message | MessagePart]) -> None:
        held, data = assembly.held, assembly.finish()
        self._assembly = None
        self.messages_received += 1
        self.size += held
        if assembly.in_parts or (self.streaming and held > LARGEST_PART):
            messages += _split(data, final=True)
        else:
            messages.append(data)

    def _check_size(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise ProtocolError(
                f"a message of at least {size} bytes is over max_size={self._max_size}", CloseCode.TOO_BIG
            )

    def _control(self, opcode: int, payload: bytes, place: int) -> None:
        if opcode == Opcode.CLOSE:
            self.ended = _read_close(payload)
        else:
            self.controls.append((opcode, payload))
            self.control_places.append(place)


class _Rest:
    """The bytes that were fed and not parsed yet: those of `data` from `position` on."""

    __slots__ = ("data", "position")

    def __init__(self) -> None:
        self.data = b""
        self.position = 0

    def take(self, more: bytes) -> tuple[bytes, int]:
        """Forget them, and return them with `more` behind, and where they begin."""
        data, position = self.data, self.position
        self.data, self.position = b"", 0
        return (data[position:] + more, 0) if more else (data, position)


def _read_close(payload: bytes) -> CloseFrame:
    """The content of the server's Close frame (RFC 6455 5.5.1, 7.4).

    An error about the frame quotes its code and its reason: these most often say why the connection ends.
    """
    if not payload:
        return CloseFrame()
    if len(payload) == 1:
        raise ProtocolError(f"the server's Close frame has a payload of one byte, 0x{payload.hex()}")
    code = int.from_bytes(payload[:2], "big")
    said = printable(payload[2:].decode("utf-8", "replace"))
    if not is_wire_close_code(code):
        reason = f" with the reason '{said}'" if said else ""
        raise ProtocolError(f"the server's Close frame has the forbidden code {code}{reason}")
    try:
        return CloseFrame(code, payload[2:].decode())
    except UnicodeDecodeError as error:
        raise ProtocolError(
            f"the server's Close frame with the code {code} has a reason that is not UTF-8: '{said}'",
            CloseCode.INVALID_DATA,
        ) from error


def _split(data: Message, final: bool) -> list[MessagePart]:
    """Split a piece of a message into parts of bounded size; if `final`, the last part ends the message."""
    # A character takes up to four bytes, as UTF-8 and in memory.
    step = LARGEST_PART if isinstance(data, bytes) or data.isascii() else LARGEST_PART // 4
    if len(data) <= step:
        return [MessagePart(data, final)]
    starts = range(0, len(data), step)
    return [MessagePart(data[start : start + step], final and start == starts[-1]) for start in starts]
