"""Names under which a handler would never be called: setting one raises at once.

Owns: these names. Runs on: any thread. Must not import: anything of the package.

The names are attributes of a class, so that setting any other attribute costs nothing and a subclass may
define each of them for itself. A ``__setattr__`` would slow down every assignment. They have a class of their
own, so that `help` shows them last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn


class Misspelling:
    """A descriptor that refuses to be set: a handler under this name would never be called."""

    def __init__(self, name: str, instead: str) -> None:
        self.__doc__ = f"Not an attribute; {instead}"
        self._name = name
        self._instead = instead

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise self._error(owner)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise self._error(type(instance))

    def _error(self, owner: type) -> AttributeError:
        return AttributeError(f"{owner.__name__} has no attribute {self._name!r}; {self._instead}")


class _Refusals:
    """Leaves the refused names out of `dir()`."""

    def __dir__(self) -> list[str]:
        owner = type(self)
        return [n for n in super().__dir__() if not isinstance(getattr(owner, n, None), Misspelling)]


class Misspellings(_Refusals):
    """Refuses other spellings of ``onopen``, ``onmessage``, ``onerror`` and ``onclose``."""


class NoHandlers(_Refusals):
    """Refuses handlers, in every spelling, on an object that calls none."""


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
