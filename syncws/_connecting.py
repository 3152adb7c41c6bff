"""How a connection of the blocking API is opened, for `connect` and `reconnect`.

Owns: nothing. Runs on: the caller's thread, which waits while the reader opens the connection. Must not
import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._connection import Connection, check_may_wait
from ._engine.engine import Engine
from ._engine.inbox import Inbox
from ._engine.options import check_arguments
from ._exceptions import WebSocketError


def open_connection(url: str, protocols: str | Iterable[str], options: dict[str, Any]) -> Connection:
    """Open a connection, and wait until it is open; see `syncws.connect`."""
    check_may_wait("connect()")
    connection, engine, inbox = start_connecting(url, protocols, options)
    wait_open(engine, inbox)
    return connection


def start_connecting(
    url: str, protocols: str | Iterable[str], options: dict[str, Any]
) -> tuple[Connection, Engine, Inbox]:
    """A connection that is being opened; `wait_open` waits until it is."""
    parsed, checked, checked_options = check_arguments(url, protocols, options)
    inbox = Inbox(checked_options.max_queue)
    engine = Engine(parsed, checked, checked_options, inbox)
    connection = Connection(parsed, engine, inbox)
    engine.start()
    return connection, engine, inbox


def wait_open(engine: Engine, inbox: Inbox) -> None:
    """Wait until the connection is open; raises what failed."""
    try:
        inbox.waiters.wait_until(lambda: inbox.opened is not None or inbox.closed is not None)
    except BaseException:
        engine.abort(WebSocketError("connect() was interrupted"))
        raise
    if inbox.opened is None:
        assert inbox.closed is not None
        raise inbox.closed.outcome.error or WebSocketError("the connection ended before it was open")
