"""`reading.read_lease`: a handler comes at each step of a read, or the reader where threads may change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from syncws._engine import primitives
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.primitives import Token, give_back_tokens, tokens
from syncws._engine.reading import read_lease
from syncws._protocol.messages import Message
from syncws._protocol.permessage_deflate import DeflateParameters, Inflater
from tests.support.interleaving import needs_points, steps
from tests.support.lent_link import LentLink, text
from tests.support.lent_wires import (
    FIRST,
    LENDS,
    LONG,
    READING,
    WIRES,
    check_all_is_there,
    make_inflater,
    take_back,
)
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

pytestmark = pytest.mark.skipif(not read_lease.is_allowed(), reason="nobody reads by lease here")


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@needs_points
def test_a_handler_that_raises_loses_and_doubles_nothing(
    make: Callable[[], Any], wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    for step in steps():
        with LentLink(make(), wire, make_inflater()) as link:
            with step.interrupted(*READING):
                link.read(0.001)
            if link.lease.input.needs_reader:
                assert link.wakes, step.number
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize("kind", [TimeoutError, InterruptedError, ValueError])
@needs_points
def test_no_error_of_a_handler_is_taken_for_the_sockets(
    make: Callable[[], Any], kind: type[Exception]
) -> None:
    def fail() -> None:
        raise kind("mine")

    for wire in (text("one"), b""):
        for step in steps():
            with LentLink(make(), wire, make_inflater()) as link:
                caught: list[Exception] = []
                try:
                    with step.interrupted(*READING, by=fail):
                        link.read(0.001)
                except kind as error:
                    caught.append(error)
                assert len(caught) == step.met, step.number
                assert link.lease.input.error is None
                link.take_over()
                assert link.messages == ["one"] * bool(wire)


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("lends", LENDS.values(), ids=LENDS)
@needs_points
def test_while_a_handler_waits_the_reader_goes_on(
    make: Callable[[], Any], lends: bool, wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    def wait() -> None:
        give_back_tokens()
        take_back(link, lends)

    for step in steps():
        with LentLink(make(), wire, make_inflater()) as link:
            with step.interrupted(*READING, by=wait):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.parametrize(("wire", "rest", "messages"), WIRES.values(), ids=WIRES)
@needs_points
def test_a_handler_may_read_itself(
    make: Callable[[], Any], wire: bytes, rest: bytes, messages: list[Message]
) -> None:
    def read_again() -> None:
        link.read(0.001)
        give_back_tokens()
        link.read(0.001)

    for step in steps():
        with LentLink(make(), wire, make_inflater()) as link:
            with step.interrupted(*READING, by=read_again):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@pytest.mark.skipif(not primitives.LOOKS_IN_ORDER, reason="threads may change at each instruction there")
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("lends", LENDS.values(), ids=LENDS)
def test_the_reader_takes_the_turn_back_wherever_threads_may_change(
    make: Callable[[], Any], lends: bool, wire: str
) -> None:
    sent, rest, messages = WIRES[wire]
    for step in steps():
        with LentLink(make(), sent, make_inflater()) as link:
            with step.interrupted(*READING, by=partial(take_back, link, lends)):
                link.read(0.001)
            check_all_is_there(link, rest, messages)


@needs_points
def test_a_thread_that_waits_beside_one_that_a_handler_cut_short_gets_the_message() -> None:
    for step in steps():
        with LentLink(Inbox((None, None))) as link:
            waiting = Task(partial(link.consumer.waiters.wait_until, lambda: link.consumer.messages, SECONDS))
            wait_until(partial(bool, link.consumer.waiters))
            link.serve(text("one"))
            with step.interrupted(*READING, primitives.Waiters.notify, primitives.Waiters.__bool__):
                link.read(1)
            # What a thread of ours does when it was woken.
            if link.wakes:
                link.consumer.waiters.notify()
            if not link.messages:
                link.take_over()
            assert waiting.result(AT_ONCE)


@needs_points
def test_no_token_is_left_behind() -> None:
    here = threading.get_ident()
    for step in steps():
        with LentLink(Inbox((None, None)), text("one")) as link:
            with step.interrupted(*READING):
                link.read(0.001)
            assert not [token for token in tokens if token.thread == here and token.held]
            give_back_tokens()
            assert not [token for token in tokens if token.thread == here]


def test_in_a_forked_child_nobody_reads(make: Callable[[], Any]) -> None:
    with LentLink(make(), text("a")) as link:
        link.lease.after_fork()
        assert not link.read()
        assert not link.messages


class Guarded(Inflater):
    """Its reader is at work, and alone may change the state."""

    guarded = False

    def __setattr__(self, name: str, value: object) -> None:
        assert not (self.guarded and name == "zlib_stream"), "the reader's state is replaced"
        super().__setattr__(name, value)


def test_a_consumer_that_comes_too_late_leaves_the_state_of_inflating_alone(make: Callable[[], Any]) -> None:
    """Not even with what stands there: the reader changes it in between, and takes no leaf for it."""
    inflater = Guarded(DeflateParameters())
    with LentLink(make(), b"", inflater) as link:
        late = read_lease.LeasedRead(Token(bool), [FIRST], 65_535, inflater)
        assert late.messages == [LONG[0]]
        inflater.guarded = True
        link.consumer.put_by_lease(link.lease.input, link.stream, late)
        assert link.messages == []
