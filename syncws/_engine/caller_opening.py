"""An opening on the thread of a caller, as `connect()` has it, and the threads that it starts.

Owns: that these are started, and what is done where the opening comes to no open connection. Runs on: the
caller's thread; `_provide_and_read` on the reader's. Must not import: sockets, what programs call.

To change from thread to thread takes as long as to open a connection on this machine, and to start a thread
longer. So who waits for the opening does it, and the threads are started when there is first something to
wait for: the look-up of a name, TCP, TLS, the answer. From then on the reader thread waits for the end of the
opening, and does what is left to do where a signal handler has cut the caller off. Before that there are only
the caller's own frames, and the sockets that `Connector` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._exceptions import ThreadStartError, WebSocketError
from .._transport.poller import ForkedError
from .handover import told_of

if TYPE_CHECKING:
    from .reader import Reader
    from .reader_notes import ReaderNotes


class CallerOpening:
    """See the head of the module."""

    def __init__(
        self,
        reader: Reader,
        notes: ReaderNotes,
        running: set[str],
        start: Callable[[str, Callable[[], None]], None],
        provide: Callable[[], None],
    ) -> None:
        """`running` has the names of the threads that are started, and have not ended; `start` starts one.
        `provide` makes sure of a writer thread. Both raise `ThreadStartError`."""
        self._reader = reader
        self._notes = notes
        self._running = running
        self._start = start
        self._provide = provide
        self._is_provided = False
        self._thread_error: ThreadStartError | None = None

    def run(self, handled: BaseException | None) -> None:
        """Open the connection; raises what failed. `handled` is what the caller was about to handle."""
        try:
            self._reader.open_here(self._start_reader, self._make_sure_of_threads, handled)
        except WebSocketError:
            if self._thread_error is not None:
                raise self._thread_error from self._thread_error.__cause__
            raise

    def end(self, error: BaseException, interrupt: BaseException | None) -> None:
        """`run` has raised `error`, because of `interrupt` if there is one: see that all is done that is done
        at the end of a connection. It waits for that, but for an interrupt."""
        closed = self._reader.closed
        if self._notes.forked:  # in a signal handler, or in a trace callable, which has returned here
            if (interrupt is None or isinstance(error, ForkedError)) and closed is not None:
                raise closed.outcome.error or error from None
            return
        if "reader" not in self._running:
            if closed is None:
                self._reader.end_here(told_of(interrupt or error))
        elif interrupt is None:
            self._notes.waiters.wait_until(lambda: self._notes.is_over)

    def _start_reader(self) -> None:
        self._notes.check_wanted()  # a forked child starts none
        if "reader" not in self._running:
            try:
                self._start("reader", self._provide_and_read)
            except ThreadStartError as error:
                raise self._note(error) from error

    def _note(self, error: ThreadStartError) -> WebSocketError:
        """What the steps of the opening let through, to whom the error itself would be one of the network."""
        self._thread_error = error
        return WebSocketError(str(error))

    def _make_sure_of_threads(self) -> None:
        self._start_reader()
        notes = self._notes
        notes.waiters.wait_until(lambda: self._is_provided or notes.is_over)
        notes.check_wanted()

    def _provide_and_read(self) -> None:
        """The body of the reader thread. A writer thread that is missing is started while the caller waits
        for the network."""
        try:
            self._provide()
        except ThreadStartError as error:
            self._notes.abort_error = self._note(error)
            self._notes.wake()
        finally:
            self._is_provided = True
            self._notes.waiters.notify()
        self._reader.run()
