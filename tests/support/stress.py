"""Work that every run does in a short form, and `tox -e stress` in full.

A run with `SYNCWS_STRESS=1` is the full one.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable
from typing import TypeVar

First = TypeVar("First")
Second = TypeVar("Second")

STRESS = os.environ.get("SYNCWS_STRESS") == "1"


def amount(full: int, short: int) -> int:
    """How much of something a test does: `full` under stress, otherwise `short`."""
    return full if STRESS else short


def turns(many: Iterable[First], few: Collection[Second]) -> list[tuple[First, Second]]:
    """Each of `many` with each of `few` under stress; otherwise with one of them, which take turns."""
    if STRESS:
        return list(itertools.product(many, few))
    return list(zip(many, itertools.cycle(few), strict=False))
