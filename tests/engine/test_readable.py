"""`_engine.consumer.readable`: the descriptor of `Connection.fileno()`, whatever a signal handler does."""

from __future__ import annotations

import select

from syncws import Connection, _connection
from syncws._engine import primitives
from syncws._engine.consumer import inbox, readable
from tests.support.clients import opened
from tests.support.moments import Moments, interrupt, needs_moments
from tests.support.waiting import SECONDS


def is_readable(connection: Connection, timeout: float = 0) -> bool:
    return bool(select.select([connection], [], [], timeout)[0])


@needs_moments
def test_a_handler_that_raises_anywhere_in_recv_leaves_it_right() -> None:
    with opened() as connection:
        connection.fileno()
        moments = Moments(interrupt, _connection, inbox, readable, primitives)
        for delay in moments.each():
            connection.send("x")
            assert is_readable(connection, SECONDS)
            with moments.within(delay):
                connection.recv(SECONDS)
            if connection.stats.queued_messages:
                assert is_readable(connection)
                connection.recv(0)
            assert not is_readable(connection)
