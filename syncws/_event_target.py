"""`EventTarget`: which listeners an event calls, and in what order (DOM 2.7 to 2.9, HTML 8.1.8.1).

Owns: the listener lists of one object. Runs on: listeners may be added and removed from any thread; they are
called in the thread that dispatches. Must not import: sockets, the protocol.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, overload

from . import _exceptions
from ._engine.primitives import Leaf
from ._events import Event
from ._later import Later

if TYPE_CHECKING:
    from . import _log
else:
    _log = Later("syncws._log")


class EventListener(Protocol):
    """An object that is itself a listener (DOM 2.7, *callback interface*)."""

    def handleEvent(self, event: Any) -> object: ...


Handler: TypeAlias = Callable[[Any], object]
Listener: TypeAlias = Handler | EventListener
EventT = TypeVar("EventT", bound=Event[Any])


def _refuse_coroutines(name: str, callback: Listener) -> None:
    """Raise `TypeError` for an ``async def``: calling it makes a coroutine, which nothing would run."""
    import inspect  # This import stands here, so that `import syncws` need not wait for it.

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
    """One entry of a listener list. A running dispatch skips an entry that is ``removed``."""

    __slots__ = ("call", "callback", "once", "removed")

    def __init__(self, callback: Listener, once: bool) -> None:
        self.once = once
        self.removed = False
        self.replace(callback)

    def replace(self, callback: Listener) -> None:
        self.callback = callback
        # Web IDL: `handleEvent` is looked up at each call.
        self.call: Handler = callback if callable(callback) else lambda event: callback.handleEvent(event)


_Lists: TypeAlias = dict[str, tuple[_Registration, ...]]


class EventTarget:
    """An object that events are dispatched to (DOM 2.7).

    Every method may be called from any thread, also from inside a listener.
    """

    # The lists are replaced as a whole, never changed: a dispatch runs over the tuple that it found, so that
    # a listener added meanwhile waits for the next event (DOM 2.9, *inner invoke*, "clone"). A change
    # computes the new ones with no lock held, since callbacks may be compared by code of the program's, and
    # swaps them in a leaf, if no other thread has meanwhile.
    _registrations: _Lists
    _log_fields: Mapping[str, object] = MappingProxyType({})

    def __init__(self) -> None:
        self._registrations = {}
        self._handlers: dict[str, _Registration] = {}
        self._listener_leaf = Leaf()
        self._interrupt: KeyboardInterrupt | SystemExit | None = None

    def addEventListener(self, type: str, callback: Listener | None, *, once: bool = False) -> None:
        """Call `callback` with each event of this type, after the listeners that are there already.

        Args:
            type: the event's type, such as ``"message"``.
            callback: a callable of one argument or an object with `handleEvent`; None does nothing.
            once: remove the listener before its first call.

        A callback that is registered for this type already is not added again. Raises `TypeError` for
        a callback that cannot be called, and for an ``async def``, since nothing here would await it.
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
        """Remove a listener. A running dispatch no longer calls it."""
        entry = self._find(self._registrations, type, callback)
        if entry is not None:
            entry.removed = True
            self._drop(type, entry)

    def dispatchEvent(self, event: Event[Any]) -> bool:
        """Run the listeners of `event.type` in the calling thread, before this returns; always True.

        Raises `TypeError` when `event` is not an `Event`, and `InvalidStateErr` when it is being dispatched.
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
        """Call the listeners one after the other. An exception of one is logged, and the next one runs."""
        registrations = self._registrations.get(event.type)
        if registrations is None:
            return
        event.currentTarget = self
        # All turns of the loop below share one iterator, so an exception does not repeat a listener.
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
                self._listener_raised(event.type, entry, error)
        event.currentTarget = None

    def _listener_raised(self, type: str, entry: _Registration, error: BaseException) -> None:
        """Log the exception of a listener. The caller is handling it, so the log gets its traceback."""
        # This logs SystemExit, too: on another thread than the main one, no exception may end the worker.
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and _in_main_thread():
            # This is meant for the program. It is raised after the dispatch, so that no event is lost.
            self._interrupt = error
        else:
            fields = {**self._log_fields, "event_type": type}
            _log.log_exception(fields, "a listener of %r raised: %r", type, entry.callback)

    def _only_listener(self, type: str) -> _Registration | None:
        """The one listener of these events, if there is one, and it is to be called each time."""
        registrations = self._registrations.get(type, ())
        return registrations[0] if len(registrations) == 1 and not registrations[0].once else None

    def _raise_interrupt(self) -> None:
        """Raise the Ctrl-C or SystemExit that listeners raised in this thread, if it is the main one."""
        if self._interrupt is not None and _in_main_thread():
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def _find(self, lists: _Lists, type: str, callback: Listener | None) -> _Registration | None:
        """The entry of a listener, not of a handler attribute."""
        handler = self._handlers.get(type)
        for entry in lists.get(type, ()):
            # Callbacks are compared by equality, since each look-up of a bound method makes another object.
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

    def _listener_added(self) -> None:
        """Called after a listener or handler was set; for subclasses."""

    def _listeners_changed(self) -> None:
        """Called after a listener was set or taken off; for subclasses."""

    def _get_handler(self, type: str) -> Handler | None:
        entry = self._handlers.get(type)
        return None if entry is None else entry.callback  # type: ignore[return-value]

    def _set_handler(self, type: str, callback: Handler | None) -> None:
        """Set an event handler attribute, ``on<type>`` (HTML 8.1.8.1).

        A handler takes its place among the listeners when the attribute is first set. A handler that replaces
        it has the same place; None gives the place up.
        """
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
    """An event handler attribute, ``on<type>``: None, or a callable of one argument."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        # Interning matters on free-threaded builds: there a look-up by an equal, other string takes locks.
        self._type = sys.intern(name.removeprefix("on"))

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
