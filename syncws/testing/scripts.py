"""Ready-made scripts, and a script made of several.

Owns: nothing. Runs on: the thread of each connection. Must not import: sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .peer import Peer

Script = Callable[[Peer], object]
"""A script: the behaviour of a server on one connection."""


def echo(peer: Peer) -> None:
    """Accept, then send back whatever comes: the script of a server that was given none."""
    peer.accept()
    peer.echo()


def in_turn(*scripts: Script) -> Script:
    """One script for each connection in turn; the last is played for all that follow.

    ``in_turn(Peer.reset, lambda peer: peer.refuse(503), echo)`` is a server that recovers.

    Raises:
        ValueError: no script is given.
    """
    if not scripts:
        raise ValueError("in_turn() needs a script at least")
    lock = threading.Lock()
    left = list(scripts)

    def script(peer: Peer) -> None:
        with lock:
            chosen = left.pop(0) if len(left) > 1 else left[0]
        chosen(peer)

    return script
