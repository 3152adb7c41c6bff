"""What callers leave for the writer: messages, pings and the Close, and the count of their bytes.

Owns: the notes that the writer has not taken yet, whose turn it is to write, and `bufferedAmount`. Runs on:
any thread; the methods under *the writer's turn* on the thread that has it. Must not import: sockets, the
reading side.

A caller changes what must be true before its call returns, and leaves its note, in one leaf; `finally`, it
schedules the writer by one call of a C function. So a signal handler finds all done or nothing, and its
own call of any method does as if it came before or after. Each wait schedules the writer again, since a
handler may wait here between the leaf and the scheduling of the call that it interrupted.

The writer's turn (RFC 6455 5.4: one writer, so that frames are never mixed):

    UNOPENED  -> SCHEDULED       `open`: there is a stream to write to
    IDLE      -> SCHEDULED       a note was left, or `schedule`: a writer thread is called
    IDLE, SCHEDULED -> WRITING   `take_turn`
    WRITING   -> IDLE            `rest`: nothing is left to do
    WRITING   -> SCHEDULED       `yield_turn`: other connections wait for a thread
    WRITING   -> STOPPING        `stop`: the thread that writes is to end
    any other -> FINISHED        `stop`
    WRITING, STOPPING -> FINISHED    `finish`: nothing more will be sent, and no thread is in the stream

The thread that changes it to FINISHED, and only that one, wakes the threads that wait.

While the turn is IDLE, a caller may send its own message by a token (`inline_send`); as long as it holds
that, `take_turn` gives no turn. What it leaves undone the writer finds in `inline`.

The leaves that a caller takes hold no branch, but arithmetic with what is true: on CPython 3.10 a handler may
run where a branch is taken. What is added in one case alone is picked from a tuple by whether it is the case.

What is accepted:

    ACCEPTING   all
    FINISHING   the fragments that finish a message: `close` was called, and other messages wait behind it
    CUT         nothing: the server's Close, or a fault, came in the middle of a message in fragments
    REFUSING    nothing: a Close is queued, or the application has seen that the server closed, and our answer
                is about to be; or no writer is there any more
    SEALED      nothing, nor is what the callback API drops counted any more, so that the count can be told

The phase only ever rises.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .._exceptions import BufferFull
from .._protocol.frames import FIN, CloseFrame
from .inline_send import APART_SECONDS, LARGEST, InlineSend, LentStream, send_inline
from .outbox import CloseNote, CutNote, FragmentNote
from .primitives import Leaf, Waiters, tokens

UNOPENED, IDLE, SCHEDULED, WRITING, STOPPING, FINISHED = range(6)
ACCEPTING, FINISHING, CUT, REFUSING, SEALED = range(5)

# What became of a message: refused, refused but counted in `bufferedAmount`, or taken.
REFUSED, COUNTED, TAKEN = range(3)


_NOTHING = ()

# What `max_buffered` is where it is not given.
_ENDLESS = 2**62


class FragmentsTurn:
    """The turn at sending a message in fragments, and what waits for its end.

    Attributes:
        thread: the identifier of the thread that has it.
        begun: whether a first fragment is queued, and the last is not; False as well once one was refused.
        behind: how many messages wait for the last.
        behind_bytes: their bytes.
    """

    __slots__ = ("begun", "behind", "behind_bytes", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.begun = False
        self.behind = 0
        self.behind_bytes = 0


class SendQueue:
    """The callers' side of sending.

    Attributes:
        turn: whose turn it is to write; see the head of the module.
        phase: what is accepted.
        taken: bytes of application data that `send` took so far.
        refused: bytes that were refused and count in `bufferedAmount` all the same.
        sent: bytes handed to the network so far; only the writer changes it.
        fragmented: which call has the turn at sending in fragments, or `nobody`.
        waiters: the threads that wait for progress of the writer, or for its end.
        wake: has a writer thread look for work; one C function, and to call it twice does no harm.
        leaf: guards all of these.
        lent: the stream, while callers may send inline; else None.
        inline: the last message that was sent inline.
        sent_inline: how many messages were.
        sent_at: when the last was, or a batch of the writer's, on the clock of `time.monotonic`.
        has_received: whether anything has come since then; the thread that reads says so.
    """

    IDLE = IDLE

    def __init__(self, max_buffered: int | None) -> None:
        self.turn = UNOPENED
        self.phase = ACCEPTING
        self.taken = 0
        self.refused = 0
        self.sent = 0
        self._close_call = 0  # 1: close() was called; 2: and its Close is queued
        self.nobody = FragmentsTurn(0)
        self.fragmented = self.nobody
        self.waiters = Waiters()
        self.wake: Callable[[], object] = bool
        self._max_buffered = _ENDLESS if max_buffered is None else max_buffered
        self.leaf = Leaf()
        self.lent: LentStream | None = None
        self.inline = self._no_inline = InlineSend(self, (0, b""))
        self.sent_inline = 0
        self.sent_at = 0.0
        self.has_received = False
        self._notes: list[object] = []
        self._mixed = False  # whether there are other notes than messages
        self._called_again = False  # a writer thread was called while another had the turn

    # Any thread.

    @property
    def close_called(self) -> bool:
        """Whether the application has closed."""
        return self._close_call > 0

    @property
    def close_queued(self) -> bool:
        """Whether its Close is, or was, among the notes; not where the reader had a reason of its own for
        one."""
        return self._close_call > 1

    @property
    def buffered(self) -> int:
        """Bytes given to `send` and not handed to the network."""
        sent = self.sent  # read first, so that the result is never negative
        return self.taken + self.refused - sent

    @property
    def queued(self) -> int:
        """Bytes given to `send` so far, also those that were refused and counted."""
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
        notes = _NOTHING, [message]
        inline, lent, may_lend = self._no_inline, self.lent, False
        if lent is not None and self.turn == IDLE and size <= LARGEST and self._stands_apart():
            inline, may_lend = InlineSend(self, message), True
            tokens[inline] = None
        inlines = [inline, inline]
        accepted = fits = taken = lends = wake = False
        try:
            with self.leaf:
                accepted = accept & (self.phase == ACCEPTING)
                fits = self.taken - self.sent + size <= self._max_buffered
                taken = accepted & fits
                wake = taken & (self.turn == IDLE)
                fragmented = self.fragmented
                waits = taken & fragmented.begun
                lends = wake & may_lend & (not waits) & (self.lent is lent)
                lends &= self.inline.settled & (not self.inline.held)
                inlines[0] = self.inline
                self.inline = inlines[lends]
                inline.held = lends
                inline.settled = not lends
                self.taken += size * taken
                self._notes += notes[taken & (not lends)]
                fragmented.behind += waits
                fragmented.behind_bytes += size * waits
                self.turn += wake & (not lends)  # SCHEDULED
            if lends:
                wake = send_inline(lent, inline)  # type: ignore[arg-type]
                if self.waiters:
                    self.waiters.notify()
        finally:
            inline.held = inline.sending = False
            if wake:
                self.wake()
        if may_lend:
            tokens.pop(inline, None)
        if taken:
            return TAKEN
        if accepted:
            raise BufferFull(
                f"{size} bytes do not fit: {self.buffered} bytes are waiting already, "
                f"and max_buffered={self._max_buffered}"
            )
        return self._count(size) if count_refused else REFUSED

    def _stands_apart(self) -> bool:
        """Whether a message that is sent now is no part of a burst."""
        return self.has_received or time.monotonic() - self.sent_at > APART_SECONDS

    def _count(self, size: int) -> int:
        with self.leaf:
            counts = self.phase != SEALED
            self.refused += size * counts
        return COUNTED if counts else REFUSED

    def seal(self) -> int:
        """Count nothing more; returns the bytes that are in `bufferedAmount`, for good. For after the end."""
        with self.leaf:
            self.phase = SEALED
        return self.buffered

    def leave_note(self, note: object, always: bool = False) -> bool:
        """Leave a ping for the writer; False when the connection is closing. `always`: also then."""
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
        """Queue a Close frame behind all that is queued, unless there is one already; nothing is accepted
        after.

        Messages of other threads that wait behind one in fragments are sent first, and that is finished
        before them, since their senders were told that they are queued. The thread that sends it cannot
        finish it while it waits for its own close().
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
            self.waiters.notify()  # threads that wait to send in fragments go on at once
        finally:
            self.wake()

    def stop_accepting(self) -> None:
        """The application has seen that the server closed: nothing is taken any more."""
        with self.leaf:
            self.phase += (self.phase == ACCEPTING) * REFUSING
        self.waiters.notify()

    # The thread that sends a message in fragments.

    def begin_fragments(self, fragmented: FragmentsTurn) -> bool:
        """Give the turn at fragments to a call, if nobody has it; False otherwise."""
        turns = [fragmented, fragmented]
        with self.leaf:
            turns[0] = self.fragmented
            self.fragmented = turns[(self.fragmented is self.nobody) & (self.phase == ACCEPTING)]
        return self.fragmented is fragmented

    def send_fragment(self, fragmented: FragmentsTurn, head_byte: int, payload: bytes) -> bool:
        """Queue a fragment; False when none is taken any more."""
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
        """Give the turn at fragments back. Nothing may follow a message that is not whole but a Close."""
        turns = [self.nobody, self.nobody]
        try:
            with self.leaf:
                turns[0] = self.fragmented
                mine = self.fragmented is fragmented
                self.fragmented = turns[mine]
                self.phase += (mine & fragmented.begun & (self.phase < REFUSING)) * (REFUSING - self.phase)
            self.waiters.notify()  # the next call's turn
        finally:
            self.wake()

    # The reader thread.

    def cut_fragments(self) -> None:
        """The server's Close or a fault is here: a message in fragments is not taken further, and nothing may
        follow its beginning but our Close."""
        cut = [CutNote()]
        with self.leaf:
            if self.fragmented.begun and self.phase < CUT:
                self.phase = CUT
                self._notes += cut
                self._mixed = True
        self.waiters.notify()
        self.schedule()

    def refuse(self, note: CloseNote) -> None:
        """Take nothing more from the application, and queue a Close frame of the reader's."""
        notes = [note]
        with self.leaf:
            self.phase = REFUSING if self.phase < REFUSING else self.phase
            self._notes += notes
            self._mixed = True
        self.waiters.notify()
        self.schedule()

    def schedule(self) -> None:
        """Have the writer look for what is to be done, also where that is no note."""
        wake = False
        with self.leaf:
            if self.turn == IDLE:
                self.turn = SCHEDULED
                wake = True
            elif self.turn == WRITING:
                self._called_again = True
        if wake:
            self.wake()

    def open(self) -> None:
        """There is a stream to write to."""
        with self.leaf:
            if self.turn == UNOPENED:
                self.turn = SCHEDULED
        self.wake()

    def end_inline(self) -> bool:
        """Nobody may send inline any more; False while a caller is in its system call: that is short."""
        ended = False
        with self.leaf:
            self.lent = None
            inline = self.inline
            if not inline.sending:
                ended = True
                inline.held = False
                if not inline.settled and inline.sent == inline.whole:
                    inline.settled = True
                    self.sent_inline += 1
                    self.sent += inline.size
        return ended

    def stop(self) -> bool:
        """Nothing more is to be sent. True when nobody writes, and the turn is FINISHED by this call; else
        the thread that writes is about to `finish`, or it is over already."""
        mine = False
        with self.leaf:
            self.phase = REFUSING if self.phase < REFUSING else self.phase
            if self.turn == WRITING:
                self.turn = STOPPING
            elif self.turn != STOPPING and self.turn != FINISHED:
                self.turn = FINISHED
                mine = True
        return mine

    # The writer's turn.

    def take_turn(self) -> bool:
        """Begin to write; False while another thread does, before `open` and at the end."""
        mine = False
        with self.leaf:
            if self.turn == IDLE or self.turn == SCHEDULED:
                self.turn = SCHEDULED  # where a caller sends inline: it has a writer thread called at its end
                if not self.inline.held:
                    self.turn = WRITING
                    mine = True
            elif self.turn == WRITING:
                self._called_again = True
        return mine

    def take_notes(self) -> tuple[list[object], bool]:
        """What was left since the last call; and whether there are other notes than messages."""
        fresh: list[object] = []
        with self.leaf:
            notes = self._notes
            mixed = self._mixed
            self._notes = fresh
            self._mixed = False
        return notes, mixed

    def rest(self) -> bool:
        """Give the turn back; False when there is more to do: a note, a call that came in, or the end."""
        rests = False
        with self.leaf:
            if self._called_again:
                self._called_again = False
            elif not self._notes and self.turn == WRITING:
                self.turn = IDLE
                rests = True
        return rests

    def yield_turn(self) -> bool:
        """Give the turn back with work left, so that another connection has the thread; False at the end."""
        yields = False
        with self.leaf:
            if self.turn == WRITING:
                self.turn = SCHEDULED
                yields = True
        if yields:
            self.wake()
        return yields

    def finish(self) -> None:
        """Nothing more will be sent: the thread that has the turn has left the stream."""
        with self.leaf:
            self.turn = FINISHED
            self.phase = REFUSING if self.phase < REFUSING else self.phase

    # A forked child.

    def after_fork(self, wake: Callable[[], object]) -> None:
        """An end without a word to the network."""
        self.turn = FINISHED
        self.lent = None
        self.inline.held = False
        self.phase = max(REFUSING, self.phase)
        self.fragmented = self.nobody  # whose thread may not be here, and its number be another's
        self.wake = wake
        self.waiters.notify()
