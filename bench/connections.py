"""Measures many connections in one process: what each costs, how fast they open, and that nothing is left.

    python bench/connections.py [--connections 1000] [--opened 500] [--runs 3] [--clients connect ...]

Each run of each client has a process of its own, one client after the other in turn, and medians are printed
as a Markdown table, which docs/many-connections.md quotes. `websockets.sync` runs beside them if installed.
The server is a process of its own, and declines compression. Memory is the growth of the client's resident
memory. Linux only. Exit status 1 when threads, descriptors or memory are left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import hashlib
import multiprocessing
import os
import queue
import random
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

OPENERS = 8  # the threads that open concurrently
PATIENCE = 60.0
REST_SECONDS = 5.0  # A thread that was joined may still be executing its last instructions.
MESSAGE = "x" * 32

# A round makes half as many connections again as it begins with. Nothing may be left of any: Python's blocks
# of memory are counted exactly, and what is left of them is the lists of this script. Resident memory still
# grows for some six rounds, until the heap is as fragmented as it gets, so its bound only finds threads.
SETTLING_ROUNDS = 2
FURTHER_ROUNDS = 3
TOLERATED_BLOCKS = 0.1
TOLERATED_KIB = 8.0


class ServerSide(asyncio.Protocol):
    """The server's end: it answers the handshake, pings and Close, and takes part in broadcasts.

    It takes each read for whole frames of less than 126 bytes, as is all that these clients send.
    """

    open: ClassVar[set[ServerSide]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if self in self.open:
            while data:
                end = 6 + (data[1] & 0x7F)
                if data[0] == 0x88:
                    self.transport.write(b"\x88\x00")
                    self.transport.close()
                elif data[0] == 0x89:
                    payload = bytes(byte ^ data[2 + i % 4] for i, byte in enumerate(data[6:end]))
                    self.transport.write(bytes([0x8A, len(payload)]) + payload)
                data = data[end:]
            return
        self.head += data
        if self.head.endswith(b"\r\n\r\n"):
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", self.head)[1]  # type: ignore[index]
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            self.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)


def serve(pipe: Pipe) -> None:
    """Serve until the pipe says "end"; for any other word, broadcast."""

    def command() -> None:
        if pipe.recv() == "end":
            stopped.set()
            return
        for peer in ServerSide.open:
            peer.transport.write(b"\x81" + bytes([len(MESSAGE)]) + MESSAGE.encode())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(ServerSide, "127.0.0.1", 0, backlog=1024)
        loop.add_reader(pipe.fileno(), command)
        pipe.send(server.sockets[0].getsockname()[1])
        await stopped.wait()
        server.close()

    stopped = asyncio.Event()
    asyncio.run(main())


class Blocking:
    """One connection of the blocking API."""

    def __init__(self, url: str) -> None:
        import syncws

        self.connection: Any = syncws.connect(url)

    def wait_open(self) -> None:
        """Nothing to wait for: `connect()` has returned, so it is open."""

    def receive(self) -> None:
        assert self.connection.recv(timeout=PATIENCE) == MESSAGE

    def close(self) -> None:
        self.connection.close()

    def join(self) -> None:
        """Nothing to wait for: `close()` has returned, so it has ended."""


class Websockets(Blocking):
    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        # Entered by hand, as newer versions want it: the with-block would be the whole run.
        self.connection = connect(url).__enter__()


class Callbacks:
    """One connection of the callback API."""

    def __init__(self, url: str) -> None:
        import syncws

        # One queue takes the open event and the messages: it is small and quick, so that it hardly counts.
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.connection = syncws.WebSocket(url, onopen=self.events.put, onmessage=self.events.put)

    def wait_open(self) -> None:
        assert self.events.get(timeout=PATIENCE).type == "open"

    def receive(self) -> None:
        assert self.events.get(timeout=PATIENCE).data == MESSAGE

    def close(self) -> None:
        self.connection.close()

    def join(self) -> None:
        self.connection.join(PATIENCE)


CLIENTS: dict[str, tuple[type[Blocking] | type[Callbacks], str]] = {
    "connect": (Blocking, "`syncws.connect()`"),
    "WebSocket": (Callbacks, "`syncws.WebSocket`"),
    "websockets": (Websockets, "`websockets.sync`"),
}


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def threads_and_descriptors() -> tuple[int, int]:
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("\n")


def timed(action: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def on_threads(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    """The function of each argument, on a handful of threads."""
    with ThreadPoolExecutor(OPENERS) as pool:
        return list(pool.map(function, arguments))


class Measured:
    """One client in this process. The methods are the steps, in order; `figures` holds what they measure."""

    def __init__(
        self, kind: type[Blocking] | type[Callbacks], url: str, broadcast: Callable[[], None]
    ) -> None:
        self.kind, self.url, self.broadcast = kind, url, broadcast
        self.figures: dict[str, float] = {}
        # This comes first, so that the imports of the first connection are not counted.
        self.close_all([self.open()])
        time.sleep(REST_SECONDS / 10)

    def open(self, _: object = None) -> Any:
        made = self.kind(self.url)
        made.wait_open()
        return made

    def close_all(self, connections: list[Any]) -> None:
        """Close as a program would: first call `close` of all, if it does not wait, then wait for all."""
        on_threads(self.kind.close, connections)
        for connection in connections:
            connection.join()

    def opening(self, count: int) -> None:
        """Time the opening of `count`, one after the other, from some threads, and all at once."""
        opened: list[Any] = []
        self.figures["one by one"] = timed(lambda: opened.extend(self.open() for _ in range(count)))
        self.close_all(opened)
        opened = []
        self.figures["8 threads"] = timed(lambda: opened.extend(on_threads(self.open, [None] * count)))
        self.close_all(opened)
        if self.kind is Callbacks:
            opened = []
            self.figures["at once"] = timed(lambda: self.open_at_once(count, opened))
            self.close_all(opened)

    def open_at_once(self, count: int, opened: list[Any]) -> None:
        """The constructor does not wait, so that no threads are needed to open many at the same time."""
        opened.extend(self.kind(self.url) for _ in range(count))
        for connection in opened:
            connection.wait_open()

    def receive_all(self, connections: list[Any]) -> None:
        self.broadcast()
        for connection in connections:
            connection.receive()

    def round(self, count: int) -> None:
        """Open `count`, broadcast, close half of them at random and open as many, broadcast, close all."""
        memory, (threads, descriptors), maps = resident(), threads_and_descriptors(), mappings()
        connections = on_threads(self.open, [None] * count)
        time.sleep(0.3)  # This waits until the threads have come to rest.
        more_threads, more_descriptors = threads_and_descriptors()
        self.figures |= {
            "KiB": (resident() - memory) / count / 1024,
            "threads": (more_threads - threads) / count,
            "descriptors": (more_descriptors - descriptors) / count,
            "mappings": (mappings() - maps) / count,
            "broadcast": min(timed(lambda: self.receive_all(connections)) for _ in range(3)),
        }
        random.shuffle(connections)
        half = count // 2
        self.figures["close half"] = timed(lambda: self.close_all(connections[:half]))
        connections[:half] = on_threads(self.open, [None] * half)
        self.receive_all(connections)
        self.figures["close all"] = timed(lambda: self.close_all(connections))

    def rounds(self, count: int) -> None:
        """Rounds enough to see whether anything stays of a connection; the first one's figures are kept."""
        before = threads_and_descriptors()
        self.round(count)
        figures = dict(self.figures)
        for _ in range(SETTLING_ROUNDS - 1):
            self.round(count)
        memory, blocks = resident(), sys.getallocatedblocks()
        for _ in range(FURTHER_ROUNDS):
            self.round(count)
        made = FURTHER_ROUNDS * (count + count // 2)
        gc.collect()
        figures["blocks"] = (sys.getallocatedblocks() - blocks) / made
        figures["growth KiB"] = (resident() - memory) / made / 1024
        until = time.monotonic() + REST_SECONDS
        while (after := threads_and_descriptors()) != before and time.monotonic() < until:
            time.sleep(0.01)
        figures["left"] = abs(after[0] - before[0]) + abs(after[1] - before[1])
        self.figures = figures


def measure(
    client: str, url: str, count: int, opened: int, broadcast: Callable[[], None]
) -> dict[str, float]:
    """Every figure of one client."""
    measured = Measured(CLIENTS[client][0], url, broadcast)
    measured.rounds(count)
    measured.opening(opened)
    return measured.figures


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """A fresh process for each measurement, so that none finds memory that another one left."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        theirs.send(function(*arguments))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def left_behind(client: str, runs: list[dict[str, float]]) -> bool:
    """Report on stderr what was left behind: threads and descriptors in any run, memory in most runs."""
    left = max(run["left"] for run in runs)
    blocks = statistics.median(run["blocks"] for run in runs)
    grown = statistics.median(run["growth KiB"] for run in runs)
    failed = left > 0 or blocks > TOLERATED_BLOCKS or grown > TOLERATED_KIB
    if failed:
        what = f"{left} threads and descriptors; of each connection {blocks:.2f} objects, {grown:.1f} KiB"
        print(f"{client}: left behind {what}", file=sys.stderr)
    return failed


def table(results: dict[str, list[dict[str, float]]], count: int, opened: int) -> bool:
    """Print the medians; True when something was left behind."""
    columns = {
        "KiB": "KiB for each connection",
        "threads": "threads for each",
        "descriptors": "descriptors for each",
        "mappings": "memory mappings for each",
        "one by one": f"ms to open {opened}, one after the other",
        "8 threads": f"ms to open {opened}, from {OPENERS} threads",
        "at once": f"ms to open {opened}, all constructed, then awaited",
        "broadcast": f"ms until a message has reached all {count}",
        "close half": f"ms to close {count // 2} of them",
        "close all": f"ms to close {count}",
        "blocks": "objects left of each, after the end",
        "growth KiB": "KiB for each by which the heap still spread",
    }
    print("| | " + " | ".join(CLIENTS[client][1] for client in results) + " |")
    print("| --- |" + " ---: |" * len(results))
    for name, title in columns.items():
        digits = 0 if title.startswith("ms") else 1
        cells = []
        for runs in results.values():
            figures = [run[name] for run in runs if name in run]
            # The number is rounded first, and 0 added, so that no zero has a sign.
            cells.append(f"{round(statistics.median(figures), digits) + 0:,.{digits}f}" if figures else "")
        print(f"| {title} | " + " | ".join(cells) + " |")
    return sum(left_behind(client, runs) for client, runs in results.items() if client != "websockets") > 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--opened", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clients", nargs="*", choices=CLIENTS, default=list(CLIENTS))
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * max(arguments.connections, arguments.opened) + 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))
    clients = list(arguments.clients)
    try:
        from websockets.version import version
    except ImportError:
        version, clients = "not installed", [client for client in clients if client != "websockets"]
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"ws://127.0.0.1:{ours.recv()}/"
    results: dict[str, list[dict[str, float]]] = {client: [] for client in clients}
    for _ in range(arguments.runs):
        for client in clients:
            figures = in_child(
                measure, client, url, arguments.connections, arguments.opened, lambda: ours.send("broadcast")
            )
            results[client].append(figures)
    ours.send("end")
    server.join()
    print(
        f"CPython {sys.version.split()[0]}, {os.uname().sysname}, {os.cpu_count()} cores, "
        f"{arguments.connections} connections, medians of {arguments.runs} runs, websockets {version}\n"
    )
    raise SystemExit(table(results, arguments.connections, arguments.opened))


if __name__ == "__main__":
    main()
