"""What holds for every test of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedding.web.serving import Upstream

if not hasattr(os, "fork"):
    collect_ignore_glob = ["test_*.py"]  # these servers are for systems that fork


@pytest.fixture(autouse=True)
def nothing_is_written_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """gunicorn has a control socket under HOME."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    with server:
        yield server
