"""What servers do to the command line."""

from __future__ import annotations

from collections.abc import Callable

from syncws.testing import Peer, PeerClosed

Script = Callable[[Peer], None]


def read_to_the_close(peer: Peer) -> None:
    """Read until the client's Close frame, which raises `PeerClosed`, so that the server answers it."""
    while True:
        peer.recv()


def say(*messages: str | bytes, code: int | None = None, reason: str = "") -> Script:
    """Send these as soon as the connection is open; then close with `code`, or wait for the client's."""

    def script(peer: Peer) -> None:
        peer.accept()
        for message in messages:
            send(peer, message)
        if code is not None:
            peer.send_close(code, reason)
        read_to_the_close(peer)

    return script


def answer(*answers: str | bytes | None, code: int | None = None, reason: str = "") -> Script:
    """Answer one message after the other, None with silence; then close with `code`, if there is one."""

    def script(peer: Peer) -> None:
        peer.accept()
        for message in answers:
            peer.recv()
            if message is not None:
                send(peer, message)
        if code is not None:
            peer.send_close(code, reason)
        read_to_the_close(peer)

    return script


def send(peer: Peer, message: str | bytes) -> None:
    if isinstance(message, str):
        peer.send(message)
    else:
        peer.send(message)


class Recorder:
    """A script that keeps what it got: the messages, and the code of the client's Close.

    It sends each message back where `echo` says so.
    """

    def __init__(self, *, echo: bool = False) -> None:
        self.messages: list[str | bytes] = []
        self.headers: dict[str, str] = {}
        self.close_codes: list[int | None] = []
        self._echo = echo

    def __call__(self, peer: Peer) -> None:
        request = peer.accept()
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            while True:
                message = peer.recv()
                self.messages.append(message)
                if self._echo:
                    send(peer, message)
        except PeerClosed as closed:
            self.close_codes.append(closed.code)
            raise
