"""The turn at reading, lent to a thread that waits for a message.

Owns: whose turn it is to read while the connection is open, and the bytes that were read by lease and not
made messages yet. Runs on: the methods under *a consumer* on the thread that receives, the others on the
reader thread. Must not import: the consumers, the writer.

A consumer that finds nothing to take waits for the network itself, and so is not woken by a reader that was
woken first: a round trip has no change of threads then. It holds a token (see `primitives`), for
`LEASE_SECONDS` at most, and does only what can be repeated: what it reads is in `chunks` at once, parsing
plain frames changes nothing, and one leaf makes the messages the application's and what is left of the bytes
the next `chunks`. All that is no plain frame stays in `chunks`, for the reader.

No system call tells the reader of a lease. It finds out when the first bytes wake both, and lets the socket
go: it looks every `LEASE_SECONDS` whether the consumer was here, and takes the turn back if not. It may do so
at any moment but while the consumer is in the call that reads, which does not wait: the token says `in_call`
from a store before that call to one after it, and no handler runs in between. A consumer for whom nothing
came within a lease gives the turn back with one wake-up, and waits as without it.

`needs_reader` is true from before bytes are read until they are messages, so that whatever cuts a consumer
off, the reader finds them; what wakes it then is one call of a C function in a ``finally``. A handler may cut
it off between the messages and the wake-up of other consumers as well: whoever is woken then wakes those.

With TLS nobody reads where signal handlers run: OpenSSL's calls run them themselves, so that bytes would be
lost. A finalizer may run in these calls; it is kept from waiting, since nobody could read before it returns.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .._protocol.codec import PLAIN_FRAMES, parse
from .primitives import LOOKS_IN_ORDER, Leaf, Token, is_patched, own_thread, tokens

if TYPE_CHECKING:
    from .._protocol.messages import Message, MessagePart
    from .._transport.stream import Stream
    from .send_queue import SendQueue

# How long a consumer waits by lease, and how often the reader looks at it, in seconds.
LEASE_SECONDS = 0.005

# How much is read at once by lease, in bytes. What is read is a new object each time: of larger ones the C
# library gives the memory back to the system at once, and to get it again takes longer than to fill it.
READ_SIZE = 64 * 1024

# After bytes that were for the reader, so many requests for a lease are refused: where those come often, a
# lease costs more than it saves.
REFUSED_AFTER = 8

# The environment is read once. PyPy runs signal handlers between any two steps, so that bytes that were read
# could be lost.
ALLOWED = os.environ.get("SYNCWS_LEASE") != "0" and sys.implementation.name == "cpython"


def is_allowed() -> bool:
    """Whether consumers may read. In a patched program nothing is won: greenlets change places at each
    wait."""
    return ALLOWED and hasattr(select, "poll") and not is_patched()


class LeasedRead:
    """What a consumer has read by lease, and what it takes to make messages of it in one leaf.

    Attributes:
        token: while it is held, that may be done.
        messages, count: those that are whole.
        size, payload: their bytes, with the headers of their frames and without.
        chunks: what is left, at the index that says whether the token is held; the lease's go to the other.
        left: how many bytes are left.
        for_reader: whether the reader is to look at them at once.
        received: where a consumer that comes too late counts: the reader counts in the stream meanwhile.
    """

    __slots__ = ("chunks", "count", "for_reader", "left", "messages", "payload", "received", "size", "token")

    def __init__(self, token: Token, chunks: list[bytes], limit: int) -> None:
        """`limit`: of a plain frame's payload, in bytes."""
        self.token = token
        self.messages: list[Message | MessagePart] = []
        self.size, self.payload, rest = parse_chunks(chunks, limit, self.messages)
        self.count = len(self.messages)
        self.left = len(rest)
        self.received = 0
        self.for_reader = bool(rest) and not missing_of(rest, limit)
        left = [rest] if rest else []
        self.chunks = [left, left]


class Taker(Protocol):
    """A consumer, as far as it is known here."""

    def put_by_lease(self, lease: ReadLease, stream: Stream, read: LeasedRead) -> None:
        """In one leaf, where the token is still held: append the messages, leave the rest in the lease's
        `chunks`, whether there is any in `unfed`, and whether it is for the reader in `needs_reader`; and
        count what came."""


