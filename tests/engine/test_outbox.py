"""`syncws._engine.writing.outbox`: what goes out in which order, and what a Close does to it."""

from __future__ import annotations

import pytest

from syncws._engine.writing.outbox import FragmentNote, Outbox
from syncws._protocol.frames import FIN, Opcode
from tests.support.outbox_stories import note_of, take_all


def told(story: str) -> tuple[str, Outbox]:
    outbox = Outbox()
    out: list[str] = []
    for word in story.split():
        if word == "|":
            out += take_all(outbox)
            out.append("|")
        else:
            outbox.put([note_of(word)])
    out += take_all(outbox)
    return " ".join(out), outbox


ORDERS = {
    "messages keep their order": ("a b | c", "a b | c"),
    "control frames go ahead of data": ("a ping b", "ping a b"),
    "messages wait behind one in fragments": ("a (m b | x c | x)", "a (m | x | x) b c"),
    "control frames do not": ("(m b ping | x)", "ping (m | x) b"),
    "a message after one in fragments": ("(m x) a", "(m x) a"),
    "two messages in fragments": ("(m a x) (n b x)", "(m x) a (n x) b"),
    "a Close goes out behind all that is queued": ("a b close", "a b close"),
    "nothing goes out after it": ("a close | b ping (m x) again last", "a close | "),
    "nothing that comes after it goes out before it": ("a close b (m x x)", "a close"),
    "a ping that waits when it leaves": ("a close ping", "ping a close"),
}

# interface: Closing 7.
CLOSINGS = {
    "a: a Close cuts off a message in fragments that nothing waits behind": ("(m x close x x)", "(m x close"),
    "a: also when those are sent already": ("(m x | close | x)", "(m x | close | "),
    "b: a Close waits for its end, and for what waits behind": (
        "(m a finish | x | b x)",
        "(m | x | x) a finish",
    ),
    "b: without a message in fragments it does not wait": ("a finish b", "a finish"),
    "b: nor when that has ended": ("(m x) finish", "(m x) finish"),
    "c: a Close gives up what waits behind": ("(m a b | close x) c", "(m | close"),
    "d: a cut gives up what waits behind, and the Close goes out behind what was taken": (
        "(m x a cut x x) b close",
        "(m x close",
    ),
    "d: a cut frees a Close that waits for the end": ("(m a finish | cut", "(m | finish"),
    "d: a cut outside of fragments changes nothing": ("a cut b cut (m x) c", "a b (m x) c"),
    "d: another Close does not wait, and cuts it off": ("(m a finish | close", "(m | finish"),
    "d: a fault's Close takes the place of one that waits": ("(m a finish | last", "(m | last"),
    "d: also of one that stands behind data": ("a close last", "a last"),
}

CLOSES_AFTER_CLOSES = {
    "the first Close stays": ("a close again", "a close"),
    "also behind a fault's": ("a last close", "a last"),
    "a fault's takes its place": ("close last", "last"),
    "but not that of another fault's": ("last last2", "last"),
    "none goes out after one": ("close | again last finish | last2", "close |  | "),
    "a Close that waits for the end does not undo one that does not": ("(m close finish | x)", "(m close | "),
}


@pytest.mark.parametrize("rule", [*ORDERS, *CLOSINGS, *CLOSES_AFTER_CLOSES])
def test_what_goes_out_in_which_order(rule: str) -> None:
    story, expected = {**ORDERS, **CLOSINGS, **CLOSES_AFTER_CLOSES}[rule]
    assert told(story)[0].split() == expected.split()


@pytest.mark.parametrize(
    ("story", "last"),
    [("a close", False), ("last", True), ("close last", True), ("last close", True), ("close | last", False)],
)
def test_the_output_ends_with_a_fault_s_close_alone(story: str, last: bool) -> None:
    assert told(story)[1].last is last


def test_a_note_that_it_does_not_know_is_a_fault_that_names_it() -> None:
    with pytest.raises(TypeError, match="'ham'"):
        Outbox().put(["ham"])


def test_the_close_is_not_given_out_before_the_data_that_it_stands_behind() -> None:
    outbox = Outbox()
    outbox.put([note_of("a"), note_of("close")])
    assert outbox.take_close() is None
    assert len(outbox.take()) == 1
    assert outbox.take_close() is not None
    assert outbox.take_close() is None


def test_a_ping_that_comes_just_before_the_close_leaves_does_not_go_out_after_it() -> None:
    outbox = Outbox()
    outbox.put([note_of("close")])
    assert not outbox.take_controls()
    outbox.put([note_of("ping")])
    assert outbox.take_close() is not None
    assert not outbox.take_controls()


def test_whole_messages_are_taken_over_as_one_list() -> None:
    outbox = Outbox()
    outbox.put_messages([(FIN | Opcode.TEXT, b"a"), (FIN | Opcode.TEXT, b"b")])
    outbox.put_messages([(FIN | Opcode.TEXT, b"c")])
    assert list(take_all(outbox)) == ["a", "b", "c"]


def test_how_many_frames_end_no_message_is_told_of_what_was_taken_last() -> None:
    outbox = Outbox()
    for opcode in (Opcode.TEXT, Opcode.CONTINUATION, FIN | Opcode.CONTINUATION):
        outbox.put([FragmentNote((opcode, b""))])
    assert len(outbox.take()) == 3
    assert outbox.fragments == 2
    assert not outbox.take()
    assert outbox.fragments == 0
