"""What programs write: `mypy --strict` and `pyright` in its strict mode take all of it. Never run."""

from __future__ import annotations

import asyncio
import queue
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import syncws
from syncws import (
    CloseEvent,
    Connection,
    Dispatch,
    ErrorEvent,
    Event,
    EventTarget,
    HeadersLike,
    Loss,
    LossEvent,
    MessageEvent,
    ReconnectingWebSocket,
    Reconnector,
    RetryPolicy,
    WebSocket,
)

URL = "wss://example.com/chat"


# Handlers as functions: the same ones for both classes of the callback API.


def on_open(event: Event) -> None:
    event.target.send("hello")
    event.target.close(3000, event.type)


def on_message(event: MessageEvent) -> None:
    if isinstance(event.data, str):
        print(event.data.upper(), event.origin)
    else:
        print(event.data.hex(), event.timeStamp + 1)
    event.target.send(event.data)


def on_error(event: ErrorEvent) -> None:
    if isinstance(event.error, syncws.HandshakeError) and event.error.status == 401:
        print(event.message, event.error.body[:100])


def on_close(event: CloseEvent) -> None:
    print(event.code + 1, event.reason.upper(), event.wasClean)


def on_loss(event: LossEvent) -> None:
    if event.retry_in is not None:
        print(event.code, event.retry_in + 1, event.unsent)


def on_anything(event: object) -> str:
    return repr(event)


def handlers() -> None:
    ws = WebSocket(URL, onopen=on_open, onmessage=on_message, onerror=on_error, onclose=on_close)
    ws.onopen = on_open
    ws.onmessage = on_message
    ws.onerror = on_error
    ws.onclose = on_close
    ws.onmessage = on_anything
    ws.onmessage = print
    ws.onmessage = None
    ws.addEventListener("message", on_message, once=True)
    ws.removeEventListener("message", on_message)
    ws.send(b"{}", text=True)
    ws.ping(b"now")
    if ws.onopen is not None:
        ws.onopen(Event("open"))

    again = ReconnectingWebSocket(URL, onopen=on_open, onmessage=on_message, onclose=on_loss)
    again.onopen = on_open
    again.onclose = on_loss
    again.onclose = on_close
    again.onclose = lambda event: print(event.retry_in)


def metrics_and_loops(connection: Connection, ws: WebSocket) -> None:
    selectors.DefaultSelector().register(connection, selectors.EVENT_READ)
    print(connection.fileno() + 1, connection.stats.pauses + ws.stats.messages_sent)
    if ws.stats.round_trip is not None:
        print(ws.stats.round_trip * 1000)


def handlers_as_lambdas() -> None:
    ws = WebSocket(
        URL,
        onopen=lambda event: event.target.send("hello"),
        onmessage=lambda event: print(len(event.data)),
        onclose=lambda event: print(event.code + 1),
    )
    ws.onopen = lambda event: event.target.send(b"hello")
    ws.onerror = lambda event: print(event.message.upper())
    ws.addEventListener("close", lambda event: print(event))


class Chat(WebSocket):
    """A subclass with names of its own, and with handlers as methods."""

    room = "lobby"

    def __init__(self, url: str) -> None:
        super().__init__(url, "chat", onmessage=self.on_message, ping_interval=5)

    def on_message(self, event: MessageEvent[WebSocket]) -> None:
        print(self.room, event.data)


def subclasses() -> None:
    with Chat(URL) as chat:
        print(chat.room.upper())


class Ticker(EventTarget):
    """A target that is no connection."""

    symbol = "X"


def on_tick(event: Event[Ticker]) -> None:
    print(event.target.symbol, event.currentTarget is event.target)


def targets_of_ones_own() -> None:
    ticker = Ticker()
    ticker.addEventListener("tick", on_tick)
    tick: Event[Ticker] = Event("tick")
    ticker.dispatchEvent(tick)
    ticker.dispatchEvent(MessageEvent("tick", "data"))


# Options.


