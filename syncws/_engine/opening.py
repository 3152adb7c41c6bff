"""The opening of a connection: DNS, TCP, TLS and the opening handshake, under one deadline.

Owns: the stream until the reader takes it over, once it is open. Runs on: the reader thread. Must not import:
the reader, the writer, the consumers, what programs call.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._exceptions import ConnectionLost, HandshakeError, WebSocketError, printable
from .._protocol.handshake import HandshakeRequest, HandshakeResult, check_response
from .._protocol.http11 import Response, ResponseParser, get_all
from .._transport import dialer, resolver
from .._transport.poller import READ, WRITE, OpenTimeoutError, Poller
from .._transport.stream import Stream

if TYPE_CHECKING:
    import socket

    from .._transport.tls import TLSStream
    from .options import Options

# How much of a refusal's body the error carries, in bytes, and how long to wait for that after the head.
BODY_BYTES = 4096
BODY_SECONDS = 1.0

# How many interim answers (102, 103) may come before the final one: more than any server has use for. A flood
# of them must end.
MAX_INTERIM = 32


@dataclass(frozen=True, slots=True)
class OpenStream:
    """An open connection: the stream, what was agreed, and the first bytes after the answer."""

    stream: Stream
    result: HandshakeResult
    rest: bytes


class Connector:
    """One attempt to open a connection."""

    def __init__(
        self,
        request: HandshakeRequest,
        options: Options,
        poller: Poller,
        check: Callable[[], None],
        name: str,
    ) -> None:
        """`check` is called before each wait; it raises when the application has given the attempt up."""
        self._request = request
        self._options = options
        self._poller = poller
        self._check = check
        self._name = name
        self._doing = ""
        self.at: float | None = None
        self.stream: Stream | None = None  # set once the socket is connected

    def run(self) -> OpenStream:
        """Open the connection.

        Raises `OSError` (DNS, TCP, TLS; `TimeoutError` when `open_timeout` is over) and `WebSocketError`
        (the answer); each says what was tried and what came back.
        """
        if self._options.open_timeout is not None:
            self.at = time.monotonic() + self._options.open_timeout
        url = self._request.url
        self._doing = f"looking up {url.hostname!r}"
        addresses = resolver.resolve(url.hostname, url.effective_port, self, self._name)
        self._doing = f"connecting to {url.hostname!r} port {url.effective_port}"
        sock = dialer.connect(addresses, url.hostname, self)
        stream = self.stream = Stream(sock)
        try:
            if url.secure:
                stream = self.stream = self._start_tls(sock)
            # A request with large headers may have to wait for the server to take it.
            stream.wait_writable = lambda: self.wait(sock, WRITE)
            self._doing = "waiting for the answer to the opening handshake"
            # Where the server has answered and ended TCP already, its answer is still there to be read.
            with contextlib.suppress(ConnectionError):
                stream.send(self._request.request())
            response, rest = self._read_head(stream)
            if response.status != 101:
                raise self._refusal(stream, response, rest)
            stream.wait_writable = None
            return OpenStream(stream, check_response(self._request, response), rest)
        except BaseException:
            stream.close()
            raise

    # These methods and `at` make this an `OpeningDeadline`, for `resolver` and `dialer`.

    def wake(self) -> None:
        self._poller.wake()

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait until `sock` is ready (True) or `limit` seconds are over (False).

        Without a socket it also returns, False, when woken.
        """
        until = None if limit is None else time.monotonic() + limit
        while True:
            now = self._check_time()
            if until is not None and now >= until:
                return False
            ends = [end for end in (self.at, until) if end is not None]
            if self._poller.wait(sock, events, min(ends) - now if ends else None):
                return True
            if sock is None:
                return False

    def _check_time(self) -> float:
        """Return the present time; raise when the attempt was given up or its time is over."""
        self._check()
        now = time.monotonic()
        if self.at is not None and now >= self.at:
            raise OpenTimeoutError(
                f"{self._request.url.public} was not open within "
                f"open_timeout={self._options.open_timeout} s: given up while {self._doing}"
            )
        return now

    def _start_tls(self, sock: socket.socket) -> TLSStream:
        import ssl

        from .._transport import tls  # the caller's thread has imported it already; see `engine`

        url, options = self._request.url, self._options
        tried = f"TLS handshake with {url.hostname!r} port {url.effective_port}"
        self._doing = f"{tried}, to which nothing came (does the server speak TLS on this port?)"
        context = options.ssl_context or tls.default_context()
        try:
            stream = tls.TLSStream(sock, context, options.server_hostname or url.hostname.rstrip("."))
            while not stream.handshake_step():
                while (received := stream.receive_handshake()) is None:
                    self.wait(sock, READ)
                self._doing = tried
                if not received:
                    raise ConnectionLost(f"{tried}: the server ended TCP")
        except ssl.SSLError as error:
            raise tls.describe(error, tried) from error
        except ValueError as error:  # the context does not accept the host name
            raise WebSocketError(f"{tried}: {error}") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionLost(f"{tried}: the server reset TCP") from error
        return stream

    def _receive(self, stream: Stream) -> bytes:
        self._check_time()  # `wait` checks it too, but is not called while there is always something to read
        while (data := stream.recv(16 * 1024)) is None:
            self.wait(stream.socket, READ)
        return data

    def _read_head(self, stream: Stream) -> tuple[Response, bytes]:
        parser = ResponseParser()
        data = b""
        interim = 0
        while True:
            if (result := parser.feed(data)) is not None:
                response, rest = result
                if not 100 <= response.status < 200 or response.status == 101:
                    return result
                # RFC 9110 15.2: an interim answer, such as 103, may come before the final one.
                interim += 1
                if interim > MAX_INTERIM:
                    raise HandshakeError(f"the server sent more than {MAX_INTERIM} interim answers")
                parser, data = ResponseParser(), rest
                continue
            try:
                data = self._receive(stream)
            except OSError as error:
                if isinstance(error, OpenTimeoutError):
                    raise
                text = f"the connection was lost while {self._doing}: {error}"
                raise ConnectionLost(self._lost(text, parser.received)) from error
            if not data:
                raise ConnectionLost(self._lost(f"the server ended TCP while {self._doing}", parser.received))

    def _lost(self, text: str, received: bytes) -> str:
        url = self._request.url
        if received:
            text += f" after {received[:100]!r}"
        elif not url.secure:
            text += " (does the server expect wss: on this port?)"
        return f"{url.public}: {text}"

    def _refusal(self, stream: Stream, response: Response, rest: bytes) -> HandshakeError:
        body = self._read_body(stream, response, rest)
        message = f"{self._request.url.public} answered {response.status} {response.reason}".rstrip()
        location = get_all(response.headers, "Location")
        if location and 300 <= response.status < 400:
            message += f" (redirects are not followed) to {location[0]}"
        message = printable(message)
        if body:
            message += f": {body[:200]!r}"
        return HandshakeError(message, response.status, response.headers, body, reason=response.reason)

    def _read_body(self, stream: Stream, response: Response, body: bytes) -> bytes:
        """The beginning of a refusal's body: as much as arrives within `BODY_SECONDS`."""
        wanted = BODY_BYTES
        lengths = get_all(response.headers, "Content-Length")
        if lengths and lengths[0].isdecimal():
            wanted = min(wanted, int(lengths[0][:9]))
        until = time.monotonic() + BODY_SECONDS
        while len(body) < wanted:
            try:
                data = stream.recv(BODY_BYTES)
                if data is None:
                    if not self.wait(stream.socket, READ, max(0.0, until - time.monotonic())):
                        break
                    continue
            except OSError:
                break  # the refusal is what is reported, not how TCP ended after it
            if not data:
                break
            body += data
        return body[:wanted]
