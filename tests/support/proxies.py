"""A small scripted proxy: HTTP CONNECT over plain TCP and TLS, SOCKS4, SOCKS4a, SOCKS5, and their failures.

It takes every name for this machine's, so that a name which only the proxy can resolve shows who resolved it.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Self = TypeVar("Self", bound="Proxy")

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")

# The steps at which a proxy may fall silent or end TCP: before its first word, and before its last.
STEPS = ("greeting", "answer")


@dataclass
class Asked:
    """The request of a client: host and port, its credentials, and the head of an HTTP request."""

    host: str
    port: int
    credentials: tuple[str, str] | None = None
    head: str = ""


@dataclass
class Proxy:
    """A proxy that runs until the end of its with-block.

    Attributes:
        scheme: what it speaks.
        credentials: user and password that it wants, None for none.
        context: for ``https``, with a certificate.
        answer: the answer of an HTTP proxy instead of 200, as bytes; or the code of a SOCKS proxy's refusal.
        silent_at, end_at: the step at which it says nothing more, or ends TCP.
        drip: whether it sends its answers byte by byte.
        asked: the requests, in order.
    """

    scheme: str
    credentials: tuple[str, str] | None = None
    context: ssl.SSLContext | None = None
    answer: bytes | int | None = None
    silent_at: str | None = None
    end_at: str | None = None
    drip: bool = False
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __enter__(self: Self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ending.set()
        self._listener.close()
        self.cut()
        with contextlib.suppress(OSError):  # This wakes accept() on systems where closing does not.
            dial(self.host, self.port).close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "the proxy does not end"
        if kind is None and self.errors:
            raise self.errors[0]

    def cut(self) -> None:
        """End the connections that are open."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                # This is not SSLSocket.shutdown(), since another thread reads through its state.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """The URL of the proxy, with the credentials that it wants."""
        userinfo = "" if self.credentials is None else f"{self.credentials[0]}:{self.credentials[1]}@"
        return self.url_with(userinfo)

    def url_with(self, userinfo: str) -> str:
        host = "localhost" if self.scheme == "https" else f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{userinfo}{host}:{self.port}"

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        try:
            with sock:
                if self.context is not None:
                    with self.context.wrap_socket(sock, server_side=True) as secure:
                        self._open.add(secure)
                        self._converse(secure)
                else:
                    self._converse(sock)
        except (OSError, EOFError, _EndedError):
            pass  # The client, or the end of the test, ended the connection.
        except BaseException as error:
            self.errors.append(error)

    def _converse(self, sock: socket.socket) -> None:
        serve: Callable[[socket.socket], Asked | None] = {
            "http": self._serve_http,
            "https": self._serve_http,
            "socks4": self._serve_socks4,
            "socks4a": self._serve_socks4,
            "socks5": self._serve_socks5,
            "socks5h": self._serve_socks5,
        }[self.scheme]
        asked = serve(sock)
        if asked is None:
            return
        host = asked.host if asked.host[0] in ":[" or asked.host[0].isdigit() else "127.0.0.1"
        with dial(host.strip("[]"), asked.port) as server:
            self._open.add(server)
            self._say(sock, self._granted())
            pump(sock, server)

    def _granted(self) -> bytes:
        if self.scheme.startswith("http"):
            return b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"
        if self.scheme.startswith("socks4"):
            return b"\0\x5a\0\0\0\0\0\0"
        return b"\x05\0\0\x01\x7f\0\0\x01\x1f\x90"

    def _reach(self, step: str) -> None:
        if self.silent_at == step:
            self._ending.wait(30)
            raise _EndedError
        if self.end_at == step:
            raise _EndedError

    def _say(self, sock: socket.socket, data: bytes) -> None:
        for part in [data[at : at + 1] for at in range(len(data))] if self.drip else [data]:
            sock.sendall(part)

    def _serve_http(self, sock: socket.socket) -> Asked | None:
        head = read_until(sock, b"\r\n\r\n").decode("latin-1")
        self._reach("greeting")
        method, target, _ = head.split("\r\n")[0].split(" ")
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        fields = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))
        }
        assert fields["host"] == target
        given = fields.get("proxy-authorization", "").partition("Basic ")[2]
        user, _, password = base64.b64decode(given).decode().partition(":")
        asked = Asked(host, int(port), (user, password) if given else None, head)
        self.asked.append(asked)
        self._reach("answer")
        if isinstance(self.answer, bytes):
            self._say(sock, self.answer)
            return None
        if asked.credentials != self.credentials:
            fields_of_407 = b'Proxy-Authenticate: Basic realm="test"\r\nContent-Length: 7\r\n\r\nwho are'
            self._say(sock, b"HTTP/1.1 407 Proxy Authentication Required\r\n" + fields_of_407)
            return None
        return asked

    def _serve_socks4(self, sock: socket.socket) -> Asked | None:
        head = read_exactly(sock, 8)
        assert head[:2] == b"\x04\x01"
        self._reach("greeting")
        user = read_until(sock, b"\0")[:-1].decode()
        host = socket.inet_ntoa(head[4:8])
        if host.startswith("0.0.0."):
            assert self.scheme == "socks4a"
            host = read_until(sock, b"\0")[:-1].decode()
        self.asked.append(
            asked := Asked(host, int.from_bytes(head[2:4], "big"), (user, "") if user else None)
        )
        self._reach("answer")
        wanted = None if self.credentials is None else (self.credentials[0], "")
        code = self.answer if isinstance(self.answer, int) else 0x5D if asked.credentials != wanted else None
        if isinstance(self.answer, bytes) or code is not None:
            self._say(
                sock, self.answer if isinstance(self.answer, bytes) else bytes((0, code or 0)) + bytes(6)
            )
            return None
        return asked

    def _serve_socks5(self, sock: socket.socket) -> Asked | None:
        version, count = read_exactly(sock, 2)
        assert version == 5
        methods = read_exactly(sock, count)
        self._reach("greeting")
        given = None
        method = 0 if self.credentials is None else 2
        if method not in methods:
            self._say(sock, b"\x05\xff")
            return None
        self._say(sock, bytes((5, method)))
        if method == 2:
            assert read_exactly(sock, 1) == b"\x01"
            user = read_exactly(sock, read_exactly(sock, 1)[0]).decode()
            password = read_exactly(sock, read_exactly(sock, 1)[0]).decode()
            given = (user, password)
            self._say(sock, b"\x01" + (b"\0" if given == self.credentials else b"\x01"))
            if given != self.credentials:
                return None
        assert read_exactly(sock, 3) == b"\x05\x01\0"
        kind = read_exactly(sock, 1)[0]
        if kind == 3:
            host = read_exactly(sock, read_exactly(sock, 1)[0]).decode()
        elif kind == 1:
            host = socket.inet_ntoa(read_exactly(sock, 4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, read_exactly(sock, 16))
        self.asked.append(asked := Asked(host, int.from_bytes(read_exactly(sock, 2), "big"), given))
        self._reach("answer")
        if self.answer is not None:
            refusal = (
                bytes((5, self.answer, 0, 1)) + bytes(6) if isinstance(self.answer, int) else self.answer
            )
            self._say(sock, refusal)
            return None
        return asked


class _EndedError(Exception):
    """The script has ended the connection."""


@contextlib.contextmanager
def relay(host: str, port: int) -> Iterator[int]:
    """A port on `host` behind which is another of this machine's: for servers that have one family alone."""
    with _Relay("http", host=host, target=port) as made:
        yield made.port


