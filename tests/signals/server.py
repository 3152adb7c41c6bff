"""A WebSocket server that keeps count, written without the package, so that any version of it can be swept.

Owns: the server's ends of all connections, and what was sent and received on them. Runs on: one thread of its
own. Must not import: the package under test.

The path says how a connection is treated: ``/`` is served at once, ``/slow`` after a few milliseconds,
``/deaf`` is not read from for a while, and every second request for ``/flaky`` is refused.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import heapq
import itertools
import selectors
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

TAIL = b"\x00\x00\xff\xff"  # what ends each message for zlib, and is left off on the wire
LATE = 0.003
DEAF = 0.006
HANDSHAKE = 2.0  # how many seconds each step of TLS may take


class Session:
    """One connection. `received`: its messages, as bytes, in order. `asked`: how many numbered ones the
    server sends. `close_code`: of the client's Close frame, 1005 for an empty one, None when none came."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.received: list[bytes] = []
        self._asked: list[int] = []
        self.close_code: int | None = None
        self.ended = threading.Event()
        self.path = ""
        self._server, self._socket = server, connection
        self._data = bytearray()
        self._parts: list[bytes] = []
        self._packed = False  # whether these are compressed
        self._packer = zlib.compressobj(wbits=-15)
        self._unpacker = zlib.decompressobj(-15)
        self._closed = False
        self._pushed = 0
        self._in_parts = False

    # These methods are for other threads, and for handlers and finalizers on them.

    @property
    def asked(self) -> int:
        return sum(self._asked)

    def push(self, count: int, delay: float = 0.0, *, in_parts: bool = False) -> None:
        """Send the next `count` numbers, each as a message."""
        self._asked.append(count)
        self._server.later(delay, lambda: self._push(count, in_parts))

    def say_close(self, code: int, delay: float = 0.0) -> None:
        self._server.later(delay, lambda: self._say_close(struct.pack(">H", code)))

    def forget(self) -> None:
        """Drop what was received: the messages of thousands of sessions would fill gigabytes."""
        self.received = []

    # These methods run on the server's thread.

    def _push(self, count: int, in_parts: bool) -> None:
        if self._in_parts:  # A message can only follow the end of the one before.
            self._server.later(LATE, lambda: self._push(count, in_parts))
            return
        for _ in range(count):
            number = b"%d" % self._pushed
            self._pushed += 1
            if in_parts:
                self._frame(0x01, number + b"|" + b"x" * 65536)
                self._in_parts = True
                self._server.later(LATE, self._push_end)
            elif self._server.deflate:
                packed = self._packer.compress(number) + self._packer.flush(zlib.Z_SYNC_FLUSH)
                self._frame(0xC1, packed[: -len(TAIL)])
            else:
                self._frame(0x81, number)

    def _push_end(self) -> None:
        self._in_parts = False
        self._frame(0x80, b"end")

    def _say_close(self, payload: bytes) -> None:
        if not self._closed:
            self._closed = True
            self._frame(0x88, payload)

    def _frame(self, first: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes([first, size])
        else:
            head = struct.pack(">BBH" if size < 65536 else ">BBQ", first, 126 + (size > 65535), size)
        self._send(head + payload)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.end()

    def read(self) -> None:
        try:
            data = self._receive()
        except OSError:
            # On CPython 3.14 and 3.15 that may be what a send on another connection has left with OpenSSL.
            self._server.forget_errors()
            try:
                data = self._receive()
            except OSError:
                data = b""
        if not data:
            self.end()
            return
        self._data += data
        if not self.path:
            self._read_request()
        while self.path and (frame := self._take_frame()):
            self._handle(*frame)

    def _receive(self) -> bytes:
        data = self._socket.recv(2**18)
        while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            data += self._socket.recv(2**18)
        return data

    def _read_request(self) -> None:
        head, empty, rest = self._data.partition(b"\r\n\r\n")
        if not empty:
            return
        lines = head.decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n"
            + ("Sec-WebSocket-Extensions: permessage-deflate\r\n" if self._server.deflate else "")
            + "\r\n"
        )
        self._data, self.path = rest, path
        if path == "/flaky" and next(self._server.refusals) % 2 == 0:
            self._send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.end()
        elif path == "/slow":
            self._server.later(LATE, lambda: self._send(answer.encode()))
        else:
            self._send(answer.encode())
        if path == "/deaf":
            self._server.pause(self._socket, self, DEAF)

    def _take_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 6:
            return None
        size, at = data[1] & 127, 2
        if size > 125:
            at += 2 if size == 126 else 8
            size = int.from_bytes(data[2:at], "big")
        end = at + 4 + size
        if len(data) < end:
            return None
        mask, payload = bytes(data[at : at + 4]), bytes(data[at + 4 : end])
        first = data[0]
        del data[:end]
        repeated = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
        return first, plain.to_bytes(size, "big")

    def _handle(self, first: int, payload: bytes) -> None:
        opcode = first & 15
        if opcode == 8:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._say_close(payload)
            self.end()
        elif opcode == 9:
            self._frame(0x8A, payload)
        elif opcode < 3:
            if opcode:
                self._packed = bool(first & 0x40)
            self._parts.append(payload)
            if first & 0x80:
                message = b"".join(self._parts)
                self.received.append(self._unpacker.decompress(message + TAIL) if self._packed else message)
                self._parts = []

    def end(self) -> None:
        if not self.ended.is_set():
            self._server.forget(self._socket)
            self.ended.set()


