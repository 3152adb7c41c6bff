"""waitress with the Flask example: one process, many threads."""

from __future__ import annotations

import signal

import pytest

from tests.embedding.web.serving import Program, Traffic, Upstream, ask, check_delivery, needs

pytestmark = needs("flask", "waitress")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_threads_share_the_connection_and_it_says_goodbye(end: int, upstream: Upstream) -> None:
    with Program("-m", "examples.flask_app.waitress_server", "0", url=upstream.url) as program:
        port = int(program.wait_printed(r"serving on http://127\.0\.0\.1:(\d+)")[0])
        with Traffic(port, threads=8) as traffic:
            assert ask(port, "/latest")[1]["latest"] == "welcome, connection 1"
            upstream.wait_for(lambda: len(upstream.received) >= 50)
            program.stop(end)
    upstream.wait_ended(1)
    assert (upstream.opened, upstream.ends) == (1, [1001])
    check_delivery(traffic, upstream)
    assert "Traceback" not in program.printed
