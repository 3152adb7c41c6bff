"""Both directions of one wss connection at the same time."""

from __future__ import annotations

import hashlib
import random
import select
import selectors
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from syncws._protocol.frames import Opcode
from syncws._transport.tls import TLSStream
from syncws.testing import LoopbackServer, Peer, PeerClosed, frame_bytes
from tests.support.clients import Client
from tests.support.servers import drain
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

TOTAL = 20 * 2**20
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def make_messages(seed: int) -> list[bytes]:
    """Messages of many sizes, `TOTAL` bytes in all."""
    source = random.Random(seed)
    messages, left = [], TOTAL
    while left:
        size = min(left, source.choice((1, 125, 4000, 16384, 70_000, 300_000)))
        messages.append(source.randbytes(size))
        left -= size
    return messages


def summary(messages: list[bytes]) -> tuple[int, str]:
    return len(messages), hashlib.sha256(b"".join(messages)).hexdigest()


def exchange(peer: Peer, outgoing: bytes, incoming: int) -> bytes:
    """Send all of the one and receive so many bytes, both as fast as the client allows, in one thread."""
    connection, received, sent = peer.socket, bytearray(), 0
    connection.setblocking(False)
    with memoryview(outgoing) as view:
        while sent < len(view) or len(received) < incoming:
            moved = False
            try:
                received += connection.recv(65536)
                moved = True
            except ssl.SSLWantReadError:
                pass
            if sent < len(view):
                try:
                    sent += connection.send(view[sent : sent + 65536])
                    moved = True
                except ssl.SSLWantWriteError:
                    pass
            if not moved:
                select.select([connection], [connection] if sent < len(view) else [], [], SECONDS)
    connection.setblocking(True)
    return bytes(received)


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["TLS 1.2", "TLS 1.3"])
def test_20_mb_each_way_at_once_arrive_unchanged(
    version: ssl.TLSVersion, server_ssl_context: ssl.SSLContext, authority: trustme.CA
) -> None:
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    client_context.minimum_version = client_context.maximum_version = version

    def script(peer: Peer) -> None:
        peer.accept()
        outgoing = b"".join(frame_bytes(Opcode.BINARY, message) for message in from_server)
        masked = sum(len(frame_bytes(Opcode.BINARY, message, key=b"1234")) for message in from_client)
        peer._buffer += exchange(peer, outgoing, masked)
        messages = [peer.recv() for _ in from_client]
        received.append(summary([message for message in messages if isinstance(message, bytes)]))
        with pytest.raises(PeerClosed):
            peer.recv()
        peer.send_close(1000)

    from_server, from_client = make_messages(1), make_messages(2)
    received: list[tuple[int, str]] = []
    with LoopbackServer(script, tls=server_ssl_context) as server:
        with Client(server.url, ssl_context=client_context, compression=None) as client:
            ws = client.wait_open()
            for message in from_client:
                ws.send(message)
            assert summary([client.receive() for _ in from_server]) == summary(from_server)
            ws.close()
            assert client.wait_closed().wasClean
        assert ws.bufferedAmount == 0
    assert received == [summary(from_client)]


class Watched(socket.socket):
    """Keeps how many bytes each read asks for."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected.family, connected.type, fileno=connected.detach())
        self.asked: list[int] = []

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.asked.append(size)
        return super().recv(size, flags)


@pytest.mark.parametrize("into", [False, True], ids=["bytes", "into a place"])
def test_however_much_is_wanted_no_more_is_read_at_once_than_openssl_should_keep(
    into: bool, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    """A `MemoryBIO` stays as large as it ever was, as long as the connection lives."""
    size, most, room = 2 * 2**20, 256 * 1024, bytearray(2**20)
    got, count = 0, None

    def script(peer: Peer) -> None:
        peer.send_bytes(bytes(size))
        drain(peer)

    def wait_readable() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            assert selector.select(SECONDS), "nothing came"

    with (
        LoopbackServer(script, tls=server_ssl_context) as server,
        Watched(socket.create_connection(("127.0.0.1", server.port))) as sock,
    ):
        sock.setblocking(False)
        stream = TLSStream(sock, client_ssl_context, "localhost")
        while not stream.handshake_step():
            wait_readable()
            stream.receive_handshake()
        while got < size:
            if into:
                count = stream.recv_into(memoryview(room))
            else:
                data = stream.recv(len(room))
                count = None if data is None else len(data)
            if count is None:
                wait_readable()
            got += count or 0
        stream.close()
    assert got == size
    assert max(sock.asked) == most
