"""One small fault that a test must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault to put into the package.

    Attributes:
        breaks: what goes wrong with it, as a name: "a long frame may announce its length in too many bytes".
        old: the source text that it replaces. It stands exactly once in the modules of the list's folder; the
            module is not named, so that code may move between the modules of a folder.
        new: the text that it puts there.
        tests: the files that must notice it, under tests/.
    """

    breaks: str
    old: str
    new: str
    tests: tuple[str, ...]
