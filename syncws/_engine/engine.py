"""One connection: the wiring of queue, reader and writer, and the list of those that are open.

Owns: the threads' beginnings, and what happens at fork and at exit. Runs on: the caller's thread. Must not
import: either face, the worker.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Protocol

from .._exceptions import ConnectionClosed, WebSocketError
from .._protocol.frames import CloseCode, CloseFrame
from .._protocol.handshake import HandshakeRequest, make_key
from .._protocol.url import URL
from .event_queue import Closed, EventQueue
from .options import Options
from .pending_pings import Pongs
from .primitives import Condition, stay
from .reader import Reader
from .uwsgi import check_threads
from .writer import Writer
from .writer_pool import shared_pool

# How long the end of the process waits for all connections together to say goodbye.
EXIT_SECONDS = 1.0

_numbers = itertools.count(1)


class Face(Protocol):
    """What is known here of `WebSocket` and `Connection`."""

    def _after_fork(self) -> None:
        """In a forked child: take note that the connection is closed."""


# Of those that are alive, as one is while its threads run, also when its face was collected. No lock: each
# use is one operation of the set, which is whole on every build, and the garbage collector, which calls
# `discard`, may interrupt a thread that held one.
_engines: set[weakref.ref[Engine]] = set()

# Set when the process says goodbye: what fails from then on is nobody's news.
_ending = False

# The process that was last looked at, and told of its end if it is a child of `multiprocessing`.
_child_noted = 0


class Engine:
    """What both faces share. Every method may be called from any thread, and none waits for the network.

    Attributes:
        name: ``syncws-<n>``, which the threads' names begin with.
        queue: where the events come out.
        writer: the outbox, and its counts.
        pongs: the round trips that the application waits for.
        log_fields: what log records about the connection carry.
    """

    def __init__(
        self, url: URL, protocols: tuple[str, ...], options: Options, in_parts: bool = False
    ) -> None:
        """`in_parts`: the queue also gets what has come of a message that is not whole."""
        check_threads()
        if url.secure:
            # Here, not in the reader: a fork must not find the import lock in the reader's hands.
            from .._transport import tls  # noqa: F401
        self.name = f"syncws-{next(_numbers)}"
        self.log_fields = {"connection": self.name, "url": url.public}
        asked = HandshakeRequest(
            url=url,
            key=make_key(),
            protocols=protocols,
            origin=options.origin,
            headers=options.headers,
            compression=options.compression is not None,
        )
        self.queue = EventQueue(options.max_queue, self._wake_reader)
        self.writer = Writer(options.max_buffered, self._wake_reader, self.name)
        self.pongs = Pongs()
        self._reader = Reader(
            asked,
            options,
            self.queue,
            self.writer,
            self.pongs,
            name=self.name,
            log_fields=self.log_fields,
            in_parts=in_parts,
        )
        self._threads: list[threading.Thread] = []
        self._running: set[str] = set()  # the names of those that have not come to their end
        self._over = Condition()
        self._forked = False
        self._face: weakref.ref[Face] | None = None

    def start(self, face: Face, *bodies: tuple[str, Callable[[], None]]) -> None:
        """Make sure of a writer thread, start the reader, then the threads of `face`, given as (name, body).

        Raises `RuntimeError` when the system gives no more threads; what was started ends by itself then.
        """
        self._face = weakref.ref(face)
        _engines.add(weakref.ref(self, _engines.discard))
        try:
            self.writer.pool.enlist(self.writer)
            for name, body in (("reader", self._reader.run), *bodies):
                # Daemons: a connection that nobody closes must not keep the process from ending.
                thread = threading.Thread(
                    target=self._run, args=(name, body), name=f"{self.name}-{name}", daemon=True
                )
                self._running.add(name)
                thread.start()
                self._threads.append(thread)
        except BaseException as error:  # also Ctrl-C, or the time-out of a greenlet
            self.abandon(f"the threads could not be started: {error!r}")
            self.writer.stop()
            raise
        _note_end_of_child()

    @property
    def closed(self) -> Closed | None:
        """How the connection ended; None before that."""
        return self._reader.closed

    @property
    def ending(self) -> Closed | None:
        """How the connection ended, or is about to end; None while that is open."""
        return self._reader.closed or self._reader.ending

    @property
    def open_seconds(self) -> float:
        """How long the connection was open, once it has ended."""
        return self._reader.open_seconds

    def close(self, close: CloseFrame, finish: bool = False) -> None:
        """Begin the closing handshake: `close` goes out behind all that is queued; with `finish` also behind
        what waits for the end of a message in fragments."""
        self.writer.close(close, finish=finish)
        self._reader.note_close()

    def release(self, face: Face, warn: Callable[..., None] = warnings.warn) -> None:
        """Close the connection whose face is being collected while it is open, and warn of that. Takes no
        lock: the garbage collector may run anywhere, also where this thread holds one."""
        message = f"unclosed {face!r}"
        self._reader.release()
        warn(message, ResourceWarning, source=face)

    def connection_closed(self) -> ConnectionClosed:
        """The exception that says that the connection is over, or about to be."""
        closed = self.ending
        if closed is None and self.writer.error is not None:
            closed = Closed(CloseCode.ABNORMAL, error=self.writer.error)
        elif closed is None:
            waiting = WebSocketError("close() was called, and the server has not answered yet")
            closed = Closed(CloseCode.NO_STATUS, error=waiting)
        error = ConnectionClosed(closed.code, closed.reason, closed.was_clean)
        error.__cause__ = closed.error
        return error

    def abandon(self, why: str, close_code: int = CloseCode.GOING_AWAY) -> None:
        """Fail the connection as soon as the reader is awake, telling the server `close_code`."""
        self._reader.abandon(why, close_code)

    def join_threads(self, timeout: float | None) -> bool:
        """Wait until the threads are gone; False when `timeout` seconds were over first."""
        # This first: until Python 3.13 a Thread.join() that Ctrl-C interrupts takes the thread for ended, and
        # does not wait for it the next time.
        began = time.monotonic()
        if not self._over.wait_until(self._all_over, timeout):
            return False
        for thread in self._threads:
            thread.join()
        left = None if timeout is None else max(0.0, began + timeout - time.monotonic())
        return self.writer.pool.wait_left(left)

    def _all_over(self) -> bool:
        return not self._running

    def is_own_thread(self) -> bool:
        return threading.current_thread() in self._threads or self.writer.pool.is_own_thread()

    def _wake_reader(self) -> None:
        self._reader.wake()

    def _run(self, name: str, body: Callable[[], None]) -> None:
        """The whole of a thread."""
        try:
            body()
        finally:
            with self._over.lock:
                self._running.discard(name)
                self._over.notify()
            if self._forked:
                stay()

    def after_fork(self) -> None:
        """In a forked child, where none of the threads is."""
        self._forked = True
        self._threads, self._running = [], set()
        self._over.after_fork()
        self.queue.after_fork(self._reader.after_fork())
        self.writer.after_fork()
        self.pongs.after_fork()
        face = None if self._face is None else self._face()
        if face is not None:
            face._after_fork()

    def say_goodbye(self) -> None:
        """The process ends: tell the server that this end goes away (WHATWG, *make disappear*)."""
        if self._reader.is_open:
            self.close(CloseFrame(CloseCode.GOING_AWAY))
        else:
            self.abandon("the process ends")

    def wait_closed(self, until: float) -> None:
        """Wait until the threads are done, at most until `until`."""
        self._over.wait_until(self._all_over, until - time.monotonic())


def _note_end_of_child() -> None:
    """Have the goodbye said in a child of `multiprocessing` too: those that were forked end by `os._exit`,
    after finalizers of their own."""
    global _child_noted
    util = sys.modules.get("multiprocessing.util")
    if util is None or _child_noted == os.getpid():
        return
    _child_noted = os.getpid()
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


@atexit.register
def _at_exit() -> None:
    global _ending
    _ending = True
    until = time.monotonic() + EXIT_SECONDS
    engines = _living()
    for engine in engines:
        if engine.closed is None:
            engine.say_goodbye()
    # For the workers too: the interpreter aborts when a thread is printing while it goes away.
    for engine in engines:
        engine.wait_closed(until)
    shared_pool().wait_left(until - time.monotonic())


def is_process_ending() -> bool:
    """Whether the goodbyes of the process's end have begun."""
    return _ending


def _living() -> list[Engine]:
    return [engine for ref in list(_engines) if (engine := ref()) is not None]


def _after_fork() -> None:
    for engine in _living():
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