class Server:
    """Serves until `stop`, or until the process ends.

    Attributes:
        options: those of a client that trusts it, and offers compression only where the server takes it.
        deflate: whether messages are compressed, each with the context of those before it.
    """

    def __init__(self, tls: bool = False, deflate: bool = False) -> None:
        self.options: dict[str, Any] = {"compression": "deflate" if deflate else None}
        self.deflate = deflate
        self._context: ssl.SSLContext | None = None
        if tls:
            import trustme  # trustme is not available for every interpreter that is swept.

            authority = trustme.CA()
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(self._context)
            self.options["ssl_context"] = ssl.create_default_context()
            authority.configure_trust(self.options["ssl_context"])
        self.sessions: list[Session] = []
        self.refusals = itertools.count()
        self._jobs: collections.deque[tuple[float, Callable[[], None]]] = collections.deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._woken, selectors.EVENT_READ, self)
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        connection = self._listener.accept()[0]
        if self._context is None:
            self._begin(connection)
        else:
            # The server ends by itself: a client that a handler has interrupted may take its time.
            threading.Thread(target=self._handshake, args=(connection,), daemon=True).start()

    def _handshake(self, connection: socket.socket) -> None:
        assert self._context is not None
        connection.settimeout(HANDSHAKE)
        try:
            secure = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
        else:
            self.later(0.0, lambda: self._begin(secure))

    def _begin(self, connection: socket.socket) -> None:
        session = Session(self, connection)
        self._selector.register(connection, selectors.EVENT_READ, session)
        self.sessions.append(session)

    def later(self, delay: float, job: Callable[[], None]) -> None:
        self._jobs.append((time.monotonic() + delay, job))
        try:
            self._wake.send(b"x")
        except BlockingIOError:
            pass  # The thread is awake already.

    def pause(self, connection: socket.socket, session: Session, seconds: float) -> None:
        self._selector.unregister(connection)

        def resume() -> None:
            if not session.ended.is_set():
                self._selector.register(connection, selectors.EVENT_READ, session)

        self.later(seconds, resume)

    def forget(self, connection: socket.socket) -> None:
        try:
            self._selector.unregister(connection)
        except KeyError:
            pass  # The server does not read from this one at present.
        connection.close()

    def forget_errors(self) -> None:
        """Empty this thread's list of OpenSSL's errors, as each handshake does."""
        if self._context is not None:
            with contextlib.suppress(ssl.SSLError):
                self._context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).do_handshake()

    def stop(self) -> None:
        """End all connections, and the thread."""
        self._stopped = True
        self.later(0.0, lambda: None)
        self._thread.join()
        for session in self.sessions:
            session.end()
        self._selector.close()
        for each in (self._listener, self._woken, self._wake):
            each.close()

    def _run(self) -> None:
        while not self._stopped:
            while self._jobs:
                when, job = self._jobs.popleft()
                heapq.heappush(self._timers, (when, next(self._serial), job))
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            if self._jobs:
                continue
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(timeout):
                if key.data is None:
                    self._accept()
                elif key.data is self:
                    self._woken.recv(4096)
                else:
                    key.data.read()
