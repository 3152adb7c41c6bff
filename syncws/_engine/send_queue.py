"""What callers leave for the writer: messages, pings and the Close, and the count of their bytes.

Owns: the notes that the writer has not taken yet, whose turn it is to write, and `bufferedAmount`. Runs on: any
thread; the methods under *the writer's turn* on the thread that has it. Must not import: sockets, the reading side.

A caller changes what must be true before its call returns, and leaves its note, in one leaf; `finally`, it
schedules the writer by one call of a C function. So a signal handler finds all done or nothing, and its
own call of any method does as if it came before or after. Each wait schedules the writer again, since a
handler may wait here between the leaf and the scheduling of the call that it interrupted.

The writer's turn (RFC 6455 5.4: one writer, so that frames are never mixed):

    UNOPENED  -> IDLE        `open`: there is a stream to write to
    IDLE      -> SCHEDULED   a note was left: a writer thread is called
    IDLE, SCHEDULED -> WRITING   `take_turn`
    WRITING   -> IDLE        `rest`: nothing is left; WRITING -> SCHEDULED: other connections wait for a thread
    any       -> FINISHED    `finish`: nothing more will be sent

What is accepted: all while ACCEPTING; while FINISHING, which `close` begins where messages wait behind one that
goes out in fragments, the fragments that finish it; nothing once REFUSING. While REFUSING the callback API counts
what it drops, as browsers do; once SEALED nothing is counted either, so that what was counted can be told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._exceptions import BufferFull
from .._protocol.frames import FIN, CloseFrame
from .outbox import CloseNote, FragmentNote
from .primitives import Leaf, Waiters

if TYPE_CHECKING:
    from .fragmented_send import FragmentedSend

UNOPENED, IDLE, SCHEDULED, WRITING, FINISHED = range(5)
ACCEPTING, FINISHING, REFUSING, SEALED = range(4)

# What became of a message: refused, refused but counted in `bufferedAmount`, or taken.
REFUSED, COUNTED, TAKEN = range(3)


class SendQueue:
    """The callers' side of sending.

    Attributes:
        turn: whose turn it is to write; see the head of the module.
        phase: what is accepted.
        queued: bytes of application data given to `send` so far, also those that were refused and counted.
        refused: of these, those that were refused: they count in `bufferedAmount`, and were never taken.
        sent: bytes handed to the network so far; only the writer changes it.
        close_called: whether the application has closed; its Close is in the notes then.
        fragmented: the message that is going out in fragments, or about to.
        behind_bytes: bytes that wait for its end.
        waiters: who waits for progress of the writer, or for its end.
        wake: has a writer thread look for work; one C function, and to call it twice does no harm.
    """

    def __init__(self, max_buffered: int | None) -> None:
        self.turn = UNOPENED
        self.phase = ACCEPTING
        self.queued = 0
        self.refused = 0
        self.sent = 0
        self.close_called = False
        self.fragmented: FragmentedSend | None = None
        self.behind_bytes = 0
        self.waiters = Waiters()
        self.wake: Callable[[], object] = bool
        self._behind = 0
        self._max_buffered = max_buffered
        self._leaf = Leaf()
        self._notes: list[object] = []
        self._mixed = False  # whether there are other notes than messages
        self._called_again = False  # a writer thread was called while another had the turn

    # Any thread.

    @property
    def buffered(self) -> int:
        """Bytes given to `send` and not handed to the network."""
        sent = self.sent  # read first: else what is queued and sent in between would make it negative
        return self.queued - sent

    @property
    def unsent(self) -> int:
        """Bytes that `send` took and that are not handed to the network."""
        sent = self.sent
        return self.queued - self.refused - sent

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
                        self.queued += size
                        self.refused += size
                        result = COUNTED
                elif limit is not None and self.queued - self.sent + size > limit:
                    full = True
                else:
                    self.queued += size
                    self._notes += note
                    result = TAKEN
                    if self.fragmented is not None and self.fragmented.begun:
                        self._behind += 1
                        self.behind_bytes += size
                    if self.turn == IDLE:
                        self.turn = SCHEDULED
                        wake = True
        finally:
            if wake:
                self.wake()
        if full:
            raise BufferFull(
                f"{size} bytes do not fit: {self.buffered} bytes are waiting already, and max_buffered={limit}"
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
        """Queue a Close frame behind all that is queued, unless there is one already; nothing is accepted after.

        Messages of other threads that wait behind one in fragments are sent first, and that is finished
        before them, since their senders were told that they are queued. The thread that sends it cannot finish
        it while it waits for its own close().
        """
        caller = threading.get_ident()
        finish = [CloseNote(close, finish=True)]
        cut = [CloseNote(close)]
        try:
            with self._leaf:
                if self.phase == ACCEPTING:
                    self.close_called = True
                    self._mixed = True
                    if self._behind and self.fragmented is not None and self.fragmented.thread != caller:
                        self.phase = FINISHING
                        self._notes += finish
                    else:
                        self.phase = REFUSING
                        self._notes += cut
        finally:
            self.wake()

    def stop_accepting(self) -> None:
        """The application has seen that the server closed: nothing is taken any more."""
        with self._leaf:
            if self.phase == ACCEPTING:
                self.phase = REFUSING

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
                if self.phase < REFUSING and self.fragmented is fragmented:
                    self.queued += size
                    self._notes += note
                    self._mixed = taken = True
                    fragmented.begun = not final
                    if final:
                        self._behind = self.behind_bytes = 0
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
                    if fragmented.begun:
                        self.phase = REFUSING
                    self.fragmented = None
        finally:
            self.wake()

    # The reader thread.

    def server_closed(self) -> None:
        """The server's Close is here: a message in fragments is not taken further, and nothing may follow it."""
        with self._leaf:
            if self.fragmented is not None and self.fragmented.begun:
                self.phase = REFUSING

    def refuse(self, note: CloseNote) -> None:
        """Take nothing more from the application, and queue a Close frame of the reader's."""
        notes = [note]
        with self._leaf:
            self.phase = REFUSING
            self._notes += notes
            self._mixed = True
        self.wake()

    # The writer's turn.

    def open(self) -> None:
        """There is a stream to write to."""
        with self._leaf:
            if self.turn == UNOPENED:
                self.turn = SCHEDULED
        self.wake()

    def take_turn(self) -> bool:
        """Begin to write; False while another thread does, and before `open` and after `finish`."""
        mine = False
        with self._leaf:
            if self.turn == IDLE or self.turn == SCHEDULED:
                self.turn = WRITING
                mine = True
            else:
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
        """Give the turn back, unless a note is left or a call came in; False then."""
        rests = False
        with self._leaf:
            if self._called_again:
                self._called_again = False
            elif not self._notes:
                self.turn = IDLE
                rests = True
        return rests

    def yield_turn(self) -> None:
        """Give the turn back with work left, so that another connection has the thread."""
        with self._leaf:
            self.turn = SCHEDULED
        self.wake()

    def finish(self, holder: bool) -> bool:
        """Nothing more will be sent. Whoever has the turn is the `holder`; without it, False while another
        thread has it."""
        mine = False
        with self._leaf:
            if self.turn != FINISHED and (holder or self.turn != WRITING):
                self.turn = FINISHED
                self.phase = REFUSING
                mine = True
        return mine

    # A forked child.

    def after_fork(self, wake: Callable[[], object]) -> None:
        """An end without a word to the network."""
        self.turn = FINISHED
        self.phase = REFUSING
        self.wake = wake
        self.waiters.notify()
