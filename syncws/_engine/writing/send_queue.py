"""The notes that callers leave for the writer: messages, pings and the Close; and the count of their bytes.

Owns: the notes that the writer has not taken yet, whose turn it is to write, and `bufferedAmount`. Runs on:
any thread; the methods under *the writer's turn* on the thread that has it. Must not import: sockets, the
reading side.

In one leaf a caller leaves its note and changes everything else that must be true before its call returns; in
a ``finally`` it schedules the writer by one call of a C function. So a signal handler finds all of this done
or nothing, and its own call of any method works as if it came before or after. Each wait schedules the writer
again, since a handler may have interrupted a call between its leaf and the scheduling.

The leaves of callers hold no branch, since on CPython 3.10 a handler may run where a branch is taken. They
calculate with truth values instead, and pick what to add from a tuple.

The phases say what is accepted:

    ACCEPTING   everything
    FINISHING   the fragments that finish a message: `close` was called, and other messages wait behind it
    CUT         nothing: the server's Close, or a fault, came in the middle of a message in fragments
    REFUSING    nothing: a Close is queued, or the application has seen that the server closed, and our answer
                is about to be; or no writer is there any more
    SEALED      nothing, and messages that the callback API drops are not counted any more: the count is final

The phase only ever rises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._exceptions import BufferFull
from ..._protocol.frames import FIN, CloseFrame
from ..primitives import Waiters, tokens
from .inline_send import InlineSend, InlineSends, may_encrypt, send_inline
from .outbox import CloseNote, CutNote, FragmentNote
from .writer_turn import ACCEPTING, CUT, FINISHED, FINISHING, IDLE, REFUSING, SEALED, WriterTurn

if TYPE_CHECKING:
    from ..._transport.stream import Stream

# The fate of a message: refused, refused but counted in `bufferedAmount`, or taken.
REFUSED, COUNTED, TAKEN = range(3)


_NOTHING = ()

# The `max_buffered` of a connection without that option.
_ENDLESS = 2**62


class FragmentsTurn:
    """The turn at sending a message in fragments, and the messages that wait for its end.

    Attributes:
        thread: the identifier of the thread that has it.
        begun: whether the first fragment is queued, and the last one is not; False once one was refused.
        behind: how many messages wait for the last.
        behind_bytes: their bytes.
    """

    __slots__ = ("begun", "behind", "behind_bytes", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.begun = False
        self.behind = 0
        self.behind_bytes = 0


class SendQueue(WriterTurn):
    """The callers' side of sending.

    Attributes:
        phase: the present phase; see the head of the module.
        taken: bytes of application data that `send` took so far.
        refused: bytes that were refused and count in `bufferedAmount` all the same.
        sent: bytes handed to the network so far; only the thread that has the turn changes it.
        fragmented: which call has the turn at sending in fragments, or `nobody`.
        waiters: the threads that wait for progress of the writer, or for its end.
        inline: the state of callers that write by themselves.
        max_buffered: how many bytes may be unsent.
    """

    def __init__(self, max_buffered: int | None) -> None:
        super().__init__()
        self.taken = 0
        self.refused = 0
        self._close_call = 0  # 0 before a call of close(), 1 after it, 2 once its Close frame is queued
        self.nobody = FragmentsTurn(0)
        self.fragmented = self.nobody
        self.waiters = Waiters()
        self.inline = InlineSends(self)
        self.max_buffered = _ENDLESS if max_buffered is None else max_buffered

    # Any thread.

    @property
    def close_called(self) -> bool:
        """Whether the application has closed."""
        return self._close_call > 0

    @property
    def close_queued(self) -> bool:
        """Whether the application's Close frame is, or was, among the notes. A Close of the reader's does not
        count."""
        return self._close_call > 1

    @property
    def buffered(self) -> int:
        """Bytes given to `send` and not handed to the network."""
        sent = self.sent  # This is read first, so that the result is never negative.
        return self.taken + self.refused - sent

    @property
    def queued(self) -> int:
        """Bytes given to `send` so far, including those that were refused and counted."""
        return self.taken + self.refused

    @property
    def unsent(self) -> int:
        """Bytes that `send` took and that are not handed to the network."""
        sent = self.sent
        return self.taken - sent

    def send(self, opcode: int, payload: bytes, accept: bool = True, count_refused: bool = False) -> int:
        """Queue a whole message: TAKEN, or, since the connection is closing, REFUSED or COUNTED.

        Raises `BufferFull` when `max_buffered` would be passed; nothing is queued or counted then.
        """
        size = len(payload)
        message = FIN | opcode, payload
        inline = self.inline
        stream = inline.stream
        if stream is not None and self.turn == IDLE and size <= inline.largest and inline.stands_apart():
            may_lend = not stream.is_tls or may_encrypt(stream, size)
        else:
            may_lend = False
        if may_lend:
            accepted, taken = self._write_or_queue(stream, message, size, accept)
        else:
            notes = _NOTHING, [message]
            wake = False
            try:
                with self.leaf:
                    accepted = accept & (self.phase == ACCEPTING)
                    taken = accepted & (self.taken - self.sent + size <= self.max_buffered)
                    wake = taken & (self.turn == IDLE)
                    fragmented = self.fragmented
                    waits = taken & fragmented.begun
                    self.taken += size * taken
                    self._notes += notes[taken]
                    fragmented.behind += waits
                    fragmented.behind_bytes += size * waits
                    self.turn += wake  # SCHEDULED
            finally:
                if wake:
                    self.wake()
        if taken:
            return TAKEN
        if accepted:
            raise BufferFull(
                f"{size} bytes do not fit: {self.buffered} bytes are waiting already, "
                f"and max_buffered={self.max_buffered}"
            )
        return self._count(size) if count_refused else REFUSED

    def _write_or_queue(
        self, stream: Stream | None, message: tuple[int, bytes], size: int, accept: bool
    ) -> tuple[bool, bool]:
        """Write the message on this thread if no other one writes and nothing waits; otherwise queue it.

        Returns whether messages are accepted, and whether this one was taken.
        """
        notes = _NOTHING, [message]
        inline = self.inline
        token = InlineSend(self, message)
        tokens[token] = None
        last = [token, token]
        accepted = taken = lends = wake = False
        try:
            with self.leaf:
                accepted = accept & (self.phase == ACCEPTING)
                taken = accepted & (self.taken - self.sent + size <= self.max_buffered)
                wake = taken & (self.turn == IDLE)
                fragmented = self.fragmented
                waits = taken & fragmented.begun
                lends = wake & (not waits) & (inline.stream is stream)
                lends &= inline.last.settled & (not inline.last.held)
                last[0] = inline.last
                inline.last = last[lends]
                token.held = lends
                token.settled = not lends
                self.taken += size * taken
                self._notes += notes[taken & (not lends)]
                fragmented.behind += waits
                fragmented.behind_bytes += size * waits
                self.turn += wake & (not lends)  # SCHEDULED
            if lends:
                wake = send_inline(stream, token)  # type: ignore[arg-type]
                self.waiters.notify()
        finally:
            token.held = token.in_call = False
            if wake:
                self.wake()
        tokens.pop(token, None)
        return accepted, taken

    def _count(self, size: int) -> int:
        with self.leaf:
            counts = self.phase != SEALED
            self.refused += size * counts
        return COUNTED if counts else REFUSED

    def seal(self) -> int:
        """After the end: count nothing more. Returns the final number of bytes in `bufferedAmount`."""
        with self.leaf:
            self.phase = SEALED
        return self.buffered

    def leave_note(self, note: object, always: bool = False) -> bool:
        """Leave a ping for the writer. Unless `always`, it is refused (False) once the connection is
        closing."""
        notes = _NOTHING, [note]
        taken = wake = False
        try:
            with self.leaf:
                taken = always | (self.phase == ACCEPTING)
                self._notes += notes[taken]
                self._mixed |= taken
                wake = taken & (self.turn == IDLE)
                self.turn += wake  # SCHEDULED
        finally:
            if wake:
                self.wake()
        return taken

    def close(self, close: CloseFrame) -> None:
        """Queue a Close frame behind everything else, unless there is one already; accept nothing more.

        If messages of other threads wait behind one in fragments, that one is finished and they are sent
        before the Close: their calls of `send` have returned. But a thread that calls close() inside its own
        iterable cannot finish its message, so that one is cut.
        """
        caller = threading.get_ident()
        notes = _NOTHING, [CloseNote(close)], [CloseNote(close, finish=True)]
        try:
            with self.leaf:
                fragmented = self.fragmented
                phase = self.phase
                others_wait = (fragmented.behind > 0) & (fragmented.thread != caller)
                first = not self._close_call
                queues = first & ((phase == ACCEPTING) | (phase == CUT))
                finishes = queues & (phase == ACCEPTING) & others_wait
                self._notes += notes[queues + finishes]
                self._mixed |= queues
                self.phase = phase + queues * (REFUSING - phase) - finishes * (REFUSING - FINISHING)
                self._close_call += first + queues
            self.waiters.notify()  # Threads that wait to send in fragments go on at once.
        finally:
            self.wake()

    def stop_accepting(self) -> None:
        """The application has seen that the server closed: accept nothing more."""
        with self.leaf:
            self.phase += (self.phase == ACCEPTING) * REFUSING
        self.waiters.notify()

    # The thread that sends a message in fragments.

    def begin_fragments(self, fragmented: FragmentsTurn) -> bool:
        """Give a call the turn at fragments. Returns False if another call has it."""
        turns = [fragmented, fragmented]
        with self.leaf:
            turns[0] = self.fragmented
            self.fragmented = turns[(self.fragmented is self.nobody) & (self.phase == ACCEPTING)]
        return self.fragmented is fragmented

    def send_fragment(self, fragmented: FragmentsTurn, head_byte: int, payload: bytes) -> bool:
        """Queue a fragment. Returns False once no further one is accepted."""
        size = len(payload)
        notes = _NOTHING, [FragmentNote((head_byte, payload))]
        ends = bool(head_byte & FIN)
        taken = wake = False
        try:
            with self.leaf:
                taken = (self.phase < CUT) & (self.fragmented is fragmented)
                self._notes += notes[taken]
                self._mixed |= taken
                self.taken += size * taken
                fragmented.begun = taken & (not ends)
                fragmented.behind *= fragmented.begun
                fragmented.behind_bytes *= fragmented.begun
                self.phase += (taken & ends & (self.phase == FINISHING)) * (REFUSING - FINISHING)
                wake = taken & (self.turn == IDLE)
                self.turn += wake  # SCHEDULED
        finally:
            if wake:
                self.wake()
        return taken

    def end_fragments(self, fragmented: FragmentsTurn) -> None:
        """Give the turn at fragments back. After a message that is not whole only a Close is accepted."""
        turns = [self.nobody, self.nobody]
        try:
            with self.leaf:
                turns[0] = self.fragmented
                mine = self.fragmented is fragmented
                self.fragmented = turns[mine]
                self.phase += (mine & fragmented.begun & (self.phase < REFUSING)) * (REFUSING - self.phase)
            self.waiters.notify()  # The next call may take the turn.
        finally:
            self.wake()

    # The reader thread.

    def cut_fragments(self) -> None:
        """After the server's Close or a fault: accept no further fragment of a message that has begun. Only
        our Close may follow its beginning."""
        cut = [CutNote()]
        with self.leaf:
            if self.fragmented.begun and self.phase < CUT:
                self.phase = CUT
                self._notes += cut
                self._mixed = True
        self.waiters.notify()
        self.schedule()

    def refuse(self, note: CloseNote) -> None:
        """Accept nothing more from the application, and queue the reader's Close frame."""
        notes = [note]
        with self.leaf:
            self.phase = REFUSING if self.phase < REFUSING else self.phase
            self._notes += notes
            self._mixed = True
        self.waiters.notify()
        self.schedule()

    # A forked child.

    def after_fork(self, wake: Callable[[], object]) -> None:
        """An end without a word to the network."""
        self.turn = FINISHED
        self.inline.stream = None
        self.inline.last.held = False
        self.phase = max(REFUSING, self.phase)
        # The thread that had the turn may not exist here, and another one may have its number.
        self.fragmented = self.nobody
        self.wake = wake
        self.waiters.notify()
