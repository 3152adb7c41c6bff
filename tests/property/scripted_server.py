"""The server's end of one connection, played step by step by a test and read by a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from syncws._protocol.permessage_deflate import DeflateParameters
from syncws.testing import LoopbackServer, Peer
from tests.support.model_peer import (
    CLOSE,
    PONG,
    ClientFrame,
    ModelDeflater,
    ModelServer,
    Sending,
    server_frame,
)
from tests.support.waiting import SECONDS


class ScriptedServer:
    """One server and the only connection to it.

    The test sends; the server's own thread reads until the client ends TCP, or until it is told to reset.
    """

    def __init__(self, agreement: DeflateParameters | None) -> None:
        self.agreement = agreement
        self.seen = ModelServer(agreement)
        self.server = LoopbackServer(self._script)
        self._deflater = ModelDeflater(agreement) if agreement else None
        self._asked = threading.Event()
        self._resets = False
        self._changed = threading.Condition()
        self._gone = False
        self._peer: Peer | None = None

    def _script(self, peer: Peer) -> None:
        self._peer = peer
        try:
            peer.read_request()
            self._asked.set()
            while True:
                frame = peer.recv_frame()
                with self._changed:
                    self.seen.take(ClientFrame(frame.fin, frame.rsv, frame.opcode, b"", frame.payload))
                    self._changed.notify_all()
        except (EOFError, ConnectionError):
            if self._resets:
                peer.reset()
        finally:
            self._asked.set()
            with self._changed:
                self._gone = True
                self._changed.notify_all()

    @property
    def peer(self) -> Peer:
        assert self._asked.wait(SECONDS), "the client sent no request"
        assert self._peer is not None
        return self._peer

    def wait(self, condition: Callable[[ModelServer], bool]) -> None:
        """Wait until what was read so far is as it must become."""
        with self._changed:
            came = self._changed.wait_for(lambda: condition(self.seen), SECONDS)
            assert came, f"the server saw only {self.seen} (client gone: {self._gone})"

    @property
    def close_frame(self) -> bytes | None:
        """The payload of the client's Close frame."""
        return next((payload for opcode, payload in self.seen.controls if opcode == CLOSE), None)

    def wait_close(self) -> bytes:
        self.wait(lambda _: self.close_frame is not None)
        assert self.close_frame is not None
        return self.close_frame

    def wait_pong(self, payload: bytes) -> None:
        self.wait(lambda seen: (PONG, payload) in seen.controls)

    def accept(self, glued: bytes) -> None:
        if self.agreement is None:
            self.peer.accept(glued=glued)
            return
        parts = ["permessage-deflate"]
        parts += ["server_no_context_takeover"] * self.agreement.server_no_context_takeover
        parts += ["client_no_context_takeover"] * self.agreement.client_no_context_takeover
        parts.append(f"server_max_window_bits={self.agreement.server_max_window_bits}")
        parts.append(f"client_max_window_bits={self.agreement.client_max_window_bits}")
        self.peer.accept(extensions="; ".join(parts), glued=glued)

    def wire(self, sendings: list[Sending]) -> bytes:
        return b"".join(sending.wire(self._deflater) for sending in sendings)

    def close_wire(self, code: int | None, reason: str) -> bytes:
        return server_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())

    def send(self, wire: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the client may have gone, which is not known here yet
            self.peer.send_bytes(wire)

    def end(self) -> None:
        """End TCP in order."""
        self.peer.half_close()

    def reset(self) -> None:
        """Reset TCP: by the server's own thread, for closing a socket that another thread reads from does
        nothing until that thread is out of it."""
        import socket

        self._resets = True
        peer = self.peer
        with contextlib.suppress(OSError):
            peer.socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self.server.stop()
        assert not self.server.errors
