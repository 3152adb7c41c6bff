"""New keys in the middle of a connection: TLS 1.3's key update, TLS 1.2's renegotiation.

Python's `ssl` cannot ask for either, so the server is OpenSSL's own, `openssl s_server`, whose input goes
to the client as it is, but for the lines that are commands.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, accept_key, frame_bytes
from tests.support.clients import Client
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="the program openssl is not installed")


class OpenSSL:
    """A running `openssl s_server` that has, or will have, one client."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said, self._at = b"", 0
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="s_server output")
        self._reader.start()
        self.port = int(self.wait(rb"ACCEPT \S+:(\d+)")[1])

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(65536):  # unbuffered: what there is
            with self._more:
                self._said += data
                self._more.notify_all()

    def wait(self, pattern: bytes) -> re.Match[bytes]:
        """Wait for the next such thing in what it printed, which is also what the client sent."""
        search = re.compile(pattern, re.DOTALL).search
        with self._more:
            found = self._more.wait_for(lambda: search(self._said, self._at), SECONDS)
            assert found, f"{pattern!r} is not in {self._said[self._at :]!r}"
            self._at = found.end()
            return found

    def write(self, data: bytes) -> None:
        """Send to the client, or give a command: one piece of input is one or the other."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def answer_handshake(self) -> None:
        key = self.wait(rb"Sec-WebSocket-Key: (\S+)\r\n.*\r\n\r\n")[1].decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.write(f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())

    def stop(self) -> None:
        self._process.kill()
        self._reader.join(SECONDS)


@contextlib.contextmanager
def s_server(folder: Path, authority: trustme.CA, *options: str) -> Iterator[OpenSSL]:
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    assert OPENSSL is not None
    command = [OPENSSL, "s_server", "-accept", "127.0.0.1:0", "-cert", "both.pem", "-key", "both.pem", "-msg"]
    with subprocess.Popen(
        [*command, *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        server = OpenSSL(process)
        try:
            yield server
        finally:
            server.stop()


def exchange(server: OpenSSL, client: Client, text: str, ahead: bytes = b"") -> None:
    """A message each way, with something ahead of the client's."""
    server.write(frame_bytes(Opcode.TEXT, text.encode()))
    assert client.receive() == text
    marked = b"from the client: " + text.encode()
    client.ws.send(marked)
    server.wait(ahead)
    head = re.escape(frame_bytes(Opcode.BINARY, marked, key=bytes(4))[:2])
    found = server.wait(head + rb"(.{4})(.{%d})" % len(marked))
    key, masked = found[1], found[2]
    assert bytes(byte ^ key[at % 4] for at, byte in enumerate(masked)) == marked


FINISHED = rb"[<>]{3} [^\n]*Finished"


@pytest.mark.parametrize(
    ("version", "command", "steps", "ahead"),
    [
        ("-tls1_3", b"k\n", [rb">>> [^\n]*KeyUpdate"], b""),
        # RFC 8446 4.6.3: the answer goes ahead of the next data; OpenSSL sends it no sooner.
        ("-tls1_3", b"K\n", [rb">>> [^\n]*KeyUpdate"], rb"<<< [^\n]*KeyUpdate"),
        ("-tls1_2", b"r\n", [rb">>> [^\n]*HelloRequest", rb"<<< [^\n]*ClientHello", FINISHED, FINISHED], b""),
    ],
    ids=["key update", "key update of both", "renegotiation"],
)
def test_new_keys_are_taken_and_answered_also_by_an_idle_connection(
    version: str,
    command: bytes,
    steps: list[bytes],
    ahead: bytes,
    tmp_path: Path,
    authority: trustme.CA,
    client_ssl_context: ssl.SSLContext,
) -> None:
    with s_server(tmp_path, authority, version) as server:
        url = f"wss://localhost:{server.port}/"
        options: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 0.1}
        with Client(url, ssl_context=client_ssl_context, **options) as client:
            server.answer_handshake()
            client.wait_open()
            exchange(server, client, "the first message")
            for number in range(3):
                server.write(command)
                for step in steps:  # nothing is sent meanwhile: the reader must wake the writer
                    server.wait(step)
                exchange(server, client, f"message {number}", ahead)
            client.ws.close()


def test_a_renegotiation_that_the_server_never_finishes_does_not_hold_up_the_end(
    tmp_path: Path, authority: trustme.CA, client_ssl_context: ssl.SSLContext
) -> None:
    """OpenSSL sends no data then, so the writer waits for bytes that never come."""

    def relay(peer: Peer) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as inner:
            threads = [
                threading.Thread(target=pump, args=(peer.socket, inner, True)),
                threading.Thread(target=pump, args=(inner, peer.socket, False)),
            ]
            for thread in threads:
                thread.start()
            peer.closing.wait(SECONDS)
            for end in (inner, peer.socket):
                with contextlib.suppress(OSError):  # the other side ended it already
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(SECONDS)

    def pump(source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client and stopped.is_set():
                    hello_lost.set()
                else:
                    sink.sendall(data)

    stopped, hello_lost = threading.Event(), threading.Event()
    with s_server(tmp_path, authority, "-tls1_2") as server, LoopbackServer(relay) as loopback:
        url = f"wss://localhost:{loopback.port}/"
        with Client(url, ssl_context=client_ssl_context, compression=None, close_timeout=0.2) as client:
            server.answer_handshake()
            client.wait_open()
            exchange(server, client, "before")
            stopped.set()
            server.write(b"r\n")
            assert hello_lost.wait(SECONDS)
            client.ws.send("never")
            client.ws.close()
            assert isinstance(client.wait_failed(), TimeoutError)
