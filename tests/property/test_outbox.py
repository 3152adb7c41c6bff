"""The outbox against a model of it: any order of what callers leave and of when the writer takes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncws._engine.writing.outbox import Outbox
from tests.property.strategies import examples
from tests.support.outbox_stories import CLOSES, note_of, take_all

MESSAGES = "abcdefghijklnopqrstuvwyz"  # (m, x and x) are the message in fragments


class Model:
    """What must go out, told in other words: a line of words, whose end a Close is."""

    def __init__(self) -> None:
        self.line: list[str] = []
        self.behind: list[str] = []
        self.inside = False
        self.ended = False  # nothing more is taken in
        self.close = ""

    def put(self, word: str) -> None:
        if word in CLOSES:
            self._put_close(word)
        elif word == "cut":
            if self.inside:
                self._end()
        elif not self.ended:
            if word in MESSAGES:
                (self.behind if self.inside else self.line).append(word)
            else:
                self._put_fragment(word)

    def _put_fragment(self, word: str) -> None:
        self.line.append(word)
        self.inside = word != "x)"
        if not self.inside:
            self.line += self.behind
            self.behind = []
            self.ended = bool(self.close)

    def _put_close(self, word: str) -> None:
        if self.close == "left":
            return
        if not self.close or (word.startswith("last") and not self.close.startswith("last")):
            self.close = word
        if word != "finish" or not self.inside:
            self._end()

    def _end(self) -> None:
        self.ended, self.inside, self.behind = True, False, []

    def take_all(self) -> list[str]:
        out, self.line = self.line, []
        if self.close and self.close != "left" and self.ended:
            out.append(self.close)
            self.close = "left"
        return out


@st.composite
def stories(draw: st.DrawFn) -> list[str]:
    """Words in an order in which the send queue can leave their notes: fragments follow each other, and no
    message comes behind a Close."""
    words: list[str] = []
    inside = closed = False
    unused = list(MESSAGES)
    choices = ["message", "message", "begin", "begin", "middle", "end", "|", "|", "cut", *CLOSES]
    for choice in draw(st.lists(st.sampled_from(choices), max_size=len(MESSAGES))):
        if choice in CLOSES:
            closed = True
            words.append(choice)
        elif choice == "begin" and not inside:
            inside = True
            words.append("(m")
        elif choice in ("middle", "end") and inside:
            inside = choice == "middle"
            words.append("x" if inside else "x)")
        elif choice in ("|", "cut"):
            words.append(choice)
        elif choice == "message" and not closed:
            words.append(unused.pop(0))
    return [*words, "|"]


@examples(1000)
@given(stories())
def test_what_goes_out_is_what_the_model_says(words: list[str]) -> None:
    outbox, model = Outbox(), Model()
    for word in words:
        if word == "|":
            assert list(take_all(outbox)) == model.take_all()
        else:
            outbox.put([note_of(word)])
            model.put(word)


@examples(1000)
@given(stories())
def test_what_goes_out_is_lawful_and_ends_with_the_close(words: list[str]) -> None:
    outbox = Outbox()
    sent: list[str] = []
    for word in words:
        if word == "|":
            sent += take_all(outbox)
        else:
            outbox.put([note_of(word)])
    inside = False
    for number, word in enumerate(sent):
        if word in CLOSES:
            assert number == len(sent) - 1
        elif word == "(m":
            assert not inside
            inside = True
        elif word in ("x", "x)"):
            assert inside
            inside = word == "x"
        else:
            assert not inside
    messages = [word for word in sent if word in MESSAGES]
    assert messages == [word for word in words if word in messages]
