"""The event classes and `EventTarget`: what listeners are given, and how they are called (DOM standard 2).

Owns: the listener lists of one object. Runs on: listeners may be added and removed from any thread;
they are called in the thread that dispatches. Must not import: anything with sockets or the protocol.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar, overload

from . import _exceptions
from ._engine.primitives import Leaf
from ._log import Fields, log_exception

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ._reconnecting_websocket import ReconnectingWebSocket
    from ._websocket import WebSocket

    TargetT = TypeVarWithDefault("TargetT", covariant=True, default="WebSocket | ReconnectingWebSocket")
else:
    TargetT = TypeVar("TargetT", covariant=True)

_TIME_ORIGIN = time.perf_counter()


def now() -> float:
    """Milliseconds since the package was imported: the clock of `Event.timeStamp`."""
    return (time.perf_counter() - _TIME_ORIGIN) * 1000


class Event(Generic[TargetT]):
    """Something that happened to its target.

    Attributes:
        type: the event's name, such as ``"open"``.
        target: the object that the event was dispatched to; None before its dispatch. It is typed as a
            listener sees it, so that ``event.target.send("hello")`` type-checks: a `WebSocket` or a
            `ReconnectingWebSocket`, or the class in the brackets of ``Event[Chat]``.
        currentTarget: the same object while listeners run, None before and after.
        timeStamp: when the event was made, in milliseconds on a clock that never goes back.
    """

    target: TargetT = None  # type: ignore[assignment]
    currentTarget: TargetT | None = None

    def __init__(self, type: str) -> None:
        self.type: str = type
        self.timeStamp: float = now()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.type!r})"


class MessageEvent(Event[TargetT]):
    """A whole message has arrived.

    Attributes:
        data: `str` for text; for binary `bytes`, or `bytearray` where ``binaryType`` is ``"arraybuffer"``.
        origin: ``ws://host[:port]`` or ``wss://host[:port]`` of the connection's URL.
    """

    data: str | bytes | bytearray

    def __init__(
        self, type: str, data: Any = None, origin: str = "", time_stamp: float | None = None
    ) -> None:
        # Not by super().__init__: this runs once a message, and is a good part of what a message costs.
        self.type: str = type
        self.data = data
        self.origin: str = origin
        self.timeStamp: float = now() if time_stamp is None else time_stamp

    def __repr__(self) -> str:
        long = isinstance(self.data, (str, bytes, bytearray)) and len(self.data) > 60
        data = f"{self.data[:60]!r}…" if long else repr(self.data)
        return f"MessageEvent({self.type!r}, data={data}, origin={self.origin!r})"


class CloseEvent(Event[TargetT]):
    """The connection is over; nothing comes after it.

    Attributes:
        code: the server's close code, 1005 when its Close frame had none, 1006 after a failure.
        reason: the server's reason, or ``""``.
        wasClean: True when the closing handshake was done.
    """

    def __init__(self, type: str, code: int = 0, reason: str = "", wasClean: bool = False) -> None:
        super().__init__(type)
        self.code: int = code
        self.reason: str = reason
        self.wasClean: bool = wasClean

    def __repr__(self) -> str:
        return (
            f"CloseEvent({self.type!r}, code={self.code}, reason={self.reason!r}, wasClean={self.wasClean})"
        )


class ErrorEvent(Event[TargetT]):
    """The connection failed; a close event follows.

    Attributes:
        error: the exception, with its cause chained.
        message: the exception as text, never empty.
    """

    def __init__(self, type: str, error: BaseException | None = None, message: str = "") -> None:
        super().__init__(type)
        self.error: BaseException | None = error
        self.message: str = message or ("" if error is None else str(error) or error.__class__.__name__)

    def __repr__(self) -> str:
        return f"ErrorEvent({self.type!r}, message={self.message!r}, error={self.error!r})"


class EventListener(Protocol):
    """An object that is itself a listener (DOM 2.7, *callback interface*)."""

    def handleEvent(self, event: Any) -> object: ...


Handler: TypeAlias = Callable[[Any], object]
Listener: TypeAlias = Handler | EventListener
EventT = TypeVar("EventT", bound=Event[Any])


def _refuse_coroutines(name: str, callback: Listener) -> None:
    """Raise `TypeError` for an ``async def``: to call it makes a coroutine, which would never run."""
    calls = [callback, getattr(callback, "handleEvent", None)]
    if callable(callback):
        calls.append(type(callback).__call__)
    if any(inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call) for call in calls):
        raise TypeError(
            f"{name} must be a plain function, not the async {callback!r}, which nothing would await: "
            "docs/guis-and-event-loops.md shows how handlers and asyncio go together"
        )


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Registration:
    """One entry of a listener list. ``removed`` is read by dispatches that are under way."""

    __slots__ = ("call", "callback", "once", "removed")

    def __init__(self, callback: Listener, once: bool) -> None:
        self.once = once
        self.removed = False
        self.replace(callback)

    def replace(self, callback: Listener) -> None:
        self.callback = callback
        # `handleEvent` is looked up at each call, as Web IDL has it.
        self.call: Handler = callback if callable(callback) else lambda event: callback.handleEvent(event)


_Lists: TypeAlias = dict[str, tuple[_Registration, ...]]


class EventTarget:
    """An object that events are dispatched to (DOM 2.7).

    Every method may be called from any thread, also from inside a listener.
    """

    # The lists are replaced as a whole, never changed: a dispatch runs over the tuple that it found, so that
    # a listener added meanwhile waits for the next event (DOM 2.9, *inner invoke*, "clone"). Whoever changes
    # them computes the new ones with no lock held, since callbacks may be compared by code of the program's,
    # and swaps them in a leaf, if nobody else has meanwhile.
    _registrations: _Lists
    _log_fields: Fields = {}

    def __init__(self) -> None:
        self._registrations = {}
        self._handlers: dict[str, _Registration] = {}
        self._listener_leaf = Leaf()
        self._interrupt: KeyboardInterrupt | None = None

    def addEventListener(self, type: str, callback: Listener | None, *, once: bool = False) -> None:
        """Call `callback` with each event of this type, after the listeners that are there already.

        Args:
            type: the event's type, such as ``"message"``.
            callback: a callable of one argument or an object with `handleEvent`; None does nothing.
            once: remove the listener before its first call.

        A callback that is registered for this type already is not added again. Raises `TypeError` for
        a callback that cannot be called, or that is an ``async def``: nothing here would await it.
        """
        if callback is None:
            return
        if not callable(callback) and not hasattr(callback, "handleEvent"):
            raise TypeError(f"callback must be callable or have handleEvent(), not {callback!r}")
        _refuse_coroutines("callback", callback)
        added = _Registration(callback, once)
        swapped = False
        while not swapped:
            lists = self._registrations
            if self._find(lists, type, callback) is not None:
                break
            swapped = self._swap(lists, {**lists, type: (*lists.get(type, ()), added)})
        self._listeners_changed()
        self._listener_added()

    def removeEventListener(self, type: str, callback: Listener | None) -> None:
        """Take a listener off; one that was not called yet in a dispatch under way will not be."""
        entry = self._find(self._registrations, type, callback)
        if entry is not None:
            entry.removed = True
            self._drop(type, entry)

    def dispatchEvent(self, event: Event[Any]) -> bool:
        """Run the listeners of `event.type` in the calling thread, before this returns; always True.

        Raises `TypeError` when `event` is no `Event`, and `InvalidStateErr` when it is being dispatched.
        """
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {event!r}")
        if event.currentTarget is not None:
            raise _exceptions.InvalidStateErr(f"{event!r} is being dispatched already")
        event.target = self
        self._fire(event)
        self._raise_interrupt()
        return True

    def _fire(self, event: Event[Any]) -> None:
        """Call the listeners one after the other; what one raises is logged, and the next one runs."""
        registrations = self._registrations.get(event.type)
        if registrations is None:
            return
        event.currentTarget = self
        # An iterator goes on where it was, also where Ctrl-C came between two listeners.
        remaining = iter(registrations)
        while True:
            try:
                for entry in remaining:
                    if entry.removed:
                        continue
                    if entry.once and not self._claim(event.type, entry):
                        continue
                    entry.call(event)
                break
            except BaseException as error:
                # Also SystemExit: a callback must not be able to end the thread that others wait for.
                if isinstance(error, KeyboardInterrupt) and _in_main_thread():
                    self._interrupt = error  # Ctrl-C is for the program; but no event may be lost by it
                else:
                    fields = {**self._log_fields, "event_type": event.type}
                    log_exception(fields, "a listener of %r raised: %r", event.type, entry.callback)
        event.currentTarget = None

    def _raise_interrupt(self) -> None:
        """Let a Ctrl-C go on that came while listeners ran in this thread, if it is the main one."""
        if self._interrupt is not None and _in_main_thread():
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _find(self, lists: _Lists, type: str, callback: Listener | None) -> _Registration | None:
        """The entry of a listener, not of a handler attribute."""
        handler = self._handlers.get(type)
        for entry in lists.get(type, ()):
            # Equality, not identity: each look-up of a bound method makes another object.
            if entry is not handler and not entry.removed and entry.callback == callback:
                return entry
        return None

    def _swap(self, old: _Lists, new: _Lists) -> bool:
        """Put new lists in the place of `old`; False when these are not the present ones any more."""
        lists = [new, new]
        with self._listener_leaf:
            lists[0] = self._registrations
            swapped = self._registrations is old
            self._registrations = lists[swapped]
        return swapped

    def _claim(self, type: str, entry: _Registration) -> bool:
        """Take off a listener that is to be called once; False when another dispatch has called it."""
        with self._listener_leaf:
            mine = not entry.removed
            entry.removed = True
        if mine:
            self._drop(type, entry)
        return mine

    def _drop(self, type: str, entry: _Registration) -> None:
        entry.removed = True
        swapped = False
        while not swapped:
            lists = self._registrations
            kept = tuple(other for other in lists.get(type, ()) if other is not entry)
            swapped = self._swap(lists, {**lists, type: kept})
        self._listeners_changed()

    def __dir__(self) -> list[str]:
        owner = type(self)
        return [n for n in super().__dir__() if not isinstance(getattr(owner, n, None), _Misspelling)]

    def _listener_added(self) -> None:
        """Called after a listener or handler was set; for subclasses."""

    def _listeners_changed(self) -> None:
        """Called after a listener was set or taken off; for subclasses."""

    def _get_handler(self, type: str) -> Handler | None:
        entry = self._handlers.get(type)
        return None if entry is None else entry.callback  # type: ignore[return-value]

    def _set_handler(self, type: str, callback: Handler | None) -> None:
        """Set an event handler attribute, ``on<type>``: it takes its place among the listeners when it is
        first set and keeps it when it is replaced; None gives the place up (HTML 8.1.8.1)."""
        if callback is not None:
            if not callable(callback):
                raise TypeError(f"on{type} must be None or callable, not {callback!r}")
            _refuse_coroutines(f"on{type}", callback)
        entry = self._handlers.get(type)
        if callback is None:
            if entry is not None:
                self._handlers.pop(type, None)
                self._drop(type, entry)
            return
        if entry is not None:
            entry.replace(callback)
        else:
            # Of two threads that set it at once, the first makes the entry, and both set its callback.
            made = _Registration(callback, once=False)
            entry = self._handlers.setdefault(type, made)
            entry.replace(callback)
            while entry is made and not self._swap(
                lists := self._registrations, {**lists, type: (*lists.get(type, ()), entry)}
            ):
                continue
            self._listeners_changed()
        self._listener_added()


class EventHandler(Generic[EventT]):
    """An event handler attribute, ``on<type>``: None, or a callable of one argument.

    The class that has it also refuses the other spellings of its name, in which other libraries have it.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._type = name.removeprefix("on")
        for spelling in _other_spellings(self._type):
            if spelling not in vars(owner):
                setattr(owner, spelling, _Misspelling(spelling, name))

    @overload
    def __get__(self, instance: None, owner: type) -> EventHandler[EventT]: ...
    @overload
    def __get__(self, instance: EventTarget, owner: type) -> Callable[[EventT], object] | None: ...
    def __get__(
        self, instance: EventTarget | None, owner: type
    ) -> EventHandler[EventT] | Callable[[EventT], object] | None:
        return self if instance is None else instance._get_handler(self._type)

    def __set__(self, instance: EventTarget, handler: Callable[[EventT], object] | None) -> None:
        instance._set_handler(self._type, handler)


def _other_spellings(type: str) -> list[str]:
    """What other libraries and languages call ``on<type>``."""
    name = type.capitalize()
    return [f"on_{type}", f"on{name}", f"on_{name}", f"On{name}", f"ON_{type.upper()}"]


class _Misspelling:
    """Refuses to be set: a handler under this name would never be called. A subclass may define the name."""

    def __init__(self, name: str, meant: str) -> None:
        self.__doc__ = f"Not an attribute: the name is `{meant}`."
        self._name = name
        self._meant = meant

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise self._error(owner)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise self._error(type(instance))

    def _error(self, owner: type) -> AttributeError:
        return AttributeError(
            f"{owner.__name__} has no attribute {self._name!r}; did you mean {self._meant!r}?"
        )
