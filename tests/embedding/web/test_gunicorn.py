"""gunicorn with the Flask example: each kind of worker, reloads and the end, under traffic."""

from __future__ import annotations

import faulthandler
import signal
import sys
from pathlib import Path

import pytest

from tests.embedding.web.serving import (
    PATCHED,
    WORKERS,
    Traffic,
    Upstream,
    ask,
    check_delivery,
    for_each,
    gunicorn,
    needs,
)

pytestmark = needs("flask", "gunicorn")

# An application whose master has used the feed before it makes the workers.
USED_EARLY = """
from examples.flask_app.app import app
from examples.flask_app.feed import feed

feed().latest()
feed().send("from the master")
"""


OPTIONS = {
    **WORKERS,
    **{f"{name}, preload": [*options, "--preload"] for name, options in WORKERS.items()},
    "gevent, patched, preload": PATCHED,
}


@for_each(OPTIONS)
def test_each_worker_has_one_connection_and_says_goodbye(options: list[str], upstream: Upstream) -> None:
    with gunicorn(upstream, *options) as (program, port), Traffic(port) as traffic:
        upstream.wait_opened(2)
        assert str(ask(port, "/latest")[1]["latest"]).startswith("welcome, connection ")
        program.send_signal(signal.SIGHUP)
        upstream.wait_opened(4)
        upstream.wait_ended(2)
        program.stop()
        upstream.wait_ended(4)
    assert (upstream.opened, upstream.ends) == (4, [1001] * 4)
    assert len(traffic.workers) == 4
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed


@for_each(WORKERS)
def test_a_connection_of_the_master_stays_the_masters(
    options: list[str], upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "used_early.py").write_text(USED_EARLY)
    early = {"app": "used_early:app", "PYTHONPATH": str(tmp_path)}
    with gunicorn(upstream, *options, "--preload", **early) as (program, port):
        assert upstream.received == ["from the master"]
        with Traffic(port) as traffic:
            upstream.wait_opened(3)
            program.send_signal(signal.SIGHUP)
            upstream.wait_opened(5)
            upstream.wait_ended(2)
        assert upstream.ends == [1001] * 2
        program.stop()
        upstream.wait_ended(5)
    assert (upstream.opened, upstream.ends) == (5, [1001] * 5)
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed


@pytest.mark.parametrize(
    ("worker", "hook"),
    [
        ("gthread", "post_fork(server, worker)"),
        ("gthread", "post_worker_init(worker)"),
        pytest.param("gevent", "post_worker_init(worker)", marks=needs("gevent")),
    ],
)
def test_a_hook_may_connect_before_the_first_request(
    worker: str, hook: str, upstream: Upstream, tmp_path: Path
) -> None:
    configuration = tmp_path / "configuration.py"
    configuration.write_text(
        f"from examples.flask_app.feed import feed\n\n\ndef {hook}:\n    feed().latest()\n"
    )
    with gunicorn(upstream, *WORKERS[worker], "--config", str(configuration)) as (program, port):
        upstream.wait_opened(2)
        assert ask(port, "/send", {"id": "one"})[0] == 200
        program.stop()
        upstream.wait_ended(2)
    assert (upstream.opened, upstream.ends) == (2, [1001] * 2)
    assert "Traceback" not in program.printed


@for_each(WORKERS)
def test_what_does_not_go_upstream_is_answered_with_503(options: list[str]) -> None:
    upstream = Upstream()
    upstream.stop()
    with gunicorn(upstream, *options, FEED_PATIENCE="0.2") as (program, port):
        assert ask(port, "/send", {"id": "one"})[0] == 503
        program.stop()


def test_100_reloads_lose_and_double_nothing(upstream: Upstream) -> None:
    with gunicorn(upstream, *WORKERS["gthread"]) as (program, port), Traffic(port, threads=2) as traffic:
        upstream.wait_opened(2)
        for reload in range(1, 101):
            # A hang is one of a single reload; all of them may take longer than one test is given.
            faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__ or sys.stderr)
            program.send_signal(signal.SIGHUP)
            upstream.wait_opened(2 + 2 * reload)
            upstream.wait_ended(2 * reload)
        program.stop()
        upstream.wait_ended(202)
    assert (upstream.opened, upstream.ends) == (202, [1001] * 202)
    assert len(traffic.workers) > 150  # the system may give a pid again
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed
