"""A page in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import Page, browser, find_chromium


@pytest.fixture
def page() -> Iterator[Page]:
    if (program := find_chromium()) is None:
        pytest.skip("no Chromium is installed")
    with browser(program) as page:
        yield page
