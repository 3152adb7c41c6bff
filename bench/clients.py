"""The clients that are compared: how each one opens, sends and receives.

Each client gives text as `str` and binary messages as `bytes`, whole, as programs want them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

LIMIT = 64 * 1024 * 1024
SECONDS = 30.0


class Link(NamedTuple):
    """An open connection: `receive` is None where messages come to a callback."""

    send_text: Callable[[Any], object]
    send_binary: Callable[[Any], object]
    receive: Callable[[], Any] | None
    cut: Callable[[], object]


class Server(NamedTuple):
    """Where to connect to, and by which authority to trust it."""

    url: str
    ca: str
    deflate: bool


class Client:
    """One column of the table.

    Attributes:
        package: the package that must be installed.
        modules: the modules that the metric `import` imports.
        deflate: whether it offers compression.
    """

    package = ""
    needs: tuple[str, ...] = ()
    modules = ""
    deflate = False

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        """Connect; `hear` is called with each message where there is no `receive`."""
        raise NotImplementedError

    def version(self) -> str | None:
        """The version; None if the client is not installed."""
        try:
            for package in self.needs:
                importlib.metadata.version(package)
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


def trust(server: Server) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=server.ca) if server.url.startswith("wss") else None


class SyncwsBlocking(Client):
    package, modules, deflate = "syncws", "syncws; syncws.WebSocket; syncws.connect", True

    def version(self) -> str | None:
        import syncws

        return f"{syncws.__version__}, {'with' if syncws.speedups else 'without'} C"

    def options(self, server: Server) -> dict[str, Any]:
        compression = "deflate" if server.deflate else None
        return {"ssl_context": trust(server), "max_size": LIMIT, "compression": compression}

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        import syncws

        connection = syncws.connect(server.url, **self.options(server))
        return Link(connection.send, connection.send, connection.recv, connection.abort)


class SyncwsCallback(SyncwsBlocking):
    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        import syncws

        ws = syncws.WebSocket(server.url, onmessage=lambda event: hear(event.data), **self.options(server))
        ws.wait_open(SECONDS)
        return Link(ws.send, ws.send, None, ws.abort)


class WebsocketClient(Client):
    package, needs, modules = "websocket-client", ("wsaccel",), "websocket"

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        import websocket

        context = trust(server)
        ws = websocket.create_connection(server.url, sslopt={"context": context} if context else None)
        return Link(ws.send, ws.send_binary, ws.recv, ws.shutdown)


class Websockets(Client):
    package, modules, deflate = "websockets", "websockets.sync.client", True

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        from websockets.sync.client import connect

        compression = "deflate" if server.deflate else None
        ws = connect(server.url, ssl=trust(server), max_size=None, proxy=None, compression=compression)
        return Link(ws.send, ws.send, ws.recv, lambda: ws.socket.shutdown(socket.SHUT_RDWR))


class CurlCffi(Client):
    package, modules = "curl-cffi", "curl_cffi"

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        from curl_cffi import CurlWsFlag, WebSocket

        ws, text = WebSocket(max_message_size=LIMIT), int(CurlWsFlag.TEXT)
        ws.connect(server.url, verify=server.ca if server.url.startswith("wss") else None)

        def receive() -> str | bytes:
            data, flags = ws.recv()
            return data.decode() if flags & text else data  # type: ignore[no-any-return]  # it leaves the decoding to its caller

        return Link(lambda data: ws.send(data, text), ws.send, receive, ws.terminate)


class Rnet(Client):
    package, modules = "rnet", "rnet.blocking"
    _client: Any = None

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        import rnet
        import rnet.blocking

        if self._client is None:
            self._client = rnet.blocking.BlockingClient(verify=Path(server.ca))
        ws = self._client.websocket(server.url, max_frame_size=LIMIT, max_message_size=LIMIT)
        make = rnet.Message

        def receive() -> Any:
            message = ws.recv()
            text = message.text
            return message.data if text is None else text

        return Link(
            lambda data: ws.send(make.from_text(data)),
            lambda data: ws.send(make.from_binary(data)),
            receive,
            lambda: None,  # The close() of this client waits for the server.
        )


class Lomond(Client):
    package, modules, deflate = "lomond", "lomond", True

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        import lomond

        context = trust(server)
        more = {"ssl_context": context} if context else {}
        ws = lomond.WebSocket(server.url, proxies={}, compress=server.deflate, **more)
        events = iter(ws.connect(ping_rate=0))
        for event in events:
            if event.name == "ready":
                break
            if event.name not in ("connecting", "connected"):
                raise OSError(str(event))

        def receive() -> str | bytes:
            for event in events:
                if event.name == "text":
                    return event.text  # type: ignore[no-any-return]
                if event.name == "binary":
                    return event.data  # type: ignore[no-any-return]
            raise EOFError

        return Link(ws.send_text, ws.send_binary, receive, ws.session.close)


class Raw(Client):
    """A bare socket that knows the length of every frame: what a client costs without its own work.

    Its masking key is zero, and it makes each frame once.
    """

    package = "raw"

    def version(self) -> str | None:
        return "a bare socket"

    def connect(self, server: Server) -> socket.socket:
        target = urlsplit(server.url)
        sock = socket.create_connection((target.hostname, target.port or 80))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = trust(server)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=target.hostname)
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        fields += f"Host: {target.netloc}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        sock.sendall(f"GET {target.path}?{target.query} HTTP/1.1\r\n{fields}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                raise EOFError
            head += byte
        return sock

    def open(self, server: Server, hear: Callable[[Any], object]) -> Link:
        sock = self.connect(server)
        return Link(lambda _: None, lambda _: None, None, sock.close)


def raw_frame(data: str | bytes) -> bytes:
    """The frame of a client, with a masking key of zeros."""
    first = 0x81 if isinstance(data, str) else 0x82
    body = data.encode() if isinstance(data, str) else data
    if len(body) < 126:
        return bytes((first, 128 | len(body))) + bytes(4) + body
    form, code = ("!BBH", 126) if len(body) < 65536 else ("!BBQ", 127)
    return struct.pack(form, first, 128 | code, len(body)) + bytes(4) + body


CLIENTS: dict[str, Client] = {
    "syncws callback": SyncwsCallback(),
    "syncws blocking": SyncwsBlocking(),
    "websocket-client + wsaccel": WebsocketClient(),
    "websockets": Websockets(),
    "curl-cffi": CurlCffi(),
    "rnet": Rnet(),
    "lomond": Lomond(),
    "raw": Raw(),
}
PEERS = [name for name in CLIENTS if name != "raw" and not name.startswith("syncws")]


class Heard:
    """Counts what a callback hears."""

    def __init__(self) -> None:
        self._left = 0
        self._all = threading.Event()
        self.last: Any = None
        self.each: Callable[[Any], object] | None = None

    def expect(self, count: int, each: Callable[[Any], object] | None = None) -> None:
        self._all.clear()
        self.each, self._left = each, count

    def hear(self, data: Any) -> None:
        self._left -= 1
        if self.each is not None:
            self.each(data)
        if not self._left:
            self.last = data
            self._all.set()

    def wait(self) -> None:
        if not self._all.wait(SECONDS):
            raise TimeoutError(f"{self._left} messages have not come")


if sys.platform == "win32":
    raise SystemExit("bench takes Unix")
