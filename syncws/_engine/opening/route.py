"""The way to a server: the look-up, TCP, the proxy and TLS, each step under the opening's deadline.

Owns: the stream until the opening handshake begins. Runs on: the thread that opens the connection. Must not
import: the other threads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..._exceptions import ConnectionLost, HandshakeError, WebSocketError
from ..._handler_errors import pass_on
from ..._quoting import MAX_QUOTED, Secrets, masked_answer, masked_head, quote_body
from ..._transport import dialer, resolver
from ..._transport.dialer import SocketSetup
from ..._transport.poller import READ, WRITE, OpenTimeoutError
from ..._transport.stream import Stream
from ..options.options import missing_package
from .answer import add_received, after, read_body, read_head, send_head
from .open_stream import TLSInfo

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    from ..._protocol.proxy import Proxy
    from ..._protocol.url import URL
    from ..options.options import Options
    from ..tracer import Tracer
    from .answer import TimedOpening

    class Opening(TimedOpening, Protocol):
        """The part of the opening that a route uses; see `opening.Connector`."""

        doing: str
        stream: Stream | None

        @property
        def name(self) -> str:
            """The beginning of the names of its threads."""

        def make_socket(self, family: int, kind: int, protocol: int) -> socket.socket:
            """A new socket, which the opening has noted before anything can interrupt it."""

        def measure(self, step: str) -> AbstractContextManager[None]:
            """Note how long a step takes."""

        @property
        def tracer(self) -> Tracer | None:
            """Reports the steps; None when neither `trace=` nor the log asks for them."""

        @property
        def secrets(self) -> Secrets:
            """The credentials that no text may show."""


_FAMILIES = {None: 0, 4: socket.AF_INET, 6: socket.AF_INET6}


class Route:
    """The way to one server."""

    def __init__(self, url: URL, options: Options, proxy: Proxy | None, opening: Opening) -> None:
        self._url = url
        self._options = options
        self._proxy = proxy
        self._opening = opening

    def open(self) -> Stream:
        """Open a stream to the server, ready for the opening handshake.

        Raises `OSError` (DNS, TCP, TLS) and `WebSocketError` (the proxy). `opening.stream` is the stream as
        soon as there is one; the caller closes it.
        """
        sock = self._connect()
        stream: Stream = Stream(sock)
        self._keep(stream)
        if self._proxy is not None:
            with self._opening.measure("proxy"):
                stream = self._open_tunnel(stream, self._proxy)
        if self._url.secure:
            name = self._options.server_hostname or self._url.certificate_name
            where = f"{self._url.hostname!r} port {self._url.effective_port}"
            with self._opening.measure("tls"):
                stream = self._start_tls(stream, name, where)
        return stream

    #: The version, cipher and certificate of TLS with the server; None without TLS.
    tls: TLSInfo | None = None

    def _trace(self, step: str, **fields: Any) -> None:
        tracer = self._opening.tracer
        if tracer is not None:
            tracer.tell(step, **fields)

    def _keep(self, stream: Stream) -> None:
        sock = stream.socket
        # The peer may have to read before all of a request with large headers can be sent.
        stream.wait_writable = lambda: self._opening.wait(sock, WRITE)
        self._opening.stream = stream
        # A fork that came before this has not closed the stream; this raises after one.
        self._opening.check_time()

    # TCP.

    def _connect(self) -> socket.socket:
        options = self._options
        if options.sock is not None:
            return self._use_given_socket(options.sock)
        if options.unix is not None:
            path = os.fspath(options.unix)
            self._opening.doing = f"connecting to the Unix socket {path!r}"
            self._trace("connect", address=path)
            with self._opening.measure("tcp"):
                setup = SocketSetup(options=options.socket_options)
                sock = dialer.connect_unix(path, self._opening, self._opening.make_socket, setup)
            self._trace("connected", address=path)
            return sock
        if self._proxy is not None:
            try:
                return self._dial(self._proxy.host, self._proxy.port, "the proxy ")
            except OSError as error:
                if isinstance(error.strerror, str):
                    error.strerror = f"the proxy {self._proxy.public}: {error.strerror}"
                raise
        return self._dial(self._url.hostname, self._url.effective_port)

    def _use_given_socket(self, sock: socket.socket) -> socket.socket:
        """Use the socket that the caller has connected."""
        self._opening.doing = "using the socket that was given"
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:  # This is no TCP socket.
            pass_on(error)
        for level, name, value in self._options.socket_options:
            sock.setsockopt(level, name, value)
        self._trace("connected", address=_peer(sock))
        return sock

    def _dial(self, host: str, port: int, what: str = "") -> socket.socket:
        addresses = self._resolve(host, port, what)
        self._opening.doing = f"connecting to {what}{host!r} port {port}"
        setup = SocketSetup(self._options.source_address, self._options.socket_options)
        if self._opening.tracer is not None:
            setup = setup._replace(
                tell=lambda address, error: self._trace(
                    "connect", host=host, port=port, address=address, error=error
                )
            )
        with self._opening.measure("tcp"):
            sock = dialer.connect(addresses, host, self._opening, self._opening.make_socket, setup)
        if self._opening.tracer is not None:
            self._trace("connected", host=host, port=port, address=_peer(sock))
        return sock

    def _resolve(self, host: str, port: int, what: str = "") -> list[resolver.Address]:
        options = self._options
        self._opening.doing = f"looking up {what}{host!r}" + (f" port {port}" if what else "")
        family = _FAMILIES[options.family]
        if options.source_address is not None and options.source_address[0]:
            family = socket.AF_INET6 if ":" in options.source_address[0] else socket.AF_INET
        self._trace("resolve", host=host, port=port)
        with self._opening.measure("dns"):
            addresses = resolver.resolve(host, port, self._opening, self._opening.name, family)
        self._trace("resolved", host=host, port=port, address=tuple(address[3] for address in addresses))
        return addresses

    # The proxy.

    def _open_tunnel(self, stream: Stream, proxy: Proxy) -> Stream:
        if proxy.secure:
            name = proxy.host.partition("%")[0].rstrip(".")
            where = f"the proxy {proxy.host!r} port {proxy.port}"
            stream = self._start_tls(stream, name, where, "proxy", "http:")
            self.tls = None
        asked = f"asking the proxy {proxy.public} for {self._url.authority}"
        self._opening.doing = asked
        if proxy.is_http:
            self._ask_http(stream, proxy)
        else:
            self._ask_socks(stream, proxy, asked)
        return stream

    def _ask_http(self, stream: Stream, proxy: Proxy) -> None:
        from ..._protocol.proxy import connect_request  # The choice of the proxy has imported it already.

        asked = f"CONNECT {self._url.authority}"
        head = connect_request(self._url.authority, proxy)
        if self._opening.tracer is not None:
            self._trace("proxy", url=proxy.public, head=masked_head(head))
        send_head(stream, head)
        who = f"the proxy {proxy.public}"
        try:
            response, rest = read_head(stream, self._opening, who, after)
        except HandshakeError as error:
            said = str(error).replace("should the URL be wss:", "should its URL be https:")
            error.args = (f"{who} was asked to {asked}: {said}",)
            raise
        if self._opening.tracer is not None:
            secrets = self._opening.secrets
            answer = masked_answer(response.status_line, response.headers.multi_items(), secrets)
            self._trace("proxy", url=proxy.public, status=response.status, head=answer)
        said = f"{who} answered"
        if 200 <= response.status < 300:
            if rest:
                message = f"{said} {asked} with more than a head"
                raise HandshakeError(message, response.status, response.headers, rest)
            return
        body = read_body(stream, self._opening, response, rest)
        hint = ""
        if response.status == 407 and proxy.credentials is None:
            hint = " (it asks for a user and password: proxy='http://user:password@host:port')"
        status = f"{response.status} {response.reason}".rstrip()
        message = f"{said} {status} to {asked}{hint}{quote_body(body, self._opening.secrets)}"
        raise HandshakeError(message, response.status, response.headers, body, reason=response.reason)

    def _ask_socks(self, stream: Stream, proxy: Proxy, asked: str) -> None:
        try:
            from ..._transport import socks  # The caller's thread has imported it already; see `options`.
        except ModuleNotFoundError as error:  # A redirect led to where the environment names such a proxy.
            raise WebSocketError(missing_package(proxy)) from error
        self._trace("proxy", url=proxy.public)
        host = self._url.hostname.partition("%")[0]
        if not proxy.resolves:
            addresses = self._resolve(host, self._url.effective_port)
            if proxy.scheme == "socks4":
                addresses = [address for address in addresses if address[0] == socket.AF_INET]
            if not addresses:
                raise WebSocketError(
                    f"{host!r} has no IPv4 address, and SOCKS4 knows no other (socks5h does)"
                )
            host = addresses[0][3][0]
            self._opening.doing = asked
        try:
            socks.open_tunnel(
                proxy.scheme, host, self._url.effective_port, proxy.credentials, self._exchange_with(stream)
            )
        except socks.SOCKSError as error:
            text = f"the proxy {proxy.public} did not open a way to {self._url.authority}: {error}"
            if error.errno is not None:
                raise OSError(error.errno, text) from error
            raise WebSocketError(text) from error

    def _exchange_with(self, stream: Stream) -> Callable[[bytes, int, bytes], bytes]:
        def exchange(data: bytes, count: int, versions: bytes) -> bytes:
            from ..._transport.socks import SOCKSError

            received = b""
            try:
                stream.send(data)
                while len(received) < count:
                    self._opening.check_time()
                    if (part := stream.recv(count - len(received))) is None:
                        self._opening.wait(stream.socket, READ)
                        continue
                    if not part:
                        raise ConnectionLost(
                            f"the proxy ended TCP while {self._opening.doing}{after(received)}"
                        )
                    received += part
                    if versions and received[0] not in versions:
                        raise SOCKSError(f"its answer is not SOCKS: {received + _what_follows(stream)!r}")
                return received
            except OpenTimeoutError as error:
                add_received(error, received)
                raise
            except OSError as error:
                if isinstance(error, ConnectionLost):
                    raise
                text = f"the proxy was lost while {self._opening.doing}: {error}{after(received)}"
                raise ConnectionLost(text) from error

        return exchange

    # TLS.

    def _start_tls(
        self, lower: Stream, name: str, where: str, who: str = "server", without: str = "ws:"
    ) -> Stream:
        import ssl

        from ..._transport import tls, trust  # The caller's thread has imported it already; see `options`.

        tried = f"TLS handshake with {where}"
        question = f"(does the {who} speak TLS on this port?)"
        self._opening.doing = f"making the {tried}, to which nothing came {question}"
        context = self._options.ssl_context or trust.default_context()
        stream: tls.TLSStream | None = None
        try:
            if isinstance(lower, tls.TLSStream):
                stream = tls.NestedTLSStream(lower, context, name)
            else:
                stream = tls.TLSStream(lower.socket, context, name)
            self._keep(stream)
            while not stream.handshake_step():
                self._opening.check_time()  # OpenSSL ignores some messages, however many come.
                while (received := stream.receive_handshake()) is None:
                    self._opening.wait(stream.socket, READ)
                self._opening.doing = f"making the {tried}"
                if not received:
                    raise ConnectionLost(f"{tried}: the {who} ended TCP {question}")
        except ssl.SSLError as error:
            issuer = stream.untrusted_issuer() if stream is not None else ""
            came = trust.Came(stream.first_bytes if stream is not None else b"", who, without)
            raise trust.describe(error, tried, name, issuer, came, self._options.ca) from error
        except ValueError as error:  # The context does not accept the name.
            raise WebSocketError(f"{tried}: {error}") from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionLost(f"{tried}: the {who} reset TCP {question}") from error
        # This is asked at once, since it is lost after a later error of TLS.
        self.tls = TLSInfo(*stream.negotiated())
        self._trace("tls", host=name, tls=self.tls)
        self._check_alpn(self.tls.alpn, tried, who)
        return stream

    def _check_alpn(self, selected: str | None, tried: str, who: str) -> None:
        if selected in (None, "http/1.1", "http/1.0"):
            return
        raise WebSocketError(
            f"{tried}: HTTP/2 was agreed: the ssl_context offered {selected!r} by ALPN, and the {who} took "
            "it. A WebSocket is opened by HTTP/1.1 here: context.set_alpn_protocols(['http/1.1'])"
        )


def _what_follows(stream: Stream) -> bytes:
    """What has arrived behind the beginning of a wrong answer, to be quoted."""
    try:
        return stream.recv(MAX_QUOTED) or b""
    except OSError as error:
        pass_on(error)
        return b""


def _peer(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError as error:
        pass_on(error)
        return None  # The caller's socket has no such address, or the connection has just ended.
