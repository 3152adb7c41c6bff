"""Hundreds of connections in one process, of both APIs at once: all of them work, and nothing is left."""

from __future__ import annotations

from syncws.testing import LoopbackServer
from tests.support.programs import run_silently

# In a process of its own, whose limit of descriptors may be raised, and whose threads are all its own.
PROGRAM = """
import collections, os, random, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import syncws

url, count = sys.argv[1], int(sys.argv[2])
try:
    import resource
except ImportError:
    pass  # Windows has no such limit
else:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 4 * count + 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


class Called:
    def __init__(self):
        self.opened, self.closed = threading.Event(), []
        self.messages, self.came = collections.deque(), threading.Semaphore(0)
        self.ws = syncws.WebSocket(
            url,
            onopen=lambda event: self.opened.set(),
            onmessage=self.on_message,
            onclose=self.closed.append,
            open_timeout=30,
        )

    def on_message(self, event):
        self.messages.append(event.data)
        self.came.release()

    def wait_open(self):
        assert self.opened.wait(30)
        self.send = self.ws.send
        return self

    def recv(self):
        assert self.came.acquire(timeout=30)
        return self.messages.popleft()

    def close(self):
        self.ws.close()
        self.ws.join(30)
        [event] = self.closed
        assert event.wasClean and event.code == 1000, event


class Waiting:
    def __init__(self):
        self.connection = syncws.connect(url, open_timeout=30)
        self.send = self.connection.send

    def wait_open(self):
        return self

    def recv(self):
        return self.connection.recv(timeout=30)

    def close(self):
        self.connection.close()
        assert self.connection.readyState == self.connection.CLOSED


def make(number):
    return (Called if number % 3 else Waiting)().wait_open()


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def talk(connections):
    for number, connection in enumerate(connections):
        connection.send(f"to {number}")
        connection.send(bytes([number % 256]) * number)
    for number, connection in enumerate(connections):
        assert connection.recv() == f"to {number}"
        assert connection.recv() == bytes([number % 256]) * number


for number in range(2):
    make(number).close()  # what the first ones import is to be there before anything is counted
until = time.monotonic() + 10
while threading.active_count() > 1 and time.monotonic() < until:
    time.sleep(0.01)  # calls return at the outcome, and threads end a little later
before = threading.active_count(), descriptors()
with ThreadPoolExecutor(8) as pool:
    connections = list(pool.map(make, range(count)))
    talk(connections)
    random.Random(1).shuffle(connections)
    list(pool.map(lambda connection: connection.close(), connections[: count // 2]))
    talk(connections[count // 2 :])
    connections[: count // 2] = pool.map(make, range(count // 2))
    talk(connections)
    list(pool.map(lambda connection: connection.close(), connections))
until = time.monotonic() + 10
while (after := (threading.active_count(), descriptors())) != before and time.monotonic() < until:
    time.sleep(0.01)
assert after == before, (before, after, [thread.name for thread in threading.enumerate()])
print("all closed")
"""


def test_300_connections_carry_messages_amid_closes_and_leave_nothing_behind() -> None:
    count = 300
    with LoopbackServer() as server:
        out = run_silently("-c", PROGRAM, server.url, str(count), environment={"PYTHONFAULTHANDLER": "1"})
    assert out == "all closed\n"
    assert len(server.connections) == 2 + count + count // 2
