"""Header fields as programs read them: a mapping that compares names without case.

Owns: the fields of one answer, which never change. Runs on: any thread. Must not import: anything of the
package but `_quoting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ._quoting import shown_fields


class Headers(Mapping[str, str]):
    """The header fields of an answer, in the order received; names are compared without case.

        response.headers["content-type"]
        response.headers.get("X-Request-Id", "none")
        response.headers.get_all("Set-Cookie")

    It is a read-only mapping of names to values. Iteration gives each name once, spelled as it came first.
    The value of a field that came several times is all of its values joined by ``", "`` (RFC 9110 5.3), which
    loses nothing for any field but ``Set-Cookie``: `get_all` has them one by one.

    Its repr leaves out the values of fields that may hold a credential.
    """

    __slots__ = ("_fields", "_values")

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        if isinstance(fields, Headers):
            pairs: Iterable[tuple[str, str]] = fields.multi_items()
        else:
            pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields: tuple[tuple[str, str], ...] = tuple((name, value) for name, value in pairs)
        self._values: dict[str, list[str]] = {}
        for name, value in self._fields:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        names: dict[str, str] = {}
        for name, _ in self._fields:
            names.setdefault(name.lower(), name)
        return iter(names.values())

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of this name, in the order received; none for a name that is not there."""
        return list(self._values.get(name.lower(), ()))

    def multi_items(self) -> list[tuple[str, str]]:
        """All fields as (name, value) pairs, in the order received, spelled as they came."""
        return list(self._fields)

    def __eq__(self, other: object) -> bool:
        """Whether the other mapping has the same values under the same names, compared without case."""
        if isinstance(other, Headers):
            return self._values == other._values
        if isinstance(other, Mapping):
            return dict(self._lowered(self)) == dict(self._lowered(other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._lowered(self)))

    def __repr__(self) -> str:
        return f"Headers({shown_fields(self._fields)})"

    @staticmethod
    def _lowered(fields: Mapping[str, str]) -> Iterator[tuple[object, str]]:
        return ((name.lower() if isinstance(name, str) else name, value) for name, value in fields.items())
