"""fork: while a connection opens, neither the parent nor the child is disturbed."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.process.test_fork import run_program
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_for

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


# Where the connection is when the fork comes: what the server does then.
def before_answer(peer: Peer, go_on: threading.Event) -> None:
    peer.read_request()
    wait_for(go_on)
    peer.accept()
    peer.echo()


def within_answer(peer: Peer, go_on: threading.Event) -> None:
    peer.read_request()
    peer.send_bytes(b"HTTP/1.1 103 Early Hints\r\nLink: ")
    wait_for(go_on)
    peer.send_bytes(b"x\r\n\r\n")
    peer.accept()
    peer.echo()


WHILE_CONNECTING = """
    opening = []
    done = threading.Event()

    def connect():
        with syncws.connect(url.replace("/go", "/"), **options) as connection:
            round_trip(connection)
            opening.append(connection)

    thread = threading.Thread(target=connect)
    thread.start()
    # The second connection is there to tell when the first one is under way, and when to go on with it.
    with syncws.connect(url, **options) as control:
        assert control.recv(60) == "it is under way"

        def child():
            thread.join(60)
            assert not thread.is_alive()
            with syncws.connect(url.replace("/go", "/echo"), **options) as own:
                round_trip(own)
            all_is_over(control)

        in_child(child)
        control.send("go on")
        thread.join(60)
    assert len(opening) == 1
"""


@pytest.mark.parametrize("script", [before_answer, within_answer])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_fork_while_connecting_disturbs_neither_the_parent_nor_the_child(
    script: Callable[[Peer, threading.Event], None],
    secure: bool,
    server_ssl_context: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def serve(peer: Peer) -> None:
        target = peer.read_request().target
        if target == "/echo":
            peer.accept()
            peer.echo()
        elif target == "/go":
            peer.accept()
            wait_for(under_way)
            peer.send("it is under way")
            assert peer.recv() == "go on"
            go_on.set()
            finish(peer)
        else:
            peer.read_request = lambda: peer.request  # type: ignore[method-assign]
            under_way.set()
            script(peer, go_on)

    with LoopbackServer(serve, tls=server_ssl_context if secure else False) as server:
        run_program(WHILE_CONNECTING, server.url_for("/go"), authority, tmp_path)


def test_a_fork_during_the_tls_handshake_disturbs_neither(authority: trustme.CA, tmp_path: Path) -> None:
    # The server never answers the TLS handshake; the parent's attempt ends by its own time-out.
    program = """
        failed = []

        def connect():
            try:
                syncws.connect(url, open_timeout=0.4, **options)
            except TimeoutError:
                failed.append(True)

        thread = threading.Thread(target=connect)
        thread.start()
        while not any(name.endswith("-reader") for name in (t.name for t in threading.enumerate())):
            time.sleep(0.001)
        for _ in range(8):
            in_child(lambda: None)
            time.sleep(0.01)
        thread.join(60)
        assert failed
    """
    with LoopbackServer(lambda peer: peer.wait_eof(SECONDS)) as server:
        run_program(program, f"wss://localhost:{server.port}/", authority, tmp_path)
