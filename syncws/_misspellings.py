"""Names of other libraries, and slips: what is meant here is told at once.

Owns: these names. Runs on: any thread. Must not import: anything of the package.

A handler under a misspelt name would never be called, so setting one raises. The other names only tell what
to use.

The names are attributes of a class, so that setting any other attribute costs nothing and a subclass may
define each of them for itself. A ``__setattr__`` would slow down every assignment. They have a class of their
own, so that `help` shows them last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn


class Hint:
    """A descriptor that says what to use instead. A program may have an attribute of this name."""

    def __init__(self, name: str, instead: str) -> None:
        self.__doc__ = f"Not an attribute; {instead}"
        self._name = name
        self._instead = instead

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise self._error(owner)

    def _error(self, owner: type) -> AttributeError:
        text = f"{owner.__name__} has no attribute {self._name!r}; {self._instead}"
        return AttributeError(text, name=self._name, obj=None)  # Python would add a guess for another `obj`.


class Misspelling(Hint):
    """A name that cannot be set either, since a handler under it would never be called."""

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise self._error(type(instance))


class _Refusals:
    """Leaves the refused names out of `dir()`."""

    def __dir__(self) -> list[str]:
        owner = type(self)
        return [n for n in super().__dir__() if not isinstance(getattr(owner, n, None), Hint)]


class Misspellings(_Refusals):
    """Refuses other spellings of ``onopen``, ``onmessage``, ``onerror``, ``onclose``, and other methods."""


class NoHandlers(_Refusals):
    """Refuses handlers, in every spelling, on an object that calls none, and other libraries' attributes."""


def _spellings(type: str) -> list[str]:
    """The names that other libraries and languages have for ``on<type>``."""
    forms = (type, type.capitalize(), type.upper())
    return [on + under + form for on in ("on", "On", "ON") for under in ("", "_") for form in forms]


def _slips(type: str) -> Iterator[str]:
    """``on<type>`` with a letter left out, with two letters exchanged, and with an "s" at its end."""
    for i in range(1, len(type)):
        yield f"on{type[:i]}{type[i + 1 :]}"
        yield f"on{type[: i - 1]}{type[i]}{type[i - 1]}{type[i + 1 :]}"
    yield f"on{type}s"


def _refuse(owner: type[_Refusals], names: list[str], instead: str) -> None:
    for name in names:
        setattr(owner, name, Misspelling(name, instead))


_WAIT_INSTEAD = "recv() gives messages here; a handler goes to WebSocket(url, onmessage=...)"

for _type in ("open", "message", "error", "close"):
    _all = [*_spellings(_type), *_slips(_type)]
    _refuse(Misspellings, [name for name in _all if name != f"on{_type}"], f"did you mean 'on{_type}'?")
    _refuse(NoHandlers, _all, _WAIT_INSTEAD)
for _type in ("ping", "pong"):
    _refuse(Misspellings, _spellings(_type), f"use addEventListener({_type!r}, ...)")
    _refuse(NoHandlers, _spellings(_type), _WAIT_INSTEAD)

_SEND = "send() takes a str for text and bytes for binary"
_STATE = "readyState is 0 CONNECTING, 1 OPEN, 2 CLOSING or 3 CLOSED"
_ON_BOTH = {
    "ready_state": _STATE,
    "connected": _STATE,
    "buffered_amount": "did you mean 'bufferedAmount'?",
    "send_text": _SEND,
    "send_bytes": _SEND,
    "send_binary": _SEND,
    "send_json": "send(json.dumps(value)) does that",
}
_ON_A_WEBSOCKET = {
    "on": "use addEventListener(type, listener)",
    "recv": "handlers get messages here; connect(url) gives a Connection with recv()",
    "run_forever": "its threads run by themselves; join() waits for the end",
}
_ON_A_CONNECTION = {
    "closed": _STATE,
    "receive": "did you mean 'recv'?",
    "recv_text": "did you mean 'recv'?",
    "recv_json": "json.loads(connection.recv()) does that",
}

for _owner, _words in ((Misspellings, _ON_A_WEBSOCKET), (NoHandlers, _ON_A_CONNECTION)):
    for _name, _text in {**_ON_BOTH, **_words}.items():
        setattr(_owner, _name, Hint(_name, _text))
