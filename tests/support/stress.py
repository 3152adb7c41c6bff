"""What every run does in a short form, and `tox -e stress` in full.

A run with `SYNCWS_STRESS=1` is the full one.
"""

from __future__ import annotations

import os

STRESS = os.environ.get("SYNCWS_STRESS") == "1"


def amount(full: int, short: int) -> int:
    """How much of something a test does: `full` under stress, otherwise `short`."""
    return full if STRESS else short
