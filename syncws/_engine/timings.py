"""What is known of an opening once it is done, for programs: how long each step took, and TLS.

Owns: nothing. Runs on: any thread; the records never change. Must not import: anything with I/O or threads.
"""

# No `from __future__ import annotations` here: `typing.NamedTuple` keeps what it is given, and the names in a
# text could not be found once the classes show the package as their module.
from typing import Any, NamedTuple


class Timings(NamedTuple):
    """How long each step of an opening took, in seconds; None where there was no such step.

    Attributes:
        dns: looking up the name of the server, or of its proxy.
        tcp: connecting to the first address that answered.
        proxy: what the proxy took: TLS with it, and opening the way to the server.
        tls: the TLS handshake with the server.
        upgrade: from the request to the answer.
        total: all of it, redirects and waits between the steps included.
    """

    dns: float | None = None
    tcp: float | None = None
    proxy: float | None = None
    tls: float | None = None
    upgrade: float | None = None
    total: float | None = None


class TLSInfo(NamedTuple):
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
