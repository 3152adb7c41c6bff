"""What waits to be sent, in the order in which it goes out (RFC 6455 5.4, 5.5, 5.5.1).

Owns: that order. Runs on: whichever thread has the writer's turn. Must not import: sockets, threads, the clock.

There are two lanes. Control frames go ahead of data, between frames. Data keeps its order, but for the messages
that are sent while another one goes out in fragments: RFC 6455 5.4 forbids to mix them, so these wait *behind*
it. The Close is an item of the data's lane: what stands before it goes out first, and nothing after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._protocol.frames import FIN, CloseFrame, Opcode

#: The first byte of a frame, and its payload.
Frame = tuple[int, bytes]


@dataclass(frozen=True)
class FragmentNote:
    """A fragment of the message that goes out in fragments."""

    frame: Frame


@dataclass(frozen=True)
class CloseNote:
    """The end of what is sent.

    Attributes:
        close: the Close frame.
        finish: the message in fragments is finished first, and what waits behind it sent.
        last: the frame takes the place of one that waits, and the output ends with it, as a fault's does.
    """

    close: CloseFrame
    finish: bool = False
    last: bool = False


class Outbox:
    """The frames of one connection that are not sent yet.

    Attributes:
        controls: Ping and Pong frames.
        last: whether the output ends with the Close.
    """

    __slots__ = ("_behind", "_close", "_close_waits", "_in_fragments", "_ready", "controls", "last")

    def __init__(self) -> None:
        self.controls: list[Frame] = []
        self.last = False
        self._ready: list[Frame] = []
        self._behind: list[Frame] = []
        self._in_fragments = False
        self._close: CloseFrame | None = None
        self._close_waits = False  # for the end of the message in fragments

    def put_messages(self, frames: list[Frame]) -> None:
        """Whole messages; the list is the outbox's from now on."""
        if self._in_fragments:
            self._behind += frames
        elif self._ready:
            self._ready += frames
        else:
            self._ready = frames

    def put_fragment(self, frame: Frame) -> None:
        """The next fragment of a message; the first has its opcode, the last has FIN."""
        if self._close is not None and not self._close_waits:
            return  # its sender is about to be told
        self._ready.append(frame)
        self._in_fragments = not frame[0] & FIN
        if not self._in_fragments:
            self._ready += self._behind
            self._behind = []
            self._close_waits = False

    def put_control(self, frame: Frame) -> None:
        """A Ping or a Pong."""
        self.controls.append(frame)

    def put_close(self, note: CloseNote) -> None:
        """A Close; one that waits already stays, unless this is a fault's.

        Where the message in fragments is not to be finished, what waits behind it will not be sent: nothing may
        follow its beginning but its end, or a Close.
        """
        if self._close is None or note.last:
            self._close = note.close
        self.last = self.last or note.last
        self._close_waits = note.finish and self._in_fragments
        if self._in_fragments and not self._close_waits:
            self._behind = []

    def take_controls(self) -> list[Frame]:
        """The control frames that wait."""
        controls, self.controls = self.controls, []
        return controls

    def take(self) -> list[Frame]:
        """The data frames that may go out now."""
        ready, self._ready = self._ready, []
        return ready

    def take_close(self) -> Frame | None:
        """The Close frame, if nothing stands before it; it ends the outbox."""
        if self._close is None or self._close_waits or self._ready:
            return None
        return FIN | Opcode.CLOSE, self._close.payload

    def put(self, notes: Iterable[object]) -> None:
        """Take notes of any kind, in their order."""
        for note in notes:
            if isinstance(note, tuple):
                self.put_messages([note])
            elif isinstance(note, FragmentNote):
                self.put_fragment(note.frame)
            elif isinstance(note, CloseNote):
                self.put_close(note)
            else:
                raise TypeError(f"a fault of syncws: the outbox takes no {note!r}")
