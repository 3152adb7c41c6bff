"""The blocks of the page about testing that test a Flask view and a Celery task."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import python_blocks, run_as_tests


@pytest.mark.parametrize(("package", "count"), [("flask", 2), ("celery", 1)])
def test_the_block_passes(package: str, count: int, tmp_path: Path) -> None:
    blocks = [block for block in python_blocks("testing.md") if f"from {package} import" in block]
    assert f"{count} passed" in run_as_tests(blocks, tmp_path)
