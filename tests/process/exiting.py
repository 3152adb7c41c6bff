"""What the tests of the end of the process share: the programs that end, and the server that sees how."""

from __future__ import annotations

import queue
import textwrap
import time

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import EXIT_SECONDS, spawn
from tests.support.waiting import SECONDS

# Every program begins so, and says when its own part is over.
HEAD = """
    import os, sys, threading, time
    import syncws

    url = sys.argv[1]

    def over():
        print("over", flush=True)

    def connect(**options):
        opened = threading.Event()
        ws = syncws.WebSocket(url, onopen=lambda event: opened.set(), **options)
        ws.addEventListener("close", lambda event: None)  # so that it lives on
        assert opened.wait(60)
        return ws
"""


def run(program: str, url: str, status: int = 0) -> str:
    """Run a program to its end, which must come soon after its "over"; what it wrote to stderr."""
    text = textwrap.dedent(HEAD) + textwrap.dedent(program)
    with spawn("-c", text, url) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = process.stdout.readline()
            since = time.monotonic()
            process.wait(SECONDS)
            seconds = time.monotonic() - since
        finally:
            process.kill()
        assert process.returncode == status, process.stderr.read()
        assert said == "over\n"
        assert seconds < EXIT_SECONDS
        return process.stderr.read()


class Ends(LoopbackServer):
    """A server that keeps what each connection received, and how it ended."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[list[str | bytes], object]] = queue.SimpleQueue()
        super().__init__(self._script, receive_buffer=65536)

    def _script(self, peer: Peer) -> None:
        received: list[str | bytes] = []
        peer.accept()
        if peer.request is not None and peer.request.target == "/unread":
            peer.closing.wait(SECONDS)
            return
        try:
            while True:
                received.append(peer.recv())
        except PeerClosed as closed:
            self._ends.put((received, closed.code))
            raise
        except (EOFError, ConnectionError) as error:
            self._ends.put((received, type(error)))

    def next(self) -> tuple[list[str | bytes], object]:
        return self._ends.get(timeout=SECONDS)
