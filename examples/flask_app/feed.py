"""One WebSocket for each worker process, made when the process first needs it."""

import json
import os
import threading
from concurrent import futures

import syncws
from examples.flask_app.recording import recorder

URL = os.environ.get("FEED_URL", "ws://127.0.0.1:8768/")

# Below the server's own limit for a request (gunicorn: --timeout, 30 s), which ends the whole worker.
PATIENCE = float(os.environ.get("FEED_PATIENCE", "10"))


class FeedError(Exception):
    """The upstream server did not answer; whether it has heard the question is not known."""


class Feed:
    """Nothing happens until it is first used: making one that is thrown away again costs nothing."""

    def __init__(self, url):
        self._url = url
        self._trace = None
        self._lock = threading.Lock()
        self._ws = None
        self._opened = threading.Event()
        self._news = threading.Event()
        self._latest = None
        self._waiting = {}

    def send(self, id):
        """Send `id` upstream, and return what comes back for it."""
        ws = self._connected()
        answer = futures.Future()
        if self._waiting.setdefault(id, answer) is not answer:
            raise FeedError(f"{id!r} is already on its way")
        try:
            ws.send(json.dumps({"id": id}))
            return answer.result(PATIENCE)
        except (syncws.InvalidStateErr, syncws.ConnectionClosed, futures.TimeoutError) as error:
            raise FeedError(f"no answer for {id!r}") from error
        finally:
            del self._waiting[id]

    def latest(self):
        """The newest message that the upstream server has pushed to this process."""
        self._connected()
        if not self._news.wait(PATIENCE):
            raise FeedError("nothing has been pushed yet")
        return self._latest

    @property
    def stats(self):
        """What the connection of this process has counted; None before it is needed."""
        ws = self._ws
        return None if ws is None else ws.stats

    def _connected(self):
        with self._lock:
            if self._ws is None:
                self._trace = self._trace or recorder()  # None, unless FEED_HAR is set
                self._ws = syncws.ReconnectingWebSocket(
                    self._url,
                    onopen=self._on_open,
                    onmessage=self._on_message,
                    onclose=self._on_close,
                    trace=self._trace,
                )
            ws = self._ws
        if not self._opened.wait(PATIENCE):
            raise FeedError("not connected")
        return ws

    def _on_open(self, event):
        self._opened.set()

    def _on_message(self, event):
        message = json.loads(event.data)
        if "ack" not in message:
            self._latest = message["news"]
            self._news.set()
        elif (answer := self._waiting.get(message["ack"])) is not None:  # None: its request has given up
            answer.set_result(message)

    def _on_close(self, event):
        self._opened.clear()
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(syncws.ConnectionClosed(event.code, event.reason, event.wasClean))
        if event.retry_in is None:
            with self._lock:
                self._ws = None  # it does not come back by itself: the next request makes a new one


_feeds = {}


def feed():
    """The feed of this process.

    A forked child has another pid, so it makes its own, whatever its parent has done (gunicorn --preload).
    No lock at module level: one made before gevent has patched `threading` would block the whole process.
    """
    pid = os.getpid()
    return _feeds.get(pid) or _feeds.setdefault(pid, Feed(URL))
