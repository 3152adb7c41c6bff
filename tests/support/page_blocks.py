"""The Python of the documentation's pages, run as printed, each block as a program of its own.

A block that only defines something has some lines added that use it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncws.testing import Peer
from tests.support.page_servers import serving
from tests.support.pages import python_blocks
from tests.support.programs import PROGRAM_SECONDS

if TYPE_CHECKING:
    import trustme

HELLO = json.dumps({"hello": "world"})

# How long the server waits for another message before it closes with 1000, which ends a program that listens.
_IDLE_SECONDS = 0.3


def echo(peer: Peer) -> None:
    """Send back what comes, and close when nothing more does."""
    peer.accept()
    _echo_until_idle(peer)


def push(peer: Peer) -> None:
    """Speak first, with a ping and a message; then as `echo`."""
    peer.accept()
    peer.ping(b"alive?")
    peer.send(HELLO)
    _echo_until_idle(peer)


def _echo_until_idle(peer: Peer) -> None:
    with contextlib.suppress(TimeoutError):
        while True:
            peer.send(peer.recv(_IDLE_SECONDS))
    peer.close(1000, "bye")


def film(peer: Peer) -> None:
    """One message, in bytes."""
    peer.accept()
    peer.send(b"a film")


def keep(peer: Peer) -> None:
    """Send back what comes, until the client closes."""
    peer.accept()
    peer.echo()


def refuse(peer: Peer) -> None:
    peer.refuse(403, {"X-Reason": "stranger"}, b"who are you?")


@dataclass(frozen=True)
class Block:
    """A block of a page: what the server does with it, what is changed and added, and what it prints.

    Attributes:
        out: pieces of its output, in order.
        after: Python that is run behind it.
        given: a line of its standard input, which ends when the program has answered it with another.
        needs: modules without which it cannot run.
        complains: pieces of what it writes to stderr, which is empty otherwise.
    """

    page: str
    number: int
    out: tuple[str, ...] = ()
    script: Callable[[Peer], object] = echo
    after: str = ""
    given: str = ""
    needs: tuple[str, ...] = ()
    complains: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.page} {self.number}"


CALL_SEND_ALL = """
import syncws
with syncws.connect("ws://127.0.0.1:8765/") as connection:
    send_all(connection, ["x" * 100_000] * 50)
    connection.flush(10)
print("sent")
"""
CALL_SEND_ALL_ON_WEBSOCKET = """
from syncws import WebSocket
with WebSocket("ws://127.0.0.1:8765/") as ws:
    ws.wait_open(10)
    send_all(ws, ["x" * 100_000] * 50)