@dataclass
class _Relay(Proxy):
    target: int = 0

    def _converse(self, sock: socket.socket) -> None:
        with dial("127.0.0.1", self.target) as server:
            self._open.add(server)
            pump(sock, server)


@contextlib.contextmanager
def silent(host: str) -> Iterator[int]:
    """A port on `host` that takes no connection and refuses none: its backlog is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), family=family, backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            sock = stack.enter_context(socket.socket(family))
            sock.setblocking(False)
            sock.connect_ex((host, port))
        yield port


def dial(address: str, port: int) -> socket.socket:
    """Connect without a look-up, since a test may have replaced that."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (part := sock.recv(count - len(data))):
            raise EOFError
        data += part
    return data


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += read_exactly(sock, 1)
    return data


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways at once until one side ends."""
    ways = [(one, other, bytearray()), (other, one, bytearray())]
    for sock in (one, other):
        sock.setblocking(False)
    while True:
        moved = False
        for source, target, waiting in ways:
            with contextlib.suppress(*_NOT_NOW):
                if len(waiting) < 1 << 20:
                    data = source.recv(65536)
                    if not data:
                        return _finish(target, waiting)
                    waiting += data
                    moved = True
            with contextlib.suppress(*_NOT_NOW):
                while waiting:
                    del waiting[: target.send(waiting)]
                    moved = True
        if not moved:
            full = [target for _, target, waiting in ways if waiting]
            select.select([one, other], full, [], 30)


_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def _finish(target: socket.socket, waiting: bytearray) -> None:
    target.setblocking(True)
    target.sendall(waiting)
