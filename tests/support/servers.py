"""Scripts of the loopback server, ends of scripts, and ports without a server."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import Peer, PeerClosed
from tests.support.waiting import SECONDS


def finish(peer: Peer) -> None:
    """The end of a script: read up to the client's Close, or the end; then the server ends TCP."""
    with contextlib.suppress(EOFError, ConnectionError):
        while peer.recv_frame().opcode != Opcode.CLOSE:
            pass


def drain(peer: Peer) -> None:
    """The end of a script: read and ignore everything, until the client ends TCP."""
    peer.wait_eof(SECONDS)


def hold(peer: Peer) -> None:
    """The end of a script: do nothing, not even read, until the server is closed."""
    peer.closing.wait(SECONDS)


def keep_close_code(codes: list[int | None]) -> Callable[[Peer], None]:
    """A script that waits for the client's Close, and appends its code to `codes`."""

    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        codes.append(closed.value.code)
        raise closed.value

    return script


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that nobody listens on, and nobody will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{taken.getsockname()[1]}/"


@contextlib.contextmanager
def unanswering() -> Iterator[str]:
    """The URL of a TCP listener that nobody accepts from."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
