"""The server of bench/soak.py: it keeps a journal of the messages, acknowledges them, and sends its own.

    python bench/soak_server.py JOURNAL GENERATION WS_PORT [WSS_PORT CERTIFICATE]

It is made with the `websockets` package, so that no fault of the client can hide behind the same fault here.
It is a process of its own, so that SIGKILL is a real one; SIGTERM closes all connections with 1001, SIGUSR1
with 1012. The journal is a file that outlives it: a line is there before its acknowledgement leaves.

Client to server, as text or binary, in one piece or in fragments:

    H stream link               first on each connection
    M seq id attempt crc data   seq counts the M's of this connection from 0; crc is of the data
    N stream link seq id attempt crc data    the same for several senders on one connection

Server to client, n counting from 0 on each connection:

    n G generation              the answer to H
    n A id                      id is in the journal
    n B stream id               the same, of an N
    n P data                    anything, unasked; now and then a burst of it

The server is slow at random: it reads nothing for a while, from a receive buffer that is small.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

# How long an orderly end waits for the clients' Close frames.
GOODBYE_SECONDS = 2.0

# How many seconds it may read nothing from one connection.
LONGEST_PAUSE = 1.5

# How many bytes the kernel takes while the server reads nothing.
RECEIVE_BUFFER = 64 * 1024

BURST = 300  # messages

NOISE = random.Random(1).randbytes(150_000).hex()


def some_text(often_long: float) -> str:
    """Mostly short, sometimes up to 150,000 characters; half of it hardly compresses, the rest very well."""
    size = int(10 ** random.uniform(1, 5.2)) if random.random() < often_long else random.randrange(200)
    start = random.randrange(1000)
    return NOISE[start : start + size] if random.random() < 0.5 else "tick " * (size // 5)


class Session:
    """One connection."""

    def __init__(self, connection: ServerConnection, note: Callable[[str], None], generation: int) -> None:
        self._connection = connection
        self._note = note
        self._generation = generation
        self._number = 0
        # A number must be on its way before the next one is given out, also in the middle of a fragmented
        # message.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        from websockets.exceptions import ConnectionClosed

        pushing = None
        stream = link = ""
        try:
            async for message in self._connection:
                data = message.encode() if isinstance(message, str) else message
                kind, _, rest = data.partition(b" ")
                if kind == b"H":
                    stream, _, link = rest.decode().partition(" ")
                    await self._send(f"G {self._generation}")
                    pushing = asyncio.create_task(self._push())
                    continue
                answer = "A"
                if kind == b"N":
                    name, number, rest = rest.split(b" ", 2)
                    stream, link = name.decode(), number.decode()
                    answer = f"B {stream}"
                seq, id, attempt, crc, payload = rest.split(b" ", 4)
                if zlib.crc32(payload) != int(crc):
                    self._note(f"F damaged {stream} {link} {int(seq)}")
                self._note(f"{stream} {link} {int(seq)} {int(id)} {int(attempt)}")
                await self._send(f"{answer} {int(id)}")
                if random.random() < 0.003:
                    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))
        except ConnectionClosed:
            pass  # The client sends again what was not acknowledged.
        finally:
            if pushing is not None:
                pushing.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await pushing

    async def _push(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(8))
            for _ in range(BURST if random.random() < 0.005 else 1):
                await self._send("P " + some_text(often_long=0.1), fragmented=random.random() < 0.2)

    async def _send(self, text: str, fragmented: bool = False) -> None:
        async with self._turn:
            text = f"{self._number} {text}"
            self._number += 1
            await self._connection.send(self._pieces(text) if fragmented else text)

    @staticmethod
    async def _pieces(text: str) -> AsyncIterator[str]:
        for at in range(0, len(text), 8192):
            yield text[at : at + 8192]
            await asyncio.sleep(0)


class ServerProcess:
    """The server, over and over, at the same ports.

    A socket of ours is bound to each port, without listening, so that nobody else gets it while the server is
    down: least of all a connection of this process as its own end, which would be connected with itself.
    """

    def __init__(self, journal: Path, certificate: Path | None) -> None:
        self._journal = journal
        self._certificate = certificate
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0
        self._bound = []
        for _ in range(1 if certificate is None else 2):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", 0))
            self._bound.append(sock)
        ports = [sock.getsockname()[1] for sock in self._bound]
        self.urls = [
            f"{scheme}://localhost:{port}/" for scheme, port in zip(("ws", "wss"), ports, strict=False)
        ]

    def start(self) -> int:
        """Start it, and return its generation once it listens."""
        self._generation += 1
        arguments = [str(self._journal), str(self._generation)]
        arguments += [str(sock.getsockname()[1]) for sock in self._bound]
        if self._certificate is not None:
            arguments.append(str(self._certificate))
        command = [sys.executable, __file__, *arguments]
        # Ctrl-C does not reach this process, and it ends when its input ends: it cannot outlive this process.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the server did not start")
        return self._generation

    def end(self, number: int) -> None:
        """Send it a signal, and wait until it is gone."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(2 * GOODBYE_SECONDS + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None

    def close(self) -> None:
        self.end(signal.SIGKILL)
        for sock in self._bound:
            sock.close()


def listening_socket(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind(("127.0.0.1", port))
    return sock


async def main() -> None:
    from websockets.asyncio.server import serve as listen

    logging.getLogger("asyncio").setLevel(logging.ERROR)  # A killed client is no fault.
    journal, generation, *ports = sys.argv[1:]
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND)
    connections: set[ServerConnection] = set()
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note(line: str) -> None:
        os.write(descriptor, line.encode() + b"\n")

    async def serve(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await Session(connection, note, int(generation)).run()
        finally:
            connections.discard(connection)

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    for number, code in ((signal.SIGTERM, 1001), (signal.SIGUSR1, 1012)):
        asyncio.get_running_loop().add_signal_handler(number, end, code)
    asyncio.get_running_loop().add_reader(0, os._exit, 1)
    async with contextlib.AsyncExitStack() as stack:
        contexts: list[ssl.SSLContext | None] = [None]
        if len(ports) > 1:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(ports[2])
            contexts.append(context)
        for tls, port in zip(contexts, ports, strict=False):
            # The parent keeps the port from others, and its socket is bound to it as well.
            server = await listen(serve, sock=listening_socket(int(port)), ssl=tls, backlog=256)
            stack.callback(server.close, False)
        print("ready", flush=True)
        code = await ended
        goodbyes = [asyncio.create_task(connection.close(code)) for connection in connections]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=GOODBYE_SECONDS)
    os._exit(0)  # This leaves clients that have not answered, as a restarting server does.


if __name__ == "__main__":
    asyncio.run(main())
