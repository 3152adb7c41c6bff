"""The server's end of permessage-deflate (RFC 7692), for tests of compressing clients.

Owns: the answer to a client's offer, and the two zlib streams of one connection. Runs on: the thread of a
script, and other threads that send for it. Must not import: the client's own permessage-deflate, so that a
fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import zlib

from .._protocol.frames import Buffer

# RFC 7692 7.2.1: a sender leaves these four bytes out at the end of a message, and a receiver adds them.
_TAIL = b"\x00\x00\xff\xff"


class Deflate:
    """One agreement on permessage-deflate.

    Attributes:
        answer: the value of the ``Sec-WebSocket-Extensions`` that tells the client.
    """

    def __init__(self, parameters: dict[str, str]) -> None:
        # The server grants what the client asks of it, and accepts what the client offers for itself.
        self._bits = int(parameters.get("server_max_window_bits") or 15)
        self._fresh = "server_no_context_takeover" in parameters
        granted = ["permessage-deflate"]
        granted += ["server_no_context_takeover"] * self._fresh
        if "server_max_window_bits" in parameters:
            granted.append(f"server_max_window_bits={self._bits}")
        self.answer: str = "; ".join(granted)
        self._compressor = self._new_compressor()
        self._decompressor = zlib.decompressobj(-15)

    @classmethod
    def from_offer(cls, offer: str) -> Deflate | None:
        """The agreement on the first offer of it in a ``Sec-WebSocket-Extensions``; None without one."""
        for extension in offer.split(","):
            name, *rest = (part.strip() for part in extension.split(";"))
            if name.lower() == "permessage-deflate":
                pairs = (part.partition("=") for part in rest)
                return cls({key.strip().lower(): value.strip(' "') for key, _, value in pairs})
        return None

    def _new_compressor(self) -> zlib._Compress:
        # zlib refuses raw streams with a window of 256 bytes; one of 512 is what it writes for those anyway.
        return zlib.compressobj(wbits=-max(self._bits, 9))

    def compress(self, payload: Buffer) -> bytes:
        """The payload of a message whose first frame has RSV1 set."""
        data = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if self._fresh:
            self._compressor = self._new_compressor()
        return data[: -len(_TAIL)]

    def decompress(self, payload: bytes) -> bytes:
        """The payload of a compressed message of the client. Raises ValueError when it is not deflate."""
        try:
            data = self._decompressor.decompress(payload + _TAIL)
        except zlib.error as error:
            raise ValueError(f"the client's message is not deflate: {error}") from error
        if self._decompressor.eof:  # RFC 7692 7.2.3.4: a block with BFINAL set ends the stream
            self._decompressor = zlib.decompressobj(-15)
        return data
