"""The opening of a connection: DNS, TCP, TLS and the opening handshake, under one deadline.

Owns: the stream until it is handed over, open. Runs on: the reader thread. Must not import: the other
threads.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._exceptions import ConnectionLost, HandshakeError, WebSocketError, printable
from .._protocol.handshake import HandshakeRequest, HandshakeResult, check_response
from .._protocol.http11 import Response
from .._quoting import MAX_QUOTED, public_part
from .._transport import dialer, resolver
from .._transport.poller import READ, WRITE, OpenTimeoutError, Poller
from .._transport.stream import Stream
from .answer import read_body, read_head
from .options import Options

if TYPE_CHECKING:
    import socket

    from .._transport.tls import TLSStream


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open connection: the stream, what was agreed, and the first bytes after the answer."""

    stream: Stream
    result: HandshakeResult
    rest: bytes


class Connector:
    """One attempt."""

    def __init__(
        self,
        request: HandshakeRequest,
        options: Options,
        poller: Poller,
        check: Callable[[], None],
        name: str,
    ) -> None:
        """`check` is called before each wait; it raises when the attempt was abandoned."""
        self._request = request
        self._options = options
        self._poller = poller
        self._check = check
        self._name = name
        self.doing = ""
        self.at: float | None = None
        self.stream: Stream | None = None  # as soon as there is one

    def run(self) -> OpenStream:
        """Open the connection.

        Raises `OSError` (DNS, TCP, TLS; `TimeoutError` when `open_timeout` is over) and `WebSocketError`
        (the answer); each says what was tried and what came back.
        """
        if self._options.open_timeout is not None:
            self.at = time.monotonic() + self._options.open_timeout
        url = self._request.url
        self.doing = f"looking up {url.hostname!r}"
        addresses = resolver.resolve(url.hostname, url.effective_port, self, self._name)
        self.doing = f"connecting to {url.hostname!r} port {url.effective_port}"
        sock = dialer.connect(addresses, url.hostname, self)
        stream = self.stream = Stream(sock)
        try:
            if url.secure:
                stream = self.stream = self._start_tls(sock)
            # A request with large headers may have to wait for the server to take it.
            stream.wait_writable = lambda: self.wait(sock, WRITE)
            self.doing = "waiting for the answer to the opening handshake"
            with contextlib.suppress(
                ConnectionError
            ):  # an answer that came before the end is still to be read
                stream.send(self._request.request())
            return self._read_answer(stream)
        except BaseException:
            stream.close()
            raise

    def _read_answer(self, stream: Stream) -> OpenStream:
        try:
            response, rest = read_head(stream, self, self._explain)
            if response.status == 101:
                result = check_response(self._request, response)
                stream.wait_writable = None
                return OpenStream(stream, result, rest)
        except (HandshakeError, ConnectionLost) as error:
            self._name_url(error)
            raise
        raise self._refusal(response, read_body(stream, self, response, rest))

    # What `resolver` and `dialer` need: an `OpeningDeadline`.

    def wake(self) -> None:
        self._poller.wake()

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait until `sock` is ready (True) or `limit` seconds are over (False).

        Without a socket it also returns, False, when woken.
        """
        until = None if limit is None else time.monotonic() + limit
        while True:
            now = self.check_time()
            if until is not None and now >= until:
                return False
            ends = [end for end in (self.at, until) if end is not None]
            if self._poller.wait(sock, events, min(ends) - now if ends else None):
                return True
            if sock is None:
                return False

    def check_time(self) -> float:
        """Raise when the attempt was abandoned or its time is over; else say what time it is."""
        self._check()
        now = time.monotonic()
        if self.at is not None and now >= self.at:
            raise OpenTimeoutError(
                f"{self._request.url.public} was not open within "
                f"open_timeout={self._options.open_timeout} s: given up while {self.doing}"
            )
        return now

    def _start_tls(self, sock: socket.socket) -> TLSStream:
        import ssl

        from .._transport import tls  # imported already, by the caller's thread; see `_engine`

        url, options = self._request.url, self._options
        tried = f"TLS handshake with {url.hostname!r} port {url.effective_port}"
        self.doing = f"{tried}, to which nothing came (does the server speak TLS on this port?)"
        context = options.ssl_context or tls.default_context()
        try:
            stream = tls.TLSStream(sock, context, options.server_hostname or url.hostname.rstrip("."))
            while not stream.handshake_step():
                while (received := stream.receive_handshake()) is None:
                    self.wait(sock, READ)
                self.doing = tried
                if not received:
                    raise ConnectionLost(f"{tried}: the server ended TCP")
        except ssl.SSLError as error:
            raise tls.describe(error, tried) from error
        except ValueError as error:  # the context does not go with the name
            raise WebSocketError(f"{tried}: {error}") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionLost(f"{tried}: the server reset TCP") from error
        return stream

    def _explain(self, received: bytes) -> str:
        """What may be the cause of a connection that was lost while the answer was waited for."""
        url = self._request.url
        if received:
            return f" after {received[:100]!r}"
        if url.secure:
            return ""
        return " (does the server expect wss: on this port?)"

    def _name_url(self, error: WebSocketError) -> None:
        """Have the error's text begin with the URL that it is about."""
        error.args = (printable(f"{self._request.url.public}: {error}"),)

    def _refusal(self, response: Response, body: bytes) -> HandshakeError:
        message = f"{self._request.url.public} answered {response.status} {response.reason}".rstrip()
        location = response.headers.get_all("Location")
        if location and 300 <= response.status < 400:
            message += f" (redirects are not followed) to {public_part(location[0])}"
        message = printable(message)
        if body:
            message += f": {body[:MAX_QUOTED]!r}"
        return HandshakeError(message, response.status, response.headers, body, reason=response.reason)
