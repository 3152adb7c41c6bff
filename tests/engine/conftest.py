"""What the tests of reading by lease share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.lent_link import CONSUMERS


@pytest.fixture(params=CONSUMERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes a consumer: what holds for one of the two holds for the other."""
    return CONSUMERS[request.param]
