"""Leaves as a test sees them: held or free."""

from __future__ import annotations

from syncws._engine.primitives import Leaf


def is_locked(leaf: Leaf) -> bool:
    """Whether a leaf is held, by whomsoever."""
    taken = take(leaf)
    if taken:
        leaf.__exit__(None, None, None)
    return not taken


def take(leaf: Leaf) -> bool:
    """Take a leaf, for good, unless it is held."""
    lock = leaf.__exit__.__self__  # type: ignore[attr-defined]
    return bool(lock.acquire(False))
