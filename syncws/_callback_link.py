"""One connection of the callback API: the engine, its events, and the ready state as callbacks see it.

Owns: that ready state, and what the application wants of the connection. Runs on: the methods that begin with
``on_`` where the callbacks run, the others on any thread. Must not import: sockets, frame layout, the reader.

A `WebSocket` has one link for life, a `ReconnectingWebSocket` one link after the other. The link holds its
target by a weak reference, and by a strong one while the target has listeners that may still be called: as in
browsers, an object with listeners lives on, and one without is closed when it is collected (WHATWG 5).

The ready state changes in a leaf (see `primitives`), on two sides: `close` and `abort` make it CLOSING before
they return, and everything else makes it follow the events. What the application wants is noted in that leaf
and carried out after it. If a signal handler cuts the call short in between, a thread of ours carries it out,
and so does each later call.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ._engine.consumer.dispatcher import Dispatcher
from ._engine.consumer.event_queue import EventQueue
from ._engine.engine import Engine
from ._engine.primitives import Leaf, is_own_thread
from ._engine.reading.control_events import ControlBatch
from ._engine.writing.pending_pings import PendingPing
from ._events import CloseEvent, ErrorEvent, Event, MessageEvent, now
from ._exceptions import WebSocketError
from ._message_events import dispatch_messages
from ._protocol.frames import CloseCode, CloseFrame, Opcode
from ._ready_state import CLOSED, CLOSING, CONNECTING, OPEN

if TYPE_CHECKING:
    from ._engine.options.option_types import Dispatch
    from ._engine.options.options import Options
    from ._engine.reading.records import Closed, Opened
    from ._event_target import _Registration
    from ._protocol.closing import Outcome
    from ._protocol.messages import Message, MessagePart
    from ._protocol.url import URL

# How long the end of a with-block waits for the close event when Ctrl-C or SystemExit has left the block.
QUICK_CLOSE_SECONDS = 1.0

CLOSED_EARLY = "close() was called before the connection was open"

# The ready state after `close` or `abort`, by the ready state before it.
_CLOSING_FROM = (CLOSING, CLOSING, CLOSING, CLOSED)

# The events that may still come, by ready state.
_AWAITED = (
    ("open", "message", "ping", "pong", "error", "close"),
    ("message", "ping", "pong", "error", "close"),
    ("error", "close"),
    (),
)


_CONTROL_TYPES = {int(Opcode.PING): "ping", int(Opcode.PONG): "pong"}

# The application wants a Close frame to be sent, a failure or an abort (both exceptions), or nothing yet.
_Wish = CloseFrame | Exception | None


class Target(Protocol):
    """What this module needs of `WebSocket` and `ReconnectingWebSocket`.

    Attributes:
        _binary_type: the type in which binary messages are given to listeners.
    """

    _binary_type: str

    @property
    def _registrations(self) -> Mapping[str, Sequence[object]]:
        """The listeners by type; another object after each change."""

    def _fire(self, event: Event[Any]) -> None:
        """Call the listeners of an event."""

    def _only_listener(self, type: str) -> _Registration | None:
        """The one listener of these events, if there is one, and it is to be called each time."""

    def _listener_raised(self, type: str, entry: _Registration, error: BaseException) -> None:
        """Deal with what a listener raised, where that was caught."""

    def _raise_interrupt(self) -> None:
        """Raise the KeyboardInterrupt that a listener raised, if any did."""

    def _on_link_event(self, link: CallbackLink, event: Event[Any]) -> None:
        """Dispatch an open, error or close event."""

    def _on_fork(self) -> None:
        """In a forked child: note that the connection is closed."""


class CallbackLink:
    """See the head of the module.

    Attributes:
        url: of the connection.
        engine: the connection itself.
        dispatcher: runs the callbacks.
        ready_state: as callbacks see it.
        opened: the record of the opening, once the open event is dispatched; None before.
        failure: the error of the error event; None while there was none.
        sent_as_seen: how many bytes of messages were sent when the present callback began.
    """

    def __init__(
        self,
        target: Target,
        url: URL,
        protocols: tuple[str, ...],
        options: Options,
        dispatch: Dispatch | None,
    ) -> None:
        self.url = url
        queue = EventQueue(options.max_queue)
        queue.ask_wanted = self._wanted_controls
        self.engine = Engine(url, protocols, options, queue)
        self.dispatcher = Dispatcher(queue, self, now, dispatch, self.engine.log_fields)
        self.ready_state = CONNECTING
        self.opened: Opened | None = None
        self.failure: BaseException | None = None
        self._send_queue = self.engine.queue
        self._target: Callable[[], Target | None] = weakref.ref(target)
        self._kept_alive: Target | None = None
        self._leaf = Leaf()
        self._wish: _Wish = None
        self.sent_as_seen = 0
        self._told = ""  # the type of the last open, error or close event that was dispatched
        # The reference is weak, or the link would hold itself.
        carry_out = weakref.WeakMethod(self._carry_out)
        self._carry_out_soon = self.engine.make_job(lambda: (call := carry_out()) is not None and call())

    def forsake(self, why: str) -> None:
        """The constructor of the target has raised: no event may be dispatched."""
        self._target = _nobody
        self._kept_alive = None
        self.abort(why)
        self.dispatcher.constructor_returned(True)  # The worker ends only after this.

    def start(self) -> None:
        """Start the threads. Raises `ThreadStartError` when the system has no thread left."""
        self.engine.start(("worker", self.dispatcher.run))
        self.hold_or_let_go()

    # The application calls these methods, on any thread.

    @property
    def buffered_amount(self) -> int:
        """Bytes given to `send` and not handed to the network; the number does not fall inside a callback."""
        if self.dispatcher.callback_thread == threading.get_ident():
            return self._send_queue.queued - self.sent_as_seen
        return self._send_queue.buffered

    @property
    def is_closed_by_application(self) -> bool:
        """Whether the application closed or aborted the connection, and so expects its end."""
        return self._wish is not None

    @property
    def is_open_told(self) -> bool:
        """Whether the open event has been dispatched."""
        return self.opened is not None and self._told != ""

    def send(self, opcode: int, payload: bytes) -> int:
        """Queue a message. Returns TAKEN, COUNTED or REFUSED, as the send queue does."""
        return self._send_queue.send(opcode, payload, self.ready_state == OPEN, count_refused=True)

    def ping(self, payload: bytes) -> None:
        """Queue a ping ahead of the data. It is dropped once the connection is closing."""
        if self.ready_state == OPEN:
            self._send_queue.leave_note(PendingPing(payload))

    def close(self, frame: CloseFrame) -> None:
        """Close the connection, or abandon the attempt to open it. Returns at once."""
        # The leaf must hold no branch (see `primitives`), so the wish is picked by ready state from a list.
        wishes: list[_Wish] = [WebSocketError(CLOSED_EARLY), frame, None, None]
        try:
            with self._leaf:
                state = self.ready_state
                wishes[CLOSING] = wishes[CLOSED] = self._wish
                self._wish = wishes[state]
                self.ready_state = _CLOSING_FROM[state]
            self._carry_out()
        finally:
            if self.ready_state != CLOSED:
                self._carry_out_soon()
        self.hold_or_let_go()

    def leave(self, error: BaseException | None) -> None:
        """End a with-block, which raised `error` if not None: close, and wait for the close event."""
        if error is not None and not isinstance(error, Exception):
            self._close_quickly()
            return
        try:
            self.close(CloseFrame(CloseCode.NORMAL))
            self.check_may_wait("the end of a with-block")
            self.wait_over(None)
        except Exception:
            raise
        except BaseException:
            self._close_quickly()
            raise

    def _close_quickly(self) -> None:
        """Close with 1001, and abort if the server has not answered within a second."""
        over = False
        try:
            self.close(CloseFrame(CloseCode.GOING_AWAY))
            self.engine.close(CloseFrame(CloseCode.GOING_AWAY), QUICK_CLOSE_SECONDS)
            over = self.dispatcher.is_here() or is_own_thread() or self.wait_over(QUICK_CLOSE_SECONDS)
        finally:
            if not over:
                self.abort("the with-block was left")

    def abort(self, reason: str) -> None:
        """End the connection now. Returns at once."""
        said = f": {reason}" if reason else ""
        error = AbortedError(f"{self.url.public}: abort() was called{said}")
        wishes: list[_Wish] = [error, error, error, None]
        try:
            with self._leaf:
                state = self.ready_state
                wishes[CLOSED] = self._wish
                self._wish = wishes[state]
                self.ready_state = _CLOSING_FROM[state]
            self._carry_out()
        finally:
            if self.ready_state != CLOSED:
                self._carry_out_soon()
        self.hold_or_let_go()

    def _carry_out(self) -> None:
        """Tell the engine what the application wants. A second call does no harm."""
        wish = self._wish
        if isinstance(wish, CloseFrame):
            self.engine.close(wish)
        elif isinstance(wish, AbortedError):
            self.engine.abort(wish)
        elif wish is not None:
            self.engine.fail(wish, CloseCode.GOING_AWAY)

    def check_may_wait(self, call: str) -> None:
        """Raise `RuntimeError` on a thread that `call` would have to wait for."""
        if self.dispatcher.is_here() or is_own_thread():
            raise RuntimeError(f"{call} was called from a callback, which it would wait for")

    def wait_over(self, timeout: float | None) -> bool:
        """Wait until the close event is dispatched. Returns False when `timeout` seconds passed first."""
        self.dispatcher.first_events.pass_all()
        self._carry_out()
        return self.dispatcher.wait_over(timeout)

    def wait_open(self, timeout: float | None) -> bool:
        """Wait until the open event is dispatched, or the connection ends; False after `timeout` seconds."""
        dispatcher = self.dispatcher
        dispatcher.first_events.begin_wait_open()
        try:
            return dispatcher.waiters.wait_until(lambda: self.is_open_told or dispatcher.over, timeout)
        finally:
            dispatcher.first_events.end_wait_open()

    def hold_or_let_go(self) -> None:
        """Keep the target alive while it has listeners that may still be called."""
        target = self._target()
        seen: object = None
        while target is not None and seen is not target._registrations:
            # Each call looks at the listeners anew, so the call that writes last has seen the last change.
            seen = registrations = target._registrations
            awaits = any(map(registrations.get, _AWAITED[self.ready_state]))
            self._kept_alive = target if awaits else None

    # The worker calls these methods, in the order of the events (WHATWG 4, *the tasks*).

    def on_opened(self, record: Opened) -> None:
        target = self._target()
        if self.opened is None:
            records = None, record
            with self._leaf:
                is_wanted = self.ready_state == CONNECTING
                self.opened = records[is_wanted]
                self.ready_state += is_wanted  # OPEN
            self.hold_or_let_go()
        if target is not None and self.opened is not None:
            self._dispatch_once(target, "open", lambda: Event("open"))
            self.dispatcher.waiters.notify()

    def on_messages(self, messages: Iterator[Message | MessagePart], time_stamp: float) -> None:
        target = self._target()
        if target is not None:
            dispatch_messages(self, target, self._send_queue, self.url.origin, messages, time_stamp)

    def _wanted_controls(self) -> tuple[int, ...]:
        """The opcodes of the control frames that somebody listens to."""
        target = self._target()
        listeners = {} if target is None else target._registrations
        return tuple(opcode for opcode, type in _CONTROL_TYPES.items() if listeners.get(type))

    def on_controls(self, batch: ControlBatch, time_stamp: float) -> None:
        target = self._target()
        for opcode, payload in batch.frames:
            if target is None or self.ready_state != OPEN:
                return
            try:
                type = _CONTROL_TYPES[opcode]
                event: MessageEvent[Any] = MessageEvent(type, payload, self.url.origin, time_stamp)
                event.target = target
                self.sent_as_seen = self._send_queue.sent
                target._fire(event)
            except KeyboardInterrupt:  # This is raised later, as `_message_events` does it.
                self.on_controls(ControlBatch([(opcode, payload)]), time_stamp)
                raise

    def on_close_received(self) -> None:
        with self._leaf:
            self.ready_state += self.ready_state == OPEN  # CLOSING
        self.hold_or_let_go()

    def on_failed(self, record: Closed) -> None:
        with self._leaf:
            self.ready_state = CLOSED
        error = record.outcome.error
        if error is None and isinstance(self._wish, Exception):
            # The application has closed, but the server opened and closed before that; no event had been
            # dispatched yet.
            error = self._wish
        target = self._target()
        if error is None or target is None:
            return
        self.failure = error
        self._dispatch_once(target, "error", lambda: ErrorEvent("error", error))

    def on_closed(self, record: Closed) -> None:
        target = self._target()
        if target is None:
            return
        if self.failure is not None:
            self._dispatch_once(target, "close", lambda: CloseEvent("close", CloseCode.ABNORMAL))
        else:
            self._dispatch_once(target, "close", lambda: self._close_event(record.outcome))

    def _close_event(self, outcome: Outcome) -> CloseEvent[Any]:
        event: CloseEvent[Any] = CloseEvent("close", outcome.code, outcome.reason, outcome.was_clean)
        event._shown_reason = self.engine.hide(outcome.reason)
        return event

    def _dispatch_once(self, target: Target, type: str, make: Callable[[], Event[Any]]) -> None:
        """Dispatch an event once, even if Ctrl-C makes the caller repeat this call."""
        if self._told != type:
            self.sent_as_seen = self._send_queue.sent
            target._on_link_event(self, make())
            self._told = type

    def on_fault(self, error: Exception) -> None:
        """Messages were lost to a fault of our own: fail the connection, so that none follows the gap."""
        with self._leaf:
            self.ready_state = _CLOSING_FROM[self.ready_state]
        self.engine.fail(error, CloseCode.INTERNAL_ERROR)

    def raise_interrupt(self) -> None:
        target = self._target()
        if target is not None:
            target._raise_interrupt()

    def listens_to(self, kind: str) -> bool:
        target = self._target()
        return target is None or bool(target._registrations.get(kind))

    def on_over(self) -> None:
        """The last event was dispatched, or no thread is left to dispatch it."""
        self.ready_state = CLOSED
        self._kept_alive = None

    def on_fork(self) -> None:
        """In a forked child: the connection is closed, and no event is dispatched."""
        self.ready_state = CLOSED
        self._kept_alive = None
        target = self._target()
        if target is not None:
            target._on_fork()


class AbortedError(WebSocketError):
    """The application called `abort`."""


def _nobody() -> None:
    pass
