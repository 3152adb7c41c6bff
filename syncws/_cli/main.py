"""``python -m syncws demo`` and ``python -m syncws URL``.

Owns: the command line. Runs on: the main thread reads stdin and sends; callbacks print.
"""

from __future__ import annotations

import argparse
import io
import sys
import threading
from typing import TYPE_CHECKING

from .._exceptions import DOMException
from .._websocket import WebSocket

if TYPE_CHECKING:
    from .._events import CloseEvent, ErrorEvent, Event, MessageEvent

# Once stdin has ended, the connection is closed when nothing has come for this long.
QUIET_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 after an orderly end, 1 after a failure."""
    parser = argparse.ArgumentParser(prog="python -m syncws", description="Talk to a WebSocket server.")
    parser.add_argument(
        "target",
        metavar="demo | URL",
        help="'demo' talks to an echo server of its own; to a URL each line of standard input is sent, "
        "and what arrives is printed",
    )
    target = parser.parse_args(arguments).target
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal need not know every character
    if target == "demo":
        from .demo import run_demo

        return run_demo()
    try:
        return converse(target)
    except DOMException as error:
        parser.error(str(error))


def converse(url: str) -> int:
    """Send stdin line by line and print the messages that arrive, until either side is done."""
    over = threading.Event()
    ready = threading.Event()
    heard = threading.Event()
    failures: list[str] = []

    def on_message(event: MessageEvent) -> None:
        heard.set()
        if isinstance(event.data, str):
            print(event.data, flush=True)
        else:
            sys.stdout.buffer.write(event.data + b"\n")
            sys.stdout.flush()

    def on_error(event: ErrorEvent) -> None:
        failures.append(event.message)
        print(f"error: {event.message}", file=sys.stderr)

    def on_close(event: CloseEvent) -> None:
        print(f"closed: {event.code} {event.reason}".rstrip(), file=sys.stderr)
        over.set()
        ready.set()

    def on_open(event: Event) -> None:
        ready.set()

    with WebSocket(url, onopen=on_open, onmessage=on_message, onerror=on_error, onclose=on_close) as ws:
        try:
            ready.wait()
            for line in sys.stdin:
                if over.is_set():
                    break
                ws.send(line.rstrip("\r\n"))
            while not over.is_set() and (ws.bufferedAmount or heard.wait(QUIET_SECONDS)):
                heard.clear()
        except KeyboardInterrupt:
            return 130
    return 1 if failures else 0
