"""The server that all clients are measured against, in a process of its own.

It does as little as a server can: it makes what it sends beforehand, and counts what it receives by bytes,
since it knows the length of each frame. So it is several times faster than any client.

    /flood?size=&text=&deflate=    each text message "n" is answered with n messages
    /sink?size=&deflate=           after a text message "n" come n messages, which are answered with "ok"
    /answer?size=&text=            each message is answered with one of the same size
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.metrics import Metric, payloads

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BLOCK = 256 * 1024
READ = 1024 * 1024


def frame(data: str | bytes, deflate: bool = False) -> bytes:
    """The frame of a message from a server, compressed without context if asked for."""
    first = 0x81 if isinstance(data, str) else 0x82
    body = data.encode() if isinstance(data, str) else data
    if deflate:
        packer = zlib.compressobj(wbits=-15)
        body = (packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= 0x40
    if len(body) < 126:
        return bytes((first, len(body))) + body
    if len(body) < 65536:
        return bytes((first, 126)) + len(body).to_bytes(2, "big") + body
    return bytes((first, 127)) + len(body).to_bytes(8, "big") + body


def client_frame_size(size: int) -> int:
    """How many bytes the frame of a client takes, whose payload has `size` bytes."""
    return size + (6 if size < 126 else 8 if size < 65536 else 14)


class Session:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.held = b""
        self.at = 0  # how many of these bytes are used up
        self.dropped: memoryview | None = None

    def left(self) -> int:
        return len(self.held) - self.at

    def read_to(self, end: bytes) -> bytes:
        while (found := self.held.find(end, self.at)) < 0:
            self._receive()
        return self.take(found + len(end) - self.at)

    def take(self, size: int) -> bytes:
        while self.left() < size:
            self._receive()
        self.at += size
        return self.held[self.at - size : self.at]

    def skip(self, size: int) -> None:
        """Drop so many bytes."""
        if size <= self.left():
            self.at += size
            return
        size -= self.left()
        self.held, self.at = b"", 0
        if self.dropped is None:
            self.dropped = memoryview(bytearray(READ))
        buffer = self.dropped
        while size:
            got = self.socket.recv_into(buffer[: min(size, len(buffer))])
            if not got:
                raise EOFError
            size -= got

    def read_header(self) -> tuple[int, int]:
        """The first byte of the next frame, and the length of its payload."""
        first, second = self.take(2)
        length = second & 127
        if length > 125:
            length = int.from_bytes(self.take(2 if length == 126 else 8), "big")
        return first, length

    def read_number(self) -> int:
        """The text message that asks for a number of messages."""
        while True:
            first, length = self.read_header()
            key, body = self.take(4), self.take(length)
            if first & 15 == 1:
                text = bytes(octet ^ key[i % 4] for i, octet in enumerate(body))
                return int(zlib.decompressobj(-15).decompress(text + b"\0\0\xff\xff") if first & 64 else text)
            if first & 15 == 8:
                raise EOFError

    def _receive(self) -> None:
        data = self.socket.recv(64 * 1024)
        if not data:
            raise EOFError
        self.held, self.at = self.held[self.at :] + data, 0


def handshake(session: Session) -> tuple[str, dict[str, int]]:
    """Accept; the path, and the numbers of the query."""
    head = session.read_to(b"\r\n\r\n").decode("latin-1")
    target = urlsplit(head.split(" ", 2)[1])
    query = {name: int(values[0]) for name, values in parse_qs(target.query).items()}
    key = re.search(r"(?im)^sec-websocket-key: *(\S+)", head)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1].encode() + GUID).digest()).decode()
    fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    if query.get("deflate"):
        fields += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
        fields += "; client_no_context_takeover\r\n"
    session.socket.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode())
    return target.path, query


def flood(session: Session, metric: Metric) -> None:
    frames = [frame(data, metric.deflate) for data in payloads(metric)]
    one_round = b"".join(frames)
    rounds = max(1, BLOCK // len(one_round))
    block, held = one_round * rounds, len(frames) * rounds
    while True:
        left = session.read_number()
        while left >= held:
            session.socket.sendall(block)
            left -= held
        session.socket.sendall(b"".join(frames[number % len(frames)] for number in range(left)))


def sink(session: Session, metric: Metric) -> None:
    ok = frame("ok")
    while True:
        left = session.read_number()
        if metric.deflate or metric.size >= 65536:
            while left:  # These frames have lengths that only the client knows, or are fragments.
                first, length = session.read_header()
                session.skip(length + 4)
                left -= first >> 7
        else:
            session.skip(left * client_frame_size(metric.size))
        session.socket.sendall(ok)


def answer(session: Session, metric: Metric) -> None:
    reply = frame(payloads(metric)[0], metric.deflate)
    if metric.deflate:
        while True:  # These frames have lengths that only the client knows.
            first, length = session.read_header()
            session.skip(length + 4)
            if first & 0x80:
                session.socket.sendall(reply)
    size = client_frame_size(metric.size)
    received = session.left()
    receive, send = session.socket.recv, session.socket.sendall
    while True:
        whole, received = divmod(received, size)
        if whole:
            send(reply * whole)
        data = receive(READ)
        if not data:
            return
        received += len(data)


def echo_nothing(session: Session, metric: Metric) -> None:
    while session.socket.recv(READ):
        pass


listening: list[socket.socket] = []


def listen_to_broadcasts(session: Session, metric: Metric) -> None:
    listening.append(session.socket)
    try:
        echo_nothing(session, metric)
    finally:
        listening.remove(session.socket)


def broadcast(session: Session, metric: Metric) -> None:
    """Send a message to each session, once all of them listen."""
    one = frame(payloads(metric)[0])
    while True:
        count = session.read_number()
        while len(listening) < count:
            time.sleep(0.001)
        for sock in listening[-count:]:
            sock.sendall(one)


SERVICES: dict[str, Callable[[Session, Metric], None]] = {
    "/flood": flood,
    "/sink": sink,
    "/answer": answer,
    "/idle": echo_nothing,
    "/listen": listen_to_broadcasts,
    "/broadcast": broadcast,
}


def serve(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            session = Session(sock)
            path, query = handshake(session)
            metric = Metric("", "", size=query.get("size", 32), is_text=bool(query.get("text")))
            SERVICES[path](session, metric._replace(deflate=bool(query.get("deflate"))))
    except (OSError, EOFError):
        pass  # The client is gone.


def accept_all(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        sock = listener.accept()[0]
        threading.Thread(target=serve, args=(sock, context), daemon=True).start()


def listen(context: ssl.SSLContext | None) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=accept_all, args=(listener, context), daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def make_context(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the path of the file of its authority."""
    import trustme

    authority = trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # Clients that share an SSLSocket between threads hang at session tickets.
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context, str(path)


def lines() -> Iterator[str]:
    context, authority = make_context(Path(sys.argv[1]))
    yield json.dumps({"ws": listen(None), "wss": listen(context), "ca": authority, "pid": os.getpid()})


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    for line in lines():
        print(line, flush=True)
    sys.stdin.read()  # The end of stdin is the end of the run.
