"""The reader thread: opens the connection, runs it to its end, and reports how it ended.

Owns: the opening, the `Closing` machine, and the one record of the end. Runs on: `run` on the reader thread.
Must not import: the writer, the consumers, what programs call.

The reader publishes the outcome before it logs, frees its wake-up or ends: who waits for the end waits for
that alone, and may hold, in a frame that a signal handler interrupted, the locks of logging or of the
wake-up. Whatever ends this thread ends the connection, with that as the cause: nothing is left half alive.
"""

from __future__ import annotations

import logging
import time

from .._exceptions import WebSocketError
from .._log import Fields, log, log_exception
from .._protocol.closing import Closing, Outcome
from .._protocol.decoder import Decoder
from .._protocol.encoder import Encoder
from .._protocol.frames import CloseCode
from .._protocol.handshake import HandshakeRequest
from .._protocol.permessage_deflate import Deflater, Inflater
from .._transport.poller import ForkedError, Poller
from .open_link import OpenLink, Output
from .opening import Connector, OpenStream
from .options import Options
from .pending_pings import PendingPings
from .primitives import own_thread
from .reader_notes import CLOSED_EARLY, ReaderNotes
from .records import Closed, Consumer, Opened


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
        name: str,
        log_fields: Fields,
    ) -> None:
        self.closing = Closing(request.url.public, options.close_timeout)
        self.closed: Closed | None = None
        self._request = request
        self._options = options
        self._consumer = consumer
        self._output = output
        self._pings = pings
        self._notes = notes
        self._name = name
        self._log_fields = log_fields
        self._link: OpenLink | None = None

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
            self._publish()
            self._notes.close_poller()
            if fault is not None:
                log_exception(self._log_fields, "%s: a fault of syncws itself: %r", self._name, fault)
            self._log_end()

    def after_fork(self) -> Closed:
        """In a forked child: the connection is over here, and the parent's link is left alone."""
        if self.closed is None:
            error = WebSocketError("the process was forked; the connection is its parent's")
            self.closed = Closed(Outcome(CloseCode.ABNORMAL, error=error))
        return self.closed

    def _live(self) -> None:
        self._notes.poller = poller = Poller()
        self._check_wanted()
        connector = Connector(self._request, self._options, poller, self._check_wanted, self._name)
        self._notes.connector = connector
        opened = connector.run()
        log(logging.DEBUG, self._log_fields, "%s: open: %s", self._name, self._request.url.public)
        self._link = link = self._make_link(poller, opened)
        link.run(opened.rest)

    def _make_link(self, poller: Poller, opened: OpenStream) -> OpenLink:
        """Report that the connection is open, and hand over the two sides of the stream."""
        result = opened.result
        deflate = result.deflate
        decoder = Decoder(self._options.max_size, Inflater(deflate) if deflate else None)
        encoder = Encoder(Deflater(deflate) if deflate else None)
        link = OpenLink(
            self.closing,
            self._consumer,
            self._output,
            self._pings,
            self._notes,
            poller,
            opened.stream,
            decoder,
            self._options,
            self._request.url.public,
        )
        self.closing.opened()
        # The writer is told first: the consumer may send as soon as it is told that the connection is open.
        self._output.open(opened.stream, encoder, self._notes.wake)
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
        return link

    def _check_wanted(self) -> None:
        """Raise when the application has given up a connection that is being opened."""
        self._notes.check_wanted()
        if self._output.close_called:
            raise WebSocketError(CLOSED_EARLY)

    def _publish(self) -> None:
        """End the writer, free the socket, and tell the outcome. Only this thread frees the descriptor, and
        only now: a number that is freed earlier could be another file's by the time the writer uses it."""
        link = self._link
        if link is not None:
            link.cut()
        self._output.stop()
        seconds = 0.0
        if link is not None:
            link.close()
            seconds = time.monotonic() - link.opened_at
        outcome = self.closing.outcome or Outcome(CloseCode.ABNORMAL, error=WebSocketError("no outcome"))
        self.closed = closed = Closed(outcome, self._output.unsent, seconds)
        self._pings.end()
        try:
            self._consumer.put_record(closed)
        finally:
            self._notes.closed()

    def _log_end(self) -> None:
        closed = self.closed
        assert closed is not None
        outcome = closed.outcome
        fields = {"code": outcome.code, "reason": outcome.reason, "was_clean": outcome.was_clean}
        log(logging.DEBUG, {**self._log_fields, **fields}, "%s: closed: %r", self._name, outcome)
