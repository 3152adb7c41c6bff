"""TLS inside TLS: a wss connection through a proxy over TLS, in both directions at the same time."""

from __future__ import annotations

import random
import socket
import ssl

import pytest

from syncws._transport.stream import Stream
from syncws._transport.tls import NestedTLSStream, TLSStream
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import Client
from tests.support.proxies import Proxy
from tests.support.servers import drain
from tests.support.threads import Task


def make_messages(seed: int, total: int) -> list[bytes]:
    source = random.Random(seed)
    messages, left = [], total
    while left:
        size = min(left, source.choice((1, 125, 4000, 16384, 70_000, 300_000)))
        messages.append(source.randbytes(size))
        left -= size
    return messages


def test_messages_both_ways_at_once_arrive_unchanged(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    messages = make_messages(1, 8 * 2**20)
    with (
        LoopbackServer(tls=server_ssl_context) as server,
        Proxy("https", context=server_ssl_context) as proxy,
        Client(server.url, proxy=proxy.url, ssl_context=client_ssl_context) as client,
    ):
        ws = client.wait_open()
        for message in messages:
            ws.send(message)  # the echo of the first ones comes back meanwhile
        for message in messages:
            assert client.receive() == message
    assert client.wait_closed().wasClean


@pytest.mark.parametrize("ends", ["the server", "the proxy"])
def test_end_of_either_tls_is_an_end(
    ends: str, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("last")
        if ends == "the server":
            assert isinstance(peer.socket, ssl.SSLSocket)
            peer.socket.settimeout(0)
            with pytest.raises(OSError):  # noqa: PT011 - its texts are OpenSSL's
                peer.socket.unwrap()  # close_notify goes out; that of the client is not waited for
            peer.socket.settimeout(None)
        drain(peer)

    with (
        LoopbackServer(script, tls=server_ssl_context) as server,
        Proxy("https", context=server_ssl_context) as proxy,
    ):
        client = Client(server.url, proxy=proxy.url, ssl_context=client_ssl_context)
        assert client.receive() == "last"
        if ends == "the proxy":
            proxy.cut()
        client.wait_failed()
        assert client.order == ["open", "error", "close"]


def test_counts_are_those_of_the_outer_stream(client_ssl_context: ssl.SSLContext) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        outer = TLSStream(one, client_ssl_context, "localhost")
        assert not outer.handshake_step()
        waiting: list[str] = []
        outer.wait_writable = lambda: waiting.append("outer")
        inner = NestedTLSStream(outer, client_ssl_context, "localhost")
        assert isinstance(inner, Stream)
        assert (inner.handed, inner.received) == (outer.handed, outer.received)
        assert inner.handed > 0 and inner.progress_at == outer.progress_at
        # Bytes that reading made the outer stream want to send, such as the answer to a key update, go out by
        # the same flush.
        outer._outgoing.write(b"answer")
        assert inner.output_pending
        inner.flush()
        assert not inner.output_pending
        assert other.recv(65536).endswith(b"answer")
        inner.wait_writable = None
        assert outer.wait_writable is None
        inner.reset()
        assert outer._reset and outer._down


def test_what_the_outer_stream_has_to_send_may_wait_for_the_network_too(
    client_ssl_context: ssl.SSLContext,
) -> None:
    """As the answer to a key update, where the network stands still: nobody is busy making bytes then."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        outer = TLSStream(one, client_ssl_context, "localhost")
        inner = NestedTLSStream(outer, client_ssl_context, "localhost")
        outer._outgoing.write(bytes(4 * 2**20))
        assert not inner.is_held_up
        flushing = Task(inner.flush)
        flushing.wait_blocked()
        assert inner.is_held_up
        inner.shutdown()
        with pytest.raises(BrokenPipeError):
            flushing.result()
        assert not inner.is_held_up
