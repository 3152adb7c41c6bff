"""A WebSocket server on loopback that plays a script for each connection.

Owns: the connections, their records, and the errors of scripts. Runs on: one daemon thread that accepts, and
one for each connection, which runs the TLS handshake and then the script. Must not import: anything of the
client.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import socket
import ssl
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from .._protocol.frames import CloseCode
from .certificates import Certificates, certificates
from .difference import Message
from .listener import Listener
from .peer import Peer, PeerClosed
from .recording import RecordedConnection
from .replay import Replay
from .scripts import Script, echo
from .stream import ENDED, has_ended

# How many seconds a script may work on what has arrived before its sending side is cut, too.
_GRACE = 0.2


class LoopbackServer(contextlib.AbstractContextManager["LoopbackServer"]):
    """A WebSocket server that runs a script for each connection, from its creation until `stop`.

    When the script returns, the connection is closed in good order: with the client's code if the client
    closed first, else with 1000. A script that is to end it otherwise says so: ``peer.close(1012)``,
    ``peer.cut()``, ``peer.reset()``. What it raises closes the connection with 1011 (or answers 500 before
    `Peer.accept`), is kept in ``errors``, and `stop` and the end of a with-block raise the first. PeerClosed,
    EOFError, ConnectionError and TLS's two errors for an end are not counted as errors: they only say that
    the client or `stop` ended the connection. TimeoutError is.

    Args:
        script: called with a `Peer` on a thread of its own for each connection; an echo by default.
        tls: True makes a certificate for this run and speaks ``wss``; an `ssl.SSLContext` is the server's.
        host: an IPv4 loopback address.
        port: 0 lets the system choose a free one.
        protocols: the subprotocols that `Peer.accept` may select.
        compression: whether `Peer.accept` agrees to permessage-deflate (RFC 7692).
        receive_buffer: bytes that the kernel keeps for a connection (``SO_RCVBUF``); a small one lets the
            client feel soon that the script does not read. None: as the system has it.
        recording_limit: bytes of messages that are kept of each connection; 0 keeps none.

    Attributes:
        script, protocols, compression: may be set at any time, and count from the next connection.
        connections: what was seen of each, in order, see `RecordedConnection`.
        close_on_return: whether a script's return closes in good order, as said above; False: TCP ends there,
            without a Close frame, for scripts that play every byte themselves. May be set on the class.
        errors: what scripts raised.
        tls_errors: the TLS handshakes that failed.

    Raises:
        RuntimeError: ``tls=True`` where neither trustme nor openssl can make a certificate.
    """

    close_on_return: bool = True

    def __init__(
        self,
        script: Script = echo,
        *,
        tls: bool | ssl.SSLContext | None = False,
        host: str = "127.0.0.1",
        port: int = 0,
        protocols: Sequence[str] = (),
        compression: bool = False,
        receive_buffer: int | None = None,
        recording_limit: int = 64 << 20,
    ) -> None:
        self.script: Script = script
        self.connections: list[RecordedConnection] = []
        self.errors: list[BaseException] = []
        self.tls_errors: list[BaseException] = []
        self._certificates = Certificates(tls, None) if isinstance(tls, ssl.SSLContext) else None
        if tls is True:
            self._certificates = certificates()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._taken = 0  # how many of the errors `take_errors` has returned
        self._limit = recording_limit
        self.protocols: Sequence[str] = protocols
        self.compression: bool = compression
        self._new_listener = functools.partial(
            Listener, self._begin, host=host, receive_buffer=receive_buffer
        )
        self._sessions: dict[threading.Thread, Peer] = {}
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._listener = self._new_listener(port=port)

    @functools.cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The context of a client that trusts this server, None without ``tls=True``."""
        return self._certificates.client() if self._certificates else None

    @property
    def port(self) -> int:
        """The port that it listens on; the same after `restart`."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The URL of the path ``/``; with TLS its host is ``localhost``, which the certificate must name."""
        return self.url_for("/")

    def url_for(self, target: str) -> str:
        """The URL of a path, with its query if it has one: ``url_for("/chat?room=1")``."""
        origin = "wss://localhost" if self._certificates else f"ws://{self._listener.host}"
        return f"{origin}:{self.port}{target}"

    @property
    def ca_file(self) -> str | None:
        """The file with the authority that a client must trust, until `stop`; None without ``tls=True``."""
        if self._certificates is None or self._certificates.authority is None:
            return None
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="syncws-")
            Path(self._folder.name, "ca.pem").write_text(self._certificates.authority, "ascii")
        return os.path.join(self._folder.name, "ca.pem")

    def wait_connection(self, number: int = 1, timeout: float = 5) -> RecordedConnection:
        """The first connection, or the one of this number, as soon as it is here; else TimeoutError."""
        if number < 1:
            raise ValueError(f"connections are counted from 1, not from {number}")
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.connections) >= number, timeout):
                raise TimeoutError(f"{len(self.connections)} connections came in {timeout} s, not {number}")
            return self.connections[number - 1]

    def replay(
        self,
        path: str | os.PathLike[str],
        *,
        match: Callable[[Message, Message], bool] | None = None,
        ignore: Callable[[Message], bool] | None = None,
        pace: float = 0.0,
        close: bool = True,
        timeout: float = 10.0,
    ) -> Replay:
        """Play the server's side of the sessions in a HAR file from the next connection on.

        Every message of the client is compared with the recorded one; where they differ, the script fails,
        and with it the test. The arguments are those of `Replay`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no WebSocket.
        """
        script = Replay(path, match=match, ignore=ignore, pace=pace, close=close, timeout=timeout)
        self.script = script
        return script

    def _begin(self, connection: socket.socket) -> None:
        recorded = RecordedConnection(len(self.connections) + 1, self._limit)
        peer = Peer(
            connection,
            self._closing,
            recorded,
            protocols=(self.protocols,) if isinstance(self.protocols, str) else tuple(self.protocols),
            compression=self.compression,
        )
        name = f"syncws-loopback-{len(self.connections) + 1}"
        thread = threading.Thread(target=self._serve, args=(peer, self.script), name=name, daemon=True)
        with self._arrived:
            self.connections.append(recorded)
            self._arrived.notify_all()
        try:
            thread.start()
        except RuntimeError as error:  # The system has no thread left for the connection.
            self.errors.append(error)
            connection.close()
            recorded._end()
            return
        self._sessions = {old: its for old, its in self._sessions.items() if old.is_alive()}
        self._sessions[thread] = peer

    def _serve(self, peer: Peer, script: Script) -> None:
        errors = self.tls_errors
        try:
            if self._certificates is not None:
                peer._secure(self._certificates.server)
            errors = self.errors
            made = script(peer)
            if inspect.iscoroutine(made):
                made.close()
                raise TypeError("a script is a plain function, not an async one: it has a thread")
            if inspect.isgenerator(made) or inspect.isasyncgen(made):
                raise TypeError("a script is a plain function: one with a yield in it does not run")
            if self.close_on_return:
                peer._finish(CloseCode.NORMAL, "")
                peer._tell_unanswered()
        except PeerClosed as closed:
            with contextlib.suppress(*ENDED):
                peer._answer_close(closed)
        except BaseException as error:  # Outcomes such as pytest.fail() are no subclasses of Exception.
            if errors is self.tls_errors or not has_ended(error):
                errors.append(error)
                if self.close_on_return and errors is self.errors:
                    peer._tell_failure(error)
        finally:
            peer._close()
            peer.recorded._end()

    def restart(self, timeout: float = 5) -> None:
        """Cut every connection, and listen again on the same port; also after `stop`.

        Raises:
            RuntimeError: a script does not end in ``timeout`` seconds.
        """
        port = self.port
        self._halt(timeout)
        self._closing = threading.Event()
        self._listener = self._new_listener(port=port)

    def stop(self, timeout: float = 5) -> None:
        """Stop accepting, cut what is open and wait for the end of all threads; then report scripts' errors.

        Raises:
            RuntimeError: a script does not end in ``timeout`` seconds.
            BaseException: the first error of a script that `take_errors` has not given yet.
        """
        self._halt(timeout)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if errors := self.take_errors():
            raise errors[0]

    def take_errors(self) -> list[BaseException]:
        """What scripts have raised since the last call; `stop` raises the first of what is left."""
        taken, self._taken = self._taken, len(self.errors)
        return self.errors[taken:]

    def _halt(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._closing.set()
        self._listener.stop(timeout)
        threads = [self._listener.thread, *self._sessions]
        # The receiving side is ended first: a script can still read the bytes that the system has kept.
        for how, until in ((socket.SHUT_RD, time.monotonic() + _GRACE), (socket.SHUT_RDWR, deadline)):
            for peer in self._sessions.values():
                peer._shut(how)
            for thread in threads:
                thread.join(max(0.0, min(until, deadline) - time.monotonic()))
        if stuck := [thread.name for thread in threads if thread.is_alive()]:
            raise RuntimeError(f"still running after {timeout} s: {', '.join(stuck)}")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.stop()
        except BaseException as its:
            # The block's own error wins. The error of a script is very often its cause, so a note on the
            # block's error quotes it.
            if error is None or its not in self.errors:
                raise
            if hasattr(error, "add_note"):
                text = "".join(traceback.format_exception(type(its), its, its.__traceback__))
                error.add_note(f"A script of the server had failed:\n{text}")
