"""How a connection of the blocking API is opened, for `connect` and `reconnect`.

Owns: nothing. Runs on: the caller's thread, which opens the connection, or waits while the reader opens it.
Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from ._connection import Connection, check_may_wait
from ._engine.consumer.inbox import Inbox
from ._engine.engine import Engine
from ._engine.options.options import check_arguments
from ._engine.primitives import is_patched
from ._exceptions import WebSocketError
from ._handler_errors import can_tell_handlers


def open_connection(url: str, protocols: str | Iterable[str], options: dict[str, Any]) -> Connection:
    """Open a connection, and wait until it is open; see `syncws.connect`."""
    check_may_wait("connect()")
    connection, engine, inbox = prepare_connection(url, protocols, options)
    open_prepared(engine, inbox)
    return connection


def prepare_connection(
    url: str, protocols: str | Iterable[str], options: dict[str, Any]
) -> tuple[Connection, Engine, Inbox]:
    """Make a connection that is not open yet, for `open_prepared`."""
    parsed, checked, checked_options = check_arguments(url, protocols, options)
    inbox = Inbox(checked_options.max_queue)
    engine = Engine(parsed, checked, checked_options, inbox)
    connection = Connection(parsed, engine, inbox)
    return connection, engine, inbox


def opens_here(engine: Engine) -> bool:
    """Whether the caller's own thread opens the connection, which saves some changes of threads.

    It does not on PyPy, since an interrupted opening leaves sockets that only reference counting closes at
    once; nor with greenlets in the place of threads, where there is nothing to gain; nor when steps are
    traced or logged, since an exception of a trace callable must not leave the call, but one of a signal
    handler in the middle of it must.
    """
    if sys.implementation.name != "cpython" or is_patched() or engine.tracer is not None:
        return False
    return can_tell_handlers()


def open_prepared(engine: Engine, inbox: Inbox) -> None:
    """Open the connection, and wait until it is open, or raise the error."""
    if opens_here(engine):
        engine.open()
        return
    engine.start()
    try:
        inbox.waiters.wait_until(lambda: inbox.opened is not None or inbox.closed is not None)
    except BaseException:
        engine.abort(WebSocketError("connect() was interrupted"))
        raise
    if inbox.opened is None:
        assert inbox.closed is not None
        raise inbox.closed.outcome.error or WebSocketError("the connection ended before it was open")
