"""Pings and pongs for listeners, in their place between the messages (RFC 6455 5.5.2, 5.5.3).

Owns: nothing. Runs on: the reader thread. Must not import: sockets, threads, what programs call.

Nothing of this runs while nobody listens: the consumer says which of the two are wanted, and is asked only
when one has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._protocol.decoder import Decoder
    from ..._protocol.messages import Message, MessagePart
    from .records import Consumer

#: The opcode and the payload of a Ping or a Pong.
ControlFrame = tuple[int, bytes]


class ControlBatch:
    """Pings and pongs that came with no message between them.

    Attributes:
        frames: the ones that are not dispatched yet; after a Ctrl-C the dispatch goes on with them.
    """

    __slots__ = ("frames",)

    def __init__(self, frames: list[ControlFrame]) -> None:
        self.frames: Iterator[ControlFrame] = iter(frames)


def put_in_order(
    consumer: Consumer, messages: list[Message | MessagePart], decoder: Decoder, wanted: tuple[int, ...]
) -> None:
    """Give the consumer what one `feed` brought: messages, and the control frames that are wanted, in the
    order in which they came."""
    size = decoder.size  # The whole size counts with the first put, since only the sum matters.
    begin = 0
    batch: list[ControlFrame] = []
    for frame, place in zip(decoder.controls, decoder.control_places, strict=True):
        if frame[0] not in wanted:
            continue
        if place > begin:
            _put_controls(consumer, batch)
            batch = []
            consumer.put_messages(messages[begin:place], size)
            begin, size = place, 0
        batch.append(frame)
    _put_controls(consumer, batch)
    if begin < len(messages):
        consumer.put_messages(messages[begin:], size)


def _put_controls(consumer: Consumer, batch: list[ControlFrame]) -> None:
    if batch:
        consumer.put_controls(ControlBatch(batch), len(batch), sum(len(payload) for _, payload in batch))
