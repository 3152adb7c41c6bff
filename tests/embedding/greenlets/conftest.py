"""Each test here runs for each library, and where it takes `secure`, for ws and for wss."""

from __future__ import annotations

import pytest

from tests.embedding.greenlets.programs import LIBRARIES


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["ws", "wss"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
