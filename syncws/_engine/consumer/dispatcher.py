"""The worker thread: takes the events off the queue in batches and dispatches them.

Owns: the order of callbacks, and the wait of the first events for their listeners. Runs on: the worker
thread. With `dispatch=`, the callbacks run where that schedules them, and the worker only hands them over.
Must not import: sockets, the protocol.

Five assumptions hold between here and the listeners. The reader puts open first, then messages in the order
of arrival, then the server's Close, then the end, once. One callback runs at a time. The ready state changes
here, between callbacks, as part of dispatching. Whatever a callback raises, the next one runs. After the
close event nothing is dispatched, and only then is `over` true.

An exception of a callback is caught where the callback is called. So an exception here is a fault of the
package, or memory has run out: it fails the connection, whose end is dispatched like any other.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..._log import Fields, log_exception
from ..._transport.poller import ForkedError
from ..primitives import Waiters
from ..reading.control_events import ControlBatch
from ..reading.records import Closed, CloseReceived, Opened
from .dispatching import dispatch_and_wait

if TYPE_CHECKING:
    from ..._protocol.messages import Message, MessagePart
    from ..options.option_types import Dispatch
    from .event_queue import Entry, EventQueue

# In a browser no event can fire before the script returns, so a script can attach its listeners first. Here
# an event waits for the first listener of its kind, and at most this long after the constructor has returned.
FIRST_EVENT_SECONDS = 0.1

# If listeners were passed to the constructor, events may start at once. Wait 0.2 ms, so that in `ws =
# WebSocket(...)` a listener can already use the name `ws`.
ASSIGNMENT_SECONDS = 0.0002


@dataclass(frozen=True)
class _Failed:
    """The error event that comes before the end, if there is one."""

    closed: Closed


_Messages = Iterator["Message | MessagePart"]

# An entry of the queue. Its messages are an iterator, so that the dispatch can go on after an interrupt.
_Entry = _Messages | ControlBatch | Opened | CloseReceived | _Failed | Closed


class EventSink(Protocol):
    """What the worker dispatches to. A call that Ctrl-C has cut short is made again."""

    def on_opened(self, record: Opened) -> None: ...
    def on_messages(self, messages: _Messages, time_stamp: float) -> None: ...
    def on_controls(self, batch: ControlBatch, time_stamp: float) -> None: ...
    def on_close_received(self) -> None: ...
    def on_failed(self, record: Closed) -> None: ...
    def on_closed(self, record: Closed) -> None: ...
    def on_fault(self, error: Exception) -> None: ...
    def raise_interrupt(self) -> None: ...
    def listens_to(self, kind: str) -> bool: ...
    def on_over(self) -> None: ...
    def on_fork(self) -> None: ...


class FirstEvents:
    """Holds the first events back until there is a listener of their kind."""

    def __init__(self) -> None:
        self._constructed = False  # whether the constructor has returned
        self._all_pass = False
        self._until: float | None = None  # None until the constructor, or `wait_open`, has returned
        self._awaited_open = False  # while a thread waits for the opening, all events but messages pass
        self._waiters = Waiters()

    @property
    def passed(self) -> bool:
        """Whether events no longer wait for listeners."""
        until = self._until
        return self._constructed and (self._all_pass or (until is not None and time.monotonic() >= until))

    def constructor_returned(self, has_listeners: bool) -> None:
        """The constructor is about to return; `has_listeners` says that it was given some."""
        if has_listeners:
            self._all_pass = True
        self._until = time.monotonic() + FIRST_EVENT_SECONDS
        self._constructed = True
        self._waiters.notify()

    def listener_added(self) -> None:
        """A listener was added."""
        self._waiters.notify()

    def pass_all(self) -> None:
        """Let all events through."""
        self._all_pass = True
        self._waiters.notify()

    def begin_wait_open(self) -> None:
        """A thread waits for the opening: let open, error and close pass; messages wait for their
        listener."""
        self._awaited_open = True
        self._until = None
        self._waiters.notify()

    def end_wait_open(self) -> None:
        """The wait for the opening is over: messages wait for their listener as long as usual from now on."""
        self._until = time.monotonic() + FIRST_EVENT_SECONDS
        self._waiters.notify()

    def wait(self, kind: str, listens: Callable[[str], bool]) -> None:
        """Wait until an event of this kind may be dispatched."""
        while not self._passes(kind, listens):
            until = self._until
            self._waiters.wait_until(
                lambda until=until: self._passes(kind, listens) or self._until != until,  # type: ignore[misc]
                None if until is None else until - time.monotonic(),
            )

    def _passes(self, kind: str, listens: Callable[[str], bool]) -> bool:
        if not self._constructed:
            return False
        return self.passed or (self._awaited_open and kind != "message") or listens(kind)


class Dispatcher:
    """Dispatches the events of one connection, one after the other.

    Attributes:
        callback_thread: the identifier of the thread that callbacks run in right now; None between batches.
        first_events: holds the first events back until they have listeners.
        over: whether the last event has been dispatched.
        waiters: the threads that wait for that, and for the open event.
    """

    def __init__(
        self,
        queue: EventQueue,
        sink: EventSink,
        now: Callable[[], float],
        dispatch: Dispatch | None,
        log_fields: Fields,
    ) -> None:
        self.callback_thread: int | None = None
        self.first_events = FirstEvents()
        self.over = False
        self.waiters = Waiters()
        self._queue = queue
        self._sink = sink
        queue.on_fork = self._after_fork
        self._log_fields = log_fields
        self._now = now
        self._dispatch = dispatch
        self._ran_on: list[int] = []  # the thread on which `dispatch` ran the last task
        # Callbacks see the context variables of the constructor's caller, on every Python version alike.
        self._context = contextvars.copy_context()
        self._entries: list[_Entry] = []  # the entries of the present batch that are not dispatched yet
        self._not_before = 0.0
        self._forked = False
        self._worker: int | None = None  # the thread of `run`

    def is_here(self) -> bool:
        """Whether the caller is the worker, or in a callback: it must not wait for the events."""
        return threading.get_ident() in (self.callback_thread, self._worker)

    def wait_over(self, timeout: float | None) -> bool:
        """Wait until the last event is dispatched. Returns False when `timeout` seconds passed first."""
        return self.waiters.wait_until(lambda: self.over, timeout)

    def constructor_returned(self, has_listeners: bool) -> None:
        """The constructor is about to return; `has_listeners` says that it was given some."""
        if has_listeners:
            self._not_before = time.monotonic() + ASSIGNMENT_SECONDS
        self.first_events.constructor_returned(has_listeners)

    def _after_fork(self) -> None:
        """In a forked child: no handler runs."""
        self._forked = True
        self.over = True
        self._sink.on_fork()
        self.waiters.notify()

    def run(self) -> None:
        """The body of the worker thread; ends after the close event."""
        self._worker = threading.get_ident()
        try:
            more = True
            while more:
                batch = self._queue.take()
                more = self._dispatch_batch(batch)
                batch = []  # This frees the messages before the next wait.
        finally:
            self._worker = None
            self.over = True
            self._sink.on_over()
            self.waiters.notify()

    def _dispatch_batch(self, batch: list[Entry]) -> bool:
        """Dispatch a batch. Returns False after the batch that ends with the close event."""
        if self._forked:
            raise ForkedError  # Only a greenlet gets here: a fork has copied it into the child.
        entries: list[_Entry] = []
        for entry in batch:
            if isinstance(entry, list):
                entries.append(iter(entry))
            else:
                if isinstance(entry, Closed):
                    entries.append(_Failed(entry))
                entries.append(entry)
        if self.first_events.passed:
            self._dispatch_entries(entries)
        else:
            for single in entries:
                self._wait_for_listener(single)
                self._dispatch_entries([single])
        return not isinstance(batch[-1], Closed)

    def _wait_for_listener(self, entry: _Entry) -> None:
        kind = _kind_of(entry)
        if kind is not None:
            self.first_events.wait(kind, self._sink.listens_to)
        if (left := self._not_before - time.monotonic()) > 0:
            time.sleep(left)

    def _dispatch_entries(self, entries: list[_Entry]) -> None:
        if self._not_before:
            if (left := self._not_before - time.monotonic()) > 0:
                time.sleep(left)
            self._not_before = 0.0
        self._entries = entries
        while self._entries:  # After a Ctrl-C between two listeners this goes on with the next one.
            if self._dispatch is None:
                self._run_batch()
            elif not dispatch_and_wait(self._dispatch, self._run_batch, self._log_fields, self._ran_on):
                self._entries = []  # The process ends. If the task runs after all, it finds nothing to do.
        self.waiters.notify()

    def _run_batch(self) -> None:
        self.callback_thread = threading.get_ident()
        try:
            self._context.run(self._dispatch_all)
        finally:
            self.callback_thread = None
        self._sink.raise_interrupt()

    def _dispatch_all(self) -> None:
        """Dispatch the entries, and remove each one when it is done: after a Ctrl-C the next call goes on
        there."""
        entries, sink = self._entries, self._sink
        while entries:
            entry = entries[0]
            try:
                if isinstance(entry, Opened):
                    sink.on_opened(entry)
                elif isinstance(entry, CloseReceived):
                    sink.on_close_received()
                elif isinstance(entry, _Failed):
                    sink.on_failed(entry.closed)
                elif isinstance(entry, Closed):
                    sink.on_closed(entry)
                elif isinstance(entry, ControlBatch):
                    sink.on_controls(entry, self._now())
                else:
                    sink.on_messages(entry, self._now())
            except Exception as error:
                sink.on_fault(error)
                log_exception(self._log_fields, "a fault of syncws itself: %r", error)
            del entries[0]


def _kind_of(entry: _Entry) -> str | None:
    """The type of the event that an entry becomes; None for an entry that waits for no listener."""
    if isinstance(entry, Opened):
        return "open"
    if isinstance(entry, (CloseReceived, ControlBatch)):
        return None  # Pings and pongs do not wait for a listener.
    if isinstance(entry, _Failed):
        return None if entry.closed.outcome.error is None else "error"
    return "close" if isinstance(entry, Closed) else "message"
