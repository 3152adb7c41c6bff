"""Measures the memory of one connection: idle, and after messages both ways, with and without compression.

    python bench/memory.py [--connections 200]

Prints a Markdown table; docs/memory.md quotes it. The server is the `websockets` package in a process of its
own; what is measured is the growth of this process's resident memory, divided by the connections. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import syncws


def serve(pipe: Pipe) -> None:
    """An echo server that agrees to compression, until the pipe ends."""
    import threading

    from websockets.sync.server import ServerConnection
    from websockets.sync.server import serve as listen

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with listen(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.socket.getsockname()[1])
        pipe.recv()


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def text(size: int) -> str:
    """Text that compresses about as well as a feed does."""
    words = [f"{random.randrange(10**6)}" for _ in range(500)]
    return " ".join(random.choice(words) for _ in range(size))[:size]


def measure(count: int, url: str, size: int, **options: Any) -> tuple[float, float]:
    """KiB a connection: idle, and after ten messages of `size` characters there and back."""
    syncws.connect(url, **options).close()  # The first connection imports the engine, which is not counted.
    before = resident()
    connections = [syncws.connect(url, **options) for _ in range(count)]
    idle = resident() - before
    message = text(size)
    for connection in connections:
        for _ in range(10):
            connection.send(message)
            connection.recv(10)
    used = resident() - before
    for connection in connections:
        connection.close()
    return idle / count / 1024, used / count / 1024


def in_child(
    function: Callable[..., tuple[float, float]], *arguments: Any, **options: Any
) -> tuple[float, float]:
    """Each measurement in a fresh process, so that none finds memory that another one left."""
    ours, theirs = multiprocessing.Pipe()

    def run() -> None:
        theirs.send(function(*arguments, **options))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    result: tuple[float, float] = ours.recv()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=200)
    count = parser.parse_args().connections
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"ws://127.0.0.1:{ours.recv()}/"
    print(f"CPython {sys.version.split()[0]}, {os.uname().sysname}, {count} connections by connect()\n")
    print("| options | messages | KiB idle | KiB after ten messages each way |")
    print("| --- | --- | ---: | ---: |")
    for options in ({"compression": "deflate"}, {"compression": None}):
        for size in (50, 5_000, 500_000):
            idle, used = in_child(measure, count, url, size, **options)
            option = f"`compression={options['compression']!r}`"
            print(f"| {option} | {size:,} characters | {idle:.0f} | {used:.0f} |")
    ours.send("end")
    server.join()


if __name__ == "__main__":
    main()
