"""The Flask example's recording and its metrics, with the real gunicorn."""

from __future__ import annotations

import http.client
import json
import re
import signal
from pathlib import Path

from tests.embedding.web.serving import WORKERS, Upstream, ask, gunicorn, needs
from tests.support.waiting import wait_until

pytestmark = needs("flask", "gunicorn")


def messages(path: Path) -> list[tuple[str, str]]:
    (entry,) = json.loads(path.read_text("utf-8"))["log"]["entries"]
    return [(one["type"], one["data"]) for one in entry["_webSocketMessages"]]


def test_a_recording_ends_with_its_worker(upstream: Upstream, tmp_path: Path) -> None:
    pattern = str(tmp_path / "feed-{pid}.har")
    with gunicorn(upstream, *WORKERS["gthread"], FEED_HAR=pattern) as (program, port):
        status, answer = ask(port, "/send", {"id": "one"})
        assert status == 200
        program.stop()
    said = messages(tmp_path / f"feed-{answer['pid']}.har")
    assert ("send", '{"id": "one"}') in said and ("receive", '{"ack": "one"}') in said


def test_a_recording_ends_when_its_time_is_over(upstream: Upstream, tmp_path: Path) -> None:
    pattern = str(tmp_path / "feed-{pid}.har")
    with gunicorn(upstream, *WORKERS["gthread"], FEED_HAR=pattern, FEED_HAR_SECONDS="0.5") as (program, port):
        status, answer = ask(port, "/send", {"id": "one"})
        assert status == 200
        wait_until((tmp_path / f"feed-{answer['pid']}.har").exists)
        program.stop()


@needs("prometheus_client")
def test_the_metrics_of_all_workers_are_summed(upstream: Upstream, tmp_path: Path) -> None:
    def exported(name: str) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        found = re.search(rf"^feed_{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
        connection.close()
        return float(found[1]) if found else 0.0

    settings = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "FEED_METRICS_SECONDS": "0.05"}
    options = [*WORKERS["gthread"], "--config", "python:examples.flask_app.metrics"]
    with gunicorn(upstream, *options, app="examples.flask_app.metrics:app", **settings) as (program, port):
        sent = 20
        for number in range(sent):
            assert ask(port, "/send", {"id": str(number)})[0] == 200
        wait_until(lambda: exported("messages_sent_total") == sent)
        upstream.lose_all()
        wait_until(lambda: exported("reconnects_total") >= 1)
        assert exported("messages_sent_total") == sent  # what begins again is added up
        program.send_signal(signal.SIGTERM)
        program.stop()
    assert "Traceback" not in program.printed
