"""What the opening of a connection found out, as attributes of every class that has a connection.

Owns: nothing. Runs on: any thread. Must not import: sockets, the reader.
"""

from __future__ import annotations

from typing import Any

from ._engine.records import Opened
from ._engine.timings import Timings, TLSInfo
from ._protocol.http11 import Response


class OpeningFacts:
    """Attributes that are empty or None before the open event, and kept after the end.

    Of `ReconnectingWebSocket` they are the present connection's.
    """

    # Any for an Opened: what a public class names counts as public to those that check types.
    def _get_opened(self) -> Any:
        """What the reader has told of the opening; None before."""
        raise NotImplementedError

    @property
    def protocol(self) -> str:
        """The subprotocol that the server selected; ``""`` when none, and before the open event."""
        opened: Opened | None = self._get_opened()
        return "" if opened is None else opened.protocol

    @property
    def extensions(self) -> str:
        """The extensions that the server selected, as its header has them; ``""`` before the open event."""
        opened: Opened | None = self._get_opened()
        return "" if opened is None else opened.extensions

    @property
    def response(self) -> Response | None:
        """The head of the server's answer to the opening handshake; None before the open event."""
        opened: Opened | None = self._get_opened()
        return None if opened is None else opened.response

    @property
    def timings(self) -> Timings | None:
        """How long each step of the opening took, in seconds; None before the open event."""
        opened: Opened | None = self._get_opened()
        return None if opened is None else opened.timings

    @property
    def local_address(self) -> Any:
        """This end of the socket, as `socket.getsockname` gives it; None before the open event."""
        opened: Opened | None = self._get_opened()
        return None if opened is None else opened.local_address

    @property
    def remote_address(self) -> Any:
        """The other end of the socket, the server's or the proxy's, as `socket.getpeername` gives it; None
        before the open event."""
        opened: Opened | None = self._get_opened()
        return None if opened is None else opened.remote_address

    @property
    def tls(self) -> TLSInfo | None:
        """The version, the cipher, ALPN's protocol and the server's certificate; None without TLS, and before
        the open event."""
        opened: Opened | None = self._get_opened()
        return None if opened is None else opened.tls
