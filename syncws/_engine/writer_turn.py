"""Whose turn it is to write, and the notes that are left for the writer.

Owns: these. Runs on: the methods under *any thread* on any, the others on the thread that has the turn. Must
not import: sockets, the reading side.

The writer's turn (RFC 6455 5.4: one writer, so that frames are never mixed):

    UNOPENED  -> IDLE, SCHEDULED `open`: there is a stream to write to, and maybe a note
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
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .primitives import Leaf

if TYPE_CHECKING:
    from .._transport.stream import Stream
    from .inline_send import InlineSends

_NO_NOTES: list[object] = []

UNOPENED, IDLE, SCHEDULED, WRITING, STOPPING, FINISHED = range(6)

# What is accepted; see `send_queue`.
ACCEPTING, FINISHING, CUT, REFUSING, SEALED = range(5)


class WriterTurn:
    """See the head of the module.

    Attributes:
        turn: whose turn it is.
        phase: what is accepted.
        sent: bytes handed to the network so far; only who has the turn changes it.
        wake: has a writer thread look for work; one C function, and to call it twice does no harm.
        leaf: guards all of these.
    """

    inline: InlineSends

    def __init__(self) -> None:
        self.turn = UNOPENED
        self.phase = ACCEPTING
        self.sent = 0
        self.wake: Callable[[], object] = bool
        self.leaf = Leaf()
        self._notes: list[object] = []
        self._mixed = False  # whether there are other notes than messages
        self._called_again = False  # a writer thread was called while another had the turn

    # Any thread.

    @property
    def has_notes(self) -> bool:
        """Whether something was left since the writer last took what was there."""
        return bool(self._notes)

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
        """There is a stream to write to. A writer thread is called where something waits for it, as does the
        note of a close that came before this."""
        wake = False
        try:
            with self.leaf:
                opens = self.turn == UNOPENED
                wake = opens & (self._notes != _NO_NOTES)
                self.turn += opens  # IDLE
                self.turn += wake  # SCHEDULED
        finally:
            if wake:
                self.wake()

    def end_inline(self, stream: Stream | None) -> bool:
        """Nobody may send inline any more; False while a caller is in its system call: that is short. What
        that has sent, and nobody will count, is counted."""
        ended = False
        with self.leaf:
            self.inline.stream = None
            inline = self.inline.last
            if not inline.in_call:
                ended = True
                inline.held = False
                # A writer that has the turn counts it itself, unless it is stopped first.
                has_turn = self.turn == WRITING or self.turn == STOPPING
                counts = not inline.settled and inline.sent == inline.whole and not has_turn
                if counts and stream is not None:
                    inline.settled = True
                    stream.handed += inline.whole[0]
                    self.inline.sent += 1
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
                self.turn = SCHEDULED  # a caller that sends inline calls a writer thread at its end
                if not self.inline.last.held:
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
