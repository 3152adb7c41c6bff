"""The demo: a real connection with an echo server in the same process, told event by event.

Owns: nothing that lasts. Runs on: the main thread, and where the callbacks run. Must not import: anything
below the two doors it shows, `WebSocket` and `LoopbackServer`.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from .._events import CloseEvent, ErrorEvent, Event, MessageEvent
from .._ready_state import STATE_NAMES
from .._websocket import WebSocket
from ..testing import LoopbackServer

if TYPE_CHECKING:
    import ssl

_SECONDS = 20


def run_demo() -> int:
    """Run the demo; returns the exit status."""
    with _server() as server:
        url = server.url_for("/demo")
        print(f"An echo server runs in this process: {url}")
        return _converse(url, server.ssl_context)


def _server() -> LoopbackServer:
    """With TLS, or without where nothing can make a certificate."""
    try:
        return LoopbackServer(tls=True)
    except RuntimeError as error:
        print(f"(without TLS: {error})")
        return LoopbackServer()


def _converse(url: str, context: ssl.SSLContext | None) -> int:
    started = time.monotonic()
    outcome: list[CloseEvent] = []

    def tell(what: str, carried: str, ws: WebSocket) -> None:
        thread = threading.current_thread().name
        state = f"{ws.readyState} {STATE_NAMES[ws.readyState]}"
        # In one write, since two threads tell.
        sys.stdout.write(
            f"{time.monotonic() - started:8.4f} s  {thread:<16}  {what:<8}  {carried:<44}  "
            f"readyState={state:<12}  bufferedAmount={ws.bufferedAmount}\n"
        )

    def send(ws: WebSocket, data: str | bytes) -> None:
        ws.send(data)
        tell("send()", _describe(data), ws)

    def on_event(event: Event) -> None:
        ws = event.target
        assert isinstance(ws, WebSocket)
        tell(event.type, _carried(event), ws)
        if event.type == "open":
            send(ws, "Grüße, server!")
            send(ws, bytes(range(256)) * 256)
        elif isinstance(event, MessageEvent) and isinstance(event.data, bytes):
            ws.close(1000, "the demo is over")
            tell("close()", "1000 'the demo is over'", ws)
        elif isinstance(event, CloseEvent):
            outcome.append(event)

    ws = WebSocket(
        url, onopen=on_event, onmessage=on_event, onerror=on_event, onclose=on_event, ssl_context=context
    )
    tell("WebSocket", url, ws)
    ws.join(_SECONDS)
    return 0 if outcome and outcome[0].wasClean else 1


def _carried(event: Event) -> str:
    if isinstance(event, MessageEvent):
        return _describe(event.data)
    if isinstance(event, CloseEvent):
        return f"code={event.code} reason={event.reason!r} wasClean={event.wasClean}"
    return event.message if isinstance(event, ErrorEvent) else ""


def _describe(data: str | bytes | bytearray) -> str:
    if isinstance(data, str):
        return f"text {data!r}"
    return f"binary, {len(data)} bytes, {data[:6].hex(' ')} …"
