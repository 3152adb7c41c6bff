"""Celery tasks that talk over a WebSocket: one for each call, or one for each worker process.

In the clone, with celery installed, in three terminals; the broker is a folder, and needs no server:

python3 -m examples.flask_app.upstream
celery --app examples.celery_app.app worker --pool prefork --concurrency 2
python3 -m examples.celery_app.ask one two three
"""

import json
import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_shutdown

import syncws

FOLDER = Path(os.environ.get("CELERY_FOLDER", "celery-data")).resolve()
URL = os.environ.get("FEED_URL", "ws://127.0.0.1:8768/")

for name in ("messages", "control", "results"):
    (FOLDER / name).mkdir(parents=True, exist_ok=True)

app = Celery("examples.celery_app.app", broker="filesystem://", backend=(FOLDER / "results").as_uri())
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "messages"),
    "data_folder_out": str(FOLDER / "messages"),
    "control_folder": str(FOLDER / "control"),
    "polling_interval": 0.1,
}


def ask(connection, id):
    """Send `id` upstream, and return what comes back for it."""
    connection.send(json.dumps({"id": id}))
    while (message := json.loads(connection.recv(timeout=10))).get("ack") != id:
        pass  # news
    return message["ack"], os.getpid()


@app.task
def ask_once(id):
    """A WebSocket for this call alone: nothing to look after, and the price of a handshake for each call."""
    with syncws.connect(URL) as connection:
        return ask(connection, id)


def policy(loss):
    # A lost connection is made anew at once; an attempt that fails is for Celery to repeat, see `ask_shared`.
    return 0 if isinstance(loss.error, syncws.ConnectionClosed) else None


# One WebSocket for each process, made in its first task, which is after the fork. A prefork process runs one
# task at a time, so no lock is needed.
_connections = syncws.reconnect(URL, policy=policy)
_connection = None


@app.task(autoretry_for=(OSError, syncws.ConnectionClosed), max_retries=3, retry_backoff=True)
def ask_shared(id):
    """Over the WebSocket of the process."""
    global _connection
    if _connection is None or _connection.readyState != _connection.OPEN:
        _connection = next(_connections)
    return ask(_connection, id)


@worker_process_shutdown.connect
def say_goodbye(**_):
    # Celery ends these processes without what Python does at exit, where syncws would do this by itself.
    _connections.stop()