class ReadLease:
    """The turn at reading one connection.

    Attributes:
        chunks: the bytes that were read by lease and are not messages yet.
        counted: how many of these are in `received` of the stream, where that does not count itself.
        stream: where it is read.
        messages_received, bytes_received: what was received by lease so far.
        needs_reader: whether the reader is to look at them at once.
        unfed: whether the decoder has not seen them.
        error: what reading by lease has raised; for the reader, since the next read may say something else.
        recent: whether a consumer was here since the reader last looked.
        wanted: whether it was refused since the reader last gave the turn away.
        reader_looks: whether the reader, which leaves the socket to consumers, looks every `LEASE_SECONDS`.
        wake_soon: has a thread of ours wake the reader and the other consumers; one C function.
        wake: wakes the reader now; takes several steps of Python.
    """

    def __init__(self, queue: SendQueue, leaf: Leaf) -> None:
        """`leaf` is the consumer's: what a consumer has read is to become messages in one step."""
        self.chunks: list[bytes] = []
        self.counted = 0
        self.stream: Stream | None = None
        self.messages_received = 0
        self.bytes_received = 0
        self.needs_reader = False
        self.error: BaseException | None = None
        self.unfed = False
        self.recent = False
        self.wanted = False
        self.reader_looks = False
        self.wake_soon: Callable[[], object] = bool
        self.wake: Callable[[], object] = bool
        self._queue = queue
        self._leaf = leaf
        self._token = Token(bool)
        self._reader_has = True
        self._limit = 0
        self._poll_first = True
        self._refusals = 0

    # A consumer.

    def read(self, taker: Taker, seconds: float) -> bool:
        """Wait for the network, at most `seconds`, and read in the reader's place; True when the consumer
        should look again, False when it is to wait as usual."""
        if self._refusals:
            self._refusals -= 1
            return False
        if self.stream is not None and not self.stream.is_usable_here():
            return False
        if self._reader_has:
            self.wanted = True
            return False
        token = Token(self.wake_soon)
        tokens[token] = None
        lent = [token, token]
        lends = False
        is_cut = True
        try:
            with self._leaf:
                lends = (not self._reader_has) & (not self._token.held) & (not self.needs_reader)
                lent[0] = self._token
                self._token = lent[lends]
                token.held = lends
                self.recent |= lends
            if not lends:
                is_cut = False
                return False
            goes_on = self._read(token, taker, seconds)
            if not goes_on or self.needs_reader or (self.unfed and not self.reader_looks):
                self.recent = token.held = False
                if self.needs_reader or self.unfed or self.reader_looks:
                    self.wake()
            is_cut = False
            return goes_on
        finally:
            token.in_call = token.held = False
            if is_cut:
                self.wake_soon()
            tokens.pop(token, None)

    def _read(self, token: Token, taker: Taker, seconds: float) -> bool:
        stream = self.stream
        assert stream is not None  # `release` has it before any consumer comes here
        sock = stream.socket
        if self._poll_first:
            # Nothing here raises but a signal handler, whose error must not be taken for the socket's.
            number = sock.fileno()
            if number < 0:
                return False  # the turn was taken back, and the socket closed
            poller = select.poll()
            poller.register(number, select.POLLIN)
            if not poller.poll(min(seconds, LEASE_SECONDS) * 1000.0):
                return False
        if stream.is_tls:
            return self._read_encrypted(token, taker, stream)
        call = map(sock.recv, (READ_SIZE,))
        if LOOKS_IN_ORDER:
            token.in_call = token.held
        else:
            with self._leaf:
                token.in_call = token.held
        if token.in_call:
            self.needs_reader = True
            try:  # around one operator, in which no handler runs
                self.chunks += call
            except BlockingIOError:
                token.in_call = False
                self.needs_reader = False
                self._poll_first = True
                return True
            except OSError as error:
                self.error = error
                return False
        token.in_call = False
        return self._make_messages(token, taker, stream)

    def _read_encrypted(self, token: Token, taker: Taker, stream: Stream) -> bool:
        with self._leaf:
            token.in_call = token.held
        if not token.in_call:
            return False
        self.needs_reader = True
        try:
            with own_thread():
                data = stream.recv(READ_SIZE)
        except OSError as error:
            self.error = error
            return False
        except BaseException as error:  # what was decrypted is lost, and the connection with it
            self.error = error
            raise
        if data is None:
            self.needs_reader = False
        else:
            self.chunks.append(data)
        token.in_call = False
        if stream.output_pending:
            self._queue.schedule()
        if data is None:
            self._poll_first = True
            return True
        return self._make_messages(token, taker, stream)

    def _make_messages(self, token: Token, taker: Taker, stream: Stream) -> bool:
        chunks = self.chunks
        if not token.held or not chunks or not chunks[-1]:
            return False  # the reader has taken the turn back, or it is to find the end
        self._poll_first = stream.drained if stream.is_tls else len(chunks[-1]) < READ_SIZE
        self._queue.inline.has_received = True
        read = LeasedRead(token, chunks, self._limit)
        read.for_reader |= stream.is_over
        taker.put_by_lease(self, stream, read)
        if read.for_reader:
            self._refusals = REFUSED_AFTER
        return bool(read.count) or not read.for_reader

    # The reader.

    def open(self, stream: Stream, limit: int) -> None:
        """There is a stream to read. `limit`: of a plain frame's payload, in bytes."""
        self.stream = stream
        self._limit = limit

    def take(self) -> bool:
        """Take the turn back; False while a consumer is in the call that reads."""
        takes = False
        with self._leaf:
            if not self._token.in_call:
                self._token.held = False
                self._reader_has = True
                takes = True
        return takes

    def take_if_free(self) -> bool:
        """Take the turn where no consumer has it."""
        takes = False
        with self._leaf:
            if not self._token.held:
                self._reader_has = True
                takes = True
        return takes

    def release(self, rest: bytes, recent: bool) -> None:
        """Let consumers read, who find `rest` as what was read before, and has been fed. `recent`: one of
        them has asked for the turn, and has got something meanwhile, so that it soon asks again."""
        chunks = [rest] if rest else []
        size = len(rest)
        with self._leaf:
            self.chunks = chunks
            self.counted = size
            self.recent = recent
            self.wanted = self._reader_has = False

    def take_chunks(self) -> bytes:
        """What was read by lease and is not decoded."""
        fresh: list[bytes] = []
        # This is one leaf: a consumer that comes too late stores what it has found in a leaf too, unchanged.
        with self._leaf:
            chunks = self.chunks
            counted = self.counted
            self.chunks = fresh
            self.counted = 0
            self.needs_reader = self.unfed = False
        data = b"".join(chunks)
        if self.stream is not None and not self.stream.is_tls:
            self.stream.received += len(data) - counted
        return data

    def is_used(self) -> bool:
        """Whether a consumer has the turn, or had it since the last call."""
        recent, self.recent = self.recent, False
        return recent or self._token.held

    def after_fork(self) -> None:
        """In a forked child: nobody reads."""
        self._reader_has = True
        self._token.held = False


