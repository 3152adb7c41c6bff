"""What other connections of the same thread leave in OpenSSL's list of errors is no failure of ours.

CPython 3.14 and 3.15 leave there what `leave_behind` does; the others pass these tests in any case.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from syncws import Connection, connect
from syncws.testing import LoopbackServer, echo
from tests.support.threads import Task
from tests.support.waiting import SECONDS


@pytest.fixture
def server(server_ssl_context: ssl.SSLContext) -> Iterator[LoopbackServer]:
    with LoopbackServer(echo, tls=server_ssl_context) as server:
        yield server


def leave_behind(server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext) -> None:
    """Have a send of this thread to a peer that has reset TCP fail."""

    def reset() -> None:
        connection, _ = listener.accept()
        with server_ssl_context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)
            secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("localhost", 0)) as listener:
        thread = threading.Thread(target=reset)
        thread.start()
        with socket.create_connection(listener.getsockname()[:2]) as connection:
            secure = client_ssl_context.wrap_socket(connection, server_hostname="localhost")
            secure.sendall(b"x")
            thread.join()
            with secure, suppress(OSError):
                while True:
                    secure.sendall(b"x")


def talk(connection: Connection) -> None:
    """Of an answer so large some record arrives in parts, and OpenSSL is asked for what is not there yet."""
    connection.send(bytes(1_000_000))
    assert connection.recv(SECONDS) == bytes(1_000_000)


@pytest.mark.parametrize("where", ["main thread", "another thread"])
def test_a_connection_opens_and_goes_on_though_another_one_has_failed(
    where: str,
    server: LoopbackServer,
    server_ssl_context: ssl.SSLContext,
    client_ssl_context: ssl.SSLContext,
) -> None:
    def live() -> None:
        leave_behind(server_ssl_context, client_ssl_context)
        with connect(server.url, ssl_context=client_ssl_context) as connection:
            for _ in range(5):
                talk(connection)
                leave_behind(server_ssl_context, client_ssl_context)
                talk(connection)
                with suppress(ValueError):
                    hashlib.new("no such hash")
            talk(connection)
        assert connection.close_code == 1000

    if where == "main thread":
        live()
    else:
        Task(live).result()


def test_a_failure_of_tls_is_told_as_it_is_though_another_one_came_before(
    server: LoopbackServer, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    leave_behind(server_ssl_context, client_ssl_context)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server.url, ssl_context=ssl.create_default_context())
