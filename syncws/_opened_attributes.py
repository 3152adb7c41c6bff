"""What both APIs show of the opening: what was agreed, how long it took, and with whom.

Owns: nothing. Runs on: any thread. Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from typing import Any

from ._engine.open_stream import Timings, TLSInfo
from ._engine.records import Opened
from ._protocol.http11 import Response


class OpenedAttributes:
    """The attributes that follow the record of the opening. They are kept after the end."""

    @property
    def _opened(self) -> Opened | None:
        raise NotImplementedError

    @property
    def extensions(self) -> str:
        """The extensions that the server selected, as its header has them; ``""`` before the open event."""
        opened = self._opened
        return "" if opened is None else opened.extensions

    @property
    def protocol(self) -> str:
        """The subprotocol that the server selected; ``""`` when none, and before the open event."""
        opened = self._opened
        return "" if opened is None else opened.protocol

    @property
    def response(self) -> Response | None:
        """The head of the server's answer to the opening handshake; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.response

    @property
    def timings(self) -> Timings:
        """How long each step of the opening took, in seconds; all None before the open event."""
        opened = self._opened
        return Timings() if opened is None else opened.timings

    @property
    def local_address(self) -> Any:
        """This end of the socket, as `socket.socket.getsockname` has it; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.local_address

    @property
    def remote_address(self) -> Any:
        """The other end of the socket, a proxy's where there is one; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.remote_address

    @property
    def tls(self) -> TLSInfo | None:
        """What the TLS handshake agreed on; None without TLS, and before the open event."""
        opened = self._opened
        return None if opened is None else opened.tls