def every_option(context: ssl.SSLContext, limit: int | None, seconds: float) -> None:
    WebSocket(
        URL,
        ["a", "b"],
        headers={"Authorization": "Bearer x"},
        origin="https://example.com",
        auth=("user", "password"),
        cookies=CookieJar(),
        max_redirects=5,
        require_protocol=False,
        allow_blocked_port=True,
        ssl_context=context,
        ca=Path("authority.pem"),
        cert=("certificate.pem", Path("key.pem")),
        server_hostname="example.com",
        proxy="socks5h://localhost:1080",
        sock=socket.create_connection(("localhost", 1)),
        unix=b"/run/service",
        source_address=("127.0.0.1", 0),
        family=6,
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, 1, b"x")],
        open_timeout=5,
        close_timeout=seconds,
        ping_interval=None,
        ping_timeout=2.5,
        max_size=limit,
        max_queue=(2**20, None),
        max_buffered=2**20,
        compression=None,
    )
    syncws.connect(URL, "chat", headers=[("X-A", "1"), ("X-A", "2")], max_queue=2**20, compression="deflate")
    syncws.connect(url=URL, protocols=("a", "b"), max_queue=None, open_timeout=None)
    syncws.connect(URL, proxy=None, cert="both.pem", ca="authority.pem", unix=Path("/run/service"))
    ReconnectingWebSocket(URL, headers=fresh_headers, policy=my_policy, max_size=None)
    ReconnectingWebSocket(lambda: URL, lambda: ["a", "b"])
    syncws.reconnect(fresh_url, lambda: "token.abc")
    syncws.reconnect(URL, headers=fresh_headers, policy=lambda loss: 1.0 if loss.failures < 5 else None)


def fresh_url() -> str:
    return f"{URL}?token=x"


def fresh_headers() -> HeadersLike:
    return {"Authorization": "Bearer x"}


def my_policy(loss: Loss) -> float | None:
    pause = syncws.default_policy(loss)
    return None if pause is None else min(pause, 5)


POLICIES: list[RetryPolicy] = [my_policy, syncws.default_policy]


def dispatching(loop: asyncio.AbstractEventLoop, tasks: queue.Queue[Callable[[], None]]) -> None:
    WebSocket(URL, dispatch=loop.call_soon_threadsafe)
    WebSocket(URL, dispatch=tasks.put)
    chosen: Dispatch = tasks.put
    ReconnectingWebSocket(URL, dispatch=chosen)


# The rest of the callback API.


def callback_api() -> tuple[int, int, str, str, str]:
    with WebSocket(URL) as ws:
        ws.send("text")
        ws.send(b"bytes")
        ws.send(bytearray(b"bytes"))
        ws.send(memoryview(b"bytes"))
        ws.binaryType = "arraybuffer"
        if ws.readyState == WebSocket.OPEN or ws.readyState == ws.CONNECTING:
            ws.close(code=1000, reason="done")
        ws.join(timeout=5)
    return ws.readyState, ws.bufferedAmount, ws.url, ws.protocol, ws.extensions


# The blocking API.


def blocking_api() -> str | bytes:
    with syncws.connect(URL) as connection:
        connection.send("text")
        connection.send(b"bytes")
        connection.send(f"part {n}" for n in range(3))
        connection.send([b"one", b"two"])
        connection.flush(timeout=5)
        round_trip: float = connection.ping(5)
        print(round_trip, connection.response.status, connection.response.headers["Server"].upper())
        print(connection.timings.total, connection.local_address, connection.remote_address[0])
        if connection.tls is not None:
            print(connection.tls.version.upper(), connection.tls.peer_certificate["subject"])
        print(connection.response.headers.get_all("Set-Cookie")[0].upper())
        for message in connection:
            print(message)
        for part in connection.recv_streaming():
            print(part)
        connection.close()
        return connection.recv(timeout=1.5)


def closes(connection: Connection) -> Iterator[int]:
    try:
        connection.recv()
    except syncws.ConnectionClosed as closed:
        yield closed.code
        print(closed.reason.upper(), closed.wasClean)


def coming_back() -> None:
    connections: Reconnector = syncws.reconnect(URL, ping_interval=5)
    with connections:
        for connection in connections:
            connection.send("hello")
            connections.stop()
