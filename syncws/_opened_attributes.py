"""The attributes of the opening that both APIs have: the agreement, the timings, the addresses.

Owns: nothing. Runs on: any thread. Must not import: sockets, frame layout, the reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._later import Later

if TYPE_CHECKING:
    from ._engine.opening import open_stream
    from ._engine.reading import records
    from ._protocol import http11
else:
    open_stream = Later("syncws._engine.opening.open_stream")
    records = Later("syncws._engine.reading.records")
    http11 = Later("syncws._protocol.http11")


class OpenedAttributes:
    """The attributes that come from the record of the opening. They keep their values after the end."""

    @property
    def _opened(self) -> records.Opened | None:
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
    def response(self) -> http11.Response | None:
        """The head of the server's answer to the opening handshake; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.response

    @property
    def timings(self) -> open_stream.Timings:
        """How long each step of the opening took, in seconds; all None before the open event."""
        opened = self._opened
        return open_stream.Timings() if opened is None else opened.timings

    @property
    def local_address(self) -> Any:
        """This end of the socket, as `socket.socket.getsockname` has it; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.local_address

    @property
    def remote_address(self) -> Any:
        """The other end of the socket, a proxy's if there is one; None before the open event."""
        opened = self._opened
        return None if opened is None else opened.remote_address

    @property
    def tls(self) -> open_stream.TLSInfo | None:
        """What the TLS handshake agreed on; None without TLS, and before the open event."""
        opened = self._opened
        return None if opened is None else opened.tls