def parse_chunks(
    chunks: list[bytes], limit: int, messages: list[Message | MessagePart]
) -> tuple[int, int, bytes]:
    """Append the messages of the plain frames that `chunks` begin with; return their bytes, with headers and
    without, and what stands behind them.

    Of the last chunk only those bytes are copied that end a frame of the one before.
    """
    *earlier, data = chunks
    size = payload = position = 0
    if earlier:
        beginning = b"".join(earlier)
        position = missing_of(beginning, limit)
        if 0 < position <= len(data):
            size, payload = parse(beginning + data[:position], 0, limit, messages)
        if not size:
            data, position = beginning + data, 0
    end, more = parse(data, position, limit, messages)
    return size + end - position, payload + more, data[end:]


def missing_of(data: bytes, limit: int) -> int:
    """How many bytes must come until the plain frame that `data` begin with is whole, or until its length is
    known; 0 where it is whole, or is not plain."""
    if data[0] not in PLAIN_FRAMES:
        return 0
    if len(data) < 2:
        return 1
    length, start = data[1], 2
    if length > 125:
        if length != 126:
            return 0
        if len(data) < 4:
            return 4 - len(data)
        length, start = data[2] << 8 | data[3], 4
        if length < 126:
            return 0
    return max(0, start + length - len(data)) if length <= limit else 0
