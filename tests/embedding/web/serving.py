"""What the tests of web workers share: the server upstream, the web server's processes, HTTP requests."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import ROOT
from tests.support.waiting import SECONDS

# gunicorn's options for each kind of worker.
WORKERS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
    "gevent": ["--worker-class", "gevent"],
}

# The same with gevent before all else, and preloaded.
PATCHED = ["--config", "examples/django_project/gunicorn_gevent.py"]


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip where one of the packages is not installed; not every one can be built everywhere."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def for_each(options: dict[str, list[str]]) -> pytest.MarkDecorator:
    """Run a test with each list of options for gunicorn, which it is given as ``options``."""
    return pytest.mark.parametrize(
        "options",
        [
            pytest.param(each, id=name, marks=needs("gevent") if "gevent" in name else ())
            for name, each in options.items()
        ],
    )


class Upstream(LoopbackServer):
    """Acknowledges ids and pushes a welcome, as `examples.flask_app.upstream`; keeps what it has seen.

    Attributes:
        opened: how many connections have been opened.
        received: the ids, in order of arrival.
        ends: for each connection that is over, the code of its Close frame, or the type of its error.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.received: list[str] = []
        self.ends: list[object] = []
        self._changed = threading.Condition()
        self._peers: list[Peer] = []
        super().__init__(self._script)

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, SECONDS), f"{self.opened} opened, ended: {self.ends}"

    def wait_opened(self, count: int) -> None:
        self.wait_for(lambda: self.opened >= count)

    def wait_ended(self, count: int) -> None:
        self.wait_for(lambda: len(self.ends) >= count)

    def lose_all(self) -> None:
        """Cut every link that is open."""
        with self._changed:
            peers, self._peers = self._peers, []
        for peer in peers:
            peer.half_close()

    def _script(self, peer: Peer) -> None:
        peer.accept()
        with self._changed:
            self._peers.append(peer)
            self.opened += 1
            number = self.opened
            self._changed.notify_all()
        peer.send(json.dumps({"news": f"welcome, connection {number}"}))
        try:
            while True:
                id = json.loads(peer.recv())["id"]
                with self._changed:
                    self.received.append(id)
                    self._changed.notify_all()
                peer.send(json.dumps({"ack": id}))
        except PeerClosed as closed:
            self._end(closed.code)
            raise
        except (EOFError, ConnectionError) as error:
            self._end(type(error))

    def _end(self, how: object) -> None:
        with self._changed:
            self.ends.append(how)
            self._changed.notify_all()


class Program(contextlib.AbstractContextManager["Program"]):
    """A process in the checkout, with its children, and what they print; none outlives the ``with`` block."""

    def __init__(
        self, *arguments: str, url: str = "", executable: str = sys.executable, **environment: str
    ) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [executable, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "FEED_URL": url, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,  # a group of its own, which ends its children with it
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    @property
    def printed(self) -> str:
        with self._changed:
            return "".join(self._lines)

    def wait_printed(self, pattern: str, count: int = 1) -> list[str]:
        """What `pattern` matches, or its group does, once it was printed `count` times."""

        def found() -> list[str]:
            return re.findall(pattern, "".join(self._lines))

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, SECONDS), "".join(self._lines)
            return found()

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, status: int = 0) -> None:
        """Ask it to end, and wait until it and its children have."""
        self.send_signal(number)
        assert self.process.wait(SECONDS) == status, self.printed
        self._reading.join(SECONDS)  # its last child holds the pipe open
        assert not self._reading.is_alive(), self.printed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        if error is not None:
            print(self.printed)


def ask(port: int, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Status and answer of one request, over a connection of its own; POST when it has a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, {"text": text.decode()}


class Traffic(contextlib.AbstractContextManager["Traffic"]):
    """Threads that post one new id after the other, until the end of the ``with`` block.

    Attributes:
        answered: the ids that were answered with success.
        refused: what else was answered.
        workers: the pids of the processes that answered.
    """

    def __init__(self, port: int, threads: int = 4) -> None:
        self.answered: list[str] = []
        self.refused: list[object] = []
        self.workers: set[object] = set()
        self._port = port
        self._stopping = threading.Event()
        self._ids = itertools.count(1)
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _post(self) -> None:
        while not self._stopping.is_set():
            id = f"id-{next(self._ids)}"
            try:
                status, answer = ask(self._port, "/send", {"id": id})
            except (OSError, http.client.HTTPException):
                # Nothing was promised for this id. The server ends, or has a connection in hand as it does.
                self._stopping.wait(0.01)
                continue
            if status == 200 and answer["ack"] == id:
                self.workers.add(answer["pid"])
                self.answered.append(id)
            else:
                self.refused.append((status, answer))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(SECONDS)


def check_delivery(traffic: Traffic, upstream: Upstream) -> None:
    """Every id that was answered went upstream, and none did so twice."""
    counts = Counter(upstream.received)
    assert not traffic.refused, traffic.refused[:3]
    assert traffic.answered
    lost = [id for id in traffic.answered if counts[id] == 0]
    doubled = [id for id, count in counts.items() if count > 1]
    assert (lost, doubled) == ([], [])


@contextlib.contextmanager
def gunicorn(
    upstream: Upstream, *options: str, app: str = "examples.flask_app.app:app", **environment: str
) -> Iterator[tuple[Program, int]]:
    """gunicorn with two workers, and its port."""
    command = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", *options, app)
    with Program(*command, url=upstream.url, **environment) as program:
        port = int(program.wait_printed(r"Listening at: http://127\.0\.0\.1:(\d+)")[0])
        yield program, port
