"""The server from its beginning to its end: certificates, restarts, want of descriptors and of threads."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from pathlib import Path

import pytest

import syncws
from syncws.testing import LoopbackServer, Peer
from syncws.testing.certificates import Certificates
from tests.support.certificates import needs_certificate
from tests.support.programs import run
from tests.support.waiting import SECONDS


@needs_certificate
class TestTLS:
    def test_a_client_trusts_it_by_the_context_or_by_the_file(self) -> None:
        with LoopbackServer(tls=True) as server:
            assert server.url == f"wss://localhost:{server.port}/"
            assert server.ca_file is not None
            by_file = ssl.create_default_context(cafile=server.ca_file)
            for context in (server.ssl_context, by_file):
                with syncws.connect(server.url, ssl_context=context) as connection:
                    connection.send("x")
                    assert connection.recv(SECONDS) == "x"

    def test_nobody_else_trusts_it(self) -> None:
        with LoopbackServer(tls=True) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                syncws.connect(server.url)
            server.connections[0].wait()
            assert len(server.tls_errors) == 1

    def test_the_file_is_gone_when_the_server_has_stopped(self) -> None:
        with LoopbackServer(tls=True) as server:
            name = server.ca_file
            assert name is not None
            assert name == server.ca_file
            assert Path(name).exists()
        assert not Path(name).parent.exists()

    def test_without_tls_or_with_a_context_of_the_callers_there_is_no_authority_to_trust(
        self, server_ssl_context: ssl.SSLContext
    ) -> None:
        for tls in (False, None, server_ssl_context):
            with LoopbackServer(tls=tls) as server:
                assert (server.ssl_context, server.ca_file) == (None, None)

    def test_two_servers_share_an_authority_and_no_client_context(self) -> None:
        with LoopbackServer(tls=True) as first, LoopbackServer(tls=True) as second:
            assert first.ssl_context is not second.ssl_context
            with syncws.connect(first.url, ssl_context=second.ssl_context):
                pass

    @pytest.mark.parametrize("missing", ["trustme", "both"])
    def test_openssl_serves_where_trustme_is_missing_and_an_error_names_the_extra(
        self, missing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import importlib.util
        import shutil

        from syncws.testing import certificates

        if missing == "trustme" and not shutil.which("openssl"):
            pytest.skip("no openssl here")
        monkeypatch.setattr(certificates, "_made", None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        if missing == "both":
            monkeypatch.setattr(shutil, "which", lambda name: None)
            with pytest.raises(RuntimeError, match=r"pip install 'syncws\[testing\]'"):
                LoopbackServer(tls=True)
            return
        with LoopbackServer(tls=True) as server:
            with syncws.connect(server.url, ssl_context=server.ssl_context) as connection:
                connection.send("x")
                assert connection.recv(SECONDS) == "x"

    def test_a_client_context_without_an_authority_is_none(self, server_ssl_context: ssl.SSLContext) -> None:
        assert Certificates(server_ssl_context, None).client() is None


class TestRestart:
    def test_it_cuts_what_is_open_and_serves_again_on_the_same_port(self) -> None:
        with LoopbackServer() as server:
            url = server.url
            first = syncws.connect(url)
            server.restart()
            assert server.url == url
            with pytest.raises(syncws.ConnectionClosed):
                first.recv(SECONDS)
            first.close()
            with syncws.connect(url) as second:
                second.send("again")
                assert second.recv(SECONDS) == "again"
            assert len(server.connections) == 2

    def test_scripts_may_stall_again_after_it(self) -> None:
        stalled: list[bool] = []

        def script(peer: Peer) -> None:
            peer.accept()
            peer.stall(0.01)
            stalled.append(not peer.closing.is_set())

        with LoopbackServer(script) as server:
            server.restart()
            syncws.connect(server.url).close()
            server.wait_connection().wait()
        assert stalled == [True]

    def test_between_stop_and_restart_nobody_answers(self) -> None:
        with LoopbackServer() as server:
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                syncws.connect(server.url)
            server.restart()
            syncws.connect(server.url).close()

    def test_a_reconnecting_client_comes_back(self) -> None:
        with LoopbackServer() as server:
            messages: list[str | bytes] = []
            with syncws.reconnect(server.url, policy=lambda loss: 0.01) as connections:
                for connection in connections:
                    connection.send(f"connection {len(server.connections)}")
                    messages.append(connection.recv(SECONDS))
                    if len(messages) == 2:
                        break
                    server.restart()
            assert messages[0] == "connection 1"


LAST_DESCRIPTOR = """
import os, resource, socket, sys, threading
sys.path.insert(0, "")
import syncws
from syncws.testing import LoopbackServer

with LoopbackServer() as server:
    highest = max(int(name) for name in os.listdir("/proc/self/fd")) + 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    os.close(held.pop())
    client = socket.create_connection(("127.0.0.1", server.port))  # takes the last one: accept() finds none
    threading.Event().wait(0.2)
    print(len(server.connections))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.wait_connection()
    with syncws.connect(server.url) as connection:
        connection.send("goes on")
        print(connection.recv(60))
    client.close()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the program counts its descriptors by /proc")
def test_a_server_that_found_no_descriptor_accepts_when_there_is_one_again() -> None:
    assert run("-c", LAST_DESCRIPTOR)[0] == "0\ngoes on\n"


def test_a_connection_for_which_there_is_no_thread_is_ended_and_the_next_one_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with LoopbackServer() as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as client:
                assert client.recv(1) == b""
            server.wait_connection().wait()
        assert [str(error) for error in server.take_errors()] == ["can't start new thread"]
        syncws.connect(server.url).close()


def test_a_server_may_be_made_without_a_with_block() -> None:
    server = LoopbackServer()
    syncws.connect(server.url).close()
    server.stop()
    server.stop()


def test_a_peer_says_which_record_is_its_own() -> None:
    records: list[object] = []

    def script(peer: Peer) -> None:
        records.append(peer.recorded)
        peer.accept()

    with LoopbackServer(script) as server:
        syncws.connect(server.url).close()
        assert records == server.connections
