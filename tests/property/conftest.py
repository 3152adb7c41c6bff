"""The profiles of hypothesis: the same examples in every default run, and `long` for finding new ones.

SYNCWS_HYPOTHESIS=long python -m pytest tests/property
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.support.codecs import each_codec

__all__ = ["each_codec"]

# On a busy machine generating may be slow; that says nothing about what is tested.
_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, print_blob=True, suppress_health_check=_CALM
)
settings.register_profile(
    "long", deadline=None, derandomize=False, print_blob=True, suppress_health_check=_CALM
)
settings.load_profile(os.environ.get("SYNCWS_HYPOTHESIS", "default"))
