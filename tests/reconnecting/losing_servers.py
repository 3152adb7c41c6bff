"""Servers that end or refuse their connections, for the tests of what comes back after a loss."""

from __future__ import annotations

from collections.abc import Callable

from syncws import Loss
from syncws.testing import Peer
from tests.support.servers import finish


class Recorded:
    """A policy that keeps what it was asked, and never waits long."""

    def __init__(self, *delays: float | None) -> None:
        self.losses: list[Loss] = []
        self._delays = list(delays)

    def __call__(self, loss: Loss) -> float | None:
        self.losses.append(loss)
        return self._delays.pop(0) if self._delays else 0.0

    @property
    def kinds(self) -> list[type[Exception]]:
        return [type(loss.error) for loss in self.losses]


def greet(peer: Peer) -> None:
    peer.accept()
    peer.send("hello")
    peer.echo()


def greet_and_end(peer: Peer) -> None:
    peer.accept()
    peer.send("hello")


def greet_and_close(code: int) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        peer.send_close(code)
        finish(peer)

    return script


def refuse(status: int) -> Callable[[Peer], None]:
    return lambda peer: peer.refuse(status)
