"""The clients of bench/soak.py: every kind of connection, and how its application keeps count.

The messages are described in bench/soak_server.py.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import os
import random
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from soak_server import some_text

import syncws
from syncws import CloseEvent, ConnectionClosed, Event, MessageEvent

WINDOW = 32  # ids of one stream that wait for their acknowledgement

# How much later is a fault: of a call than its time-out, of an end than close_timeout, of an acknowledgement
# on an open connection.
LATE_SECONDS = 5.0
LATE_ANSWER_SECONDS = 30.0

# The exceptions of a send when the connection is lost just then: the id is sent again on the next one.
LOST = (ConnectionClosed, syncws.InvalidStateErr)


class Run:
    """The state that all streams of one process share.

    Attributes:
        log: a file that outlives every process: a line for each acknowledgement, and for each fault.
        generation: the server that is up; None while it is being ended.
        draining: whether there are no new ids and no closes any more, only acknowledgements.
    """

    def __init__(self, log: int) -> None:
        self.log = log
        self.stop = threading.Event()
        self.draining = threading.Event()
        self.generation: int | None = None
        self.counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def fault(self, kind: str, text: str) -> None:
        """`kind` is lost, doubled, late or unexplained."""
        self.count(kind)
        os.write(self.log, f"F {kind} {text}\n".encode())

    def pause(self, longest: float) -> bool:
        """Wait a random time; True when the run is over."""
        return self.stop.wait(random.uniform(0, longest))


class Outgoing:
    """The ids of one stream that are not acknowledged yet."""

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._name = name
        self._lock = threading.Lock()
        self._next = 0
        self._attempts: dict[int, int] = {}
        self._sent_at: dict[int, float] = {}
        self._again: collections.deque[int] = collections.deque()

    def new_connection(self) -> None:
        """Send again everything that is not acknowledged."""
        with self._lock:
            self._again = collections.deque(self._attempts)

    def next(self) -> tuple[int, int] | None:
        """The id to send and the number of the attempt; None when there is nothing to send now."""
        with self._lock:
            while self._again:
                id = self._again.popleft()
                if id in self._attempts:
                    self._attempts[id] += 1
                    self._sent_at[id] = time.monotonic()
                    return id, self._attempts[id]
            if len(self._attempts) >= WINDOW or self._run.draining.is_set():
                return None
            id = self._next
            self._next += 1
            self._attempts[id] = 1
            self._sent_at[id] = time.monotonic()
            return id, 1

    def acknowledged(self, id: int) -> None:
        os.write(self._run.log, f"{self._name} {id}\n".encode())
        with self._lock:
            self._attempts.pop(id, None)
            sent_at = self._sent_at.pop(id, None)
        if sent_at is not None and (took := time.monotonic() - sent_at) > LATE_ANSWER_SECONDS:
            self._run.fault("late", f"{self._name}: {id} was acknowledged after {took:.1f} s")

    @property
    def open(self) -> int:
        return len(self._attempts)


class Link:
    """One connection of a stream, as its application counts what it carries."""

    _numbers = itertools.count()

    def __init__(
        self, run: Run, name: str, outgoing: Outgoing, send: Callable[[Any], None], wrap: Callable[[str], Any]
    ) -> None:
        self.number = next(self._numbers)
        self.generation: int | None = None
        self._run = run
        self._name = name
        self._outgoing = outgoing
        self._send = send
        self._wrap = wrap
        self._sent = 0
        self._received = 0

    def say_hello(self) -> None:
        self._send(f"H {self._name} {self.number}")

    def send(self, id: int, attempt: int) -> None:
        data = some_text(often_long=0.05)
        text = f"M {self._sent} {id} {attempt} {zlib.crc32(data.encode())} {data}"
        self._sent += 1
        self._send(self._wrap(text))
        self._run.count("sent")

    def receive(self, text: str) -> None:
        number, kind, rest = text.split(" ", 2)
        if int(number) != self._received:
            kind_of_fault = "lost" if int(number) > self._received else "doubled"
            self._run.fault(kind_of_fault, f"{self._name} {self.number}: {number}, not {self._received}")
        self._received = int(number) + 1
        self._run.count("received")
        if kind == "A":
            self._outgoing.acknowledged(int(rest))
        elif kind == "G":
            self.generation = int(rest)


class Stream:
    """One sender of ids, over one connection after the other; the kinds of connections are subclasses."""

    def __init__(self, run: Run, name: str, url: str, options: dict[str, Any]) -> None:
        self.run = run
        self.name = name
        self.url = url
        self.options = options
        self.outgoing = Outgoing(run, name)
        self.bursts = random.choice((0.0, 0.9))  # the probability that the next message goes out at once
        self.slow = random.choice((0.02, 0.3))  # the probability that it handles a message slowly
        # The lock is held while sending: a message that is numbered for one connection must not go out on the
        # next.
        self._sending = threading.Lock()
        self._link: Link | None = None

    def live(self) -> None:
        """Run one connection, or several, from opening to end."""
        raise NotImplementedError

    def wrap(self, text: str) -> Any:
        return text if random.random() < 0.5 else text.encode()

    def body(self) -> None:
        """The body of the stream's thread."""
        while not self.run.stop.is_set():
            self.live()
            self.run.pause(0.3)

    def begin(self, send: Callable[[Any], None]) -> Link:
        with self._sending:
            self._link = link = Link(self.run, self.name, self.outgoing, send, self.wrap)
            self.outgoing.new_connection()
            with contextlib.suppress(*LOST):
                link.say_hello()
        self.run.count("connections")
        return link

    def end(self, link: Link, ended_by_us: bool, how: object) -> None:
        with self._sending:
            self._link = None
        if ended_by_us:
            return
        self.run.count("losses")
        if link.generation is not None and link.generation == self.run.generation:
            self.run.fault("unexplained", f"{self.name} {link.number}: {how}")

    def pump(self, over: Callable[[], bool]) -> None:
        """Send ids until `over` says so."""
        while not over():
            sent = False
            with self._sending:
                item = self._link and self.outgoing.next()
                if self._link and item:
                    with contextlib.suppress(*LOST):
                        self._link.send(*item)
                        sent = True
            if random.random() > self.bursts:
                self.run.pause(0.03 if sent else 0.1)
            elif not sent:
                self.run.pause(0.5)

    def lifetime(self) -> Callable[[], bool]:
        """The time of the close: at random, but never while the run drains."""
        until = time.monotonic() + random.uniform(0.5, 25)
        return lambda: self.run.stop.is_set() or (time.monotonic() > until and not self.run.draining.is_set())

    @contextlib.contextmanager
    def pumping(self, over: Callable[[], bool], threads: int) -> Iterator[None]:
        """Send on threads of their own meanwhile."""
        done = threading.Event()
        pumps = [
            threading.Thread(
                target=self.pump, args=(lambda: done.is_set() or over(),), name=f"pump {self.name}"
            )
            for _ in range(threads)
        ]
        for pump in pumps:
            pump.start()
        try:
            yield
        finally:
            done.set()
            for pump in pumps:
                pump.join()

    @contextlib.contextmanager
    def in_time(self, call: str, limit: float = 10.0) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            if (took := time.monotonic() - began) > limit + LATE_SECONDS:
                self.run.fault("late", f"{self.name}: {call}() took {took:.1f} s")

    def dawdle(self) -> None:
        """Be slow now and then, as consumers are."""
        if random.random() < self.slow:
            time.sleep(random.uniform(0, 0.1))


