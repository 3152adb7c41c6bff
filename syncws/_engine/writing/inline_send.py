"""A message that its sender writes itself, since nobody else is writing and nothing waits.

Owns: one frame of one message, and how much of it the kernel has taken. Runs on: the thread that calls
`send`. Must not import: the reading side, the writer.

Otherwise each round trip would wait for a writer thread to wake up. The sender holds a token meanwhile (see
`primitives`), and may lose it at any call, to its own signal handler that waits or to the end of the
connection: then the writer finds the rest of the work here. Between the look at the token and the system
call, and between that and the count of its bytes, there is no step at which a handler could run: `map` and
``+=`` do all of it in C.

A sender does this for a message that stands apart: something was received since the last one, or some
microseconds have passed. The further messages of a burst are left to the writer, which sends them in batches.
The pause alone is no sign: on loopback the answer is there while `send` is still in the kernel.

With TLS the frame is encrypted first, and the writer sends what is left of those bytes, since nothing can be
encrypted twice. OpenSSL's calls run signal handlers themselves, so no sender does this on the main thread. A
finalizer may run in those calls; `own_thread` keeps it from waiting, since nobody could read or write before
it returns.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from ..._protocol import codec
from ..primitives import LOOKS_IN_ORDER, Token, is_patched, own_thread
from .writer_turn import IDLE

if TYPE_CHECKING:
    from ..._transport.stream import Stream
    from .send_queue import SendQueue

# A send so many seconds after the last one is no part of a burst.
APART_SECONDS = 8e-6

# The largest payload that a sender frames and masks itself, in bytes. Masking more without C takes longer
# than waking a thread.
LARGEST = 64 * 1024 if codec.speedups else 16 * 1024

# The largest payload of which the frame is one record of TLS, in bytes.
LARGEST_OF_TLS = 16 * 1024 - 14

# The environment is read once. PyPy runs signal handlers between any two steps, so that bytes sent could go
# uncounted there.
ALLOWED = os.environ.get("SYNCWS_INLINE") != "0" and sys.implementation.name == "cpython"


def is_allowed() -> bool:
    """Whether senders may write. With greenlets in the place of threads there is nothing to gain."""
    return ALLOWED and not is_patched()


class InlineSend(Token):
    """One message that its sender writes, or what it has left of that.

    Attributes:
        queue: whose message it is.
        message: its head byte and its payload.
        size: of the payload, in bytes.
        frame: its bytes as the network gets them; empty until they are made.
        whole: the value of `sent` once the kernel took all of them; an impossible one until they are made.
        sent: how many of these the kernel took; empty if it was not asked.
        settled: whether the message is with the kernel and counted.
    """

    __slots__ = ("frame", "message", "queue", "sent", "settled", "size", "whole")

    def __init__(self, queue: SendQueue, message: tuple[int, bytes]) -> None:
        super().__init__(queue.wake)
        self.queue = queue
        self.message = message
        self.size = len(message[1])
        self.frame = b""
        self.whole = [0]  # No count of sent bytes equals this until the frame is made.
        self.sent: list[int] = []
        self.settled = True

    def let_go(self) -> None:
        """Free the bytes: the message is settled, but this object stays as the last one."""
        self.frame, self.message = b"", (0, b"")


class InlineSends:
    """The state that the senders of one connection share.

    Attributes:
        stream: the stream to write to; None while no sender may write.
        largest: the most bytes that a message has which its sender may write.
        last: the last message that a sender wrote itself.
        nobody: a token that no call holds.
        sent: how many messages senders wrote themselves.
        sent_at: when the last was, or a batch of the writer's, on the clock of `time.monotonic`.
        has_received: whether anything has arrived since then; the reading thread sets it.
    """

    __slots__ = ("has_received", "largest", "last", "nobody", "sent", "sent_at", "stream")

    def __init__(self, queue: SendQueue) -> None:
        self.stream: Stream | None = None
        self.largest = LARGEST
        self.last = self.nobody = InlineSend(queue, (0, b""))
        self.sent = 0
        self.sent_at = 0.0
        self.has_received = False

    def stands_apart(self) -> bool:
        """Whether a message that is sent now is no part of a burst."""
        return self.has_received or time.monotonic() - self.sent_at > APART_SECONDS


class _Nowhere:
    """The counter for a sender whose token was taken.

    The writer may be changing the real one then, without a leaf. Without the interpreter's lock, adding even
    0 to the real one could lose what the writer adds.
    """

    sent = handed = 0
    progress_at = 0.0


_nowhere = _Nowhere()


def may_encrypt(stream: Stream, size: int) -> bool:
    """Whether the caller may encrypt a message of so many bytes itself: its whole frame must fit one
    record."""
    return size <= LARGEST_OF_TLS and stream.is_usable_here()


def send_inline(stream: Stream, token: InlineSend) -> bool:
    """Write the message of `token` as far as the kernel takes it without a wait, and give the token back.

    Returns True when a writer thread has something left to do.
    """
    queue, inline = token.queue, token.queue.inline
    if stream.is_tls:
        _send_encrypted(stream, token)
    else:
        _send_plain(stream, token)
    now = time.monotonic()
    whole = token.whole
    length = whole[0]
    counts, streams = (_nowhere, queue), (_nowhere, stream)
    with queue.leaf:
        token.in_call = False
        done = token.held & (token.sent == whole)
        token.settled |= done
        token.held = False
        inline.sent += done
        counts[done].sent += token.size
        streams[done].handed += length
        streams[done].progress_at = now
        calls_writer = (queue.turn != IDLE) | (not token.settled)
    if done:
        token.let_go()
    inline.sent_at = now
    inline.has_received = False
    return calls_writer


def _send_plain(stream: Stream, token: InlineSend) -> None:
    frame = token.frame = codec.frames([token.message], os.urandom(4))
    sent = token.sent
    token.whole = [len(frame)]
    call = map(stream.socket.send, (frame,))
    if LOOKS_IN_ORDER:
        token.in_call = token.held
    else:
        with token.queue.leaf:
            token.in_call = token.held
    if token.in_call:
        # This holds one operator only. No handler runs in it, whose error would be taken for the socket's.
        try:
            sent += call
        except OSError:
            # The kernel is full, or the connection is lost: the writer tries again, and reports the error.
            pass


def _send_encrypted(stream: Stream, token: InlineSend) -> None:
    frame = codec.frames([token.message], os.urandom(4))
    with token.queue.leaf:
        token.in_call = token.held  # Encrypted bytes must be sent, so nobody may take the token from here on.
    if not token.in_call:
        return
    with own_thread():
        wire = stream.encrypt(frame)
        if wire is not None:
            token.whole = [len(wire)]
            token.frame = wire
            call = map(stream.socket.send, (wire,))
            sent = token.sent
            try:
                sent += call
            except OSError:
                pass  # The writer tries again, and reports the error, as above.
