"""A descriptor that is readable while there is something to receive, for `select` and the loops of GUIs.

Owns: that descriptor. Runs on: any thread. Must not import: the protocol, the reader.

The descriptor is one more waiter of the inbox, which a call of a C function wakes by making it readable. So
the reader does nothing for it, and it costs nothing before it is asked for. Only a receiving thread does
more: before it takes the last message it enters the descriptor among the waiters again, makes it unreadable
and looks again, in this order. So this thread and a reader that puts a message just then cannot miss each
other.

This comes before a message is taken, since a signal handler that raises between the taking and the return
would lose the message. If a handler raises between the look and the taking, the call of `recv` looks once
more, as it does when its time is over: if several threads receive, the descriptor may stay readable after the
last message until one of them has looked for another.

A forked child shares the descriptor's state with its parent. There another one takes its number; it is
readable for good, since the connection is over.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..._transport.poller import WakeUp
from ..primitives import remember_first

if TYPE_CHECKING:
    from .inbox import Inbox

# How many bytes a forked child's descriptor holds; nobody should read it at all.
_FOR_GOOD = 2**32 - 1


class _Bell:
    """The waiter, which owns the descriptor.

    Attributes:
        release: makes the descriptor readable; a C function.
    """

    __slots__ = ("release", "wake_up")

    def __init__(self) -> None:
        self.wake_up = WakeUp()
        self.release: Callable[[], object] = self.wake_up.make_put()


class Readable:
    """See the head of the module. Iterated over, it is the source that `Inbox.source` describes."""

    def __init__(self, inbox: Inbox) -> None:
        # The reference is weak, since the inbox holds this object as its source.
        self._inbox = weakref.ref(inbox)
        self._source = inbox.source
        self._bell = _Bell()
        remember_first(self)
        self.look()

    def fileno(self) -> int:
        return self._bell.wake_up.fileno()

    def __iter__(self) -> Iterator[Any]:
        """Called right before a message is taken."""
        self.look(taking=1)
        return iter(self._source)

    def look(self, taking: int = 0) -> None:
        """Make it readable if there are more than `taking` messages, or after the end; otherwise
        unreadable."""
        try:
            self._look(taking)
        except BaseException:  # A signal handler has raised, but the program's loop waits for this.
            self._look(0)
            raise

    def _look(self, taking: int) -> None:
        inbox, bell = self._inbox(), self._bell
        assert inbox is not None  # The inbox lives as long as the connection, which calls this.
        inbox.waiters.enter(bell)
        bell.wake_up.clear()
        if len(inbox.messages) > taking or inbox.ending is not None:
            bell.release()

    def leave(self) -> None:
        """The connection is being collected: let go of the descriptor, which closes with its last reference.

        The inbox may live on for a while, in a thread or until the garbage collector finds it.
        """
        inbox = self._inbox()
        if inbox is not None:
            inbox.source = self._source
            inbox.waiters.leave(self._bell)

    def renew(self) -> None:
        """In a forked child, before anything there wakes a waiter."""
        self._bell.release = bool  # It would wake the parent's loop.
        number = self.fileno()
        if hasattr(os, "eventfd"):
            flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE
            made = os.eventfd(_FOR_GOOD, flags)
            os.dup2(made, number, inheritable=False)
            os.close(made)
            return
        near, far = socket.socketpair()
        with near, far:  # The end of a stream makes a descriptor readable.
            near.setblocking(False)
            os.dup2(near.fileno(), number, inheritable=False)
