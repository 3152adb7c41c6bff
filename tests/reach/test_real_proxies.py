"""Through the proxies of others: pproxy, proxy.py and mitmproxy, where they are installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws import HandshakeError, WebSocketError
from syncws.testing import LoopbackServer
from tests.support.dialers import Dialer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import trustme


def program(name: str) -> str:
    """The path of a program beside this interpreter."""
    found = shutil.which(name, path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip(f"{name} is not installed; tox -e proxies has it")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A program, from the moment at which it listens."""

    def listens() -> bool:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(listens, f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate for localhost, and of its key."""
    folder = tmp_path_factory.mktemp("proxy")
    made = authority.issue_cert("localhost", "127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


@pytest.fixture(scope="session")
def pproxy(certificate: tuple[str, str]) -> Iterator[dict[str, str]]:
    """The URL of each kind of proxy that pproxy is, by the scheme."""
    ports = {scheme: free_port() for scheme in ("http", "https", "socks4", "socks5h")}
    names = {"http": "http", "https": "http+ssl", "socks4": "socks4", "socks5h": "socks5"}
    command = [program("pproxy"), "--ssl", ",".join(certificate)]
    for scheme, port in ports.items():
        command += ["-l", f"{names[scheme]}://127.0.0.1:{port}" + ("#user:password" * (scheme != "socks4"))]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(command, ports["socks5h"]))
        yield {
            scheme: f"{scheme}://{'user:password@' * (scheme != 'socks4')}localhost:{port}"
            for scheme, port in ports.items()
        }


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks5h"])
def test_pproxy(scheme: str, pproxy: dict[str, str], server: LoopbackServer, dialer: Dialer) -> None:
    if scheme.startswith("socks"):
        pytest.importorskip("socksio", reason="the extra syncws[socks] is not installed")
    dialer.talk(server.url, proxy=pproxy[scheme])


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_pproxy_refuses_wrong_credentials(scheme: str, server: LoopbackServer, dialer: Dialer) -> None:
    if scheme.startswith("socks"):
        pytest.importorskip("socksio", reason="the extra syncws[socks] is not installed")
    # This proxy is its own: pproxy remembers an address that has once shown the right credentials.
    port = free_port()
    listen = f"http+socks5://127.0.0.1:{port}#user:password"
    with running([program("pproxy"), "-l", listen], port):
        error = dialer.fail(server.url, proxy=f"{scheme}://user:s3cret@127.0.0.1:{port}")
    assert isinstance(error, WebSocketError)
    assert "s3cret" not in str(error) and f"{scheme}://127.0.0.1:{port}" in str(error)


@pytest.fixture(scope="session", params=[False, True], ids=["plain", "over TLS"])
def proxy_py(request: pytest.FixtureRequest, certificate: tuple[str, str]) -> Iterator[str]:
    port = free_port()
    command = [program("proxy"), "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1"]
    command += ["--num-acceptors", "1", "--basic-auth", "user:password"]
    if request.param:
        command += ["--cert-file", certificate[0], "--key-file", certificate[1]]
    with running(command, port):
        yield f"http{'s' * request.param}://user:password@localhost:{port}"


def test_proxy_py(proxy_py: str, server: LoopbackServer, dialer: Dialer) -> None:
    dialer.talk(server.url, proxy=proxy_py)


def test_proxy_py_refuses_wrong_credentials(proxy_py: str, server: LoopbackServer, dialer: Dialer) -> None:
    error = dialer.fail(server.url, proxy=proxy_py.replace("password", "s3cret"))
    assert isinstance(error, HandshakeError) and error.status == 407
    assert "s3cret" not in str(error)


def test_mitmproxy_reads_along_where_it_is_trusted(
    tmp_path: Path, dialer: Dialer, secure: bool, server: LoopbackServer
) -> None:
    port = free_port()
    command = [program("mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    command += ["--set", f"confdir={tmp_path}", "--set", "ssl_insecure=true"]
    with running(command, port):
        context = ssl.create_default_context(cafile=str(tmp_path / "mitmproxy-ca-cert.pem"))
        dialer.talk(server.url, proxy=f"http://localhost:{port}", ssl_context=context)
        if secure:
            error = dialer.fail(server.url, proxy=f"http://localhost:{port}")
            assert isinstance(error, ssl.SSLCertVerificationError)
