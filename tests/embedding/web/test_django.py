"""The Django example: its callbacks leave the database as requests do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.embedding.web.serving import (
    PATCHED,
    WORKERS,
    Program,
    Traffic,
    Upstream,
    ask,
    check_delivery,
    for_each,
    gunicorn,
    needs,
)
from tests.support.waiting import SECONDS, wait_until

pytestmark = needs("django", "gunicorn")

APP = "examples.django_project.wsgi"

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A database with the project's tables."""
    path = str(tmp_path / "news.sqlite3")
    with Program("-m", "examples.django_project.manage", "migrate", DATABASE=path) as program:
        assert program.process.wait(SECONDS) == 0, program.printed
    return path


def opened_by(pid: object, path: str) -> list[str]:
    """The descriptors that a process has for a file."""
    folder = f"/proc/{pid}/fd"
    return [number for number in os.listdir(folder) if os.path.realpath(f"{folder}/{number}") == path]


@for_each(
    {
        **WORKERS,
        "sync, preload": [*WORKERS["sync"], "--preload"],
        "gthread, preload": [*WORKERS["gthread"], "--preload"],
        "gevent, patched, preload": PATCHED,
    }
)
def test_a_worker_shares_one_connection_among_its_requests(
    options: list[str], upstream: Upstream, database: str
) -> None:
    with gunicorn(upstream, *options, app=APP, DATABASE=database) as (program, port):
        with Traffic(port) as traffic:
            upstream.wait_opened(2)
            program.send_signal(signal.SIGHUP)
            upstream.wait_opened(4)
            upstream.wait_ended(2)
        program.stop()
        upstream.wait_ended(4)
    assert (upstream.opened, upstream.ends) == (4, [1001] * 4)
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="the system does not list the files of a process")
@for_each(WORKERS)
def test_a_callback_leaves_no_database_connection_open(
    options: list[str], upstream: Upstream, database: str
) -> None:
    with gunicorn(upstream, *options, "--workers", "1", app=APP, DATABASE=database) as (program, port):
        answers = []

        def has_come(text: str) -> bool:
            answers.append(ask(port, "/latest")[1])
            return answers[-1]["latest"] == text

        wait_until(lambda: has_come("welcome, connection 1"))
        # Acknowledged behind the news, on the same thread: its callback is over.
        assert ask(port, "/send", {"id": "one"})[0] == 200
        wait_until(lambda: not opened_by(answers[-1]["pid"], database))
        upstream.lose_all()
        wait_until(lambda: has_come("welcome, connection 2"))
        assert ask(port, "/send", {"id": "two"})[0] == 200
        wait_until(lambda: not opened_by(answers[-1]["pid"], database))
        program.stop()
        upstream.wait_ended(2)
    assert upstream.ends[1] == 1001
    assert "Traceback" not in program.printed
