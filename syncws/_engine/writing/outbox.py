"""The frames that wait to be sent, in the order in which they go out (RFC 6455 5.4, 5.5, 5.5.1).

Owns: that order. Runs on: whichever thread has the writer's turn. Must not import: sockets, threads, the
clock.

There are two lanes. Control frames go ahead of data, between frames. Data keeps its order, but for the
messages that are sent while another one goes out in fragments: RFC 6455 5.4 forbids to mix them, so they
wait *behind* it. The Close is an item of the data's lane: items before it go out first, and nothing goes out
after it.

Where the data's lane is:

    WHOLE -> INSIDE      a first fragment
    INSIDE -> WHOLE      the last fragment: the messages behind it go next
    WHOLE -> ENDED       a Close
    INSIDE -> ENDED      a Close that does not wait for the last fragment, or `cut`: the messages behind are
                         given up, since a first fragment may be followed only by its message's end or a Close
    INSIDE -> FINISHING  a Close that waits for the last fragment; the messages behind go out before the Close
    FINISHING -> ENDED   the last fragment, `cut`, or another Close that does not wait

Once it is ENDED the outbox takes nothing more. Of several Close frames the first goes out, unless a `last`
one comes before the first has been taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..._protocol.frames import FIN, CloseFrame, Opcode

#: The first byte of a frame, and its payload.
Frame = tuple[int, bytes]

CLOSE = FIN | Opcode.CLOSE

WHOLE, INSIDE, FINISHING, ENDED = range(4)


@dataclass(frozen=True)
class FragmentNote:
    """A fragment of the message that goes out in fragments."""

    frame: Frame


@dataclass(frozen=True)
class CutNote:
    """The message in fragments goes no further."""


@dataclass(frozen=True)
class CloseNote:
    """The end of the output.

    Attributes:
        close: the Close frame.
        finish: the message in fragments is finished first, and the messages behind it are sent.
        last: the frame replaces one that waits, and the output ends with it, as after a fault.
    """

    close: CloseFrame
    finish: bool = False
    last: bool = False


class Outbox:
    """The frames of one connection that are not sent yet.

    Attributes:
        last: whether the output ends with the Close.
        fragments: how many of the frames that `take` returned last are not the last of their message.
    """

    __slots__ = (
        "_behind",
        "_close",
        "_controls",
        "_has_left",
        "_ready",
        "_ready_fragments",
        "_state",
        "fragments",
        "last",
    )

    def __init__(self) -> None:
        self.last = False
        self.fragments = self._ready_fragments = 0
        self._state = WHOLE
        self._controls: list[Frame] = []
        self._ready: list[Frame] = []
        self._behind: list[Frame] = []
        self._close: CloseFrame | None = None
        self._has_left = False

    # What is put in.

    def put(self, notes: Iterable[object]) -> None:
        """Take notes of any kind, in their order; a frame stands for itself."""
        for note in notes:
            if isinstance(note, tuple):
                if note[0] & 8:
                    self.put_control(note)
                else:
                    self.put_messages([note])
            elif isinstance(note, FragmentNote):
                self.put_fragment(note.frame)
            elif isinstance(note, CutNote):
                self.cut()
            elif isinstance(note, CloseNote):
                self.put_close(note)
            else:
                raise TypeError(f"a fault of syncws: the outbox takes no {note!r}")

    def put_messages(self, frames: list[Frame]) -> None:
        """Take whole messages; the list belongs to the outbox from now on."""
        if self._state == INSIDE:
            self._behind += frames
        elif self._state == WHOLE:
            if self._ready:
                self._ready += frames
            else:
                self._ready = frames

    def put_fragment(self, frame: Frame) -> None:
        """The next fragment of a message; the first has its opcode, the last has FIN."""
        if self._state == ENDED:
            return
        self._ready.append(frame)
        if not frame[0] & FIN:
            self._ready_fragments += 1
            if self._state == WHOLE:
                self._state = INSIDE
            return
        self._ready += self._behind
        self._behind = []
        self._state = WHOLE if self._close is None else ENDED

    def put_control(self, frame: Frame) -> None:
        """A Ping or a Pong."""
        if not self._has_left:
            self._controls.append(frame)

    def cut(self) -> None:
        """The message in fragments goes no further; does nothing when there is none."""
        if self._state in (INSIDE, FINISHING):
            self._state = ENDED
            self._behind = []

    def put_close(self, note: CloseNote) -> None:
        """Take a Close; the head of the module says what it does to a message in fragments and another
        Close."""
        if self._has_left:
            return
        if self._close is None or (note.last and not self.last):
            self._close = note.close
        self.last = self.last or note.last
        if note.finish and self._state in (INSIDE, FINISHING):
            self._state = FINISHING
        else:
            self.cut()
            self._state = ENDED

    # What goes out.

    def take_controls(self) -> list[Frame]:
        """The control frames that wait."""
        controls, self._controls = self._controls, []
        return controls

    def take(self) -> list[Frame]:
        """The data frames that may go out now."""
        ready, self._ready = self._ready, []
        self.fragments, self._ready_fragments = self._ready_fragments, 0
        return ready

    def take_close(self) -> Frame | None:
        """The Close frame, once, when nothing stands before it. Nothing goes out after it."""
        if self._close is None or self._state != ENDED or self._ready or self._has_left:
            return None
        self._has_left = True
        self._controls = []
        return CLOSE, self._close.payload
