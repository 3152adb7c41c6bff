"""Messages become events, one after the other.

Owns: nothing that lasts. Runs on: the thread that callbacks run in. Must not import: sockets, the engine.

The code is flat, since it runs for each message and little other code does: the event is made without a call
of a Python function, and if there is just one listener, as usual, it is called from here.

If `dispatch=` runs callbacks on the main thread, Ctrl-C may come at any call. If no listener was called for
the message yet, the message is dispatched before the exception goes on; after that call, the exception counts
as one of the listener.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ._events import MessageEvent
from ._ready_state import OPEN

if TYPE_CHECKING:
    from ._callback_link import Target
    from ._protocol.messages import Message, MessagePart


class _Sent(Protocol):
    """The object that counts the bytes that were sent."""

    sent: int


class Link(Protocol):
    """The part of a `CallbackLink` that this module uses.

    Attributes:
        ready_state: as callbacks see it.
        sent_as_seen: how many bytes of messages were sent when the present callback began.
    """

    ready_state: int
    sent_as_seen: int


def dispatch_messages(
    link: Link,
    target: Target,
    queue: _Sent,
    origin: str,
    messages: Iterator[Message | MessagePart],
    time_stamp: float,
) -> None:
    """Dispatch the events of `messages`, as long as the connection is open."""
    while _dispatch_until_one_raises(link, target, queue, origin, messages, time_stamp):
        continue


def _dispatch_until_one_raises(
    link: Link,
    target: Target,
    queue: _Sent,
    origin: str,
    messages: Iterator[Message | MessagePart],
    time_stamp: float,
) -> bool:
    """Do the same up to a message whose listener raises; True if one did."""
    make = MessageEvent.__new__
    lists = only = None
    called = None  # whether the listener of the present message was called; None without one
    try:
        for data in messages:
            called = False
            # WHATWG, *when a message has been received*, step 1: a callback may have closed.
            if link.ready_state != OPEN:
                return False
            if target._registrations is not lists:
                lists = target._registrations
                only = target._only_listener("message")
            event: MessageEvent[Any] = make(MessageEvent)
            event.data = data  # type: ignore[assignment]  # there are no parts here
            if target._binary_type == "arraybuffer" and isinstance(data, bytes):
                event.data = bytearray(data)
            event.origin = origin
            event.timeStamp = time_stamp
            event.target = target
            link.sent_as_seen = queue.sent
            if only is None:
                target._fire(event)
                called = None
                continue
            event.currentTarget = target
            called = True
            only.call(event)
            event.currentTarget = None
    except BaseException as error:
        if called:
            event.currentTarget = None
            assert only is not None  # `_fire` handles exceptions of listeners itself.
            target._listener_raised("message", only, error)
            return True
        if called is False and isinstance(error, KeyboardInterrupt):
            dispatch_messages(link, target, queue, origin, iter([data]), time_stamp)
        raise
    return False
