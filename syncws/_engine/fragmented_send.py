"""A message that is sent in fragments, as its chunks come (RFC 6455 5.4).

Owns: the turn at it, and how far it is. Runs on: the thread that called `send` with an iterable. Must not
import: sockets, the reading side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from .._exceptions import ConnectionClosed
from .._protocol.frames import FIN, Buffer, CloseCode, Opcode
from .._protocol.messages import encode_message
from .send_queue import ACCEPTING, FINISHED, REFUSING, SendQueue

# How much of a message that is sent in fragments may be unsent, where `max_buffered` is not less.
STREAM_WINDOW = 2**20


class FragmentedSend:
    """One call of `send` with an iterable.

    Attributes:
        thread: the identifier of the thread that made the call.
        begun: whether a first fragment is queued, and the last is not.
    """

    __slots__ = ("_closed_error", "_fail", "_queue", "_window", "begun", "thread")

    def __init__(
        self,
        queue: SendQueue,
        max_buffered: int | None,
        closed_error: Callable[[], ConnectionClosed],
        fail: Callable[[BaseException, int], None],
    ) -> None:
        """`closed_error` makes the exception for a connection that is closing; `fail` fails the connection."""
        self.thread = threading.get_ident()
        self.begun = False
        self._queue = queue
        self._window = STREAM_WINDOW if max_buffered is None else max(1, min(STREAM_WINDOW, max_buffered))
        self._closed_error = closed_error
        self._fail = fail

    def run(self, chunks: Iterator[str | Buffer]) -> None:
        """Send `chunks` as one message; returns when the last is queued. See `Connection.send`."""
        for chunk in chunks:
            opcode, payload = encode_message(chunk)
            break
        else:
            raise ValueError("data is an iterable without a chunk: nothing to send")
        try:
            self._wait_turn()
            self._send_chunks(opcode, payload, chunks)
        finally:
            try:
                self._queue.end_fragments(self)
            except BaseException:  # a handler's; but the next call must not wait for this one for ever
                self._queue.end_fragments(self)
                raise

    def _wait_turn(self) -> None:
        queue = self._queue
        owner = queue.fragmented
        if owner is not None and owner.thread == self.thread:
            raise RuntimeError("send() of an iterable from inside one, on the same connection (RFC 6455 5.4)")
        queue.wake()
        queue.waiters.wait_until(lambda: queue.begin_fragments(self) or queue.phase != ACCEPTING)
        if queue.fragmented is not self:
            raise self._closed_error()

    def _send_chunks(self, opcode: int, payload: bytes, chunks: Iterator[str | Buffer]) -> None:
        try:
            self._send(opcode, payload)
            for chunk in chunks:
                kind, payload = encode_message(chunk)
                if kind != opcode:
                    raise TypeError("data: the iterable mixes str and bytes-like chunks")
                self._send(Opcode.CONTINUATION, payload)
            # The end is a fragment of its own, so that no chunk has to wait for the next one.
            self._send(FIN | Opcode.CONTINUATION, b"")
        except ConnectionClosed:
            raise
        except BaseException as error:
            if self.begun:  # it cannot be ended, and nothing may follow its beginning
                self._fail(error, CloseCode.INTERNAL_ERROR)
            raise

    def _send(self, head_byte: int, payload: bytes) -> None:
        queue = self._queue
        for start in range(0, len(payload) or 1, self._window):
            piece = payload[start : start + self._window]
            # Messages that wait for the end of this one do not count: it would wait for itself.
            fits = self._window - len(piece)
            if queue.unsent - queue.behind_bytes > fits:
                queue.wake()
                queue.waiters.wait_until(
                    lambda fits=fits: (  # type: ignore[misc]
                        queue.unsent - queue.behind_bytes <= fits
                        or queue.turn == FINISHED
                        or queue.phase == REFUSING
                    )
                )
            if not queue.send_fragment(self, head_byte, piece):
                raise self._closed_error()
            head_byte = Opcode.CONTINUATION
