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

Whoever changes it to FINISHED, and nobody else, tells the others.

What is accepted:

    ACCEPTING   all
    FINISHING   the fragments that finish a message: `close` was called, and other messages wait behind it
    CUT         nothing: the server's Close, or a fault, came in the middle of a message in fragments
    REFUSING    nothing, and a Close is queued, or no writer is there any more
    SEALED      nothing, nor is what the callback API drops counted any more, so that the count can be told

The phase only ever rises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._exceptions import BufferFull
from .._protocol.frames import FIN, CloseFrame
from .outbox import CloseNote, CutNote, FragmentNote
from .primitives import Leaf, Waiters

if TYPE_CHECKING:
    from .fragmented_send import FragmentedSend

UNOPENED, IDLE, SCHEDULED, WRITING, STOPPING, FINISHED = range(6)
ACCEPTING, FINISHING, CUT, REFUSING, SEALED = range(5)

# What became of a message: refused, refused but counted in `bufferedAmount`, or taken.
REFUSED, COUNTED, TAKEN = range(3)


class SendQueue:
    """The callers' side of sending.

    Attributes:
        turn: whose turn it is to write; see the head of the module.
        phase: what is accepted.
        taken: bytes of application data that `send` took so far.
        refused: bytes that were refused and count in `bufferedAmount` all the same.
        sent: bytes handed to the network so far; only the writer changes it.
        close_called: whether the application has closed. Its Close is queued then, unless the reader had a
            reason of its own for one.
        fragmented: the message that is going out in fragments, or about to.
        waiters: who waits for progress of the writer, or for its end.
        wake: has a writer thread look for work; one C function, and to call it twice does no harm.
    """

    def __init__(self, max_buffered: int | None) -> None:
        self.turn = UNOPENED
        self.phase = ACCEPTING
        self.taken = 0
        self.refused = 0
        self.sent = 0
        self.close_called = False
        self.fragmented: FragmentedSend | None = None
        self.waiters = Waiters()
        self.wake: Callable[[], object] = bool
        self._behind: int | None = None  # bytes of the messages that wait for its end; None: there is none
        self._max_buffered = max_buffered
        self._leaf = Leaf()
        self._notes: list[object] = []
        self._mixed = False  # whether there are other notes than messages
        self._called_again = False  # a writer thread was called while another had the turn

    # Any thread.

    @property
    def buffered(self) -> int:
        """Bytes given to `send` and not handed to the network."""
        sent = self.sent  # read first: else what is taken and sent in between would make it negative
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

    @property
    def behind_bytes(self) -> int:
        """Bytes of the messages that wait for the end of the one that goes out in fragments."""
        return self._behind or 0

    def send(self, opcode: int, payload: bytes, accept: bool = True, count_refused: bool = False) -> int:
        """Queue a whole message: TAKEN, or, since the connection is closing, REFUSED or COUNTED.

        Raises `BufferFull` when `max_buffered` would be passed; nothing is queued or counted then.
        """
        size = len(payload)
        note = [(FIN | opcode, payload)]
        limit = self._max_buffered
        result = REFUSED
        full = wake = False
        try:
            with self._leaf:
                if not accept or self.phase != ACCEPTING:
                    if count_refused and self.phase != SEALED:
                        self.refused += size
                        result = COUNTED
                elif limit is not None and self.taken - self.sent + size > limit:
                    full = True
                else:
                    self.taken += size
                    self._notes += note
                    result = TAKEN
                    if self.fragmented is not None and self.fragmented.begun:
                        self._behind = size if self._behind is None else self._behind + size
                    if self.turn == IDLE:
                        self.turn = SCHEDULED
                        wake = True
        finally:
            if wake:
                self.wake()
        if full:
            raise BufferFull(
                f"{size} bytes do not fit: {self.buffered} bytes are waiting already, "
                f"and max_buffered={limit}"
            )
        return result

    def seal(self) -> int:
        """Count nothing more; returns the bytes that are in `bufferedAmount`, for good. For after the end."""
        with self._leaf:
            self.phase = SEALED
        return self.buffered

    def leave_note(self, note: object, always: bool = False) -> bool:
        """Leave a ping for the writer; False when the connection is closing. `always`: also then."""
        notes = [note]
        taken = wake = False
        try:
            with self._leaf:
                if always or self.phase == ACCEPTING:
                    self._notes += notes
                    self._mixed = taken = True
                    if self.turn == IDLE:
                        self.turn = SCHEDULED
                        wake = True
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
        finish = [CloseNote(close, finish=True)]
        cut = [CloseNote(close)]
        try:
            with self._leaf:
                fragmented = self.fragmented
                finishes = fragmented is not None and self._behind is not None and fragmented.thread != caller
                if self.close_called:
                    pass
                elif self.phase == ACCEPTING and finishes:
                    self.phase = FINISHING
                    self._notes += finish
                    self._mixed = True
                elif self.phase == ACCEPTING or self.phase == CUT:
                    self.phase = REFUSING
                    self._notes += cut
                    self._mixed = True
                self.close_called = True
            self.waiters.notify()  # who waits to send in fragments is told, even if the network stands still
        finally:
            self.wake()

    # The thread that sends a message in fragments.

    def begin_fragments(self, fragmented: FragmentedSend) -> bool:
        """Give the turn at fragments to a call, if nobody has it; False otherwise."""
        with self._leaf:
            if self.fragmented is None and self.phase == ACCEPTING:
                self.fragmented = fragmented
        return self.fragmented is fragmented

    def send_fragment(self, fragmented: FragmentedSend, head_byte: int, payload: bytes) -> bool:
        """Queue a fragment; False when none is taken any more."""
        size = len(payload)
        note = [FragmentNote((head_byte, payload))]
        final = bool(head_byte & FIN)
        taken = wake = False
        try:
            with self._leaf:
                if self.phase < CUT and self.fragmented is fragmented:
                    self.taken += size
                    self._notes += note
                    self._mixed = taken = True
                    fragmented.begun = not final
                    if final:
                        self._behind = None
                        if self.phase == FINISHING:
                            self.phase = REFUSING
                    if self.turn == IDLE:
                        self.turn = SCHEDULED
                        wake = True
        finally:
            if wake:
                self.wake()
        return taken

    def end_fragments(self, fragmented: FragmentedSend) -> None:
        """Give the turn at fragments back. Nothing may follow a message that is not whole but a Close."""
        try:
            with self._leaf:
                if self.fragmented is fragmented:
                    if fragmented.begun and self.phase < REFUSING:
                        self.phase = REFUSING
                    self.fragmented = None
            self.waiters.notify()  # the next call's turn
        finally:
            self.wake()

    # The reader thread.

    def cut_fragments(self) -> None:
        """The server's Close or a fault is here: a message in fragments is not taken further, and nothing may
        follow its beginning but our Close."""
        cut = [CutNote()]
        with self._leaf:
            if self.fragmented is not None and self.fragmented.begun and self.phase < CUT:
                self.phase = CUT
                self._notes += cut
                self._mixed = True
        self.waiters.notify()
        self.schedule()

    def refuse(self, note: CloseNote) -> None:
        """Take nothing more from the application, and queue a Close frame of the reader's."""
        notes = [note]
        with self._leaf:
            self.phase = REFUSING if self.phase < REFUSING else self.phase
            self._notes += notes
            self._mixed = True
        self.waiters.notify()
        self.schedule()

    def schedule(self) -> None:
        """Have the writer look for what is to be done, also where that is no note."""
        wake = False
        with self._leaf:
            if self.turn == IDLE:
                self.turn = SCHEDULED
                wake = True
            elif self.turn == WRITING:
                self._called_again = True
        if wake:
            self.wake()

    def open(self) -> None:
        """There is a stream to write to."""
        with self._leaf:
            if self.turn == UNOPENED:
                self.turn = SCHEDULED
        self.wake()

    def stop(self) -> bool:
        """Nothing more is to be sent. True when nobody writes, and the turn is FINISHED by this call; else
        the thread that writes is about to `finish`, or it is over already."""
        mine = False
        with self._leaf:
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
        with self._leaf:
            if self.turn == IDLE or self.turn == SCHEDULED:
                self.turn = WRITING
                mine = True
            elif self.turn == WRITING:
                self._called_again = True
        return mine

    def take_notes(self) -> tuple[list[object], bool]:
        """What was left since the last call; and whether there are other notes than messages."""
        fresh: list[object] = []
        with self._leaf:
            notes = self._notes
            mixed = self._mixed
            self._notes = fresh
            self._mixed = False
        return notes, mixed

    def rest(self) -> bool:
        """Give the turn back; False when there is more to do: a note, a call that came in, or the end."""
        rests = False
        with self._leaf:
            if self._called_again:
                self._called_again = False
            elif not self._notes and self.turn == WRITING:
                self.turn = IDLE
                rests = True
        return rests

    def yield_turn(self) -> bool:
        """Give the turn back with work left, so that another connection has the thread; False at the end."""
        yields = False
        with self._leaf:
            if self.turn == WRITING:
                self.turn = SCHEDULED
                yields = True
        if yields:
            self.wake()
        return yields

    def finish(self) -> None:
        """Nothing more will be sent: the thread that has the turn has left the stream."""
        with self._leaf:
            self.turn = FINISHED
            self.phase = REFUSING if self.phase < REFUSING else self.phase

    # A forked child.

    def after_fork(self, wake: Callable[[], object]) -> None:
        """An end without a word to the network."""
        self.turn = FINISHED
        self.phase = max(REFUSING, self.phase)
        self.wake = wake
        self.waiters.notify()