class Called(Stream):
    """`WebSocket`, with two threads that send."""

    def make(self, **handlers: Any) -> syncws.WebSocket | syncws.ReconnectingWebSocket:
        return syncws.WebSocket(self.url, **handlers, **self.options)

    def live(self) -> None:
        over, ended, closing = self.lifetime(), threading.Event(), threading.Event()

        def on_open(event: Event) -> None:
            assert event.target is not None
            self.begin(event.target.send)  # type: ignore[attr-defined]

        def on_message(event: MessageEvent) -> None:
            assert self._link is not None
            self._link.receive(event.data)
            self.dawdle()

        def on_close(event: CloseEvent) -> None:
            if self._link is not None:
                self.end(self._link, closing.is_set(), event)
            if getattr(event, "retry_in", None) is None:
                ended.set()

        ws = self.make(onopen=on_open, onmessage=on_message, onclose=on_close)
        with self.pumping(lambda: over() or ended.is_set(), threads=2):
            while not over() and not ended.wait(0.1):
                pass
            closing.set()
            with self.in_time("close"):
                ws.abort() if random.random() < 0.1 else ws.close()
                ws.join()


class CalledAgain(Called):
    """`ReconnectingWebSocket`."""

    def make(self, **handlers: Any) -> syncws.WebSocket | syncws.ReconnectingWebSocket:
        return syncws.ReconnectingWebSocket(self.url, policy=policy, **handlers, **self.options)


