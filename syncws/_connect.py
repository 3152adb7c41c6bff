"""`connect`: opens a connection of the blocking API.

Owns: nothing. Runs on: the caller's thread, which waits while the reader opens the connection. Must not
import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from ._connection import Connection, check_may_wait
from ._engine.engine import Engine
from ._engine.inbox import Inbox
from ._engine.options import (
    DEFAULT_QUEUE,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    TraceRecord,
    UnixPath,
    check_arguments,
    chosen,
    cookiejar,
    explain_unknown,
    socket,
    ssl,
)
from ._exceptions import WebSocketError


@explain_unknown
def connect(
    url: str,
    protocols: str | Iterable[str] = (),
    *,
    # HTTP
    headers: HeadersLike | None = None,
    origin: str | None = None,
    auth: tuple[str, str] | None = None,
    cookies: cookiejar.CookieJar | None = None,
    max_redirects: int = 0,
    require_protocol: bool = True,
    allow_blocked_port: bool = False,
    # TLS
    ssl_context: ssl.SSLContext | None = None,
    ca: FilePath | None = None,
    cert: FilePath | tuple[FilePath, FilePath] | None = None,
    server_hostname: str | None = None,
    # the way
    proxy: str | None = "auto",
    sock: socket.socket | None = None,
    unix: UnixPath | None = None,
    source_address: tuple[str, int] | None = None,
    family: Literal[4, 6] | None = None,
    socket_options: SocketOptions = (),
    # times
    open_timeout: float | None = 10,
    close_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    # limits
    max_size: int | None = 16 * 2**20,
    max_queue: QueueLimit = DEFAULT_QUEUE,
    max_buffered: int | None = None,
    # others
    compression: Literal["deflate"] | None = "deflate",
    trace: Callable[[TraceRecord], object] | None = None,
) -> Connection:
    """Open a connection, and wait until it is open.

    May be used with ``with``, which closes it at the end of the block, or without.

    Args:
        url: an absolute ``ws:`` or ``wss:`` URL (``http:`` and ``https:`` are taken as these).
        protocols: the subprotocols to ask for, a str or several; the server must select one of them.
        headers, origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca,
            cert, server_hostname, proxy, sock, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression,
            trace: as
            for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`.
        OSError: DNS, TCP or TLS failed; `TimeoutError` when `open_timeout` is over.
        HandshakeError: the server refused, or its answer is not valid.
        ConnectionLost: the server ended TCP before it answered.
    """
    options = chosen(locals())
    check_may_wait("connect()")
    connection, engine, inbox = begin(url, protocols, options)
    wait_open(engine, inbox)
    return connection


def begin(
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
