"""What was taken off the event queue and not yet received, on the pull face.

Owns: the messages, and the parts of one that is not whole. Runs on: any thread that receives; they take turns
at the queue. Must not import: sockets, the protocol, the threads.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from .._protocol.messages import Message, MessagePart
from .event_queue import Closed, Closing, EventQueue, Opening


class Inbox:
    """Receives from one queue.

    Attributes:
        messages: the whole messages; any thread may take one from the left at any time.
        opening, closed: the records of the beginning and the end; None before them.
    """

    def __init__(self, queue: EventQueue, end: Callable[[], Exception]) -> None:
        """`end` makes the exception that says that the connection is over."""
        self.messages: collections.deque[Message] = collections.deque()
        self.opening: Opening | None = None
        self.closed: Closed | None = None
        self._queue = queue
        self._end = end
        # One thread at a time takes a batch off the queue; all take messages from what it leaves here.
        self._turn = threading.Lock()
        self._taker: int | None = None
        # What has come of a message that is not whole, to be joined when it is; or, where somebody streams
        # it, what he has not taken yet; or nothing, where he left it early.
        self._parts: list[MessagePart] = []
        self._streamed: list[MessagePart] | None = None
        self._skipping = False

    def after_fork(self, closed: Closed | None) -> None:
        """In a forked child: a fresh lock, and the end; what had come is the parent's to receive."""
        self._turn = threading.Lock()
        self._taker = None
        self._queue.taken = []
        self.messages.clear()
        self._parts = []
        self.closed = closed

    def wait_open(self) -> Closed | None:
        """Wait for the record of the beginning; returns that of the end when there was no beginning."""
        while self.opening is None and self.closed is None:
            self._take(None)
        return None if self.opening else self.closed

    def stream(self, timeout: float | None) -> Iterator[Message]:
        """The next message in parts; see `Connection.recv_streaming`."""
        with self._taking_turns(timeout):
            while True:
                try:
                    message = self.messages.popleft()
                except IndexError:
                    if self._parts:
                        break
                    self._take_more(timeout)
                else:
                    yield message
                    return
            pieces, self._parts = self._parts, []
            self._streamed = pieces
            try:
                while True:
                    while pieces:
                        part = pieces.pop(0)
                        if part.data:
                            yield part.data
                        if part.final:
                            return
                    self._take_more(timeout)
            finally:
                if self._streamed is pieces:  # its end has not come
                    self._streamed = None
                    self._skipping = True

    @contextlib.contextmanager
    def _taking_turns(self, timeout: float | None) -> Iterator[None]:
        """Let one thread at a time stream; raises `TimeoutError` when its turn does not come."""
        self._check_not_streaming()
        turn = self._turn
        if not turn.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)):
            raise TimeoutError(f"no message came within {timeout} s")
        self._taker = threading.get_ident()
        try:
            yield
        finally:
            self._taker = None
            turn.release()

    def _check_not_streaming(self) -> None:
        if self._taker == threading.get_ident():
            raise RuntimeError("this thread is streaming a message, and must go on with that to its end")

    def receive(self, timeout: float | None) -> Message:
        """The next message; raises `TimeoutError`, or what `end` makes when the connection is over."""
        self._check_not_streaming()
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            # A message in hand is lost when Ctrl-C comes, so it is taken last of all. And a lock in a
            # with-statement is the only one that Ctrl-C cannot leave locked.
            if until is None:
                with self._turn:
                    if not self.messages:
                        self._take_more(None)
            else:
                turn = self._turn  # a fork out of a signal handler puts another one in its place
                if not turn.acquire(timeout=min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)):
                    raise TimeoutError(f"no message came within {timeout} s")
                try:
                    if not self.messages:
                        self._take_more(timeout, until)
                finally:
                    turn.release()
            try:
                return self.messages.popleft()
            except IndexError:
                continue  # another thread was quicker, or what came was no whole message

    def _take_more(self, timeout: float | None, until: float | None = None) -> None:
        """Wait for the next batch; raises when the connection is over, or after `timeout` seconds.

        `until` is when that is, where several waits share one `timeout`.
        """
        if self.closed is not None:
            raise self._end()
        if not self._take(timeout if until is None else until - time.monotonic()):
            raise TimeoutError(f"no message came within {timeout} s")

    def _take(self, timeout: float | None) -> bool:
        """Take a batch off the queue; False when there was none in time."""
        if not self._queue.taken:  # else Ctrl-C came before it was stored
            self._queue.take(timeout)
        taken = self._queue.taken
        came = bool(taken)
        while taken:
            entry = taken[0]
            if isinstance(entry, list):
                while entry:
                    self._store(entry)
            elif isinstance(entry, Opening):
                self.opening = entry
            elif isinstance(entry, Closed):
                self.closed = entry
            else:
                assert isinstance(entry, Closing)  # what it announces is told by the Closed that follows
            del taken[0]
        return came

    def _store(self, entry: list[Message | MessagePart]) -> None:
        """Store the beginning of `entry`, and remove it there.

        Ctrl-C comes after a call or a jump, never after an operator: between storing and removing there are
        only these, so that nothing is lost or doubled.
        """
        part = entry[0]
        if not isinstance(part, MessagePart):
            kinds = [*map(type, entry)]
            count = kinds.index(MessagePart) if MessagePart in kinds else len(entry)
            messages = self.messages
            messages += entry[:count]  # type: ignore[arg-type]
            del entry[:count]
        elif self._skipping:
            self._skipping = not part.final
            del entry[0]
        elif self._streamed is not None:
            streamed = self._streamed
            left = None if part.final else streamed
            streamed += [part]
            self._streamed = left
            del entry[0]
        elif part.final:
            messages = self.messages
            whole = [_join([*self._parts, part])]
            messages += whole
            self._parts = []
            del entry[0]
        else:
            self._parts += [part]
            del entry[0]


def _join(parts: list[MessagePart]) -> Message:
    """The whole message."""
    if isinstance(parts[0].data, str):
        return "".join(part.data for part in parts)  # type: ignore[misc]
    return b"".join(part.data for part in parts)  # type: ignore[misc]
