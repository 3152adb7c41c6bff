"""Notes of other threads for the reader, and the wake-up that goes with them.

Owns: these notes. Runs on: any thread; `check_wanted` and `close_poller` on the reader thread. Must not
import: the protocol, the writer. The application's close is no note here: the send queue holds it, beside the
Close.

Each note is left once and never taken back; the reader looks at all of them after each wake-up. The wake-up
takes several steps of Python, which a signal handler that raises can cut off: so each call that leaves a note
here also has a writer thread wake the reader, by one call of a C function (see `Engine`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._exceptions import WebSocketError
from ..._transport.poller import ForkedError
from ..primitives import Waiters

if TYPE_CHECKING:
    from ..._exceptions import ProtocolError
    from ..._transport.poller import Poller
    from ..opening.opening import Connector

CLOSED_EARLY = "close() was called before the connection was open"


class ReaderNotes:
    """The notes of one connection.

    Attributes:
        cuts: for each call of close() with a `timeout`: until when it waits, on the clock of
            `time.monotonic`, and the error to report then.
        abort_error: set when the application wants the end now; the error that says why.
        failure: set when the connection must fail: the error, and the close code for the server.
        forked: whether this process is a forked child, so that the connection belongs to its parent.
        released: whether the program has no reference to the connection left.
        is_enlisted: whether the writer pool counts the connection.
        is_over: whether the outcome is published.
        waiters: the threads that wait for the outcome.
        poller, connector: those of the reader, once they exist; for the wake-up and for a fork.
    """

    def __init__(self) -> None:
        self.cuts: list[tuple[float, Exception]] = []
        self.abort_error: Exception | None = None
        self.failure: tuple[BaseException, int] | None = None
        self.forked = False
        self.released = False
        self.is_enlisted = False
        self.is_over = False
        self.waiters = Waiters()
        self.poller: Poller | None = None
        self.connector: Connector | None = None

    def wake(self) -> None:
        """Let the reader look again."""
        poller = self.poller
        if poller is not None:
            poller.wake()

    def note_cut(self, cut_at: float, cut_error: Exception) -> None:
        """A call of close() waits until `cut_at`; then the connection is cut, with `cut_error` as the
        reason."""
        cut = [(cut_at, cut_error)]
        self.cuts += cut  # This is one step, so that no thread loses its note.

    def check_wanted(self) -> None:
        """Raise when the application has given up a connection that is being opened."""
        if self.forked:
            raise ForkedError
        if self.abort_error is not None:
            raise self.abort_error
        if self.failure is not None:
            raise self.failure[0]
        if self.released:
            raise WebSocketError("the program had no reference to the connection left")

    def hide(self, text: str) -> str:
        """The server's words without the secrets that the opening has sent. Any thread may call this."""
        return text if self.connector is None else self.connector.secrets.hide(text)

    def masked(self, error: ProtocolError) -> ProtocolError:
        """The error of a fault of the server, with these secrets hidden in its text."""
        said = str(error)
        if (shown := self.hide(said)) != said:
            error.args = (shown,)
            error.__cause__ = error.__context__ = None  # These hold the words of the server.
        return error

    def closed(self) -> None:
        """The outcome was published."""
        self.is_over = True
        self.waiters.notify()

    def close_poller(self) -> None:
        """Free the descriptor that wakes the reader."""
        if self.poller is not None:
            self.poller.close()

    def after_fork(self) -> None:
        """In a forked child: only close this process's copies of the descriptors. A shutdown or a
        close_notify would reach the parent's peer."""
        self.forked = True
        if self.connector is not None:
            self.connector.close_sockets()
        if self.poller is not None:
            self.poller.after_fork()
        self.closed()
