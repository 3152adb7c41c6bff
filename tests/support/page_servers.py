"""Servers of this machine to which the names and addresses of the documentation's pages lead.

``wss://...example.com`` leads there by the proxy that the environment names, ``ws://127.0.0.1:8765`` and the
few other addresses by a change of the text. Nothing in the package or in the programs is replaced.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncws.testing import LoopbackServer, Peer
from tests.support.pages import ROOT
from tests.support.programs import PROGRAM_SECONDS
from tests.support.proxies import Proxy, dial, pump

if TYPE_CHECKING:
    import trustme


@dataclass(frozen=True)
class Servers:
    """What a program needs to reach them.

    Attributes:
        plain, secure: both play the same script, for ``ws`` and for ``wss``.
        environment: of the program.
    """

    plain: LoopbackServer
    secure: LoopbackServer
    environment: dict[str, str]
    _swaps: dict[str, str]

    def leading_here(self, program: str) -> str:
        """A program, or a command line, with addresses of this machine in the place of the printed ones."""
        for printed, here in self._swaps.items():
            program = program.replace(printed, here)
        return program


@contextlib.contextmanager
def serving(script: Callable[[Peer], object], authority: trustme.CA, folder: Path) -> Iterator[Servers]:
    """Run servers with this script, and write the files that the pages name into `folder`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "*.example.com").configure_cert(context)
    _write_files(authority, folder)
    way = str(folder / "service.sock")
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(LoopbackServer(script))
        secure = stack.enter_context(LoopbackServer(script, tls=context))
        proxy = stack.enter_context(_Everywhere("http", target=secure.port))
        strict = stack.enter_context(_Everywhere("http", ("user", "password"), target=secure.port))
        stack.enter_context(_unix_server(way, plain.port))
        swaps = {
            "ws://127.0.0.1:8765/": plain.url,
            "wss://127.0.0.1:8443/": f"wss://127.0.0.1:{secure.port}/",
            "wss://test.example.com:8443/": f"wss://localhost:{secure.port}/",
            '("test.example.com", 8443)': f'("localhost", {secure.port})',
            '("192.0.2.20", 8443)': f'("127.0.0.1", {secure.port})',
            "192.0.2.7:443": f"127.0.0.1:{secure.port}",
            "192.0.2.10": "127.0.0.1",
            "http://user:password@proxy.example.com:3128": strict.url,
            "/run/service.sock": way,
        }
        environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "https_proxy": proxy.url,
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "QT_QPA_PLATFORM": "offscreen",
            "SSL_CERT_FILE": str(folder / "company-ca.pem"),
        }
        yield Servers(plain, secure, environment, swaps)


@dataclass
class _Everywhere(Proxy):
    """An HTTP proxy for which every name and port is one server's."""

    target: int = 0

    def _converse(self, sock: socket.socket) -> None:
        if self._serve_http(sock) is not None:
            with dial("127.0.0.1", self.target) as server:
                self._open.add(server)
                self._say(sock, self._granted())
                pump(sock, server)


def _write_files(authority: trustme.CA, folder: Path) -> None:
    """The files that the pages name."""
    client = authority.issue_cert("client.example.com")
    authority.cert_pem.write_to_path(str(folder / "company-ca.pem"))
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    (folder / "film.mkv").write_bytes(bytes(3_000_000))
    client.cert_chain_pems[0].write_to_path(str(folder / "me.pem"))
    client.private_key_pem.write_to_path(str(folder / "me.key"))
    (folder / "token.txt").write_text("secret\n", "utf-8")
    (folder / "token-header.txt").write_text("Authorization: Bearer secret\n", "utf-8")
    (folder / "app.log").write_text("one\ntwo\n", "utf-8")


@contextlib.contextmanager
def _unix_server(path: str, port: int) -> Iterator[None]:
    """A Unix socket behind which is a port of this machine."""
    if not hasattr(socket, "AF_UNIX"):
        yield
        return
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock = listener.accept()[0]
                    with sock, dial("127.0.0.1", port) as server:
                        pump(sock, server)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(PROGRAM_SECONDS)
