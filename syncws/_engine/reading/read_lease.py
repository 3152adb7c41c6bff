"""The turn at reading, lent to a thread that waits for a message.

Owns: whose turn it is to read while the connection is open, and the bytes that were read by lease and not
made messages yet. Runs on: the methods under *a consumer* on the thread that receives, the others on the
reader thread. Must not import: the consumers, the writer.

A consumer that finds nothing to take waits for the network itself. So no reader must wake up first and then
wake the consumer: a round trip has no change of threads. It holds a token (see `primitives`), for
`LEASE_SECONDS` at most, and each of its steps can be repeated. Bytes that it reads are in `chunks` at once.
Making messages of them changes nothing (see `whole_messages`). One leaf gives the messages to the
application, leaves in `chunks` the bytes behind them, and brings the state of inflating up to date. Whatever
is no whole message in one frame stays in `chunks` for the reader.

Starting a lease costs no system call. The reader notices it when the first bytes wake both threads, and stops
watching the socket: it looks every `LEASE_SECONDS` whether a consumer was here, and takes the turn back if
none was. It may take it at any moment, except while the consumer is in the call that reads, which does not
wait: `in_call` of the token is true from a store before that call to a store after it, and no handler runs in
between. If nothing comes within a lease, the consumer gives the turn back with one wake-up, and waits without
a lease.

`needs_reader` is true from before bytes are read until they are messages. So whatever cuts a consumer off,
the reader finds the bytes; one call of a C function in a ``finally`` wakes it. A handler may also cut a
consumer off after the messages and before the wake-up of other consumers: the thread that is woken next wakes
those.

With TLS no consumer reads on the main thread: OpenSSL's calls run signal handlers themselves, so that bytes
would be lost. A finalizer may run in these calls; `own_thread` keeps it from waiting, since nobody could
read before it returns.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..._protocol.whole_messages import WholeMessages
from ..primitives import LOOKS_IN_ORDER, Leaf, Token, is_patched, own_thread, tokens
from .read_size import ReadSize

if TYPE_CHECKING:
    import zlib

    from ..._protocol.permessage_deflate import Inflater
    from ..._transport.stream import Stream
    from ..writing.send_queue import SendQueue

# How many seconds a consumer waits by lease, and how often the reader looks at it.
LEASE_SECONDS = 0.005

# How many consumers of the process may wait by lease at the same time. After a message to each of many
# connections, hundreds of threads would begin and end such a wait together, and CPython has each thread that
# wants to run wake up every 5 ms to ask for that, which leaves little time to those that do.
MOST_AT_ONCE = 16

# After bytes that were for the reader, so many requests for a lease are refused: if such bytes come often, a
# lease costs more than it saves.
REFUSED_AFTER = 8

# The environment is read once. PyPy runs signal handlers between any two steps, so that bytes that were read
# could be lost.
ALLOWED = os.environ.get("SYNCWS_LEASE") != "0" and sys.implementation.name == "cpython"


def is_allowed() -> bool:
    """Whether consumers may read. In a patched program that gains nothing: each wait changes greenlets."""
    return ALLOWED and hasattr(select, "poll") and not is_patched()


class _Nobody:
    """Takes the place of an inflater whose state must not change."""

    __slots__ = ("zlib_stream",)

    zlib_stream: zlib._Decompress | None


class LeasedRead(WholeMessages):
    """The result of one read by lease, prepared so that one leaf can hand it over.

    Attributes:
        token: the consumer's turn; the result may be handed over while this is held.
        count: how many messages there are.
        left: how many bytes are left.
        chunks: a pair; at the index of `token.held` stand the bytes that are left, and the lease's own chunks
            take the other place.
        holders: a pair; at the index of `token.held` stands the object whose `zlib_stream` becomes the one of
            this read: the inflater, or, without a turn or without compression, one that nobody uses. The
            reader changes the inflater's without a leaf.
        for_reader: whether the reader must look at the bytes that are left at once.
        received: the counter for a consumer that comes too late: the reader counts in the stream meanwhile.
    """

    __slots__ = ("chunks", "count", "for_reader", "holders", "left", "received", "token")

    def __init__(self, token: Token, chunks: list[bytes], limit: int, inflater: Inflater | None) -> None:
        super().__init__(chunks, limit, inflater)
        self.token = token
        self.count = len(self.messages)
        self.left = len(self.rest)
        self.received = 0
        self.for_reader = self.for_decoder
        left = [self.rest] if self.rest else []
        self.chunks = [left, left]
        nobody = _Nobody()
        self.holders: tuple[_Nobody, Inflater | _Nobody] = nobody, nobody if inflater is None else inflater


class Taker(Protocol):
    """The part of a consumer that this module uses."""

    def put_by_lease(self, leased: LeasedInput, stream: Stream, read: LeasedRead) -> None:
        """In one leaf, if the token is still held: append the messages, and count them; put the rest into
        `chunks`, and set `unfed` if there is any, `needs_reader` if it is for the reader; put the state of
        inflating in its place.
        """


class LeasedInput:
    """What was read by lease. The consumer that reads adds to it; all else is in the consumer's leaf.

    Attributes:
        chunks: the bytes that are not messages yet.
        counted: how many of these are in `received` of the stream, if that does not count by itself.
        unfed: whether `chunks` holds bytes that the decoder has not seen.
        needs_reader: whether the reader must look at `chunks` at once.
        error: the error of a read by lease; the reader must see it, since the next read may raise another
            one.
        messages_received, bytes_received: the counts of what was received by lease so far.
    """

    __slots__ = ("bytes_received", "chunks", "counted", "error", "messages_received", "needs_reader", "unfed")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.counted = 0
        self.unfed = False
        self.needs_reader = False
        self.error: BaseException | None = None
        self.messages_received = 0
        self.bytes_received = 0


class ReadLease:
    """The turn at reading one connection.

    Attributes:
        input: what was read by lease.
        stream: the stream to read from.
        recent: whether a consumer had the turn since the reader last looked.
        wanted: whether a consumer was refused since the reader last gave the turn away.
        reader_looks: whether the reader leaves the socket to consumers, and looks every `LEASE_SECONDS`.
        wake_soon: a C function that makes a thread of ours wake the reader and the other consumers.
        wake: wakes the reader now; takes several steps of Python.
    """

    def __init__(self, queue: SendQueue, leaf: Leaf) -> None:
        """`leaf` is the consumer's, so that bytes become messages in one step."""
        self.input = LeasedInput()
        self.stream: Stream | None = None
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
        self._inflater: Inflater | None = None
        self._read_size = ReadSize()
        self._refusals = 0

    # A consumer.

    def read(self, taker: Taker, seconds: float) -> bool:
        """Wait for the network, at most `seconds`, and read in the reader's place.

        Returns True when the consumer should look again, False when it should wait without a lease.
        """
        if self._refusals:
            self._refusals -= 1
            return False
        if self.stream is not None and not self.stream.is_usable_here():
            return False
        if self._reader_has:
            self.wanted = True
            return False
        if len(tokens) >= MOST_AT_ONCE:
            return False
        leased = self.input
        token = Token(self.wake_soon)
        tokens[token] = None
        lent = [token, token]
        lends = False
        is_cut = True
        try:
            with self._leaf:
                lends = (not self._reader_has) & (not self._token.held) & (not leased.needs_reader)
                lent[0] = self._token
                self._token = lent[lends]
                token.held = lends
                self.recent |= lends
            if not lends:
                is_cut = False
                return False
            goes_on = self._read(token, taker, seconds)
            if not goes_on or leased.needs_reader or (leased.unfed and not self.reader_looks):
                self.recent = token.held = False
                if leased.needs_reader or leased.unfed or self.reader_looks:
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
        assert stream is not None  # `open` has set it before any consumer gets here.
        sock = stream.socket
        if self._read_size.drained:
            # Only a signal handler raises here, and its error must not be taken for the socket's.
            number = sock.fileno()
            if number < 0:
                return False  # The turn was taken back, and the socket closed.
            poller = select.poll()
            poller.register(number, select.POLLIN)
            if not poller.poll(min(seconds, LEASE_SECONDS) * 1000.0):
                return False
        if stream.is_tls:
            return self._read_encrypted(token, taker, stream)
        leased = self.input
        call = map(sock.recv, (self._read_size.bytes,))
        if LOOKS_IN_ORDER:
            token.in_call = token.held
        else:
            with self._leaf:
                token.in_call = token.held
        if token.in_call:
            leased.needs_reader = True
            try:  # This holds one operator only, in which no handler runs.
                leased.chunks += call
            except BlockingIOError:
                token.in_call = False
                leased.needs_reader = False
                self._read_size.drained = True
                return True
            except OSError as error:
                leased.error = error
                return False
        token.in_call = False
        return self._make_messages(token, taker, stream)

    def _read_encrypted(self, token: Token, taker: Taker, stream: Stream) -> bool:
        with self._leaf:
            token.in_call = token.held
        if not token.in_call:
            return False
        leased = self.input
        leased.needs_reader = True
        try:
            with own_thread():
                data = stream.recv(self._read_size.bytes)
        except OSError as error:
            leased.error = error
            return False
        except BaseException as error:  # The decrypted bytes are lost, and the connection with them.
            leased.error = error
            raise
        if data is None:
            leased.needs_reader = False
        else:
            leased.chunks.append(data)
        token.in_call = False
        if stream.output_pending:
            self._queue.schedule()
        if data is None:
            self._read_size.drained = True
            return True
        return self._make_messages(token, taker, stream)

    def _make_messages(self, token: Token, taker: Taker, stream: Stream) -> bool:
        leased = self.input
        chunks = leased.chunks
        if not token.held or not chunks or not chunks[-1]:
            return False  # The reader has taken the turn back, or it must find the end.
        received, size = len(chunks[-1]), self._read_size
        size.adapt(received, stream.drained if stream.is_tls else received < size.bytes)
        self._queue.inline.has_received = True
        read = LeasedRead(token, chunks, self._limit, self._inflater)
        read.for_reader |= stream.is_over
        taker.put_by_lease(leased, stream, read)
        if read.for_reader:
            self._refusals = REFUSED_AFTER
        return bool(read.count) or not read.for_reader

    # The reader.

    def open(self, stream: Stream, limit: int, inflater: Inflater | None) -> None:
        """There is a stream to read. `limit`: of a payload that consumers may make a message of, in bytes."""
        self.stream = stream
        self._limit = limit
        self._inflater = inflater

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
        """Take the turn if no consumer has it."""
        takes = False
        with self._leaf:
            if not self._token.held:
                self._reader_has = True
                takes = True
        return takes

    def lend(self, rest: bytes, recent: bool) -> None:
        """Let consumers read. They find `rest`, which was read before and fed to the decoder, in `chunks`.

        `recent`: a consumer has asked for the turn and got a message meanwhile, so it will ask again soon.
        """
        chunks = [rest] if rest else []
        size = len(rest)
        leased = self.input
        with self._leaf:
            leased.chunks = chunks
            leased.counted = size
            self.recent = recent
            self.wanted = self._reader_has = False

    def take_chunks(self) -> bytes:
        """Take the bytes that were read by lease and are not decoded."""
        leased = self.input
        fresh: list[bytes] = []
        # This is one leaf, since a consumer that comes too late also stores the chunks that it has found,
        # unchanged, in a leaf.
        with self._leaf:
            chunks = leased.chunks
            counted = leased.counted
            leased.chunks = fresh
            leased.counted = 0
            leased.needs_reader = leased.unfed = False
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
