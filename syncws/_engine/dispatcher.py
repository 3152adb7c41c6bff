"""The worker thread: takes the events off the queue in batches and has them dispatched.

Owns: the order of callbacks. Runs on: the worker thread; with `dispatch=`, the callbacks themselves run
wherever that schedules them, and the worker only hands over. Must not import: sockets, the protocol.
"""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Protocol

from .._log import Fields, log_exception
from .._protocol.messages import Message, MessagePart
from .event_queue import Closed, Closing, Entry, EventQueue, Opening
from .primitives import Condition

#: Schedules a callable of no arguments on the user's own thread.
Dispatch = Callable[[Callable[[], None]], object]

# In a browser no event can fire before the script returns, so a script can attach its listeners first. Here
# events wait for the first listener, and at most this long after the constructor has returned.
FIRST_EVENT_SECONDS = 0.1

# With listeners given to the constructor, events need not wait; but a listener may well use the name that the
# new object is being assigned to, so the caller is given a moment to do that after the constructor's end.
ASSIGNMENT_SECONDS = 0.0002


# An entry of the queue, its messages as an iterator, which knows how far it is.
_Entry = Iterator["Message | MessagePart"] | Opening | Closing | Closed


class Target(Protocol):
    """What the worker dispatches to. Each call can be repeated when Ctrl-C has cut it short."""

    def _on_opening(self, opening: Opening) -> None: ...
    def _on_messages(self, messages: Iterator[Message | MessagePart], time_stamp: float) -> None: ...
    def _on_closing(self) -> None: ...
    def _on_closed(self, closed: Closed) -> None: ...
    def _raise_interrupt(self) -> None: ...


def hand_over(dispatch: Dispatch, task: Callable[[], None], log_fields: Fields) -> None:
    """Have `dispatch` schedule `task`, and wait until it is done."""
    done = threading.Event()
    once = threading.Lock()

    def run() -> None:
        mine = False
        try:
            mine = once.acquire(blocking=False)
            if mine:  # else dispatch called it, or scheduled it, before it raised
                task()
        finally:
            if mine:
                done.set()

    try:
        dispatch(run)
    except BaseException:  # also SystemExit, as from a callback: others wait for this thread
        log_exception(log_fields, "dispatch raised: %r; events are dispatched on the worker", dispatch)
        run()
    done.wait()


class Worker:
    """Dispatches the events of one connection, one after the other.

    Attributes:
        thread: the identifier of the thread that callbacks run in right now; None between batches.
        held: the target, while it must not be collected though nobody else holds it; None otherwise.
    """

    def __init__(
        self,
        queue: EventQueue,
        target: Target,
        now: Callable[[], float],
        dispatch: Dispatch | None,
        log_fields: Fields,
    ) -> None:
        self.thread: int | None = None
        self.held: Target | None = None
        self._queue = queue
        self._target = weakref.ref(target)
        self._log_fields = log_fields
        self._now = now
        self._dispatch = dispatch
        # Callbacks see the context variables of the constructor's caller, on every Python version alike.
        self._context = contextvars.copy_context()
        self._entries: list[_Entry] = []  # of the present batch, those not dealt with
        self._gate = Condition()
        self._gate_open = False
        self._not_before = 0.0
        self._forked = False

    def constructed(self, heard: bool) -> None:
        """The constructor is about to return; `heard` says that it was given listeners."""
        if heard:
            self._not_before = time.monotonic() + ASSIGNMENT_SECONDS
            self.open_gate()

    def open_gate(self) -> None:
        """Let the events through: there is somebody to hear them."""
        if not self._gate_open:
            with self._gate.lock:
                self._gate_open = True
                self._gate.notify()

    def after_fork(self) -> None:
        """In a forked child: no handler runs; and a fresh gate, since the old one's lock may be held."""
        self._forked = True
        self._gate.after_fork()

    def run(self) -> None:
        """The body of the worker thread; ends after the close event."""
        until = time.monotonic() + FIRST_EVENT_SECONDS
        batch = self._queue.take()
        self._gate.wait_until(lambda: self._gate_open, until - time.monotonic())
        if (left := self._not_before - time.monotonic()) > 0:
            time.sleep(left)
        while self._dispatch_batch(batch):
            batch = []  # held no longer than need be
            batch = self._queue.take()

    def _dispatch_batch(self, batch: list[Entry]) -> bool:
        """Dispatch a batch; False after the one that ends with the close event."""
        if self._forked:  # a greenlet, which a fork takes along
            return False
        last = batch[-1]
        self._entries = [iter(entry) if isinstance(entry, list) else entry for entry in batch]
        while self._entries:  # more than once where Ctrl-C came between two listeners
            if self._dispatch is None:
                self._run_batch()
            else:
                hand_over(self._dispatch, self._run_batch, self._log_fields)
        return not isinstance(last, Closed)

    def _run_batch(self) -> None:
        target = self._target()
        if target is None:
            self._entries = []  # collected: there is nobody to tell
            return
        self.thread = threading.get_ident()
        try:
            self._context.run(self._dispatch_all, target)
        finally:
            self.thread = None
        target._raise_interrupt()

    def _dispatch_all(self, target: Target) -> None:
        """Dispatch the entries, and remove what is done: after a Ctrl-C the next call goes on there."""
        entries = self._entries
        while entries:
            entry = entries[0]
            if isinstance(entry, Opening):
                target._on_opening(entry)
            elif isinstance(entry, Closing):
                target._on_closing()
            elif isinstance(entry, Closed):
                target._on_closed(entry)
            else:
                target._on_messages(entry, self._now())
            del entries[0]
