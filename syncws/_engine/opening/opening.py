"""The opening of a connection: DNS, TCP, proxy, TLS, the opening handshake and redirects, under one deadline.

Owns: the stream until it is open and handed over. Runs on: the thread that opens the connection. Must not
import: the other threads.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..._exceptions import HandshakeError, SecurityErr, WebSocketError, printable
from ..._handler_errors import is_raised_by_handler, pass_on
from ..._protocol.handshake import HandshakeRequest, check_response
from ..._protocol.host import percent_decode
from ..._protocol.http11 import Response, basic_credentials, check_field
from ..._protocol.url import URL, check_port
from ..._quoting import Secrets, masked_answer, masked_head, quote_body, quote_location, shorten
from ..._transport import dialer
from ..._transport.poller import ForkedError, OpenTimeoutError
from ..options.options import Options, choose_proxy
from ..primitives import next_wait
from .answer import after, read_body, read_head, send_head
from .open_stream import OpenStream as OpenStream
from .open_stream import Timings
from .route import Route

if TYPE_CHECKING:
    from ..._protocol.handshake import HandshakeResult
    from ..._protocol.proxy import Proxy
    from ..._transport.poller import Poller
    from ..._transport.stream import Stream
    from ..tracer import Tracer
    from .open_stream import TLSInfo

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A peer that sends, but reads nothing for some seconds, is alive, as the keepalive sees by what it sends. The
# operating system knows of one direction alone, and must not end such a connection sooner than the keepalive.
LEAST_SILENCE_SECONDS = 30.0

# Ports on which servers speak TLS.
_TLS_PORTS = frozenset({443, 8443, 9443})


class Connector:
    """One attempt, with the redirects that it follows.

    Attributes:
        at: when its time is over, on the clock of `time.monotonic`; None for no limit.
        sockets: all sockets that were made, also closed ones: a forked child closes them, and so does the
            cleanup after a signal handler has cut the opening off.
        stream: the stream as soon as there is one; these close it as well.
        doing: the present step, in the words of the error of a time-out.
        name: the beginning of the names of its threads.
        tracer: reports the steps; None when neither `trace=` nor the log asks for them.
        secrets: the credentials that no text may show.
    """

    def __init__(
        self,
        request: HandshakeRequest,
        options: Options,
        poller: Poller,
        check: Callable[[], None],
        name: str,
        tracer: Tracer | None = None,
        before_waiting: Callable[[], None] | None = None,
    ) -> None:
        """`check` is called before each wait, and raises when the attempt was abandoned. `before_waiting` is
        called once, before the first wait."""
        if not options.require_protocol or options.auth is not None:
            request = replace(request, require_protocol=options.require_protocol, auth=options.auth)
        self._request = request
        self._options = options
        self._poller = poller
        self._check = check
        self._before_waiting = before_waiting
        self._seconds: dict[str, float] = {}
        self._begun = 0.0
        self._visited = {str(request.url)}
        self.name = name
        self.tracer = tracer
        self.doing = ""
        self.at: float | None = None
        self.sockets: list[socket.socket] = []
        self.stream: Stream | None = None
        self.secrets = Secrets()
        if tracer is not None:
            tracer.secrets = self.secrets

    def run(self) -> OpenStream:
        """Open the connection.

        Raises `OSError` (DNS, TCP, TLS; `TimeoutError` when `open_timeout` is over) and `WebSocketError`
        (the answer, the proxy); each names the URL and says what was tried and what came back.
        """
        self._begun = time.monotonic()
        if self._options.open_timeout is not None:
            self.at = self._begun + self._options.open_timeout
        try:
            while (opened := self._try_once()) is None:
                pass
            return opened
        except ForkedError:
            self.close_sockets()  # The connection is the parent's, so the peer must not hear of this.
            raise
        except BaseException as error:
            self.close()
            if self._options.sock is not None:
                self._options.sock.close()
            if isinstance(error, (OSError, WebSocketError)) and not is_raised_by_handler(error):
                self._name_url(error)
            raise

    # The methods that the steps of the way call; see `route.Opening`.

    def make_socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        # The call and the append are one step of C, so that no signal handler comes between them.
        self.sockets += map(socket.socket, (family,), (kind,), (protocol,))
        return self.sockets[-1]

    def wake(self) -> None:
        self._poller.wake()

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait until `sock` is ready (True) or `limit` seconds are over (False).

        Without a socket it also returns, False, when woken.
        """
        until = None if limit is None else time.monotonic() + limit
        while True:
            left = self._next_wait(until)
            if left <= 0:
                return False
            if self._before_waiting is not None:
                if sock is not None and self._poller.wait(sock, events, 0.0):
                    return True
                self._prepare_to_wait()
                continue
            if self._poller.wait(sock, events, left):
                return True
            if sock is None:
                return False

    def wait_any(
        self, socks: list[socket.socket], events: int, limit: float | None = None
    ) -> list[socket.socket]:
        """Wait until any of `socks` is ready, or `limit` seconds are over; returns those that are ready."""
        until = None if limit is None else time.monotonic() + limit
        while True:
            left = self._next_wait(until)
            if self._before_waiting is not None:
                if ready := self._poller.wait_any(socks, events, 0.0):
                    return ready
                self._prepare_to_wait()
                continue
            ready = self._poller.wait_any(socks, events, left)
            if ready or (until is not None and time.monotonic() >= until):
                return ready

    def _prepare_to_wait(self) -> None:
        call, self._before_waiting = self._before_waiting, None
        if call is not None:
            call()

    def _next_wait(self, until: float | None) -> float:
        self.check_time()
        ends = [end for end in (self.at, until) if end is not None]
        return max(0.0, next_wait(min(ends, default=None)))

    def check_time(self) -> float:
        """Return the time of the clock. Raises when the attempt was abandoned or its time is over."""
        self._check()
        now = time.monotonic()
        if self.at is not None and now >= self.at:
            raise OpenTimeoutError(
                f"{self._request.url.public} was not open within "
                f"open_timeout={self._options.open_timeout} s: given up while {self.doing}"
            )
        return now

    @contextlib.contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Note how long a step took. If a step comes again, the last time counts."""
        begun = time.monotonic()
        yield
        self._seconds[step] = time.monotonic() - begun

    # One request and its answer.

    def _try_once(self) -> OpenStream | None:
        """Make one request. Returns the open stream, or None after a redirect that should be followed."""
        request = self._request
        self._seconds.clear()
        proxy = self._choose_proxy(request.url)
        cookies = self._cookies(request.url)
        self._learn_secrets(request, proxy, cookies)
        route = Route(request.url, self._options, proxy, self)
        stream = route.open()
        self.doing = "waiting for the answer to the opening handshake"
        begun = time.monotonic()
        head, url = request.request(cookies), request.url.public
        if self.tracer is not None:
            self.tracer.tell("request", url=url, head=masked_head(head))
        send_head(stream, head)
        response, rest = read_head(stream, self, "the server", self._explain)
        if self.tracer is not None:
            answer = masked_answer(response.status_line, response.headers.multi_items(), self.secrets)
            self.tracer.tell("response", url=url, status=response.status, head=answer)
        self._store_cookies(request.url, response)
        if response.status == 101:
            result = check_response(request, response)
            self._seconds["upgrade"] = time.monotonic() - begun
            return self._hand_over(stream, result, rest, route.tls)
        if self._redirects_left and response.status in _REDIRECTS and "Location" in response.headers:
            self._follow(response)
            return None
        raise self._refusal(response, read_body(stream, self, response, rest))

    def _choose_proxy(self, url: URL) -> Proxy | None:
        try:
            return choose_proxy(self._options, url)
        except ValueError as error:
            raise WebSocketError(str(error)) from None

    def _cookies(self, url: URL) -> list[tuple[str, str]]:
        if self._options.cookies is None:
            return []
        from ..._protocol.cookies import cookie_fields  # The caller's thread has imported it already.

        try:
            return [check_field(*field) for field in cookie_fields(self._options.cookies, url)]
        except ValueError as error:
            raise WebSocketError(f"the cookies of the jar cannot be sent: {error}") from None

    def _store_cookies(self, url: URL, response: Response) -> None:
        if self._options.cookies is not None:
            from ..._protocol.cookies import store_cookies  # The caller's thread has imported it already.

            store_cookies(self._options.cookies, url, response.headers)

    def _learn_secrets(
        self, request: HandshakeRequest, proxy: Proxy | None, cookies: list[tuple[str, str]]
    ) -> None:
        secrets = self.secrets
        for field in (*request.headers, *cookies):
            secrets.add_field(*field)
        secrets.add(*(protocol for protocol in request.protocols if len(protocol) > 12))
        if request.url.query:
            secrets.add_pairs(request.url.query, "&", lambda value: percent_decode(value.replace("+", " ")))
        for credentials in (request.credentials, proxy.credentials if proxy else None):
            if credentials is not None:
                secrets.add(*credentials, basic_credentials(*credentials))

    def _hand_over(
        self, stream: Stream, result: HandshakeResult, rest: bytes, tls: TLSInfo | None
    ) -> OpenStream:
        stream.wait_writable = None
        self.sockets = [stream.socket]
        if self._options.sock is None:
            self._limit_silence(stream)
        return OpenStream(
            stream,
            result,
            rest,
            Timings(**self._seconds, total=time.monotonic() - self._begun),
            _address(stream.socket.getsockname),
            _address(stream.socket.getpeername),
            tls,
        )

    def _limit_silence(self, stream: Stream) -> None:
        """Let the operating system end the connection when nothing gets through for as long as a ping may
        take.

        The time must not be shorter, since this also ends a healthy connection whose peer reads nothing.
        """
        options = self._options
        user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
        chosen = [(level, name) for level, name, _ in options.socket_options]
        if (
            (socket.IPPROTO_TCP, user_timeout) in chosen
            or options.ping_interval is None
            or options.ping_timeout is None
            or options.close_timeout is None
        ):
            return
        silence = max(options.ping_interval + options.ping_timeout, options.close_timeout)
        dialer.limit_silence(stream.socket, max(silence, LEAST_SILENCE_SECONDS))

    # Redirects.

    @property
    def _redirects_left(self) -> int:
        return self._options.max_redirects - self._redirects_followed

    @property
    def _redirects_followed(self) -> int:
        return len(self._visited) - 1

    def _follow(self, response: Response) -> None:
        """Set up the next request, for the URL in the answer."""
        from ..._protocol import redirect  # The caller's thread has imported it already.

        location = response.headers.get_all("Location")[0]
        shown = quote_location(location, self.secrets)
        try:
            if self._options.sock is not None:
                raise redirect.RedirectError("the socket that was given is used up")
            request = redirect.follow(self._request, location)
            if str(request.url) in self._visited:
                raise redirect.RedirectError("it leads back to where it has been already")
            if not self._options.allow_blocked_port:
                check_port(request.url)
        except (redirect.RedirectError, SecurityErr) as error:
            raise self._refusal(response, b"", f" (not followed to {shown}: {error})") from None
        self.close()
        self._visited.add(str(request.url))
        self._request = request

    def close(self) -> None:
        """Close the stream or the socket, if there is one."""
        try:
            if self.stream is not None:
                self.stream.close()
                self.stream = None
        finally:
            self.close_sockets()

    def close_sockets(self) -> None:
        """Close the descriptors of the stream or the socket, and send the peer nothing."""
        for sock in self.sockets:
            sock.close()
        if self.stream is not None:  # The caller gave a connected socket, which is not in `sockets`.
            self.stream.socket.close()

    # Texts of errors.

    def _explain(self, received: bytes) -> str:
        """A text about the likely cause when the connection was lost before the answer."""
        url = self._request.url
        if received:
            return after(received)
        if not url.secure and url.effective_port in _TLS_PORTS:
            return f" (port {url.effective_port} is one of TLS: does the server expect wss: ?)"
        causes = ["does not know the path"]
        if self._request.protocols:
            causes.append("does not know the subprotocol")
        causes.append(
            "wants a header that is not sent, such as Origin"
            if self._request.origin is None
            else "refuses the Origin"
        )
        return f" (a server that ends TCP without an answer often {', or '.join(causes)}, or is overloaded)"

    def _refusal(self, response: Response, body: bytes, why: str = "") -> HandshakeError:
        location = response.headers.get_all("Location")
        if location and 300 <= response.status < 400 and not why:
            shown = quote_location(location[0], self.secrets)
            if response.status not in _REDIRECTS:
                why = f" to {shown} (which is no redirect that is ever followed)"
            elif self._redirects_followed:
                most = self._options.max_redirects
                why = f" (a redirect to {shown}; no more than max_redirects={most} are followed)"
            else:
                why = f" to {shown} (redirects are not followed without max_redirects=)"
        status = f"{response.status} {self.secrets.hide(response.reason)}".rstrip()
        return HandshakeError(
            f"answered {status}{why}{quote_body(body, self.secrets)}",
            response.status,
            response.headers,
            body,
            reason=response.reason,
        )

    def _name_url(self, error: OSError | WebSocketError) -> None:
        """Put the public form of the URL before the error's text, and hide secrets in it."""
        public = self._request.url.public
        system = isinstance(error, OSError) and isinstance(error.strerror, str)
        said = str(error.strerror) if isinstance(error, OSError) and system else str(error)
        text = shorten(printable(self.secrets.hide(said)))
        if public not in text:
            text = f"{public} {text}" if text.startswith("answered ") else f"{public}: {text}"
        error.args = (text,)
        if isinstance(error, OSError) and system:
            error.strerror = text
            error.args = (error.errno, text)


def _address(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except OSError as error:
        pass_on(error)
        return None  # The caller's socket has no such address, or the connection has just ended.
