"""A message that is sent in fragments, as its chunks come (RFC 6455 5.4).

Owns: the turn at sending in fragments, and how far the message has come. Runs on: the thread that called
`send` with an iterable. Must not import: sockets, the reading side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..._protocol.frames import FIN, Buffer, CloseCode, Opcode
from ..._protocol.messages import ChunkEncoder
from .send_queue import FragmentsTurn, SendQueue
from .writer_turn import ACCEPTING, CUT

if TYPE_CHECKING:
    from ..._exceptions import ConnectionClosed

# How many bytes of a message that is sent in fragments may be unsent, unless `max_buffered` is less.
STREAM_WINDOW = 2**20


class FragmentedSend(FragmentsTurn):
    """One call of `send` with an iterable."""

    __slots__ = ("_closed_error", "_fail", "_queue", "_window")

    def __init__(
        self,
        queue: SendQueue,
        closed_error: Callable[[], ConnectionClosed],
        fail: Callable[[BaseException, int], None],
    ) -> None:
        """`closed_error` makes the exception for a connection that is closing; `fail` fails the
        connection."""
        super().__init__(threading.get_ident())
        self._queue = queue
        self._window = max(1, min(STREAM_WINDOW, queue.max_buffered))
        self._closed_error = closed_error
        self._fail = fail

    def run(self, chunks: Iterator[str | Buffer], text: bool | None = None) -> None:
        """Send `chunks` as one message; returns when the last is queued. See `Connection.send`."""
        encoder = ChunkEncoder(text)
        for chunk in chunks:
            opcode, payload = encoder.encode(chunk)
            break
        else:
            raise ValueError("data is an iterable without a chunk: nothing to send")
        try:
            is_sent = self._wait_turn() and self._send_chunks(opcode, payload, chunks, encoder)
        except BaseException as error:
            # A handler's exception may have cut off this cleanup, so it is made again: otherwise the
            # connection would stay inside the message, or the next call would wait for this one for ever.
            try:
                self._fail_unfinished(error)
            except BaseException:
                self._fail_unfinished(error)
                raise
            raise
        finally:
            try:
                self._queue.end_fragments(self)
            except BaseException:
                self._queue.end_fragments(self)
                raise
        if not is_sent:
            raise self._closed_error()

    def _fail_unfinished(self, error: BaseException) -> None:
        """Fail the connection: nothing may follow a message that has begun and cannot be ended.

        If a Close has cut the message off already, that Close stands.
        """
        if self.begun and self._queue.phase < CUT:
            self._fail(error, CloseCode.INTERNAL_ERROR)

    def _wait_turn(self) -> bool:
        """Wait until no other call sends in fragments; False when the connection is closing."""
        queue = self._queue
        if queue.fragmented.thread == self.thread:
            raise RuntimeError("send() of an iterable from inside one, on the same connection (RFC 6455 5.4)")
        queue.wake()
        queue.waiters.wait_until(lambda: queue.begin_fragments(self) or queue.phase != ACCEPTING)
        return queue.fragmented is self

    def _send_chunks(
        self, opcode: int, payload: bytes, chunks: Iterator[str | Buffer], encoder: ChunkEncoder
    ) -> bool:
        """Queue all fragments. Returns False when the connection takes no more of them."""
        if not self._send(opcode, payload):
            return False
        for chunk in chunks:
            kind, payload = encoder.encode(chunk)
            if kind != opcode:
                raise TypeError("data: the iterable mixes str and bytes-like chunks")
            if not self._send(Opcode.CONTINUATION, payload):
                return False
        encoder.finish()
        # The last fragment is empty, so that no chunk has to wait until it is known to be the last.
        return self._send(FIN | Opcode.CONTINUATION, b"")

    def _send(self, head_byte: int, payload: bytes) -> bool:
        queue = self._queue
        for start in range(0, len(payload) or 1, self._window):
            piece = payload[start : start + self._window]
            room = self._window - len(piece)
            if not self._fits(room):
                queue.wake()
                queue.waiters.wait_until(lambda room=room: self._fits(room) or queue.phase >= CUT)  # type: ignore[misc]
            if not queue.send_fragment(self, head_byte, piece):
                return False
            head_byte = Opcode.CONTINUATION
        return True

    def _fits(self, room: int) -> bool:
        """Whether no more than `room` bytes are unsent.

        Messages that wait for the end of this one do not count, since it would wait for itself. Their bytes
        are read last, or a message that comes in between would count after all.
        """
        return self._queue.unsent - self.behind_bytes <= room
