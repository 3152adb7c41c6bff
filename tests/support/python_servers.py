"""The same few paths on the servers of `websockets` and of `aiohttp`, on an event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import aiohttp.web
import websockets.asyncio.server as websockets_server
from aiohttp.http_websocket import WSMsgType
from websockets.http11 import Request, Response

from tests.support.waiting import SECONDS

PROTOCOL = "chat.v2"


@dataclass
class Outcomes:
    """How the clients closed the connections to /record, by the name that they gave."""

    futures: dict[str, asyncio.Future[str]] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.get_running_loop().create_future())
    )

    def set(self, name: str, code: int | None, reason: str) -> None:
        self.futures[name].set_result(json.dumps({"code": code, "reason": reason}))


def split(target: str) -> tuple[str, dict[str, str]]:
    """The path and the query of a request target."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    return parts.path, {name: values[0] for name, values in query.items()}


@contextlib.asynccontextmanager
async def serve_websockets(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """The server of `websockets`; its port."""
    outcomes = Outcomes()

    async def handle(connection: websockets_server.ServerConnection) -> None:
        assert connection.request is not None
        path, query = split(connection.request.path)
        if path == "/echo":
            async for message in connection:
                await connection.send(message)
        elif path == "/fragments":
            await connection.send(["gr", "", "üß", "e"])
            await connection.send([b"\0\1", b"\2" * 70000, b"\3"])
        elif path == "/ping":
            await (await connection.ping("are you there?"))
            await connection.send("are you there?")
            await connection.wait_closed()
        elif path == "/close":
            await connection.close(int(query["code"]), query["reason"])
        elif path == "/record":
            await connection.wait_closed()
            outcomes.set(query["name"], connection.close_code, connection.close_reason or "")
        elif path == "/recorded":
            await connection.send(await outcomes.futures[query["name"]])

    def refuse(connection: websockets_server.ServerConnection, request: Request) -> Response | None:
        if request.path != "/forbidden":
            return None
        response = connection.respond(403, "no entry")
        response.headers["X-Why"] = "closed"
        return response

    def select(connection: websockets_server.ServerConnection, asked: object) -> object:
        return PROTOCOL if PROTOCOL in asked else None  # type: ignore[operator]

    server = await websockets_server.serve(
        handle,
        "127.0.0.1",
        0,
        ssl=context,
        process_request=refuse,
        select_subprotocol=select,  # type: ignore[arg-type]
        max_size=None,
        backlog=1024,
    )
    async with server:
        yield next(iter(server.sockets)).getsockname()[1]


async def converse(ws: aiohttp.web.WebSocketResponse, target: str, outcomes: Outcomes) -> None:
    """One connection of the server of `aiohttp`."""
    path, query = split(target)
    if path == "/echo":
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
    elif path == "/ping":
        await ws.ping(b"are you there?")
        message = await ws.receive()
        assert message.type == WSMsgType.PONG
        await ws.send_str(bytes(message.data).decode())
        await ws.receive()
    elif path == "/close":
        await ws.close(code=int(query["code"]), message=query["reason"].encode())
    elif path == "/record":
        message = await ws.receive()
        outcomes.set(query["name"], message.data, message.extra or "")
    elif path == "/recorded":
        await ws.send_str(await outcomes.futures[query["name"]])


@contextlib.asynccontextmanager
async def serve_aiohttp(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """The server of `aiohttp`; its port. It has no call that sends fragments."""
    outcomes = Outcomes()

    async def handle(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if request.path == "/forbidden":
            raise aiohttp.web.HTTPForbidden(text="no entry", headers={"X-Why": "closed"})
        autoping = request.path != "/ping"
        ws = aiohttp.web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0, autoping=autoping)
        await ws.prepare(request)
        await converse(ws, request.path_qs, outcomes)
        return ws

    app = aiohttp.web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context, backlog=1024)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


SERVERS = {"websockets": serve_websockets, "aiohttp": serve_aiohttp}


@contextlib.contextmanager
def running(context: ssl.SSLContext) -> Iterator[dict[str, str]]:
    """Both servers, over ws and wss, on one thread: the roots of their URLs, by "aiohttp wss" and so on."""
    loop = asyncio.new_event_loop()
    roots: dict[str, str] = {}
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            for name, serve in SERVERS.items():
                manager: AbstractAsyncContextManager[int] = serve(None)
                roots[f"{name} ws"] = f"ws://127.0.0.1:{await stack.enter_async_context(manager)}"
                manager = serve(context)
                roots[f"{name} wss"] = f"wss://localhost:{await stack.enter_async_context(manager)}"
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), name="servers")
    thread.start()
    try:
        assert started.wait(SECONDS)
        yield roots
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(SECONDS)
        assert not thread.is_alive()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
