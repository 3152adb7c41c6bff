"""The feed's `stats` for Prometheus, summed over the workers of gunicorn.

In the clone, with flask, gunicorn and prometheus_client installed:

mkdir /tmp/feed-metrics
PROMETHEUS_MULTIPROC_DIR=/tmp/feed-metrics gunicorn --config python:examples.flask_app.metrics \
    --workers 2 --worker-class gthread examples.flask_app.metrics:app
curl http://127.0.0.1:8000/metrics

Each worker writes its own numbers into that folder; whichever is asked answers for all. Empty the folder
before gunicorn starts, as the documentation of prometheus_client says.
"""

import os
import threading

from flask import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

from examples.flask_app.app import app
from examples.flask_app.feed import feed

SECONDS = float(os.environ.get("FEED_METRICS_SECONDS", "5"))

# These only grow, and begin again with each connection, but for `reconnects`.
COUNTED = (
    *("messages_sent", "messages_received", "bytes_sent", "bytes_received"),
    *("wire_bytes_sent", "wire_bytes_received", "pauses", "reconnects"),
)
WAITING = ("queued_messages", "queued_bytes", "buffered_bytes")


class Export:
    """Carries one connection's stats over into metrics."""

    def __init__(self):
        self._counters = {name: Counter(f"feed_{name}", f"{name} of the feed") for name in COUNTED}
        self._gauges = {
            name: Gauge(f"feed_{name}", f"{name} of the feed", multiprocess_mode="livesum")
            for name in WAITING
        }
        self._round_trip = Gauge("feed_round_trip_seconds", "of the last ping", multiprocess_mode="livemax")
        self._last = {}

    def update(self, stats):
        for name, counter in self._counters.items():
            value = getattr(stats, name)
            last = self._last.get(name, 0)
            counter.inc(value - last if value >= last else value)  # less: another connection
            self._last[name] = value
        for name, gauge in self._gauges.items():
            gauge.set(getattr(stats, name))
        if stats.round_trip is not None:
            self._round_trip.set(stats.round_trip)


def export_for_ever():
    export = Export()
    while True:
        if (stats := feed().stats) is not None:
            export.update(stats)
        threading.Event().wait(SECONDS)


@app.get("/metrics")
def metrics():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), mimetype="text/plain; version=0.0.4")


# What gunicorn calls, as the module is its configuration too.


def post_worker_init(worker):
    """Of a worker, after the fork: its metrics and their thread are made here."""
    threading.Thread(target=export_for_ever, name="feed-metrics", daemon=True).start()


def child_exit(server, worker):
    """Of the master: a worker that has ended waits for nothing any more."""
    multiprocess.mark_process_dead(worker.pid)
