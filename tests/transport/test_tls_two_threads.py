"""Reader and writer use one TLS connection at the same time, and OpenSSL never notices.

Two threads on one `SSLSocket` crash the process soon when they begin right after a TLS 1.3 handshake, with
the server's session tickets still under way. So these run in processes of their own, whose exit status
tells. The stream alone shows a missing lock within some dozen connections; the whole connection is what
users have, where the answer to the opening handshake comes between.
"""

from __future__ import annotations

import ssl
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import run_silently
from tests.support.stress import amount
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

CONNECTIONS = amount(300, 60)

# The stream alone: nothing stands between the handshake and the two threads.
STREAM = """
    import selectors, socket, ssl, sys, threading
    from syncws._transport.tls import TLSStream

    port, count, authority = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # its session tickets come after the handshake

    def wait(sock):
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            assert selector.select(20), "nothing came"

    def read():
        got = b""
        barrier.wait()
        while not got.endswith(b"END"):
            data = stream.recv(65536)
            assert data != b"", "ended too early"
            if data is None:
                wait(sock)
            else:
                got += data
        results.append(len(got))

    def write():
        barrier.wait()
        for _ in range(20):
            stream.send(b"x" * 1500)
        results.append("sent")

    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        stream = TLSStream(sock, context, "localhost")
        while not stream.handshake_step():
            wait(sock)
            stream.receive_handshake()
        barrier, results = threading.Barrier(2), []
        threads = [threading.Thread(target=body) for body in (read, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, results)) == ["86019", "sent"], results
        stream.close()
    print(count)
"""

# The whole of it: the answer to the opening handshake and the first messages come in one piece.
WEBSOCKET = """
    import ssl, sys, threading
    import syncws

    port, count, authority = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=authority)

    def send(event):
        for _ in range(20):
            event.target.send(b"x" * 1500)

    for _ in range(count):
        received, closed = [], []
        ws = syncws.WebSocket(
            f"wss://localhost:{port}/",
            compression=None,
            ssl_context=context,
            onopen=send,
            onmessage=lambda event: received.append(len(event.data)),
            onclose=closed.append,
        )
        ws.join(20)
        assert closed[0].wasClean and sum(received) == 21 * 4096, (closed, sum(received))
    print(count)
"""


def serve_bytes(peer: Peer) -> None:
    got = 0
    peer.send_bytes(b"S" * 4096)
    while got < 30000:
        got += len(peer.recv_exactly(1500))
        peer.send_bytes(b"S" * 4096)
    peer.send_bytes(b"END")
    peer.wait_eof(SECONDS)


def serve_websocket(peer: Peer) -> None:
    peer.accept()
    peer.send(b"S" * 4096)
    for _ in range(20):
        assert peer.recv() == b"x" * 1500
        peer.send(b"S" * 4096)
    peer.send_close(1000)
    with pytest.raises(PeerClosed):
        peer.recv()


@pytest.mark.parametrize(
    ("program", "script"),
    [(STREAM, serve_bytes), (WEBSOCKET, serve_websocket)],
    ids=["the stream", "the whole connection"],
)
def test_many_connections_with_reader_and_writer_released_together_end_in_order(
    program: str, script: object, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with LoopbackServer(script, tls=server_ssl_context) as server:  # type: ignore[arg-type]
        program = textwrap.dedent(program)
        arguments = (str(server.port), str(CONNECTIONS), str(trusted))
        assert run_silently("-X", "faulthandler", "-c", program, *arguments) == f"{CONNECTIONS}\n"
