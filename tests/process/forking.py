"""The server of programs that fork while they talk to it."""

from __future__ import annotations

import ssl

from syncws.testing import LoopbackServer, Peer, PeerClosed


class Echo(LoopbackServer):
    """Echoes, and keeps how each connection ended."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.ends: list[object] = []
        super().__init__(self._script, tls=ssl_context)

    def _script(self, peer: Peer) -> None:
        peer.accept()
        try:
            while True:
                message = peer.recv()
                assert "child" not in str(message)
                peer.send(str(message))
        except PeerClosed as closed:
            self.ends.append(closed.code)
            raise
        except (OSError, EOFError) as error:
            self.ends.append(type(error))
