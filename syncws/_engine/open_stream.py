"""What the opening hands over: the open stream, and what is known of it for good.

Owns: nothing of its own. Runs on: any thread; the records never change. Must not import: threads, ssl.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._protocol.handshake import HandshakeResult
from .._transport.stream import Stream
from .timings import Timings, TLSInfo


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open connection.

    Attributes:
        stream: for the threads of the connection.
        result: what was agreed.
        rest: the first bytes after the answer.
        timings: how long each step took.
        local_address, remote_address: the socket's two ends, as `socket` gives them; None where it cannot.
        tls: None without TLS.
    """

    stream: Stream
    result: HandshakeResult
    rest: bytes
    timings: Timings = Timings()
    local_address: Any = None
    remote_address: Any = None
    tls: TLSInfo | None = None
