"""A scriptable WebSocket server on loopback: for this package's tests, the demo, and users' own tests.

Owns: the server's end of a connection, well behaved or not; a script is a function of one `Peer`. Runs on:
one daemon thread that accepts, and one for each connection, which runs the TLS handshake and then the script.
All sockets block, so a script reads like the exchange it plays. Only aborting crosses threads. Must not
import: anything of the client but `_frames`, so that a fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from .._protocol.frames import FIN, MASKED, RSV_BITS, Buffer, CloseFrame, Opcode, header, mask

# How a script learns that the client, or `LoopbackServer.stop()`, ended the connection under it.
_ENDED = (EOFError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

Pairs = Iterable[tuple[str, str]]


class PeerClosed(Exception):  # noqa: N818 - a kin of `ConnectionClosed`
    """The client sent a Close frame; ``code`` is None when the frame had no body."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(f"the client closed: {code} {reason}".rstrip())
        self.code: int | None = code
        self.reason: str = reason


class Headers(Mapping[str, str]):
    """The fields of a request: a mapping whose keys match in any case, iterated in the order received.

    The values of a name that came more than once are joined with a comma (RFC 9110 5.3); `get_all` gives them
    one by one, and ``pairs`` is what came, name and value, as it came.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)

    def get_all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        return [value for other, value in self.pairs if other.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        if not (values := self.get_all(name)):
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Headers({list(self.pairs)!r})"


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a client's HTTP request."""

    method: str
    target: str
    version: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as received; ``payload`` is already unmasked."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes


