"""Engines with an inbox, without the API on top."""

from __future__ import annotations

from typing import Any

from syncws import ConnectionClosed, WebSocketError
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.engine import Engine
from syncws._engine.options.options import check_arguments
from tests.support.waiting import SECONDS

#: The engines that were made here; a failed test may have left some open.
made_engines: list[Engine] = []


def make_engine(url: str, lends: bool = True, **options: Any) -> tuple[Engine, Inbox]:
    """A connection that is open. `lends`: callers may read by lease."""
    parsed, protocols, made = check_arguments(
        url, (), {"ping_interval": None, "compression": None, **options}
    )
    taken = Inbox((None, None))
    engine = Engine(parsed, protocols, made, taken)
    if not lends:
        taken.lease = None
    made_engines.append(engine)
    engine.start()
    taken.waiters.wait_until(lambda: taken.opened is not None or taken.closed is not None, SECONDS)
    assert taken.opened is not None, engine.outcome
    return engine, taken


def end(engine: Engine) -> ConnectionClosed:
    engine.abort(WebSocketError("the test is over"))
    assert engine.wait_closed(SECONDS)
    engine.wait_over(SECONDS)
    return engine.closed_error()
