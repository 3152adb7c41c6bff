"""The four values of `readyState` (WHATWG 3.1), as constants of the classes that have one.

Owns: the constants. Runs on: any thread. Must not import: anything of the package.
"""

from __future__ import annotations

from typing import NoReturn

CONNECTING, OPEN, CLOSING, CLOSED = range(4)
STATE_NAMES = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")


class _Constant:
    """A number that can be read from a class and its instances, but not set on an instance."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __get__(self, instance: object, owner: type) -> int:
        return self._value

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise AttributeError(f"constant {STATE_NAMES[self._value]} cannot be set")


class ReadyStates:
    """The constants, on a class and on its instances."""

    CONNECTING = _Constant(CONNECTING)
    OPEN = _Constant(OPEN)
    CLOSING = _Constant(CLOSING)
    CLOSED = _Constant(CLOSED)
