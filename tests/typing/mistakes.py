"""What `mypy --strict` and `pyright` refuse: a comment that would let nothing pass is an error to both."""

from __future__ import annotations

import syncws
from syncws import CloseEvent, Event, LossEvent, MessageEvent, ReconnectingWebSocket, WebSocket

URL = "wss://example.com/chat"


def on_open(event: Event) -> None:
    event.target.sned("hello")  # type: ignore[union-attr]


def on_message(event: MessageEvent) -> None:
    event.data.encode()  # type: ignore[union-attr]


def on_close(event: CloseEvent) -> None:
    event.code.upper()  # type: ignore[attr-defined]


def on_loss(event: LossEvent) -> None:
    event.retry_in + 1  # type: ignore[operator]


async def on_open_async(event: Event) -> None:
    event.target.send("an async def is refused when it is set, not by type checkers")


def without_an_argument() -> None: ...


def unknown_options() -> None:
    syncws.connect(URL, open_timeot=3)  # type: ignore[call-arg]
    syncws.connect(URL, onopen=on_open)  # type: ignore[call-arg]
    syncws.reconnect(URL, dispatch=print)  # type: ignore[call-arg]
    syncws.reconnect(URL, sock=None)  # type: ignore[call-arg]
    WebSocket(URL, on_message=on_message)  # type: ignore[call-arg]
    WebSocket(URL, policy=syncws.default_policy)  # type: ignore[call-arg]
    ReconnectingWebSocket(URL, ssl=None)  # type: ignore[call-arg]
    syncws.connect(URL, (), {})  # type: ignore[call-arg]


def wrong_types() -> None:
    syncws.connect(URL, ping_interval="often")  # type: ignore[arg-type]
    syncws.connect(URL, ssl_context=True)  # type: ignore[arg-type]
    syncws.connect(URL, headers={"X-A": 1})  # type: ignore[arg-type]
    syncws.connect(URL, headers=lambda: {"X-A": "1"})  # type: ignore[arg-type]
    syncws.reconnect(URL, policy=lambda: 1.0)  # type: ignore[arg-type, misc]
    WebSocket(URL, compression="gzip")  # type: ignore[arg-type]
    WebSocket(URL, max_queue=(1, 2, 3))  # type: ignore[arg-type]
    WebSocket(URL, dispatch=5)  # type: ignore[arg-type]
    syncws.connect(lambda: URL)  # type: ignore[arg-type]
    syncws.reconnect(lambda: 5)  # type: ignore[arg-type, return-value]
    syncws.connect(URL, auth="user:password")  # type: ignore[arg-type]
    syncws.connect(URL, cookies={"a": "b"})  # type: ignore[arg-type]
    syncws.connect(URL, family=5)  # type: ignore[arg-type]
    syncws.connect(URL, proxy=True)  # type: ignore[arg-type]
    syncws.connect(URL, socket_options=[(1, 2)])  # type: ignore[list-item]
    ReconnectingWebSocket(URL, max_size=1.5)  # type: ignore[arg-type]


def wrong_handlers(ws: WebSocket, again: ReconnectingWebSocket) -> None:
    WebSocket(URL, onmessage=on_close)  # type: ignore[arg-type]
    WebSocket(URL, onopen=on_message)  # type: ignore[arg-type]
    WebSocket(URL, onopen=without_an_argument)  # type: ignore[arg-type]
    WebSocket(URL, onclose=on_loss)  # type: ignore[arg-type]
    ws.onmessage = on_close  # type: ignore[assignment]
    ws.onopen = "on_open"  # type: ignore[assignment]
    ws.onclose = on_loss  # type: ignore[assignment]
    ws.onopen = without_an_argument  # type: ignore[assignment]
    ws.onopen = lambda event: event.target.sned("hello")  # type: ignore[attr-defined]
    again.onmessage = on_loss  # type: ignore[assignment]
    ws.addEventListener("message", 5)  # type: ignore[arg-type]


def wrong_names(ws: WebSocket) -> None:
    ws.on_message = on_message  # type: ignore[attr-defined]
    ws.onMessage = on_message  # type: ignore[attr-defined]


def read_only(ws: WebSocket) -> None:
    ws.readyState = WebSocket.OPEN  # type: ignore[misc]
    ws.url = URL  # type: ignore[misc]


def wrong_arguments(ws: WebSocket) -> None:
    ws.send(5)  # type: ignore[arg-type]
    ws.join(timeout="5")  # type: ignore[arg-type]
    with syncws.connect(URL) as connection:
        connection.recv(timeout="5")  # type: ignore[arg-type]
        connection.recv().encode()  # type: ignore[union-attr]
        connection.send([1, 2])  # type: ignore[arg-type]