class Waiting(Stream):
    """`connect()`: one thread receives, another sends."""

    def live(self) -> None:
        try:
            connection = syncws.connect(self.url, **self.options)
        except (OSError, syncws.WebSocketError):
            return  # the server is down
        self.converse(connection, self.lifetime())
        with self.in_time("close"), contextlib.suppress(ConnectionClosed):  # what was not sent is sent again
            connection.abort() if random.random() < 0.1 else connection.close()

    def converse(self, connection: syncws.Connection, over: Callable[[], bool]) -> None:
        link = self.begin(connection.send)
        try:
            with self.pumping(over, threads=1):
                while not over():
                    with contextlib.suppress(TimeoutError):
                        with self.in_time("recv", 0.2):
                            text = self.receive(connection)
                        link.receive(text)
                        self.dawdle()
        except ConnectionClosed as closed:
            self.end(link, False, repr(closed.__cause__ or closed))
        else:
            self.end(link, True, None)

    def receive(self, connection: syncws.Connection) -> str:
        message = connection.recv(timeout=0.2)
        assert isinstance(message, str)
        return message


class WaitingAgain(Waiting):
    """`reconnect()`."""

    def live(self) -> None:
        with syncws.reconnect(self.url, policy=policy, **self.options) as connections:
            for connection in connections:
                self.converse(connection, self.lifetime())
                if self.run.stop.is_set():
                    return


class Streaming(Waiting):
    """`connect()`, with messages in parts in both directions."""

    def wrap(self, text: str) -> Any:
        # The server accepts a limited number of fragments.
        step = len(text) // 50 + random.randrange(1, 2000)
        return self.slowly([text[at : at + step] for at in range(0, len(text), step)])

    def slowly(self, pieces: list[str]) -> Iterator[str]:
        for piece in pieces:
            if random.random() < 0.02:
                time.sleep(random.uniform(0, 0.2))
            yield piece

    def receive(self, connection: syncws.Connection) -> str:
        # There is no time-out, which would skip the rest of a message: a message comes every moment anyway.
        return "".join(map(str, connection.recv_streaming()))


def policy(loss: syncws.Loss) -> float:
    return random.uniform(0.01, 0.5)


KINDS = (Called, CalledAgain, Waiting, WaitingAgain, Streaming)


def make_streams(run: Run, prefix: str, urls: list[str], ca: str | None) -> list[Stream]:
    """Each kind with each transport, with and without compression."""
    streams: list[Stream] = []
    context = ssl.create_default_context(cafile=ca) if ca else None
    for kind, url, compression in itertools.product(KINDS, urls, ("deflate", None)):
        options: dict[str, Any] = {"compression": compression, "ping_interval": random.choice((0.5, 20))}
        if random.random() < 0.5:
            options["max_queue"] = 256 * 1024, 32  # With this, a slow consumer holds up the server.
        if url.startswith("wss"):
            options["ssl_context"] = context
        streams.append(kind(run, f"{prefix}{len(streams)}", url, options))
    return streams


def reload(log: int, name: str, urls: list[str], ca: str | None) -> None:
    """The program of a reloaded process: it connects anew, talks, and ends in order unless it is killed."""
    logging.getLogger("syncws").setLevel(logging.ERROR)  # each loss is logged as a warning
    run = Run(log)
    streams = make_streams(run, name, urls, ca)
    threads = [threading.Thread(target=stream.body) for stream in random.sample(streams, 3)]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(1, 4))
    run.stop.set()
    for thread in threads:
        thread.join()
