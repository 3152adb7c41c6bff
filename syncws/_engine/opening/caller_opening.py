"""An opening on the caller's own thread, as `connect()` makes it, and the threads that it starts.

Owns: the start of these threads, and the cleanup after an opening that fails. Runs on: the caller's thread;
`_provide_and_read` on the reader thread. Must not import: sockets, what programs call.

On loopback a change of threads takes as long as opening a connection does, and starting a thread takes
longer. So the thread that waits for the opening also makes it, and the other threads are started at its first
wait: for a look-up, for TCP, TLS or the answer. From then on the reader thread waits for the end of the
opening, and cleans up if a signal handler cuts the caller off. Before that, only the caller's frames and the
sockets that `Connector` knows need any cleanup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._exceptions import ThreadStartError, WebSocketError
from ..._transport.poller import ForkedError
from .handover import told_of

if TYPE_CHECKING:
    from ..reading.reader import Reader
    from ..reading.reader_notes import ReaderNotes


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
        """`running` holds the names of the threads that were started and have not ended; `start` starts one.
        `provide` makes sure that there is a writer thread. Both raise `ThreadStartError`.
        """
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
        """Clean up after `run` has raised `error`; `interrupt` is its cause if a signal handler raised that.

        This waits for the end of the connection, unless there is an interrupt.
        """
        closed = self._reader.closed
        # The fork was in a signal handler, or in a trace callable, and the child has returned here.
        if self._notes.forked:
            if (interrupt is None or isinstance(error, ForkedError)) and closed is not None:
                raise closed.outcome.error or error from None
            return
        if "reader" not in self._running:
            if closed is None:
                self._reader.end_here(told_of(interrupt or error))
        elif interrupt is None:
            self._notes.waiters.wait_until(lambda: self._notes.is_over)

    def _start_reader(self) -> None:
        self._notes.check_wanted()  # In a forked child this raises, so that no thread is started.
        if "reader" not in self._running:
            try:
                self._start("reader", self._provide_and_read)
            except ThreadStartError as error:
                raise self._note(error) from error

    def _note(self, error: ThreadStartError) -> WebSocketError:
        """The error in another class: the steps of the opening take an `OSError` for a failure of the
        network."""
        self._thread_error = error
        return WebSocketError(str(error))

    def _make_sure_of_threads(self) -> None:
        self._start_reader()
        notes = self._notes
        notes.waiters.wait_until(lambda: self._is_provided or notes.is_over)
        notes.check_wanted()

    def _provide_and_read(self) -> None:
        """The body of the reader thread. It starts a writer thread if there is none, while the caller waits
        for the network.
        """
        try:
            self._provide()
        except ThreadStartError as error:
            self._notes.abort_error = self._note(error)
            self._notes.wake()
        finally:
            self._is_provided = True
            self._notes.waiters.notify()
        self._reader.run()
