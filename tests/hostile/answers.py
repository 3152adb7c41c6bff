"""Answers with 101, right and wrong ones, and the servers that give them."""

from __future__ import annotations

from collections.abc import Iterable

from syncws import HandshakeError
from syncws.testing import Peer, accept_key
from tests.hostile.hostile_server import NO_FRAME, Case

UPGRADE, CONNECTION = "Upgrade: websocket", "Connection: Upgrade"
ACCEPT = "Sec-WebSocket-Accept: {accept}"
PROTOCOL, EXTENSIONS = "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"
RIGHT = (UPGRADE, CONNECTION, ACCEPT)
DEFLATE = f"{EXTENSIONS}: permessage-deflate"


def answer(
    lines: Iterable[str], status: str = "HTTP/1.1 101 Switching Protocols", end: str = "\r\n"
) -> bytes:
    return end.join([status, *lines, "", ""]).encode("latin-1")


def case(data: bytes, says: str = "", protocols: tuple[str, ...] = (), **options: object) -> Case:
    """A server with this answer, in which ``{accept}`` stands for the right value; `says` is the error."""

    def script(peer: Peer) -> None:
        key = peer.read_request().headers.get("Sec-WebSocket-Key") or ""
        accept = accept_key(key)
        filled = data.replace(b"{accept}", accept.encode()).replace(b"{ACCEPT}", accept.swapcase().encode())
        # After what follows the client must never send a frame, nor take this one.
        peer.send_bytes(filled + (b"\x81\x02hi" if says else b"\x88\x02\x03\xe8"))

    if not says:
        return Case("right", script, sent=1000, protocols=protocols, options=options)
    return Case(
        "wrong", script, HandshakeError, (says,), NO_FRAME, opens=False, protocols=protocols, options=options
    )
