"""A message that its sender writes itself, since nobody else is writing and nothing waits.

Owns: one frame of one message, and how much of it the kernel has taken. Runs on: the thread that calls
`send`. Must not import: the reading side, the writer.

A round trip would else wait for a writer thread to wake up. The sender holds a token meanwhile (see
`primitives`), and may lose it at any call, to its own signal handler that waits or to the end of the
connection: then the writer finds here what is left to do. Between the look at the token and the system call,
and between that and the count of its bytes, there is no step at which a handler could run: `map` and ``+=``
do all of it in C.

It is done for a message that stands apart: something was received since the last one, or some microseconds
have passed. The next ones of a burst are the writer's, which sends them in batches. The pause alone is no
sign: on loopback the answer is there while `send` is still in the kernel.

With TLS the frame is encrypted first, and what is left of that is the writer's: nothing can be encrypted
twice. OpenSSL's calls run signal handlers themselves, so that is not done where these run. A finalizer may
run in them; it is kept from waiting, since nobody could read or write before it returns.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from .._protocol import codec
from .primitives import LOOKS_IN_ORDER, Token, is_patched, own_thread
from .writer_turn import IDLE

if TYPE_CHECKING:
    from .._transport.stream import Stream
    from .send_queue import SendQueue

# Seconds between two sends from which on the second is no part of a burst.
APART_SECONDS = 8e-6

# What a sender frames and masks itself, in bytes. To mask more without C takes longer than to wake a thread.
LARGEST = 64 * 1024 if codec.speedups else 16 * 1024

# The largest payload of which the frame is one record of TLS, in bytes.
LARGEST_OF_TLS = 16 * 1024 - 14

# The environment is read once. PyPy runs signal handlers between any two steps, so that bytes sent could go
# uncounted there.
ALLOWED = os.environ.get("SYNCWS_INLINE") != "0" and sys.implementation.name == "cpython"


def is_allowed() -> bool:
    """Whether senders may write. Where greenlets stand for threads, the writer is as near."""
    return ALLOWED and not is_patched()


class InlineSend(Token):
    """One message that its sender writes, or what it has left of that.

    Attributes:
        queue: whose message it is.
        message: its head byte and its payload.
        size: of the payload, in bytes.
        frame: its bytes as the network gets them; empty before they are made.
        whole: what `sent` is when the kernel took all of them; something else before they are made.
        sent: how many of these the kernel took, if it was asked; else empty.
        settled: whether the message is with the kernel and counted.
    """

    __slots__ = ("frame", "message", "queue", "sent", "settled", "size", "whole")

    def __init__(self, queue: SendQueue, message: tuple[int, bytes]) -> None:
        super().__init__(queue.wake)
        self.queue = queue
        self.message = message
        self.size = len(message[1])
        self.frame = b""
        self.whole = [0]  # no count of what was sent equals this until the frame is made
        self.sent: list[int] = []
        self.settled = True

    def let_go(self) -> None:
        """It is settled, and stays here as the last one: keep no bytes of it."""
        self.frame, self.message = b"", (0, b"")


class InlineSends:
    """What the senders of one connection share.

    Attributes:
        stream: where they write; None while nobody may.
        last: the last message that was sent so.
        nobody: a token that no call holds.
        sent: how many messages were sent so.
        sent_at: when the last was, or a batch of the writer's, on the clock of `time.monotonic`.
        has_received: whether anything has come since then; the thread that reads says so.
    """

    __slots__ = ("has_received", "last", "nobody", "sent", "sent_at", "stream")

    def __init__(self, queue: SendQueue) -> None:
        self.stream: Stream | None = None
        self.last = self.nobody = InlineSend(queue, (0, b""))
        self.sent = 0
        self.sent_at = 0.0
        self.has_received = False

    def stands_apart(self) -> bool:
        """Whether a message that is sent now is no part of a burst."""
        return self.has_received or time.monotonic() - self.sent_at > APART_SECONDS


class _Nowhere:
    """Where a sender counts whose token was taken. The writer may be counting then, without a leaf, and what
    it adds would be lost even by adding 0, where threads do not share the interpreter's lock."""

    sent = handed = 0
    progress_at = 0.0


_nowhere = _Nowhere()


def may_encrypt(stream: Stream, size: int) -> bool:
    """Whether the caller may encrypt a message of so many bytes itself: as one record, frame and all."""
    return size <= LARGEST_OF_TLS and stream.is_usable_here()


def send_inline(stream: Stream, token: InlineSend) -> bool:
    """Write the message of `token` as far as that takes no waiting, and give the token back; True when a
    writer thread has something to do."""
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
        try:  # around one operator: no handler runs in it, whose error would be taken for the socket's
            sent += call
        except OSError:
            pass  # the kernel is full, or the connection is lost: the writer tries again, and tells


def _send_encrypted(stream: Stream, token: InlineSend) -> None:
    frame = codec.frames([token.message], os.urandom(4))
    with token.queue.leaf:
        token.in_call = token.held  # what is encrypted must be sent: from here on nobody takes the token
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
                pass  # as above
