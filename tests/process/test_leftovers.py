"""What is left of a connection after its end: nothing, however it ended.

That no descriptor is left, and no thread where a test here does not look itself, holds for every test: the
fixture `nothing_outlives_the_test` sees to it.
"""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from syncws import WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import Client
from tests.support.leftovers import connection_threads, wait_for_no_threads
from tests.support.stress import amount, turns
from tests.support.waiting import SECONDS

# Scripts of servers, each for one kind of end.


def read_all(peer: Peer) -> None:
    peer.accept()
    peer.wait_eof(SECONDS)


def close_first(peer: Peer) -> None:
    peer.accept()
    peer.send_close(4001, "done")
    peer.recv_frame()


def stall(peer: Peer) -> None:
    peer.wait_eof(SECONDS)


def stall_unread(peer: Peer) -> None:
    peer.accept()
    peer.closing.wait(SECONDS)


def flood(peer: Peer) -> None:
    peer.accept()
    while True:
        peer.send(bytes(2**16))


def reset(peer: Peer) -> None:
    peer.accept()
    peer.recv()
    peer.reset()


def bad_accept(peer: Peer) -> None:
    peer.read_request()
    peer.send_bytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    peer.wait_eof(SECONDS)


def break_protocol(peer: Peer) -> None:
    peer.accept()
    peer.send_frame(Opcode.TEXT, b"\xff")
    peer.wait_eof(SECONDS)


def echo(peer: Peer) -> None:
    peer.accept()
    peer.echo()


Act = Callable[[Client], object]


def just_wait(client: Client) -> None:
    """The server, or the clock, ends it."""


def close_open(client: Client) -> None:
    client.wait_open().close()


def close_connecting(client: Client) -> None:
    client.ws.close()


def send_much(client: Client) -> None:
    ws = client.wait_open()
    for _ in range(20):
        ws.send(bytes(2**20))


def send_much_and_close(client: Client) -> None:
    send_much(client)
    client.ws.close()


# Name: what the server does, what the client does, its options, whether the end is a clean one.
ENDS: dict[str, tuple[Callable[[Peer], object], Act, dict[str, Any], bool]] = {
    "closed by us": (echo, close_open, {}, True),
    "closed by the server": (close_first, just_wait, {}, True),
    "closed while connecting": (stall, close_connecting, {}, False),
    "refused": (lambda peer: peer.refuse(403), just_wait, {}, False),
    "no WebSocket answer": (bad_accept, just_wait, {}, False),
    "ended instead of an answer": (lambda peer: peer.read_request(), just_wait, {}, False),
    "open_timeout": (stall, just_wait, {"open_timeout": 0.1}, False),
    "close_timeout": (read_all, close_open, {"close_timeout": 0.1}, False),
    "close_timeout while the server does not read": (
        stall_unread,
        send_much_and_close,
        {"close_timeout": 0.2},
        False,
    ),
    "ping_timeout": (read_all, just_wait, {"ping_interval": 0.05, "ping_timeout": 0.05}, False),
    "ping_timeout while the server does not read": (
        stall_unread,
        send_much,
        {"ping_interval": 0.05, "ping_timeout": 0.1, "close_timeout": 0.1},
        False,
    ),
    "TCP ended": (lambda peer: peer.accept(), just_wait, {}, False),
    "TCP reset with data under way": (reset, send_much, {}, False),
    "protocol broken": (break_protocol, just_wait, {}, False),
    "a message over max_size": (flood, just_wait, {"max_size": 1000, "close_timeout": 0.1}, False),
    "closed while the server floods": (flood, close_open, {"close_timeout": 0.1}, False),
}


@pytest.fixture
def contexts(
    request: pytest.FixtureRequest, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    return (server_ssl_context, client_ssl_context) if request.param == "wss" else (None, None)


@pytest.mark.parametrize(("end", "contexts"), turns(ENDS, ["ws", "wss"]), indirect=["contexts"])
def test_no_thread_and_no_descriptor_is_left_after(
    end: str, contexts: tuple[ssl.SSLContext | None, ssl.SSLContext | None]
) -> None:
    script, act, options, clean = ENDS[end]
    with LoopbackServer(script, tls=contexts[0], receive_buffer=65536) as server:
        client = Client(server.url, ssl_context=contexts[1], **options)
        act(client)
        closed = client.wait_closed()
        # Not at the end of the server, which would end what is left as well.
        wait_for_no_threads()
    assert closed.wasClean is clean


def test_no_thread_and_no_descriptor_is_left_after_a_refused_tcp_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(Client(f"ws://127.0.0.1:{port}/").wait_failed(), ConnectionRefusedError)


def test_no_thread_and_no_descriptor_is_left_after_a_name_that_is_not_known() -> None:
    assert isinstance(Client("ws://nowhere.invalid/").wait_failed(), socket.gaierror)


def test_no_thread_and_no_descriptor_is_left_after_a_refused_certificate(
    server_ssl_context: ssl.SSLContext,
) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        assert isinstance(Client(server.url).wait_failed(), ssl.SSLCertVerificationError)


def test_connections_one_after_the_other_leave_nothing_behind() -> None:
    connections: weakref.WeakSet[WebSocket] = weakref.WeakSet()
    with LoopbackServer() as server:
        for number in range(amount(200, 50)):
            with Client(server.url) as client:
                connections.add(client.wait_open())
                client.ws.send(str(number))
                assert client.receive() == str(number)
            wait_for_no_threads()
        del client
        gc.collect()
        assert not list(connections)


def test_200_connections_at_once_leave_nothing_behind() -> None:
    with LoopbackServer() as server:
        clients = [Client(server.url, open_timeout=SECONDS) for _ in range(200)]
        for client in clients:
            client.wait_open()
        assert len(connection_threads()) >= 400  # two for each, and a few that write for all of them
        for client in clients:
            client.ws.close()
        for client in clients:
            assert client.wait_closed().wasClean
        wait_for_no_threads()
