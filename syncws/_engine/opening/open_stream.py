"""The result of the opening: the open stream, and the facts about it that never change.

Owns: nothing. Runs on: any thread; the records never change. Must not import: threads, ssl.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._protocol.handshake import HandshakeResult
    from ..._transport.stream import Stream


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each step of an opening took, in seconds; None for a step that was not needed.

    Attributes:
        dns: looking up the name of the server, or of its proxy.
        tcp: connecting to the first address that answered.
        proxy: TLS with the proxy, and the request for the way to the server.
        tls: the TLS handshake with the server.
        upgrade: from the request to the answer.
        total: the whole opening, with redirects and the waits between the steps.
    """

    dns: float | None = None
    tcp: float | None = None
    proxy: float | None = None
    tls: float | None = None
    upgrade: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What the TLS handshake agreed on.

    Attributes:
        version: such as ``"TLSv1.3"``.
        cipher: its name.
        alpn: the protocol that ALPN selected, ``"http/1.1"`` or None.
        peer_certificate: as `ssl.SSLSocket.getpeercert` has it; empty when it was not verified.
    """

    version: str
    cipher: str
    alpn: str | None
    peer_certificate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open connection.

    Attributes:
        stream: the stream, for the threads of the connection.
        result: the result of the opening handshake.
        rest: the first bytes after the answer.
        timings: how long each step took.
        local_address, remote_address: the socket's two ends, as `socket` gives them; None when it gives none.
        tls: None without TLS.
    """

    stream: Stream
    result: HandshakeResult
    rest: bytes
    timings: Timings = Timings()
    local_address: Any = None
    remote_address: Any = None
    tls: TLSInfo | None = None
