"""The turn at writing, and the notes for the writer.

Owns: both. Runs on: the methods under *any thread* on any thread, the others on the thread that has the turn.
Must not import: sockets, the reading side.

The writer's turn (RFC 6455 5.4: one writer, so that frames are never mixed):

    UNOPENED  -> IDLE, SCHEDULED `open`: there is a stream to write to, and maybe a note
    IDLE      -> SCHEDULED       a note was left, or `schedule`: a writer thread was asked for
    IDLE, SCHEDULED -> WRITING   `take_turn`
    WRITING   -> IDLE            `rest`: nothing is left to do
    WRITING   -> SCHEDULED       `yield_turn`: other connections wait for a thread
    WRITING   -> STOPPING        `stop`: the thread that writes is to end
    any other -> FINISHED        `stop`
    WRITING, STOPPING -> FINISHED    `finish`: nothing more will be sent, and no thread is in the stream

The thread that changes it to FINISHED, and only that one, wakes the threads that wait.

While the turn is IDLE, a caller may send its own message by a token (`inline_send`); as long as it holds the
token, `take_turn` gives no turn. The writer finds the unsent rest in `inline`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..primitives import Leaf

if TYPE_CHECKING:
    from ..._transport.stream import Stream
    from .inline_send import InlineSends

_NO_NOTES: list[object] = []

UNOPENED, IDLE, SCHEDULED, WRITING, STOPPING, FINISHED = range(6)

# The phases, which say what is accepted; see `send_queue`.
ACCEPTING, FINISHING, CUT, REFUSING, SEALED = range(5)


class WriterTurn:
    """See the head of the module.

    Attributes:
        turn: the state of the turn.
        phase: the present phase.
        sent: bytes handed to the network so far; only the thread that has the turn changes it.
        wake: a C function that makes a writer thread look for work; a second call does no harm.
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
        self._mixed = False  # whether there are notes other than messages
        self._called_again = False  # whether a writer was asked for while another one had the turn

    # Any thread.

    @property
    def has_notes(self) -> bool:
        """Whether there are notes that the writer has not taken."""
        return bool(self._notes)

    def schedule(self) -> None:
        """Make the writer look for work, also for work without a note."""
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
        """There is a stream to write to. If a note waits, such as that of an early close, ask for a writer
        thread."""
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
        """Let no caller send inline any more, and count the bytes that nobody else will count.

        Returns False while a caller is in its system call, which is short.
        """
        ended = False
        with self.leaf:
            self.inline.stream = None
            inline = self.inline.last
            if not inline.in_call:
                ended = True
                inline.held = False
                # A writer that has the turn counts the bytes itself, unless it is stopped first.
                has_turn = self.turn == WRITING or self.turn == STOPPING
                counts = not inline.settled and inline.sent == inline.whole and not has_turn
                if counts and stream is not None:
                    inline.settled = True
                    stream.handed += inline.whole[0]
                    self.inline.sent += 1
                    self.sent += inline.size
        return ended

    def stop(self) -> bool:
        """Let nothing more be sent. Returns True if this call has changed the turn to FINISHED.

        Otherwise the thread that writes will soon `finish`, or the turn is FINISHED already.
        """
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
        """Begin to write. Returns False while another thread writes, before `open` and after the end."""
        mine = False
        with self.leaf:
            if self.turn == IDLE or self.turn == SCHEDULED:
                self.turn = SCHEDULED  # A caller that sends inline asks for a writer thread at its end.
                if not self.inline.last.held:
                    self.turn = WRITING
                    mine = True
            elif self.turn == WRITING:
                self._called_again = True
        return mine

    def take_notes(self) -> tuple[list[object], bool]:
        """Take the notes. Returns them, and whether there are others than messages."""
        fresh: list[object] = []
        with self.leaf:
            notes = self._notes
            mixed = self._mixed
            self._notes = fresh
            self._mixed = False
        return notes, mixed

    def rest(self) -> bool:
        """Give the turn back. Returns False when there is more to do: a note, a new request, or the end."""
        rests = False
        with self.leaf:
            if self._called_again:
                self._called_again = False
            elif not self._notes and self.turn == WRITING:
                self.turn = IDLE
                rests = True
        return rests

    def yield_turn(self) -> bool:
        """Give the turn back with work left, so that another connection gets the thread. Returns False at the
        end."""
        yields = False
        with self.leaf:
            if self.turn == WRITING:
                self.turn = SCHEDULED
                yields = True
        if yields:
            self.wake()
        return yields

    def finish(self) -> None:
        """Change the turn to FINISHED: its thread has left the stream, and nothing more will be sent."""
        with self.leaf:
            self.turn = FINISHED
            self.phase = REFUSING if self.phase < REFUSING else self.phase
