"""One WebSocket for each worker process, made when it first needs it; its callbacks use the database."""

import functools
import json
import os
import threading
from concurrent import futures

from django.conf import settings
from django.db import close_old_connections, connections

import syncws

from .models import News


class FeedError(Exception):
    """The upstream server did not answer; whether it has heard the question is not known."""


def with_database(callback):
    """Do for a callback what Django does for a request: no database connection is left open after it.

    Django has a database connection for each thread, and closes those of requests; nobody else closes the one
    of the thread that callbacks run on. Where CONN_MAX_AGE keeps connections, this one is kept as well.
    """

    @functools.wraps(callback)
    def call(self, event):
        close_old_connections()  # one that the database has ended meanwhile, too
        try:
            callback(self, event)
        finally:
            close_old_connections()

    return call


class Feed:
    """Nothing happens until it is first used: making one that is thrown away again costs nothing."""

    def __init__(self):
        self._lock = threading.Lock()
        self._ws = None
        self._opened = threading.Event()
        self._waiting = {}

    def connect(self):
        with self._lock:
            if self._ws is None:
                self._ws = syncws.ReconnectingWebSocket(
                    settings.FEED_URL,
                    onopen=self._on_open,
                    onmessage=self._on_message,
                    onclose=self._on_close,
                )
            return self._ws

    def send(self, id):
        """Send `id` upstream, and return what comes back for it."""
        ws = self.connect()
        answer = futures.Future()
        if self._waiting.setdefault(id, answer) is not answer:
            raise FeedError(f"{id!r} is already on its way")
        try:
            if not self._opened.wait(settings.FEED_PATIENCE):
                raise FeedError("not connected")
            ws.send(json.dumps({"id": id}))
            return answer.result(settings.FEED_PATIENCE)
        except (syncws.InvalidStateErr, syncws.ConnectionClosed, futures.TimeoutError) as error:
            raise FeedError(f"no answer for {id!r}") from error
        finally:
            del self._waiting[id]

    def _on_open(self, event):
        self._opened.set()

    @with_database
    def _on_message(self, event):
        message = json.loads(event.data)
        if "ack" not in message:
            News.objects.create(text=message["news"])
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
        connections.close_all()  # the next connection's callbacks run on another thread


_feeds = {}


def feed():
    """The feed of this process, connecting or connected.

    A forked child has another pid, so it makes its own, whatever its parent has done (gunicorn --preload).
    No lock at module level: one made before gevent has patched `threading` would block the whole process.
    """
    pid = os.getpid()
    mine = _feeds.get(pid) or _feeds.setdefault(pid, Feed())
    mine.connect()
    return mine
