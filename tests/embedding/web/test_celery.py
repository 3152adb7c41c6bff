"""The Celery example in a prefork worker, with a folder for a broker."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedding.web.serving import Program, Upstream, needs
from tests.support.waiting import SECONDS

pytestmark = needs("celery")

CELERY = ("-m", "celery", "--app", "examples.celery_app.app", "worker", "--pool", "prefork")


@contextlib.contextmanager
def worker(upstream: Upstream, folder: Path, concurrency: int) -> Iterator[Program]:
    options = ("--concurrency", str(concurrency), "--loglevel", "info")
    with Program(*CELERY, *options, url=upstream.url, CELERY_FOLDER=str(folder)) as program:
        program.wait_printed(r"celery@\S+ ready\.")
        yield program


def ask(folder: Path, *ids: str) -> list[tuple[str, str, str]]:
    """Task, answer and process for each line that `examples.celery_app.ask` prints."""
    with Program(
        "-m", "examples.celery_app.ask", *ids, url="ws://127.0.0.1:8768/", CELERY_FOLDER=str(folder)
    ) as program:
        assert program.process.wait(SECONDS) == 0, program.printed
    return re.findall(r"(ask_\w+): (\S+) by process (\d+)\n", program.printed)


def test_one_connection_for_each_call_or_one_for_each_process(upstream: Upstream, tmp_path: Path) -> None:
    ids = [f"id-{number}" for number in range(10)]
    with worker(upstream, tmp_path, 2) as program:
        lines = ask(tmp_path, *ids)
        # Those of the calls are over; each process has one that stays.
        upstream.wait_ended(len(ids))
        assert upstream.ends == [1000] * len(ids)
        processes = {pid for task, _, pid in lines if task == "ask_shared"}
        assert upstream.opened == len(ids) + len(processes)
        program.stop()
        upstream.wait_ended(len(ids) + len(processes))
    assert upstream.ends[len(ids) :] == [1001] * len(processes)
    assert [(task, ack) for task, ack, _ in lines] == [
        (task, id) for id in ids for task in ("ask_once", "ask_shared")
    ]
    assert sorted(upstream.received) == sorted(ids * 2)
    assert "Traceback" not in program.printed


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
def test_a_lost_connection_is_made_anew(end: int, upstream: Upstream, tmp_path: Path) -> None:
    with worker(upstream, tmp_path, 1) as program:
        assert len(ask(tmp_path, "one")) == 2
        upstream.lose_all()
        assert len(ask(tmp_path, "two")) == 2
        assert upstream.opened == 4
        program.stop(end)
        upstream.wait_ended(4)
    assert upstream.ends[-1] == 1001
    assert upstream.received == ["one", "one", "two", "two"]
