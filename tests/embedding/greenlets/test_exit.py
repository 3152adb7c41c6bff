"""A patched program ends with connections that nobody closed: as one with threads does."""

from __future__ import annotations

import queue
import ssl
import time
from pathlib import Path

import pytest
import trustme

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.embedding.greenlets.programs import start
from tests.support.programs import EXIT_SECONDS
from tests.support.waiting import SECONDS

CONNECTED = """
    opened = threading.Event()
    ws = syncws.WebSocket(url, onopen=lambda event: opened.set(), **options)
    assert opened.wait(20)
    connection = syncws.connect(url, **options)

    def over():
        faulthandler.cancel_dump_traceback_later()
        print("over", flush=True)
"""

ENDINGS = {
    "at the end of the main program": "over()",
    "sys.exit": "over(); sys.exit(0)",
    "greenlets wait for messages and for the end": """
        spawned = [greenlets.spawn(list, connection), greenlets.spawn(ws.join)]
        greenlets.sleep(0.05)
        over()
    """,
    "a handler waits for ever": """
        ws.onmessage = lambda event: (waiting.set(), threading.Event().wait())
        waiting = threading.Event()
        ws.send("hello")
        assert waiting.wait(20)
        over()
    """,
}


@pytest.mark.parametrize("order", ["patched first", "syncws imported first"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_server_is_told_1001_and_nothing_is_printed(
    ending: str,
    order: str,
    library: str,
    secure: bool,
    server_ssl_context: ssl.SSLContext,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    codes: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def script(peer: Peer) -> None:
        peer.accept()
        try:
            peer.send(str(peer.recv()))
            peer.recv()
        except PeerClosed as closed:
            codes.put(closed.code)
            raise

    program = CONNECTED + "\n".join(f"    {line.strip()}" for line in ending.strip().splitlines())
    with (
        LoopbackServer(script, tls=server_ssl_context if secure else False) as server,
        start(program, library, server.url, authority, tmp_path, order) as process,
    ):
        assert process.stdout is not None and process.stderr is not None
        try:
            said = process.stdout.readline()
            since = time.monotonic()
            told = [codes.get(timeout=SECONDS) for _ in range(2)] if said else []
            seconds = time.monotonic() - since
            process.wait(SECONDS)
        finally:
            process.kill()
        assert (said, process.returncode, process.stderr.read()) == ("over\n", 0, "")
        assert told == [1001, 1001]
        assert seconds < 2
        assert time.monotonic() - since < EXIT_SECONDS
