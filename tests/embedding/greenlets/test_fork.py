"""fork in a patched program: greenlets go on in the child, where the parent's connections are over."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from syncws.testing import LoopbackServer, Peer
from tests.embedding.greenlets.programs import run
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

FORKING = """
    import signal, traceback

    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    warnings.filterwarnings("ignore", "Using fork", DeprecationWarning)  # of eventlet

    def in_child(call):
        # Run `call` in a forked child, and be sure that it went well, in time.
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(15)
                if library == "eventlet":
                    greenlets.hubs.use_hub()  # eventlet needs this after a fork
                call()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status

    def round_trip(connection):
        connection.send("ping")
        assert connection.recv(20) == "ping"
        assert connection.ping(20) >= 0

    def over(connection):
        assert connection.readyState == connection.CLOSED
        for call in (connection.recv, lambda: connection.recv(5), lambda: connection.send("from the child")):
            closed = raises(syncws.ConnectionClosed, call)
            assert "forked" in str(closed.__cause__), closed.__cause__
        connection.close()

    def settle():
        for _ in range(20):
            greenlets.sleep(0.005)
"""

PROGRAMS = {
    "idle": """
        connection = syncws.connect(url, **options)
        greenlets.sleep(0.05)
        for _ in range(3):
            in_child(lambda: (over(connection), settle(), over(connection)))
            round_trip(connection)
        connection.close()
    """,
    "the child has connections of its own": """
        connection = syncws.connect(url, **options)
        greenlets.sleep(0.05)

        def child():
            # Descriptors of the parent's connection are free here, and get new owners: these must keep them.
            owned = [open(os.devnull) for _ in range(10)]
            with contextlib.ExitStack() as stack:
                for _ in range(5):
                    own = stack.enter_context(syncws.connect(url, **options))
                    settle()
                    round_trip(own)
            for file in owned:
                os.fstat(file.fileno())
                file.close()
            over(connection)

        in_child(child)
        round_trip(connection)
        connection.close()
    """,
    "the child takes no time of the processor": """
        connections = [syncws.connect(url, **options) for _ in range(5)]
        ws = syncws.WebSocket(url, **options)
        greenlets.sleep(0.2)

        def child():
            settle()
            before = time.process_time()
            greenlets.sleep(1)
            assert time.process_time() - before < 0.3

        in_child(child)
        for connection in connections:
            round_trip(connection)
            connection.close()
        ws.close()
        ws.join(20)
    """,
    "a greenlet waits in recv": """
        connection = syncws.connect(url, **options)
        ends = []

        def receive():
            try:
                return connection.recv()
            except syncws.ConnectionClosed as closed:
                ends.append(closed)

        receiver = greenlets.spawn(receive)
        greenlets.sleep(0.1)

        def child():
            # The greenlet is in the child as well; eventlet's, by the new hub, is left behind.
            if library == "gevent":
                wait_until(lambda: ends, 5)
                assert "forked" in str(ends[0].__cause__)
            settle()
            over(connection)

        in_child(child)
        connection.send("for the greenlet")
        assert wait(receiver) == ["for the greenlet"]
        connection.close()
    """,
    "handlers": """
        ends, got = [], []
        opened = threading.Event()
        ws = syncws.WebSocket(
            url, onopen=lambda event: opened.set(), onclose=ends.append,
            onmessage=lambda event: got.append(event.data), **options
        )
        assert opened.wait(20)
        greenlets.sleep(0.05)

        def child():
            assert ws.readyState == ws.CLOSED
            settle()
            ws.join(5)
            assert not ends and not got

        in_child(child)
        ws.send("hello")
        wait_until(lambda: got == ["hello"])
        ws.close()
        ws.join(20)
        assert [end.wasClean for end in ends] == [True]
    """,
    "sends are under way": """
        connections = [syncws.connect(url + "later", **options) for _ in range(3)]
        for connection in connections:
            connection.send(bytes(20_000_000))  # the server reads it after the fork
        wait_until(lambda: all(connection.bufferedAmount < 20_000_000 for connection in connections))
        greenlets.sleep(0.1)

        def child():
            greenlets.sleep(1.5)  # longer than a blocked send sleeps at a time
            for connection in connections:
                over(connection)

        in_child(child)
        with syncws.connect(url, **options) as control:
            control.send("go on")
            assert control.recv(20) == "go on"
        for connection in connections:
            assert connection.recv(20) == "20000000"
            connection.close()
    """,
    "a subprocess": """
        import subprocess
        connection = syncws.connect(url, **options)
        for _ in range(3):
            assert subprocess.run([sys.executable, "-c", ""], preexec_fn=lambda: None).returncode == 0
            round_trip(connection)
        connection.close()
    """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_in_a_forked_child_it_is_over_and_the_parent_goes_on(
    program: str,
    library: str,
    secure: bool,
    server_ssl_context: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    go_on = threading.Event()

    def serve(peer: Peer) -> None:
        if peer.read_request().target == "/later":
            peer.accept()
            wait_for(go_on)
            peer.send(str(len(peer.recv())))
            peer.recv()
        else:
            peer.accept()
            if program == PROGRAMS["sends are under way"]:
                go_on.set()
            peer.echo()

    text = FORKING + program.replace("\n        ", "\n    ")
    context = server_ssl_context if secure else None
    with LoopbackServer(serve, tls=context, receive_buffer=65536) as server:
        run(text, library, server.url, authority, tmp_path)
