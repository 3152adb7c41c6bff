"""`reading.read_lease`: the reader or another consumer comes at each instruction of a read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from syncws._engine.consumer.inbox import Inbox
from syncws._engine.reading import read_lease, read_size
from tests.support.interleaving import instructions
from tests.support.lent_link import CONSUMERS, LentLink, text
from tests.support.lent_wires import (
    LENDS,
    READING,
    WIRES,
    check_all_is_there,
    make_inflater,
    take_back,
)
from tests.support.stress import turns

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")


@pytest.mark.parametrize(
    ("story", "make"), turns(itertools.product(LENDS, WIRES), CONSUMERS), indirect=["make"], ids=str
)
def test_the_reader_takes_the_turn_back_at_each_instruction(
    make: Callable[[], Any], story: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without the interpreter's lock."""
    lends, wire = story
    sent, rest, messages = WIRES[wire]
    monkeypatch.setattr(read_lease, "LOOKS_IN_ORDER", False)
    for step in instructions(number=list(WIRES).index(wire)):
        with LentLink(make(), sent, make_inflater()) as link:
            with step.meanwhile(partial(take_back, link, LENDS[lends]), *READING):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize("polls", [True, False])
def test_once_the_reader_has_the_turn_no_consumer_reads(
    make: Callable[[], Any], polls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take() -> None:
        link.take()
        link.serve(text("two"))

    monkeypatch.setattr(read_lease, "LOOKS_IN_ORDER", False)  # at each instruction threads may change
    # After a read of the full size, the next one does not poll first.
    monkeypatch.setattr(read_size, "SMALLEST_READ", len(text("one")) + polls)
    for step in instructions():
        with LentLink(make(), text("one")) as link:
            assert link.read()
            with step.meanwhile(take, *READING):
                link.read(0.001)
            assert link.messages == ["one"]
            if step.met:
                assert link.stream.recv(100) == text("two")


def test_another_consumer_comes_at_each_step() -> None:
    for step in instructions():
        with LentLink(Inbox((None, None)), text("one") + text("two")[:3]) as link:
            with step.meanwhile(partial(link.read, 0.001), *READING):
                link.read(0.001)
            check_all_is_there(link, text("two")[3:], ["one", "two"])
