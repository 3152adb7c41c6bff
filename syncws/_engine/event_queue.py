"""The event queue between the reader and whoever takes the events: the worker, or a caller of `recv`.

Owns: the events that wait, and their bounds. Runs on: `put` on the reader thread, `take` on the consumer's.
Must not import: frames, sockets; it never hears of either.

An entry is a list of messages, all that one read from the network brought, or one of the records below.
The consumer takes all the entries that wait: one lock and one wake-up for each
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._protocol.http11 import Response
from .._protocol.messages import Message, MessagePart
from .primitives import Condition


@dataclass(frozen=True, slots=True)
class Opening:
    """The handshake is done."""

    protocol: str
    extensions: str
    response: Response


@dataclass(frozen=True, slots=True)
class Closing:
    """The server began the closing handshake: no message follows."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended: the one record that everything said about the end derives from."""

    code: int
    reason: str = ""
    was_clean: bool = False
    error: BaseException | None = None


Entry = list[Message | MessagePart] | Opening | Closing | Closed


class EventQueue:
    """A bounded queue with one producer.

    Attributes:
        taken: what the last `take` returned. A consumer that Ctrl-C may interrupt at any moment finds here
            what it has not dealt with; it removes what it has.
    """

    def __init__(self, limit: tuple[int | None, int | None], on_change: Callable[[], None]) -> None:
        """`limit` is (bytes, messages); `on_change` tells the producer, once it has found the queue full or
        not caught up, to look again. It is called with the lock held and must not wait."""
        self._max_bytes, self._max_messages = limit
        self._on_change = on_change
        self._condition = Condition()
        self._lock = self._condition.lock
        self.taken: list[Entry] = []
        self._entries: list[Entry] = []
        # What waits, and what the consumer took last and still works on: it counts until it comes back.
        self._messages = self._held_messages = 0
        self._bytes = self._held_bytes = 0
        self._idle = False
        self._watched = False

    def put(self, entry: Entry, size: int = 0) -> None:
        """Append an entry that holds `size` bytes; a list is the consumer's from now on."""
        with self._lock:
            self._entries.append(entry)
            if isinstance(entry, list):
                self._messages += len(entry)
                self._bytes += size
            if self._idle:
                self._condition.notify()

    def is_full(self) -> bool:
        """Whether the producer should pause; if so, `on_change` says when to ask again."""
        with self._lock:
            self._watched = self._over(self._held_bytes + self._bytes, self._max_bytes) or self._over(
                self._held_messages + self._messages, self._max_messages
            )
            return self._watched

    def is_caught_up(self) -> bool:
        """Whether the consumer has done with all that was put, and is back for more.

        If not, `on_change` says when to ask again.
        """
        with self._lock:
            self._watched = bool(self._entries) or not self._idle
            return not self._watched

    def take(self, timeout: float | None = None) -> list[Entry]:
        """All the entries that wait, waiting for the first; empty when `timeout` seconds are over.

        To take is also to say that all that was taken before is done with.
        """
        return self._condition.wait_until(self._take_all, timeout)

    def _take_all(self) -> list[Entry]:
        self.taken = []
        self._held_messages = self._held_bytes = 0
        self._idle = not self._entries
        if self._watched:
            self._on_change()
        if not self._idle:
            self.taken, self._entries = self._entries, []
            self._held_messages, self._messages = self._messages, 0
            self._held_bytes, self._bytes = self._bytes, 0
        return self.taken

    def after_fork(self, closed: Closed) -> None:
        """In a forked child: what came is the parent's; here there is only the end."""
        self._entries = [closed]
        self._condition.after_fork()
        self._lock = self._condition.lock

    @staticmethod
    def _over(count: int, limit: int | None) -> bool:
        return limit is not None and count >= limit
