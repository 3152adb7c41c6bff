"""Messages out: the thread that receives and prints.

Owns: the present connection, and how the last one ended. Runs on: a thread of its own; what it leaves in its
attributes is read by the main one. Must not import: the engine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .. import Connection, ConnectionClosed, Reconnector
from .console import OutputClosed

if TYPE_CHECKING:
    from .goal import Goal
    from .outputs import Printer


class Receiver:
    """Takes messages off one connection after the other until there are no more.

    Attributes:
        connection: the one that is open, or was last; None before the first.
        closed: how the last connection ended; None while it has not ended.
        failure: the error that ended the receiving, if it was not the connection's end.
        has_enough: the last message that was wanted has come.
        output_closed: nobody reads stdout any more.
        is_over: the receiving has ended; the main thread has been woken since.
    """

    def __init__(
        self,
        connections: Iterable[Connection],
        goal: Goal,
        printer: Printer,
        *,
        on_open: Callable[[Connection], None],
        on_message: Callable[[], None],
        on_closed: Callable[[ConnectionClosed], None],
        wake: Callable[[], None],
    ) -> None:
        self.connection: Connection | None = None
        self.closed: ConnectionClosed | None = None
        self.failure: Exception | None = None
        self.has_enough = False
        self.output_closed = False
        self.is_over = False
        self._connections = connections
        self._goal = goal
        self._printer = printer
        self._on_open = on_open
        self._on_message = on_message
        self._on_closed = on_closed
        self._wake = wake
        self.thread = threading.Thread(target=self._run, name="syncws-cli-receiver", daemon=True)

    def close(self) -> None:
        """Close the present connection, and let no other one follow. Unsent bytes stay counted."""
        if self.connection is not None:
            with contextlib.suppress(ConnectionClosed):
                self.connection.close()
        if isinstance(self._connections, Reconnector):
            self._connections.stop()

    def abort(self) -> None:
        """End the connection without waiting for the server."""
        if self.connection is not None and hasattr(self.connection, "abort"):
            self.connection.abort()

    @property
    def unsent(self) -> int:
        """Bytes that were queued and not handed to the network."""
        unsent = 0 if self.closed is None else self.closed.unsent
        return max(unsent, 0 if self.connection is None else self.connection.bufferedAmount)

    def _run(self) -> None:
        try:
            for connection in self._connections:
                self.closed = None
                self.connection = connection
                self._on_open(connection)
                self._wake()
                self._receive(connection)
                if self.has_enough:
                    break
        except OutputClosed:
            self.output_closed = True
        except Exception as error:
            self.failure = error
        finally:
            self.is_over = True
            self._wake()

    def _receive(self, connection: Connection) -> None:
        while True:
            try:
                message = connection.recv()
            except ConnectionClosed as closed:
                self.closed = closed
                self.closed = _settled(connection, closed)
                self._on_closed(self.closed)
                return
            self._printer.received(message)
            self._on_message()
            if self._goal.on_message(message):
                self.has_enough = True
                return
            if self._goal.all_sent and self._goal.is_met:
                self._wake()


def _settled(connection: Connection, closed: ConnectionClosed) -> ConnectionClosed:
    """How it ended, once that is certain: at first our answer to a Close may still be on its way out."""
    with contextlib.suppress(ConnectionClosed):
        connection.close()
    try:
        connection.recv(0)
    except ConnectionClosed as settled:
        return settled
    except TimeoutError:
        pass
    return closed
