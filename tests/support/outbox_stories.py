"""Stories about an outbox, in words: what is put into it, and what goes out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from syncws._engine.writing.outbox import CloseNote, CutNote, FragmentNote, Frame, Outbox
from syncws._protocol.frames import FIN, CloseFrame, Opcode

# A story is written as words: what is put, "|" for all that may go out now being taken.
#   a, b, ...   a whole message        (a  x  x)   a message in fragments: its first, a middle one, its last
#   ping        a control frame        cut         the message in fragments goes no further
#   close       a Close                finish      a Close that waits for the end of the message in fragments
#   last        the Close of a fault
CLOSES = {
    "close": CloseNote(CloseFrame(1000)),
    "again": CloseNote(CloseFrame(1001)),
    "finish": CloseNote(CloseFrame(3000), finish=True),
    "last": CloseNote(CloseFrame(1011), last=True),
    "last2": CloseNote(CloseFrame(1009), last=True),
}
NAMES = {note.close.payload: name for name, note in CLOSES.items()}


def note_of(word: str) -> object:
    if word in CLOSES:
        return CLOSES[word]
    if word == "cut":
        return CutNote()
    if word == "ping":
        return FIN | Opcode.PING, b"ping"
    match = re.fullmatch(r"(\(?)(\w)(\)?)", word)
    assert match is not None, word
    first, payload, final = match[1], match[2].encode(), match[3]
    if not first and not final and payload != b"x":
        return FIN | Opcode.TEXT, payload
    return FragmentNote(((FIN if final else 0) | (Opcode.TEXT if first else Opcode.CONTINUATION), payload))


def word_of(frame: Frame) -> str:
    head_byte, payload = frame
    opcode, final = head_byte & 15, head_byte & FIN
    if opcode == Opcode.CLOSE:
        return NAMES[payload]
    if opcode == Opcode.PING:
        return "ping"
    if opcode == Opcode.CONTINUATION:
        return payload.decode() + (")" if final else "")
    return payload.decode() if final else "(" + payload.decode()


def take_all(outbox: Outbox) -> Iterator[str]:
    """All that may go out now, in the order in which the writer takes it."""
    yield from map(word_of, outbox.take_controls())
    yield from map(word_of, outbox.take())
    close = outbox.take_close()
    if close is not None:
        yield word_of(close)
