"""The part of the writer that the reader uses.

Owns: nothing. Runs on: the reader thread. Must not import: the writer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..._protocol.encoder import Encoder
    from ..._protocol.frames import CloseFrame
    from ..._transport.stream import Stream


class Output(Protocol):
    """See `writer.Writer`."""

    ping_sent_at: float
    ping_position: int
    close_sent_at: float | None
    error: BaseException | None

    @property
    def close_called(self) -> bool: ...
    @property
    def close_queued(self) -> bool: ...
    @property
    def unsent(self) -> int: ...
    @property
    def is_preparing(self) -> bool: ...
    def open(self, stream: Stream, encoder: Encoder, on_change: Callable[[], None]) -> None: ...
    def send_pong(self, payload: bytes) -> None: ...
    def send_ping(self, payload: bytes) -> None: ...
    def server_closed(self) -> None: ...
    def close(self, close: CloseFrame, last: bool = False) -> None: ...
    def flush_pending(self) -> None: ...
    def stop(self) -> None: ...