def accept_key(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455 4.2.2)."""
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode()


def frame_bytes(
    opcode: int, payload: Buffer = b"", *, fin: bool = True, rsv: int = 0, key: bytes | None = None
) -> bytes:
    """A frame as it travels, so that a script can cut it anywhere; masked only when a key is given."""
    first = (FIN if fin else 0) | rsv << 4 | opcode
    if key is None:
        return header(first, len(payload), 0) + payload
    return header(first, len(payload)) + key + mask(payload, key)


def _parse_frame(data: bytearray, at: int) -> tuple[Frame, int] | None:
    """The frame at ``at`` and where it ends; None when it is not whole."""
    start = at + 2
    if len(data) < start:
        return None
    first, second = data[at], data[at + 1]
    length, masked = second & 127, second >= MASKED
    if length > 125:
        start += 2 if length == 126 else 8
        length = int.from_bytes(data[at + 2 : start], "big")
    start += 4 if masked else 0
    # A length that is cut short does no harm: then `start` itself lies beyond the data.
    end = start + length
    if len(data) < end:
        return None
    payload = mask(data[start:end], bytes(data[start - 4 : start])) if masked else data[start:end]
    return Frame(first >= FIN, (first & RSV_BITS) >> 4, first & 15, masked, bytes(payload)), end


class Peer:
    """One accepted connection, seen from the server; every method blocks the script's own thread only.

    All that read raise EOFError when the stream ends too early. ``socket`` is there for what no method does;
    ``closing`` is set when the server is being closed: a script "sleeps" with ``peer.closing.wait(seconds)``.
    """

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.socket: socket.socket | ssl.SSLSocket = connection
        self.request: Request | None = None
        self.closing = closing
        self._buffer = bytearray()
        self._opcode = 0  # of the fragmented message under way; 0 when there is none
        self._fragments: list[bytes] = []
        self._close_sent = False
        # Aborting crosses threads: it must not meet a socket half way into TLS, or a closed descriptor.
        self._lock = threading.Lock()

    def _fill(self) -> None:
        if not (data := self.socket.recv(65536)):
            raise EOFError(f"the client ended the stream, {len(self._buffer)} bytes are left over")
        self._buffer += data

    def recv_bytes(self, limit: int = 65536) -> bytes:
        """What has come, at most ``limit`` bytes; ``b""`` when the client has ended the stream."""
        return self.recv_exactly(min(limit, len(self._buffer))) or self.socket.recv(limit)

    def recv_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def send_bytes(self, data: Buffer) -> None:
        self.socket.sendall(data)

    def read_request(self) -> Request:
        """Read a request up to its empty line; a second call reads a second request."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        first, *lines = self.recv_exactly(end + 4)[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = Headers((name, value.strip()) for name, value in (line.split(":", 1) for line in lines))
        self.request = Request(method, target, version, headers)
        return self.request

    def accept(
        self,
        *,
        protocol: str | None = None,
        extensions: str | None = None,
        headers: Pairs = (),
        glued: bytes = b"",
    ) -> Request:
        """Answer the request (read here if it was not yet) with 101; ``glued`` goes out in the same send."""
        request = self.request or self.read_request()
        if (key := request.headers.get("Sec-WebSocket-Key")) is None:
            raise ValueError(f"the request has no Sec-WebSocket-Key: {request}")
        answer = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
        if protocol is not None:
            answer["Sec-WebSocket-Protocol"] = protocol
        if extensions is not None:
            answer["Sec-WebSocket-Extensions"] = extensions
        self._answer("101 Switching Protocols", [*answer.items(), *headers], glued)
        return request

    def refuse(
        self, status: int = 403, headers: Pairs = (), body: bytes = b"", *, reason: str | None = None
    ) -> None:
        """Answer the request (read here if it was not yet) with plain HTTP; the script may go on after it."""
        if self.request is None:
            self.read_request()
        if reason is None:
            reason = http.client.responses.get(status, "")
        self._answer(f"{status} {reason}", [("Content-Length", str(len(body))), *headers], body)

    def _answer(self, status: str, headers: Pairs, rest: bytes) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
        self.send_bytes("\r\n".join(lines).encode("latin-1") + rest)

    def send_frame(
        self, opcode: int, payload: Buffer = b"", *, fin: bool = True, rsv: int = 0, key: bytes | None = None
    ) -> None:
        """Send one frame, lawful or not: ``rsv`` is 0 to 7, and ``key`` masks it, as no server may."""
        self._close_sent = self._close_sent or opcode == Opcode.CLOSE
        self.send_bytes(frame_bytes(opcode, payload, fin=fin, rsv=rsv, key=key))

    def send(self, data: str | Buffer) -> None:
        """Send one message: text for a `str`, binary for anything else."""
        if isinstance(data, str):
            self.send_frame(Opcode.TEXT, data.encode())
        else:
            self.send_frame(Opcode.BINARY, data)

    def ping(self, payload: bytes = b"") -> None:
        self.send_frame(Opcode.PING, payload)

    def pong(self, payload: bytes = b"") -> None:
        self.send_frame(Opcode.PONG, payload)

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        self.send_frame(Opcode.CLOSE, CloseFrame(code, reason).payload)

    def recv_frame(self) -> Frame:
        """The next frame, whatever it is: nothing is checked or answered."""
        while (found := _parse_frame(self._buffer, 0)) is None:
            self._fill()
        del self._buffer[: found[1]]
        return found[0]

    def _assemble(self, frame: Frame) -> tuple[int, bytes]:
        """Opcode and payload of a control frame or of a whole message; 0 while fragments are missing."""
        # RFC 6455 5.1, 5.2, 5.4: a client masks, sets no reserved bit, does not mix fragmented messages.
        mixed = frame.opcode < 8 and (frame.opcode == 0) != (self._opcode > 0)
        if frame.rsv or not frame.masked or mixed:
            raise ValueError(f"no client may send this here: {frame.opcode=} {frame.rsv=} {frame.masked=}")
        if frame.opcode >= 8:
            return frame.opcode, frame.payload
        self._opcode = self._opcode or frame.opcode
        self._fragments.append(frame.payload)
        if not frame.fin:
            return 0, b""
        message = self._opcode, b"".join(self._fragments)
        self._opcode, self._fragments = 0, []
        return message

    def recv(self) -> str | bytes:
        """The next message, its fragments joined; answers pings; ValueError for what no client may send.

        Raises PeerClosed for a Close frame: a script that lets it out has the server answer in kind.
        """
        while True:
            opcode, payload = self._assemble(self.recv_frame())
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                return payload.decode() if opcode == Opcode.TEXT else payload
            if opcode == Opcode.CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else None
                raise PeerClosed(code, payload[2:].decode())
            if opcode == Opcode.PING:
                self.pong(payload)

    def echo(self) -> None:
        """Send back every message, a pong for each ping, a Close for the Close: one send for one read."""
        while not self._close_sent:
            out: list[bytes] = []
            at = 0
            while not self._close_sent and (found := _parse_frame(self._buffer, at)) is not None:
                frame, at = found
                opcode, payload = self._assemble(frame)
                if opcode not in (0, Opcode.PONG):
                    answer = Opcode.PONG if opcode == Opcode.PING else opcode
                    out += (header(FIN | answer, len(payload), 0), payload)
                    self._close_sent = opcode == Opcode.CLOSE
            del self._buffer[:at]
            if out:
                self.send_bytes(b"".join(out))
            else:
                self._fill()

    def reset(self) -> None:
        """End with RST: what was sent and not yet read by the client may be lost."""
        with self._lock:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()

    def half_close(self) -> None:
        """End the sending side with FIN and go on reading; under TLS without a close_notify."""
        self._shut(socket.SHUT_WR)

    def wait_eof(self, timeout: float = 5) -> bytes:
        """Read until the client ends the stream, by FIN or RST, and return what came; else TimeoutError."""
        deadline = time.monotonic() + timeout
        try:
            with contextlib.suppress(*_ENDED):
                while True:
                    self.socket.settimeout(max(deadline - time.monotonic(), 1e-6))  # 0: do not block
                    self._fill()
        finally:
            self.socket.settimeout(None)
        return self.recv_exactly(len(self._buffer))

    def _shut(self, how: int) -> None:
        with self._lock, contextlib.suppress(OSError):  # already ended by the client, or closed
            # Not SSLSocket.shutdown(): it drops the TLS state that the script may be reading through.
            socket.socket.shutdown(self.socket, how)

    def _secure(self, context: ssl.SSLContext) -> None:
        with self._lock:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.socket.do_handshake()

    def _close(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            # Say close_notify, but do not wait for the client's: that is the OSError. ValueError: no TLS now.
            with contextlib.suppress(OSError, ValueError):
                self.socket.settimeout(0)
                self.socket.unwrap()
        with self._lock:
            self.socket.close()


def echo(peer: Peer) -> None:
    """The default script: accept, then echo."""
    peer.accept()
    peer.echo()


class LoopbackServer(contextlib.AbstractContextManager["LoopbackServer"]):
    """A WebSocket server that runs a script for each connection, from its creation until `stop`.

    When the script returns, the connection is closed. What it raises is kept in ``errors``, and the end of a
    ``with`` block raises the first, save what only says that the connection ended (by the client, or by
    `stop`): PeerClosed, EOFError, ConnectionError, TLS's two errors for an end. TimeoutError does count.
    ``tls_errors`` has the failed TLS handshakes; ``connections`` has what was accepted, in order.
    """

    def __init__(
        self,
        script: Callable[[Peer], object] = echo,
        *,
        tls: ssl.SSLContext | Literal[False] | None = False,
        host: str = "127.0.0.1",
        port: int = 0,
        receive_buffer: int | None = None,
    ) -> None:
        if not host.startswith("127."):
            raise ValueError(f"host {host!r} is not an IPv4 loopback address")
        self.connections: list[Peer] = []
        self.errors: list[BaseException] = []
        self.tls_errors: list[BaseException] = []
        self._script = script
        self._server_context = tls or None
        self._origin = f"ws://{host}" if not tls else "wss://localhost"
        self._closing = threading.Event()
        self._sessions: dict[threading.Thread, Peer] = {}
        self._listener = socket.create_server((host, port), backlog=1024)
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port: int = self._listener.getsockname()[1]
        # shutdown() of a listening socket wakes accept() on Linux only; the end of a pair wakes it anywhere.
        self._wake, self._woken = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="syncws-loopback", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """The URL of the path "/"; with TLS its host is "localhost", which the certificate must name."""
        return self.url_for("/")

    def url_for(self, path: str) -> str:
        """The URL of a path, with its query if it has one."""
        return f"{self._origin}:{self.port}{path}"

    def _accept(self) -> None:
        with self._listener, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while selector.select() and not self._closing.is_set():
                try:
                    connection = self._listener.accept()[0]
                except (BlockingIOError, ConnectionAbortedError):
                    continue  # the client has gone again
                connection.settimeout(None)  # BSD hands the listener's non-blocking mode on
                peer = Peer(connection, self._closing)
                self.connections.append(peer)
                name = f"syncws-loopback-{len(self.connections)}"
                thread = threading.Thread(target=self._serve, args=(peer,), name=name, daemon=True)
                thread.start()
                self._sessions = {old: its for old, its in self._sessions.items() if old.is_alive()}
                self._sessions[thread] = peer

    def _serve(self, peer: Peer) -> None:
        errors = self.tls_errors
        try:
            if self._server_context is not None:
                peer._secure(self._server_context)
            errors = self.errors
            self._script(peer)
        except PeerClosed as closed:
            with contextlib.suppress(*_ENDED):
                if not peer._close_sent:
                    peer.send_close(closed.code, closed.reason)
        except BaseException as error:  # not Exception: pytest's own outcomes are none
            if errors is self.tls_errors or not isinstance(error, _ENDED):
                errors.append(error)
        finally:
            peer._close()

    def stop(self, timeout: float = 5) -> None:
        """Stop accepting, abort what is open, join all threads; RuntimeError when a script does not end."""
        deadline = time.monotonic() + timeout
        self._closing.set()
        self._wake.close()
        self._acceptor.join(timeout)
        for peer in self._sessions.values():
            peer._shut(socket.SHUT_RDWR)
        threads = [self._acceptor, *self._sessions]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if stuck := [thread.name for thread in threads if thread.is_alive()]:
            raise RuntimeError(f"still running after {timeout} s: {', '.join(stuck)}")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop()
        if error is None and self.errors:
            raise self.errors[0]
