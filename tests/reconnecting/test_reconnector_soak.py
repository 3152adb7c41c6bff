"""`reconnect()` over and over: nothing grows, and nothing that was acknowledged is missing."""

from __future__ import annotations

import inspect
import os
import threading
from pathlib import Path

import pytest

import syncws
from syncws import ConnectionClosed
from syncws.testing import LoopbackServer, Peer, in_turn
from tests.reconnecting.losing_servers import Recorded, greet_and_close, greet_and_end, refuse
from tests.support.stress import amount
from tests.support.threads import Task
from tests.support.waiting import SECONDS, wait_until

DESCRIPTORS = Path("/proc/self/fd")


def test_many_reconnects_leave_no_thread_no_descriptor_and_no_deeper_stack_behind() -> None:
    def depth() -> int:
        return len(inspect.stack(0))

    rounds = amount(1000, 200)
    kinds = [greet_and_end, refuse(503), greet_and_close(1001), greet_and_close(1012)]
    script = in_turn(*kinds * (rounds // 4))
    policy = Recorded()
    seen: set[tuple[int, int]] = set()
    with LoopbackServer(script) as server:
        with syncws.reconnect(server.url, policy=policy, compression=None) as connections:
            depths = set()
            for connection in connections:
                depths.add(depth())
                assert connection.recv(SECONDS) == "hello"
                with pytest.raises(ConnectionClosed):
                    connection.recv(SECONDS)
                clients = [thread for thread in threading.enumerate() if "loopback" not in thread.name]
                own = [thread for thread in clients if thread.name.startswith("syncws-")]
                descriptors = len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.is_dir() else 0
                seen.add((len(own), descriptors))
                if len(policy.losses) >= rounds - 1:
                    break
        assert len(server.connections) >= rounds - 1
    assert len(depths) == 1
    assert (
        max(threads for threads, _ in seen) <= 4
    )  # a writer that has found nothing to do, and those of an attempt that failed
    spread = [descriptors for _, descriptors in seen]
    assert max(spread) - min(spread) < 30  # the server's own come and go


def test_under_restarts_of_the_server_every_acknowledged_message_is_accounted_for() -> None:
    """A soak in short: several threads send and wait for acknowledgements while the server comes and goes."""
    threads, restarts = 4, 8

    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            message = peer.recv()
            assert isinstance(message, str)
            with lock:
                stored.add(message)
            peer.send(f"ack {message}")

    def send(sender: int) -> tuple[set[str], int]:
        acknowledged: set[str] = set()
        number = losses = 0
        with syncws.reconnect(url, policy=lambda loss: 0.01) as connections:
            for connection in connections:
                try:
                    while not over.is_set():
                        message = f"{sender} {number}"
                        connection.send(message)
                        while (answer := connection.recv(SECONDS)) != f"ack {message}":
                            assert answer == f"ack {sender} {number - 1}"
                        acknowledged.add(message)
                        number += 1
                    break
                except ConnectionClosed:
                    losses += 1
        return acknowledged, losses

    lock = threading.Lock()
    stored: set[str] = set()
    over = threading.Event()
    server = LoopbackServer(script)
    url = server.url
    try:
        tasks = [Task(lambda sender=sender: send(sender)) for sender in range(threads)]  # type: ignore[misc]
        for _ in range(restarts):
            with lock:
                before = len(stored)
            wait_until(lambda before=before: len(stored) >= before + 50)  # type: ignore[misc]
            server.stop()
            server = LoopbackServer(script, port=server.port)
        over.set()
        results = [task.result() for task in tasks]
    finally:
        over.set()
        server.stop()
    acknowledged = set().union(*(each for each, _ in results))
    assert acknowledged <= stored
    assert len(acknowledged) >= restarts * 50 - threads * restarts
    # Each sender repeats what was not acknowledged, so that nothing is missing in between.
    for sender, (each, _) in enumerate(results):
        assert each == {f"{sender} {number}" for number in range(len(each))}
    assert sum(losses for _, losses in results) >= restarts
