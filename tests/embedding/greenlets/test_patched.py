"""A program that gevent or eventlet has patched uses both APIs as any other program does."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from syncws.testing import LoopbackServer, Peer
from tests.embedding.greenlets.programs import run
from tests.support.servers import finish

ORDERS = ["patched first", "syncws imported first"]

WITH_HANDLERS = """
    import contextvars

    got = []
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("of the constructor's caller")

    def on_open(event):
        event.target.send("Grüße")
        event.target.send(b"bytes")
        event.target.send("x" * 1_000_000)

    def on_message(event):
        greenlets.sleep(0.01)  # a handler may wait: nobody else does
        got.append(event.data)
        assert variable.get() == "of the constructor's caller"
        assert raises(RuntimeError, event.target.join)
        if len(got) == 3:
            event.target.close(3000, "enough")

    ws = syncws.WebSocket(url, onopen=on_open, onmessage=on_message, **options)
    ends = []
    ws.onclose = ends.append
    ws.join(20)
    assert got == ["Grüße", b"bytes", "x" * 1_000_000], len(got)
    assert [(end.code, end.reason, end.wasClean) for end in ends] == [(3000, "enough", True)], ends
    assert ws.readyState == ws.CLOSED
"""

WITH_CONNECT = """
    with syncws.connect(url, **options) as connection:
        connection.send("Grüße")
        assert connection.recv(20) == "Grüße"
        connection.send([b"one ", b"message, ", b"three chunks"])
        assert connection.recv(20) == b"one message, three chunks"
        connection.send(bytes(3_000_000))
        connection.flush(20)
        assert b"".join(connection.recv_streaming(20)) == bytes(3_000_000)
        assert connection.ping(20) >= 0
        sending = greenlets.spawn(lambda: [connection.send(str(number)) for number in range(1000)])
        assert [connection.recv(20) for _ in range(1000)] == [str(number) for number in range(1000)]
        wait(sending)
    closed = raises(syncws.ConnectionClosed, connection.recv)
    assert (closed.code, closed.wasClean) == (1000, True), closed
"""

WITH_DISPATCH = """
    # The main greenlet runs the callbacks, as a GUI's main thread would.
    import queue
    batches, got = queue.SimpleQueue(), []
    main = threading.get_ident()

    def on_message(event):
        assert threading.get_ident() == main
        got.append(event.data)
        event.target.close()

    ws = syncws.WebSocket(url, dispatch=batches.put, onmessage=on_message, **options)
    ws.onopen = lambda event: ws.send("hello")
    while ws.readyState != ws.CLOSED:
        batches.get()()
    ws.join(20)
    assert got == ["hello"]
"""

RECONNECTING = """
    # The server ends each connection after one message.
    import logging

    logging.getLogger("syncws").setLevel(logging.ERROR)  # each loss is a warning
    got = []
    for connection in syncws.reconnect(url + "flaky", policy=lambda *arguments: 0.01, **options):
        with contextlib.suppress(syncws.ConnectionClosed):
            got.append(connection.recv(20))
            connection.recv(20)
        if len(got) == 3:
            break
    connection.close()
    assert got == ["welcome"] * 3, got

    losses = []
    ws = syncws.ReconnectingWebSocket(url + "flaky", policy=lambda *arguments: 0.01, **options)
    ws.onmessage = lambda event: got.append(event.data)
    ws.onclose = losses.append
    wait_until(lambda: len(got) == 6)
    ws.close()
    ws.join(20)
    assert losses[-1].retry_in is None, losses
"""


def serve(peer: Peer) -> None:
    target = peer.read_request().target
    peer.accept()
    if target == "/flaky":
        peer.send("welcome")
        peer.send_close(1012)
        finish(peer)
    else:
        peer.echo()


PROGRAMS = {
    "handlers": WITH_HANDLERS,
    "connect": WITH_CONNECT,
    "dispatch": WITH_DISPATCH,
    "reconnecting": RECONNECTING,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_both_apis_work_whether_syncws_was_imported_before_or_after_patching(
    program: str,
    order: str,
    library: str,
    secure: bool,
    server_ssl_context: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    with LoopbackServer(serve, tls=server_ssl_context if secure else False) as server:
        run(program, library, server.url, authority, tmp_path, order)


MANY = """
    count, rounds = 200, 20

    def talk(number):
        with syncws.connect(url, open_timeout=30, **options) as connection:
            opened.append(number)
            wait_until(lambda: len(opened) == count)  # all are open at once
            for round in range(rounds):
                connection.send(f"{number} {round}")
            return [connection.recv(30) for _ in range(rounds)]

    opened = []
    answers = wait(*[greenlets.spawn(talk, number) for number in range(count)])
    assert answers == [[f"{number} {round}" for round in range(rounds)] for number in range(count)]
    if os.path.isdir("/proc/self/task"):
        # Greenlets, and not 400 threads; the look-ups of names have a pool of threads.
        assert len(os.listdir("/proc/self/task")) < 50
"""


def test_two_hundred_connections_at_once_each_get_their_own_answers(
    library: str, secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer(tls=server_ssl_context if secure else False) as server:
        run(MANY, library, server.url, authority, tmp_path)
        assert len(server.connections) == 200


DEFAULT_CONTEXT = """
    # All share one context. The first of them makes it, while the others connect.
    os.environ["SSL_CERT_FILE"] = authority

    def talk(number):
        with syncws.connect(url) as connection:
            connection.send(str(number))
            return connection.recv(20)

    assert wait(*[greenlets.spawn(talk, number) for number in range(20)]) == [str(n) for n in range(20)]
    # Until the environment names other authorities.
    os.environ["SSL_CERT_FILE"] = os.devnull
    assert raises(OSError, lambda: syncws.connect(url))
"""


@pytest.mark.parametrize("order", ORDERS)
def test_wss_without_a_context_of_its_own_works(
    order: str, library: str, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        run(DEFAULT_CONTEXT, library, server.url, authority, tmp_path, order)
