"""`connect`: opens a connection of the blocking API.

Owns: nothing; this module has the signature, and `_connecting` does the work. Runs on: the caller's thread.
Must not import: modules that only a connection needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from ._engine.options.option_types import (
    DEFAULT_QUEUE,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    cookiejar,
    socket,
    ssl,
    trace_record,
)
from ._engine.options.unknown_options import explain_unknown
from ._later import Later

if TYPE_CHECKING:
    from . import _connecting as connecting
    from . import _connection as connection
    from ._engine.options import options as engine_options
else:
    connecting, connection = Later("syncws._connecting"), Later("syncws._connection")
    engine_options = Later("syncws._engine.options.options")


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
    # route
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
    trace: Callable[[trace_record.TraceRecord], object] | None = None,
) -> connection.Connection:
    """Open a connection, and wait until it is open.

    May be used with ``with``, which closes it at the end of the block, or without.

    Args:
        url: an absolute ``ws:`` or ``wss:`` URL (``http:`` and ``https:`` are taken as these).
        protocols: the subprotocols to ask for, a str or several; the server must select one of them.
        headers, origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca,
            cert, server_hostname, proxy, sock, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression,
            trace: as for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.WebSocket`.
        OSError: DNS, TCP or TLS failed; `TimeoutError` when `open_timeout` is over.
        HandshakeError: the server refused, or its answer is not valid.
        ConnectionLost: the server ended TCP before it answered.
    """
    options = engine_options.chosen(locals())
    return connecting.open_connection(url, protocols, options)
