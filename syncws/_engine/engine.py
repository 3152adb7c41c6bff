"""One connection: the wiring of its parts, and the calls that both APIs make.

Owns: nothing. Runs on: the caller's thread. Must not import: what programs call.

Callers leave notes; our threads run the machines. A message goes to the send queue and the writer; a close
goes to both, since its frame is the writer's and its deadline the reader's.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .._exceptions import ConnectionClosed, WebSocketError
from .._handler_errors import find_interrupt, is_raised_by_handler
from .._protocol.closing import Outcome, State
from .._protocol.frames import Buffer, CloseCode, CloseFrame
from .._protocol.handshake import HandshakeRequest, make_key
from . import process
from .opening.caller_opening import CallerOpening
from .reading.read_lease import ReadLease, is_allowed
from .reading.reader import Reader
from .reading.reader_notes import ReaderNotes
from .stats import Stats
from .threads import Threads
from .tracer import make_tracer
from .writing.fragmented_send import FragmentedSend
from .writing.pending_pings import PendingPing, PendingPings
from .writing.send_queue import SendQueue
from .writing.writer import Writer
from .writing.writer_pool import shared_pool
from .writing.writer_turn import ACCEPTING, FINISHED

if TYPE_CHECKING:
    from typing import TypeGuard

    from .._log import Fields
    from .._protocol.url import URL
    from .options.options import Options
    from .primitives import Waiters
    from .reading.records import Closed, Consumer

# How long an attempt to come back waits for the threads of the one before, which are about to end.
THREADS_SECONDS = 1.0

_numbers = itertools.count(1)


class Engine:
    """The part of a connection that both APIs share. Only the methods that say so wait.

    Attributes:
        name: ``syncws-<n>``; the names of its threads begin with it.
        queue: the messages to send, and their counts.
        reconnects: how often the reconnecting object that made this connection has reconnected.
        tracer: reports the steps; None when neither `trace=` nor the log asks for them.
        log_fields: the fields of log records about the connection.
    """

    def __init__(self, url: URL, protocols: tuple[str, ...], options: Options, consumer: Consumer) -> None:
        process.check_threads()
        if url.secure:
            # This import is not left to the reader, which must not hold the import lock during a fork.
            from .._transport import tls  # noqa: F401
        number = next(_numbers)
        self.name = f"syncws-{number}"
        self.log_fields: Fields = {"connection": self.name, "url": url.public}
        self.tracer = make_tracer(options.trace, number, self.log_fields)
        request = HandshakeRequest(
            url=url,
            key=make_key(),
            protocols=protocols,
            origin=options.origin,
            headers=options.headers,
            compression=options.compression is not None,
        )
        self._pool = shared_pool()
        self._notes = ReaderNotes()
        self._pings = PendingPings()
        self._consumer = consumer
        self.queue = SendQueue(options.max_buffered)
        self._writer = Writer(self.queue, self._pings, self._pool, self.name, self.log_fields)
        self.queue.wake = self._pool.make_call(self._writer)
        self._jobs: list[_Job] = []
        # A handler may cut off the wake-up of the reader, but not this call of a C function, which in turn
        # waits while the only writer thread waits for this network. So the `finally` blocks make both.
        self._wake_by_writer = self.make_job(self._notes.wake)
        wake_all = functools.partial(_wake_all, self._notes, consumer.waiters)
        self._lease = lease = ReadLease(self.queue, consumer.leaf)
        lease.wake, lease.wake_soon = self._notes.wake, self.make_job(wake_all)
        if is_allowed():
            consumer.lease = lease
        self._reader = Reader(
            request,
            options,
            consumer,
            self._writer,
            self._pings,
            self._notes,
            lease,
            self.name,
            self.log_fields,
            self.tracer,
        )
        consumer.on_room = self._notes.wake
        self.reconnects = 0
        self._threads = Threads(self.name, self._notes.waiters)

    def start(self, *bodies: tuple[str, Callable[[], None]]) -> None:
        """Start the threads: a writer if there is none, the consumer's, given as (name, body), at last the
        reader, which opens the connection.

        Raises `ThreadStartError` when the system has no thread left; the started ones then end by themselves.
        """
        process.remember(self)
        try:
            self._pool.enlist(self._notes)
            self._pool.provide(self._writer.thread_name)
            for name, body in (*bodies, ("reader", self._reader.run)):
                self._start_thread(name, body)
        except BaseException as error:  # This may also be Ctrl-C or a greenlet's time-out.
            told = WebSocketError(f"the threads could not be started: {error!r}")
            self.abort(told)
            if (
                self._notes.is_enlisted
                and "reader" not in self._threads.running
                and self._reader.closed is None
            ):
                self._reader.end_here(told)
            raise

    def open(self) -> None:
        """Open the connection on this thread, or raise the error. See `caller_opening`."""
        process.remember(self)
        provide = functools.partial(self._pool.provide, self._writer.thread_name)
        running, start = self._threads.running, self._start_thread
        opening = CallerOpening(self._reader, self._notes, running, start, provide)
        handled = sys.exc_info()[1]
        try:
            self._pool.enlist(self._notes)
            opening.run(handled)
            return
        except BaseException as error:
            interrupt = find_interrupt(error, handled)
            if interrupt is not None or self.is_open:
                self.abort(WebSocketError("connect() was interrupted"))
            if self._notes.is_enlisted:
                opening.end(error, interrupt)
            if interrupt is None or interrupt is error:
                interrupt = None  # Its traceback holds this frame, which would be a cycle.
                raise
        try:
            raise interrupt
        finally:
            interrupt = None

    def _start_thread(self, name: str, body: Callable[[], None]) -> None:
        # Each thread holds this engine: `process` must find it as long as one of them runs.
        self._threads.start(name, body, self.fail)

    def make_job(self, call: Callable[[], object]) -> Callable[[], object]:
        """Returns a C function that makes a writer thread call `call`, whatever a handler does to its
        caller."""
        job = _Job(self._writer.thread_name, call)
        self._jobs.append(job)
        return self._pool.make_call(job)

    # The state of the connection.

    @property
    def closed(self) -> Closed | None:
        """The record of the end; None before it."""
        return self._reader.closed

    @property
    def outcome(self) -> Outcome | None:
        """How the connection ended or will end; None while that is unknown."""
        return self._reader.closing.outcome

    def has_failed_with(self, error: BaseException) -> TypeGuard[Exception]:
        """Whether `error` is a failure of the opening, and not an exception of a signal handler."""
        failed = None if self.closed is None else self.closed.outcome.error
        return error is failed or (isinstance(error, WebSocketError) and not is_raised_by_handler(error))

    @property
    def is_running(self) -> bool:
        """Whether it has begun, and has not ended."""
        return self.closed is None and bool(self._threads.running)

    @property
    def is_closing(self) -> bool:
        """Whether either side has begun to close, or the application to end it at once."""
        if self._notes.abort_error is not None or self._notes.failure is not None:
            return True
        return self.queue.phase != ACCEPTING or self._reader.closing.state not in (
            State.CONNECTING,
            State.OPEN,
        )

    @property
    def is_open(self) -> bool:
        """Whether the opening handshake is done, and the end has not come."""
        return self._reader.closing.state not in (State.CONNECTING, State.CLOSED)

    @property
    def open_seconds(self) -> float:
        """How long the connection was open, once it has ended."""
        return 0.0 if self.closed is None else self.closed.open_seconds

    @property
    def stats(self) -> Stats:
        """The counts so far."""
        queued_messages, queued_bytes = self._consumer.waiting()
        counts = self._reader.counts
        of_input: dict[str, int] = {}
        if counts is not None:
            decoder, stream, source = counts
            of_input = {
                "messages_received": decoder.messages_received + self._lease.input.messages_received,
                "bytes_received": decoder.bytes_received + self._lease.input.bytes_received,
                "wire_bytes_sent": stream.handed,
                "wire_bytes_received": stream.received,
                "pauses": source.pauses,
            }
        return Stats(
            messages_sent=self._writer.messages_sent + self.queue.inline.sent,
            bytes_sent=self.queue.sent,
            queued_messages=queued_messages,
            queued_bytes=queued_bytes,
            buffered_bytes=self.queue.buffered,
            round_trip=self._pings.round_trip,
            reconnects=self.reconnects,
            **of_input,
        )

    def hide(self, text: str) -> str:
        """The server's words as texts show them: without the secrets that the opening has sent."""
        return self._notes.hide(text)

    def closed_error(self) -> ConnectionClosed:
        """The exception that says that the connection is over, or about to be."""
        outcome = self.outcome
        if outcome is None and self._writer.error is not None:
            outcome = Outcome(CloseCode.ABNORMAL, error=self._writer.error)
        elif outcome is None:
            waiting = WebSocketError("close() was called, and the server has not answered yet")
            outcome = Outcome(CloseCode.NO_STATUS, error=waiting)
        closed = self.closed
        if closed is not None:
            outcome = closed.outcome
        unsent = self.queue.unsent if closed is None else closed.unsent
        code, reason, clean = outcome.code, outcome.reason, outcome.was_clean
        error = ConnectionClosed(code, reason, clean, unsent=unsent, shown=self.hide(reason))
        error.__cause__ = outcome.error
        return error

    # The APIs call these methods for the application.

    def close(self, frame: CloseFrame, timeout: float | None = None) -> None:
        """Begin the closing handshake: `frame` goes out behind all that is queued; after `timeout` seconds
        the connection is cut. To call it again does no harm, and makes up for a call that was cut short."""
        try:
            self.queue.close(frame)
            if timeout is not None:
                url = self.log_fields["url"]
                text = f"{url}: the end did not come within the timeout of close(), {timeout:g} s"
                self._notes.note_cut(time.monotonic() + timeout, TimeoutError(text))
            self._notes.wake()
        finally:
            if self._reader.closed is None:
                self._wake_by_writer()
                self._notes.wake()  # This is done twice; `_wake_by_writer` says why.

    def abort(self, error: Exception) -> None:
        """End the connection now, with `error` as the reason."""
        try:
            self._notes.abort_error = error
            self._notes.wake()
        finally:
            if self._reader.closed is None:
                self._wake_by_writer()
                self._notes.wake()  # This is done twice; `_wake_by_writer` says why.

    def fail(self, error: BaseException, close_code: int) -> None:
        """Fail the connection for a fault of the application's, telling the server `close_code`."""
        try:
            self._notes.failure = (error, close_code)
            self._notes.wake()
        finally:
            if self._reader.closed is None:
                self._wake_by_writer()
                self._notes.wake()  # This is done twice; `_wake_by_writer` says why.

    def close_collected(self, owner: object, warn: Callable[..., None] = warnings.warn) -> None:
        """Close the connection whose owner is being collected while it is open, and warn of that."""
        message = f"unclosed {owner!r}"
        try:
            self._notes.released = True
            self._notes.wake()
        finally:
            if self._reader.closed is None:
                self._wake_by_writer()
                self._notes.wake()  # This is done twice; `_wake_by_writer` says why.
        warn(message, ResourceWarning, source=owner)

    def send_fragments(self, chunks: Iterator[str | Buffer], text: bool | None = None) -> None:
        """Send one message in fragments; waits. See `Connection.send`."""
        call = FragmentedSend(self.queue, self.closed_error, self._fail_message)
        call.run(chunks, text)

    def _fail_message(self, error: BaseException, close_code: int) -> None:
        text = f"the iterable given to send() raised {error!r} inside a message"
        self.fail(WebSocketError(text), close_code)

    @property
    def is_output_over(self) -> bool:
        """Whether nothing more will be handed to the network."""
        return self.queue.turn == FINISHED

    def is_sending_fragments_here(self) -> bool:
        """Whether this thread is inside `send_fragments`."""
        fragmented = self.queue.fragmented
        return fragmented is not None and fragmented.thread == threading.get_ident()

    def wait_flushed(self, timeout: float | None) -> bool:
        """Wait until all that was queued is with the network, or nothing more will be sent; False after
        `timeout` seconds."""
        queue = self.queue
        queue.wake()  # A signal handler may have kept a call of send() from doing this.
        return queue.waiters.wait_until(lambda: queue.buffered <= 0 or queue.turn == FINISHED, timeout)

    def ping(self, timeout: float | None) -> float | None:
        """Send a ping and wait for its pong: the seconds that took; None when the connection ended first.

        Raises `TimeoutError` when it took longer than `timeout` seconds.
        """
        ping = PendingPing()
        if not self.queue.leave_note(ping):
            return None
        self.queue.wake()
        self._lease.recent = False  # The reader is to look for the pong at once.
        self._notes.wake()
        pong_at = self._pings.wait(ping, timeout)
        return None if pong_at is None else pong_at - ping.asked_at

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait for the record of the end; False when `timeout` seconds were over first."""
        if self._reader.closed is None:
            self._wake_by_writer()
            self._notes.wake()  # The only writer thread may be the one that waits.
        return self._notes.waiters.wait_until(lambda: self._notes.is_over, timeout)

    # `process` calls these methods.

    def close_going_away(self) -> None:
        """The process ends: tell the server that this end goes away (WHATWG, *make disappear*)."""
        if self.closed is not None:
            return
        if self.is_open:
            self.close(CloseFrame(CloseCode.GOING_AWAY))
        else:
            self.abort(WebSocketError("the process ends"))

    def wait_over(self, timeout: float) -> None:
        """Wait until the threads have come to their end, so that none of them prints while the process goes
        away."""
        self._notes.waiters.wait_until(lambda: not self._threads.running, timeout)

    def after_fork(self) -> None:
        """In a forked child, where none of the threads is."""
        closed = self._reader.after_fork()
        self.queue.after_fork(bool)  # Nobody is woken: a pool made now has threads, and gevent may yet patch.
        self._pings.end()
        self._threads.after_fork()
        self._lease.after_fork()
        self._notes.after_fork()
        self._consumer.after_fork(closed)


def _wake_all(notes: ReaderNotes, waiters: Waiters) -> None:
    """Wake the reader and the threads that receive. It holds no consumer, which holds what calls it."""
    notes.wake()
    waiters.notify()


class _Job:
    """Something that a writer thread is to do for the connection, though it is not to write."""

    __slots__ = ("__weakref__", "run", "thread_name")

    def __init__(self, thread_name: str, call: Callable[[], object]) -> None:
        self.thread_name = thread_name
        self.run = call
