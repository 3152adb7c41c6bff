"""The records that the reader gives the consumer besides messages, in the order of the events.

Owns: nothing. Runs on: any thread. Must not import: sockets, threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..opening.open_stream import Timings, TLSInfo

if TYPE_CHECKING:
    from ..._protocol.closing import Outcome
    from ..._protocol.http11 import Response
    from ..._protocol.messages import Message, MessagePart
    from ..primitives import Leaf, Waiters
    from .control_events import ControlBatch
    from .read_lease import ReadLease


@dataclass(frozen=True)
class Opened:
    """The opening handshake is done."""

    protocol: str
    extensions: str
    response: Response
    timings: Timings = Timings()
    local_address: Any = None
    remote_address: Any = None
    tls: TLSInfo | None = None


@dataclass(frozen=True)
class CloseReceived:
    """The server began the closing handshake: no message follows."""

    outcome: Outcome


@dataclass(frozen=True)
class Closed:
    """The connection is over: nothing follows.

    Attributes:
        outcome: how it ended.
        unsent: how many bytes `send` took that were not handed to the network.
        open_seconds: how long it was open.
    """

    outcome: Outcome
    unsent: int = 0
    open_seconds: float = 0.0


Record = Opened | CloseReceived | Closed


class Consumer(Protocol):
    """The receiving end of the messages: an `EventQueue` for callbacks, an `Inbox` for calls of `recv`.

    Attributes:
        on_room: called when the consumer has taken something after `is_full` or `is_caught_up` told the
            reader to wait. It must not wait.
        lease: the lease by which its threads may read; None when they may not.
        leaf: guards the messages and the turn at reading.
        waiters: the threads that wait for messages and records.
    """

    waiters: Waiters
    on_room: Callable[[], None]
    lease: ReadLease | None
    leaf: Leaf

    @property
    def wants_parts(self) -> bool:
        """Whether a call takes a message in parts, as it arrives."""

    @property
    def wanted_controls(self) -> tuple[int, ...]:
        """The opcodes of the control frames for which there are listeners: Ping, Pong, both or none."""

    def put_controls(self, batch: ControlBatch, count: int, size: int) -> None:
        """Append `count` control frames that hold `size` bytes, of the kinds in `wanted_controls` alone."""

    def put_messages(self, messages: list[Message | MessagePart], size: int) -> None:
        """Append messages that hold `size` bytes. The list belongs to the consumer from now on."""

    def put_record(self, record: Record) -> None:
        """Append a record."""

    def waiting(self) -> tuple[int, int]:
        """How many messages wait to be received, and their bytes. Any thread may ask."""

    def is_full(self, collected: int) -> bool:
        """Whether the reader should pause. `collected`: the bytes that it holds of an incomplete message."""

    def is_caught_up(self) -> bool:
        """Whether the application has handled everything that was put, and asks for more."""

    def after_fork(self, closed: Closed) -> None:
        """In a forked child: the messages are the parent's, so only the end is left here."""