print("sent", ws.bufferedAmount)
"""
CONNECT = "\nimport syncws\nsyncws.connect('ws://127.0.0.1:8765/').close()\n"
QT_LOOP = """
from PySide6.QtCore import QCoreApplication
app = QCoreApplication([])
ws.onclose = lambda event: app.quit()
app.exec()
"""
CLOSE = "\nconnection.close()\nprint('closed', connection.close_code)\n"

BLOCKS = [
    Block("backpressure.md", 0, ("closed 1000",), after=CLOSE),
    Block("backpressure.md", 1, (HELLO,), push, after="\nws.join(10)\n"),
    Block("backpressure.md", 2, ("sent",), keep, after=CALL_SEND_ALL),
    Block("backpressure.md", 3, ("sent 0",), keep, after=CALL_SEND_ALL_ON_WEBSOCKET),
    Block("backpressure.md", 4, ("closed 1000",), after=CLOSE),
    Block("celery.md", 0, ("[1]",), keep, after="\nprint(ask([1]))\n", needs=("celery",)),
    Block(
        "celery.md",
        1,
        ("[1]", "[2]"),
        keep,
        after="\nprint(ask([1]), ask([2]))\nsay_goodbye()\n",
        needs=("celery",),
    ),
    Block("choosing.md", 0, ("hello",)),
    Block("choosing.md", 1, ("hello",)),
    Block("closing.md", 0, (HELLO, "1000 bye None"), push),
    Block("closing.md", 1, ("1000 bye True",), push),
    Block("gevent-and-eventlet.md", 0, ("hello from 0", "hello from 49"), needs=("gevent",)),
    Block("guis-and-event-loops.md", 1, (HELLO,), push, after=QT_LOOP, needs=("PySide6",)),
    Block("guis-and-event-loops.md", 2, ("typed",), keep, given="typed\n"),
    Block("har.md", 0, ("hello",), after="\nprint(open('session.har').read())\n"),
    Block("headers-and-auth.md", 0, ("closed 1000",), after=CLOSE),
    Block("headers-and-auth.md", 1, (HELLO,), push),
    Block("headers-and-auth.md", 2, ("403 stranger b'who are you?'",), refuse),
    Block("keepalive.md", 0, ("closed 1000",), after=CLOSE),
    Block("keepalive.md", 1, (" ms",), keep),
    Block("keepalive.md", 2, ("the server lives b'alive?'",), push, after="\nws.join(10)\n"),
    Block("large-messages.md", 0, ("sent",), keep, after="\nprint('sent')\n"),
    Block("large-messages.md", 1, ("a film",), film, after="\nprint(open('film.mkv').read())\n"),
    Block("logging.md", 0, after=CONNECT, complains=("syncws-1: request ", "syncws-1: closed ")),
    Block("logging.md", 1, after=CONNECT, complains=("request ", "closed ")),
    Block("many-connections.md", 0),
    Block("metrics.md", 0, ("1 messages,", "bytes on the wire")),
    Block("migrating-from-websocket-client.md", 0, (HELLO, "subscribe", "1000 bye"), push),
    Block(
        "migrating-from-websocket-client.md",
        1,
        (HELLO, "MainThread", "the end"),
        push,
        after="\nimport threading\ndef show(event):\n    print(event.data, threading.current_thread().name)\n"
        "run_forever('ws://127.0.0.1:8765/', onmessage=show, onclose=lambda event: print('the end'))\n",
    ),
    Block("migrating-from-websocket-client.md", 2, ("hello",)),
    Block("migrating-from-websockets-sync.md", 0, ("hello",)),
    Block("proxies-and-networks.md", 0, ("closed 1000",), after=CLOSE),
    Block("proxies-and-networks.md", 1, ("closed 1000",), after=CLOSE),
    Block("proxies-and-networks.md", 2, ("closed 1000",), after=CLOSE),
    Block("reconnecting.md", 0, (HELLO, "subscribe"), push),
    Block(
        "reconnecting.md", 1, (HELLO, "subscribe", "lost: 1000 unsent bytes: 0 next attempt in: None"), push
    ),
    Block(
        "reconnecting.md",
        2,
        ("closed",),
        keep,
        after="\nfor connection in connections:\n    connection.close()\nprint('closed')\n",
    ),
    Block("reconnecting.md", 3, after="\nws.wait_open(10)\nws.close()\nws.join(10)\n"),
    Block("reference/exceptions.md", 0, ("answered 403 Forbidden", "403", "who are you?"), refuse),
    Block("speed.md", 0),
    Block("tls.md", 0, ("closed 1000",), after=CLOSE),
    Block(
        "tls.md",
        1,
        ("closed 1000",),
        after="\nimport syncws\nurl = 'wss://internal.example.com/'"
        "\nconnection = syncws.connect(url, ssl_context=context)" + CLOSE,
    ),
    Block("tls.md", 2, ("closed 1000",), after=CLOSE),
    Block("tls.md", 3, ("closed 1000",), after=CLOSE),
    Block("tls.md", 4, ("closed 1000",), after=CLOSE),
    Block("tracing.md", 0, ("resolve", "connected", "request", "sent 1 5 bytes b'hello'", "closed")),
    Block(
        "web-workers.md",
        0,
        ("True",),
        keep,
        after="\nprint(feed().send('hello') is None and feed() is feed())\n",
    ),
    Block("web-workers.md", 1, needs=("gevent",)),
]

# Each of these groups of pages has a file of tests of its own; the other pages have another one.
OPENING = ("headers-and-auth.md", "proxies-and-networks.md", "reference/exceptions.md", "tls.md")
WATCHING = ("backpressure.md", "har.md", "keepalive.md", "logging.md", "metrics.md", "tracing.md")

# Those that need a package of others are run where these are installed, by tests/embedding; those that listen
# are in a file of their own, since they wait for the server's Close.
PLAIN = [block for block in BLOCKS if not block.needs and block.script is not push]
LISTENING = [block for block in BLOCKS if not block.needs and block.script is push]

# Blocks that other tests run, or that no program can be, and why.
ELSEWHERE = {
    "first-steps.md": "tests/examples/test_first_steps_page.py",
    "index.md": "tests/examples/test_first_steps_page.py",
    "testing.md": "tests/examples/test_testing_page.py, tests/embedding/web/test_testing_page.py",
    "guis-and-event-loops.md 0": "tests/embedding/gui/test_tk.py runs examples/tk_chat.py, which is the same",
    "har.md 1": "the test of testing.md, whose page it leads to",
    "web-workers.md 2": "tests/embedding/web/test_waitress.py runs the example, which is the same",
    "web-workers.md 3": "tests/embedding/web/test_django.py runs the example's decorator: there is no News",
}


def check_block(block: Block, authority: trustme.CA, folder: Path) -> None:
    """Run a block in `folder`, with servers of its own: it prints what it should, and does not complain."""
    out = _run(block, authority, folder)
    at = 0
    for piece in block.out:
        assert piece in out[at:], f"{piece!r} is not in {out[at:]!r}"
        at = out.index(piece, at) + len(piece)


def _run(block: Block, authority: trustme.CA, folder: Path) -> str:
    with serving(block.script, authority, folder) as servers:
        program = servers.leading_here(python_blocks(block.page)[block.number] + block.after)
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            env=servers.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            try:
                first = _exchange(process, block.given) if block.given else ""
                out, err = process.communicate(timeout=PROGRAM_SECONDS)
            finally:
                process.kill()
    assert process.returncode == 0, first + out + err
    assert err == "" or block.complains, err
    assert all(piece in err for piece in block.complains), err
    return first + out


def _exchange(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    return process.stdout.readline()
