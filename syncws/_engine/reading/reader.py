"""The reader thread: opens the connection, runs it to its end, and reports how it ended.

Owns: the opening, the `Closing` machine, and the one record of the end. Runs on: `run` on the reader thread.
Must not import: the writer, the consumers, what programs call.

What can happen at once. A program may close, abort or drop the connection at any moment, also while it is
being opened; the writer may fail; a signal handler or a fork may interrupt whatever waits for this
connection. None of that is done here by other threads: they leave notes and wake the reader (`reader_notes`,
`open_link`), which looks at them before each wait and acts by itself.

Why it is right. One thread makes every step from the opening to the end, so there is one record of the end,
and it is made in one place. The reader publishes the outcome before it logs, frees its wake-up or ends: a
thread that waits for the end waits for the outcome alone, and may hold, in a frame that a signal handler
interrupted, the locks of logging or of the wake-up. Only a trace callable hears of the end earlier. Whatever
ends this thread ends the connection, with that as the cause: no connection stays half alive.

What was tried and rejected. One thread for both directions: it is less code and about as fast, but then
compressing, masking and encrypting what is sent takes time from reading, pongs and deadlines. Flags in the
reader, the writer and the consumer for how far the closing has come: there were fifteen, and nobody could say
which of their combinations were possible; `closing` has one state. An end of its own for each cause (a
return, a fault, an error of the socket, any other exception): there were four, and the end of `run` had to
tell them apart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._exceptions import WebSocketError
from ..._log import Fields, log_exception
from ..._protocol.closing import Closing, Outcome, State
from ..._protocol.decoder import Decoder
from ..._protocol.encoder import Encoder
from ..._protocol.frames import CloseCode
from ..._protocol.permessage_deflate import Deflater, Inflater
from ..._transport.poller import ForkedError, Poller
from ..opening.handover import Handover, told_of
from ..opening.opening import Connector, OpenStream
from ..primitives import own_thread
from .open_link import OpenLink
from .reader_notes import CLOSED_EARLY, ReaderNotes
from .records import Closed, Consumer, Opened

if TYPE_CHECKING:
    from ..._protocol.handshake import HandshakeRequest
    from ..._transport.stream import Stream
    from ..options.options import Options
    from ..trace_record import TraceRecord
    from ..tracer import Tracer
    from ..writing.pending_pings import PendingPings
    from .input_state import InputState
    from .output import Output
    from .read_lease import ReadLease


_NO_OUTCOME = Outcome(CloseCode.ABNORMAL, error=WebSocketError("no outcome"))


class Reader:
    """The receiving half of one connection, and its life from beginning to end.

    Attributes:
        closing: where the connection is; other threads may look at its `state` and `outcome`.
        closed: the record of the end; None before it.
    """

    def __init__(
        self,
        request: HandshakeRequest,
        options: Options,
        consumer: Consumer,
        output: Output,
        pings: PendingPings,
        notes: ReaderNotes,
        lease: ReadLease,
        name: str,
        log_fields: Fields,
        tracer: Tracer | None = None,
    ) -> None:
        self.closing = Closing(request.url.public, options.close_timeout)
        self.closed: Closed | None = None
        self._request = request
        self._options = options
        self._consumer = consumer
        self._output = output
        self._pings = pings
        self._notes = notes
        self._lease = lease
        self._name = name
        self._log_fields = log_fields
        self._tracer = tracer
        self._last_steps: list[TraceRecord] = []
        self._link: OpenLink | None = None
        self._handover: Handover | None = None  # The opening by a caller, if one opens the connection.

    def run(self) -> None:
        """The body of the reader thread. Whatever happens, one `Closed` record goes out, last."""
        fault: BaseException | None = None
        with own_thread():
            try:
                self._live()
            except ForkedError:
                raise
            except (OSError, WebSocketError) as error:
                self.closing.lost(error)
            except BaseException as error:
                fault = error
                self.closing.lost(error)
            for step in (self._end_link, self._tell_end, self._publish, self._notes.close_poller):
                try:
                    step()
                except ForkedError:
                    raise
                except BaseException as error:  # Other threads wait for the next steps.
                    fault = error
            if fault is not None:
                self._log_fault(fault)
            for record in self._last_steps:
                self._tracer.log(record)  # type: ignore[union-attr]

    @property
    def counts(self) -> tuple[Decoder, Stream, InputState] | None:
        """See `OpenLink`; None before the connection is open."""
        return None if self._link is None else self._link.counts

    def after_fork(self) -> Closed:
        """In a forked child: the connection is over here, and the parent's link is left alone."""
        if self.closed is None:
            error = WebSocketError("the process was forked; the connection is its parent's")
            self.closed = Closed(Outcome(CloseCode.ABNORMAL, error=error))
        return self.closed

    # A caller's thread, which takes the first steps of `run`; see `handover`.

    def open_here(
        self, start: Callable[[], None], make_sure: Callable[[], None], handled: BaseException | None
    ) -> None:
        """Open the connection, or raise the error.

        `start` starts the reader thread, and is called before the first wait for the network. `make_sure`
        makes sure that all threads have started. `handled` is the exception that the caller was handling
        before.
        """
        self._handover = handover = Handover()
        try:
            opened, encoder = self._connect(start, make_sure)
            handover.rest = opened.rest
            self._output.open(opened.stream, encoder, self._notes.wake)
            self._tell_opened(opened)
            # This is the last step: the reader goes on from here, even while a handler waits.
            self.closing.opened()
        except BaseException as error:
            handover.failure = error
            # The line above is one step, so a failure is kept in any case. `told_of` may replace it.
            handover.failure = told_of(error, handled)
            raise
        finally:
            handover.tell()

    def end_here(self, error: Exception) -> None:
        """There will be no reader thread: do what it does at its end."""
        self.closing.lost(error)
        with contextlib.ExitStack() as steps:  # Each step is made, even if a handler raises in another one.
            for step in (self._notes.close_poller, self._publish, self._tell_end, self._end_link):
                steps.callback(step)
        for record in self._last_steps:
            self._tracer.log(record)  # type: ignore[union-attr]

    # The reader thread.

    def _live(self) -> None:
        if self._handover is None:
            opened, encoder = self._connect(None, None)
            self.closing.opened()
            # The writer is opened first, since a consumer may look at its output as soon as it knows of the
            # opening.
            self._output.open(opened.stream, encoder, self._notes.wake)
            self._tell_opened(opened)
            rest = opened.rest
        else:
            rest = self._handover.wait(lambda: self.closing.state is not State.CONNECTING)
        assert self._link is not None  # `_connect` has made it.
        self._link.run(rest)

    def _connect(
        self, before_waiting: Callable[[], None] | None, make_sure: Callable[[], None] | None
    ) -> tuple[OpenStream, Encoder]:
        """Make the connection, and the objects for its two directions."""
        self._notes.poller = poller = Poller()
        self._check_wanted()
        connector = Connector(
            self._request,
            self._options,
            poller,
            self._check_wanted,
            self._name,
            self._tracer,
            before_waiting,
        )
        self._notes.connector = connector
        opened = connector.run()
        deflate = opened.result.deflate
        try:
            if make_sure is not None:
                make_sure()
            if self._tracer is None:
                encoder = Encoder(None if deflate is None else Deflater(deflate))
            else:
                encoder = self._tracer.make_encoder(deflate)
            self._link = self._make_link(poller, opened)
        except BaseException:
            opened.stream.close()  # No other object has it yet.
            raise
        return opened, encoder

    def _make_link(self, poller: Poller, opened: OpenStream) -> OpenLink:
        """Make the object that has the read side of the stream."""
        deflate, max_size = opened.result.deflate, self._options.max_size
        if self._tracer is None:
            decoder = Decoder(max_size, None if deflate is None else Inflater(deflate))
        else:
            decoder = self._tracer.make_decoder(max_size, deflate)
        return OpenLink(
            self.closing,
            self._consumer,
            self._output,
            self._pings,
            self._notes,
            poller,
            opened.stream,
            decoder,
            self._options,
            self._lease,
            time.monotonic,
        )

    def _tell_opened(self, opened: OpenStream) -> None:
        result = opened.result
        self._consumer.put_record(
            Opened(
                result.protocol,
                result.extensions,
                result.response,
                opened.timings,
                opened.local_address,
                opened.remote_address,
                opened.tls,
            )
        )

    def _check_wanted(self) -> None:
        """Raise when the application has given up a connection that is being opened."""
        self._notes.check_wanted()
        if self._output.close_called:
            raise WebSocketError(CLOSED_EARLY)

    def _end_link(self) -> None:
        """End the writer, and free the socket.

        Only this thread frees the descriptor, and only now: if it were freed earlier, its number could belong
        to another file by the time the writer uses it.
        """
        link, connector = self._link, self._notes.connector
        if link is not None:
            link.cut()
        self._output.stop()
        if link is not None:
            link.close()
        elif self._handover is not None and connector is not None:
            connector.close()  # It has closed itself, unless a signal handler has cut it off.

    def _tell_end(self) -> None:
        """Trace the last steps.

        This comes before the outcome is published, so that a trace callable knows of the end before any
        thread that waits for it. Only the log records come later.
        """
        if self._tracer is None:
            return
        outcome, url = self.closing.outcome or _NO_OUTCOME, self._request.url.public
        tell = self._tracer.tell_callable
        if outcome.error is not None:
            self._last_steps.append(tell("lost", error=outcome.error, url=url))
        ending = {"code": outcome.code, "reason": outcome.reason, "clean": outcome.was_clean}
        self._last_steps.append(tell("closed", url=url, **ending))

    def _publish(self) -> None:
        """Publish the outcome."""
        link = self._link
        seconds = 0.0 if link is None else time.monotonic() - link.opened_at
        outcome = self.closing.outcome or _NO_OUTCOME
        self.closed = closed = Closed(outcome, self._output.unsent, seconds)
        self._pings.end()
        try:
            self._consumer.put_record(closed)
        finally:
            self._notes.closed()

    def _log_fault(self, fault: BaseException) -> None:
        try:
            raise fault  # The outcome was published first; now the log gets the traceback.
        except BaseException:
            log_exception(self._log_fields, "%s: a fault of syncws itself: %r", self._name, fault)
