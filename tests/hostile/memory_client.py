"""A client in a process of its own, which tells how far its memory rose: `test_memory*.py` run it.

Arguments: the API (``callback`` or ``blocking``), the URL, the options as JSON, and ``wait`` to stand still
until a line comes on standard input. It takes a first message, notes the memory, answers it, and takes what
comes until the end.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import syncws
from tests.support.memory import kilobytes, restart_peak


class Taker:
    """Takes the messages of either API, and keeps none."""

    def __init__(self, waits: bool) -> None:
        self.idle = 0
        self.messages = 0
        self.error: BaseException | None = None
        self._waits = waits

    def take(self, session: syncws.WebSocket | syncws.Connection) -> None:
        self.messages += 1
        if self.messages == 1:
            restart_peak()
            self.idle = kilobytes("VmRSS")
            session.send("begin")
            if self._waits:
                sys.stdin.readline()

    def over_callbacks(self, url: str, options: dict[str, Any]) -> None:
        over = threading.Event()

        def on_message(event: syncws.MessageEvent) -> None:
            assert isinstance(event.target, syncws.WebSocket)
            self.take(event.target)

        def on_error(event: syncws.ErrorEvent) -> None:
            self.error = event.error

        def on_close(event: object) -> None:
            over.set()

        syncws.WebSocket(url, onmessage=on_message, onerror=on_error, onclose=on_close, **options)
        over.wait()

    def over_blocking_calls(self, url: str, options: dict[str, Any]) -> None:
        connection = syncws.connect(url, **options)
        try:
            while True:
                connection.recv()
                self.take(connection)
        except syncws.ConnectionClosed as closed:
            self.error = closed.__cause__


def main(api: str, url: str, options: str, *flags: str) -> None:
    taker = Taker("wait" in flags)
    {"callback": taker.over_callbacks, "blocking": taker.over_blocking_calls}[api](url, json.loads(options))
    rise = kilobytes("VmHWM") - taker.idle
    print(json.dumps({"rise": rise, "messages": taker.messages - 1, "error": str(taker.error or "")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
