"""Messages become events, one after the other.

Owns: nothing that lasts. Runs on: the thread that callbacks run in. Must not import: sockets, the engine.

It is written flat, since it runs for each message and little else does: the event is made without a call of
Python, and the one listener that there is nearly always is called from here.

Where `dispatch=` has callbacks run on the main thread, Ctrl-C may come at any call. A message that no
listener was called for yet is dispatched before it goes on; from that call on it counts as what the listener
has raised.
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
    """Who counts what was sent."""

    sent: int


class Link(Protocol):
    """The connection, as callbacks see it.

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
    """The same, up to a message whose listener raises; True after that."""
    make = MessageEvent.__new__
    lists = only = None
    called = None  # whether the listener of the message at hand was called; None where none is at hand
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
            assert only is not None  # `_fire` deals itself with what listeners raise
            target._listener_raised("message", only, error)
            return True
        if called is False and isinstance(error, KeyboardInterrupt):
            dispatch_messages(link, target, queue, origin, iter([data]), time_stamp)
        raise
    return False
