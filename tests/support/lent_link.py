"""The turn at reading by itself: sockets, a consumer that reads by lease, and the test as the reader.

So a test decides when the reader acts; between two such moments there is no reader.
"""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from syncws._engine.consumer.event_queue import EventQueue
from syncws._engine.consumer.inbox import Inbox
from syncws._engine.primitives import give_back_tokens, tokens
from syncws._engine.reading.read_lease import ReadLease
from syncws._engine.writing.send_queue import SendQueue
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import Opcode
from syncws._protocol.messages import Message, MessagePart
from syncws._protocol.permessage_deflate import Inflater
from syncws._transport.stream import Stream
from syncws.testing.wire import frame_bytes
from tests.support.waiting import SECONDS

Receiver = TypeVar("Receiver", Inbox, EventQueue)

CONSUMERS: dict[str, Callable[[], Any]] = {
    "inbox": functools.partial(Inbox, (None, None)),
    "event queue": functools.partial(EventQueue, (None, None)),
}


def text(payload: str) -> bytes:
    """A frame from the server."""
    return frame_bytes(Opcode.TEXT, payload.encode())


# What no consumer reads, but leaves as it came.
FOR_THE_READER = {
    "ping": frame_bytes(Opcode.PING, b"x"),
    "pong": frame_bytes(Opcode.PONG, b"x"),
    "close": frame_bytes(Opcode.CLOSE, b"\x03\xe8bye"),
    "fragments": frame_bytes(Opcode.TEXT, b"ab", fin=False) + frame_bytes(Opcode.CONTINUATION, b"cd"),
    "first fragment": frame_bytes(Opcode.TEXT, b"ab", fin=False),
    "large": frame_bytes(Opcode.BINARY, bytes(65_536)),
    "beginning of a large one": frame_bytes(Opcode.BINARY, bytes(65_536))[:100],
    "not UTF-8": frame_bytes(Opcode.TEXT, b"ab\xff"),
    "masked": frame_bytes(Opcode.TEXT, b"ab", key=b"1234"),
    "compressed": frame_bytes(Opcode.TEXT, b"ab", rsv=4),
    "length in too many bytes": b"\x81\x7e\x00\x05hello",
    "unknown opcode": frame_bytes(3, b""),
}


class LentLink(Generic[Receiver]):
    """A lease, its consumer, and the state of the reader.

    Attributes:
        server: the other end of the pair.
        wakes: grows each time the reader is woken.
    """

    def __init__(self, consumer: Receiver, wire: bytes = b"", inflater: Inflater | None = None) -> None:
        """`wire` has arrived already."""
        self.consumer: Receiver = consumer
        ours, self.server = socket.socketpair()
        ours.setblocking(False)
        self.stream = Stream(ours)
        self.queue = SendQueue(None)
        self.lease = lease = ReadLease(self.queue, self.consumer.leaf)
        self.wakes: list[None] = []
        lease.wake = lease.wake_soon = functools.partial(self.wakes.append, None)
        consumer.lease = lease
        self.decoder = Decoder(None, inflater)
        lease.open(self.stream, self.decoder.plain_limit, self.decoder.inflater)
        lease.lend(b"", False)
        self.sent = 0
        if wire:
            self.serve(wire)

    def __enter__(self) -> LentLink[Receiver]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        here = threading.get_ident()
        assert not [token for token in tokens if token.thread == here and token.held], "a turn is kept"
        give_back_tokens()
        self.stream.close()
        self.server.close()

    def serve(self, wire: bytes) -> None:
        self.server.sendall(wire)
        self.sent += len(wire)

    # A consumer.

    def read(self, seconds: float = SECONDS) -> bool:
        """Read by lease, once."""
        return self.lease.read(self.consumer, seconds)

    # The reader.

    def take(self) -> None:
        """Take the turn back, as soon as no consumer is in the system call."""
        until = time.monotonic() + SECONDS
        while not self.lease.take():
            assert time.monotonic() < until, "the turn is never free"
            threading.Event().wait(0.0005)

    def take_over(self) -> None:
        """Take the turn back, and read everything that has arrived."""
        self.take()
        self.feed(self.lease.take_chunks())
        while data := self.stream.recv(2**20):
            self.feed(data)

    def feed(self, data: bytes) -> None:
        messages = self.decoder.feed(data) if data else []
        if messages:
            self.consumer.put_messages(messages, self.decoder.size)

    def lend(self) -> None:
        """Let consumers read again, unless a message is under way that only the decoder can go on with."""
        rest = self.decoder.unread()
        if rest is not None:
            self.lease.lend(rest, False)

    def take_turns(self) -> None:
        """Do what the reader does when it is woken."""
        self.take_over()
        self.lend()

    # The results.

    @property
    def messages(self) -> list[Message | MessagePart]:
        """All messages that the consumer has, in order."""
        if isinstance(self.consumer, Inbox):
            return list(self.consumer.messages)
        return [message for entry in self.consumer._entries if isinstance(entry, list) for message in entry]

    @property
    def counted(self) -> tuple[int, int]:
        """Messages and bytes, as `stats` has them."""
        lease, decoder = self.lease, self.decoder
        return (
            decoder.messages_received + lease.input.messages_received,
            decoder.bytes_received + lease.input.bytes_received,
        )
