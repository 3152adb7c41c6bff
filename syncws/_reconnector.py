"""`reconnect`: the blocking API's connection that comes back after a loss.

Owns: the present connection, and the wait for the next. Runs on: the iterating thread; `stop` on any. Must
not import: sockets, the reader, the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, cast

from ._connecting import open_prepared, prepare_connection
from ._connection import Connection, check_may_wait, close_going_away
from ._engine.engine import THREADS_SECONDS, Engine
from ._engine.options.fresh_arguments import FreshArguments
from ._engine.options.option_types import (
    DEFAULT_QUEUE,
    FilePath,
    HeadersLike,
    QueueLimit,
    SocketOptions,
    UnixPath,
    cookiejar,
    ssl,
    trace_record,
)
from ._engine.options.options import chosen
from ._engine.options.unknown_options import explain_unknown
from ._engine.primitives import Flag
from ._engine.process import is_process_exiting
from ._engine.stats import Stats
from ._engine.tracer import Tracer
from ._exceptions import ConnectionClosed, WebSocketError
from ._handler_errors import pass_on
from ._log import Fields, log_warning
from ._protocol.frames import CloseCode, CloseFrame
from ._retry import RetryPolicy, RetryState, default_policy, log_loss


@explain_unknown
def reconnect(
    url: str | Callable[[], str],
    protocols: str | Iterable[str] | Callable[[], str | Iterable[str]] = (),
    *,
    # coming back
    policy: RetryPolicy = default_policy,
    # HTTP
    headers: HeadersLike | Callable[[], HeadersLike] | None = None,
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
) -> Reconnector:
    """Connect to a server again and again: each connection comes when the one before is over.

        for connection in syncws.reconnect("wss://feed.example.com/"):
            try:
                for message in connection:
                    ...
            except syncws.ConnectionClosed:
                pass  # the next one comes after a pause

    Args:
        url, protocols, headers: as for `syncws.connect`; each may also be a callable, which is asked before
            each attempt (for tokens that expire).
        policy: decides after each loss how long to wait, or to stop; see `syncws.default_policy`.
            It is given a `Loss` and returns seconds, or None.
        origin, auth, cookies, max_redirects, require_protocol, allow_blocked_port, ssl_context, ca, cert,
            server_hostname, proxy, unix, source_address, family, socket_options, open_timeout,
            close_timeout, ping_interval, ping_timeout, max_size, max_queue, max_buffered, compression,
            trace: as for `syncws.WebSocket`.

    Raises:
        SyntaxErr, SecurityErr, TypeError, ValueError: as `syncws.connect`, from the call; for the results of
            callables, from the iteration.

    A loss or a failed attempt before another attempt is logged as a warning, with its cause and the time of
    the next attempt; an end with 1000 is logged as information. The iteration raises the error when the
    policy says to stop, and ends quietly when the server has closed with 1000 or `stop` was called.
    """
    options = chosen(locals())
    arguments = FreshArguments(url, protocols, options.pop("headers"), options)
    return Reconnector(policy, arguments)


class Reconnector:
    """An iterator over connections; made by `syncws.reconnect`.

    With ``with``, the end of the block stops it. A connection that the loop's body leaves open is closed
    before the next one is made.
    """

    # The arguments are Any, since type checkers count what a public signature names as public.
    def __init__(self, policy: RetryPolicy, arguments: Any) -> None:
        self._retry_state = RetryState(policy)
        self._arguments = cast(FreshArguments, arguments)
        # The caller's mistakes raise here; each attempt checks and parses the arguments anew.
        # the fields of the present connection or attempt
        self._log_fields: Fields = {"url": self._arguments.check()}
        self._stopped = Flag()
        self._connection: Connection | None = None
        self._engine: Engine | None = None  # the engine of `_connection`
        self._tracer: Tracer | None = None  # the tracer of the last connection or attempt
        self._reconnects = -1  # Making the first connection is no reconnect.

    def __iter__(self) -> Reconnector:
        return self

    def __next__(self) -> Connection:
        """Wait until there is an open connection, and return it.

        Raises what went wrong when the policy says to stop.
        """
        check_may_wait("the next connection")
        self._leave()
        while not self._stopped.is_set():
            made = self._attempt()
            if isinstance(made, Connection):
                return made
            self._pause(made, 0.0)
        raise StopIteration

    def stop(self) -> None:
        """End the iteration: close the present connection, or end the attempt, or the wait for the next.

        May be called from any thread. It closes and waits as `Connection.close` does, but with 1001.
        """
        self._stopped.set()
        connection, engine = self._connection, self._engine
        if connection is None or engine is None:
            return
        if engine.is_open or engine.closed is not None:
            close_going_away(connection)
        else:
            engine.abort(WebSocketError("stop() was called"))

    @property
    def stats(self) -> Stats:
        """The counts of the present connection so far; without one all but `reconnects` are 0."""
        engine = self._engine
        return Stats(reconnects=max(0, self._reconnects)) if engine is None else engine.stats

    def __enter__(self) -> Reconnector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; the present connection is closed as at the end of its own with-block."""
        self._stopped.set()
        connection, engine = self._connection, self._engine
        if connection is None or engine is None:
            return
        if engine.is_open:
            engine.close(CloseFrame(CloseCode.GOING_AWAY))
            connection.__exit__(kind, error, traceback)
        else:
            engine.abort(WebSocketError("stop() was called"))

    def _attempt(self) -> Connection | Exception:
        """Make one attempt. Returns an open connection or the error; raises exceptions of signal handlers."""
        try:
            connection, engine, inbox = prepare_connection(*self._arguments.ask())
        except Exception as error:
            pass_on(error)
            return error
        self._log_fields = {"url": engine.log_fields["url"]}
        self._tracer = engine.tracer
        self._engine, self._connection = engine, connection  # stop() can reach the connection from here on.
        try:
            if self._stopped.is_set():
                engine.abort(WebSocketError("stop() was called"))
            open_prepared(engine, inbox)
            self._reconnects += 1
            engine.reconnects = self._reconnects
        except BaseException as error:
            self._connection = self._engine = None
            if not engine.has_failed_with(error):
                raise
            return error
        return connection

    def _leave(self) -> None:
        """End the present connection, and wait as long as the policy says."""
        connection, engine = self._connection, self._engine
        if connection is None or engine is None:
            return
        left_open = connection.readyState == connection.OPEN
        try:
            connection.close()
        except ConnectionClosed as closed:
            pass_on(closed)
            log_warning(self._log_fields, "%d bytes were not sent", closed.unsent)
        engine.wait_over(THREADS_SECONDS)  # Threads could pile up if links end at once.
        self._connection = self._engine = None
        if left_open or self._stopped.is_set():
            return  # The loop's body left it open: it wants the next connection, or none.
        self._pause(engine.closed_error(), engine.open_seconds)

    def _pause(self, error: Exception, open_seconds: float) -> None:
        if self._stopped.is_set():
            return
        delay = self._retry_state.next_delay(error, open_seconds)
        if delay is not None:
            if self._tracer is not None:
                self._tracer.tell("retry", url=self._log_fields["url"], error=error, retry_in=delay)
            if not is_process_exiting():
                log_loss(self._log_fields, error, delay)
            self._stopped.wait(delay)
        elif isinstance(error, ConnectionClosed) and error.code == 1000:
            log_loss(self._log_fields, error, None)
            self._stopped.set()
        else:
            raise error
