"""`ReconnectingWebSocket` over and over: nothing grows, and every message is acknowledged in the end."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from syncws import (
    InvalidStateErr,
    LossEvent,
    MessageEvent,
    ReconnectingWebSocket,
)
from syncws.testing import LoopbackServer, Peer, in_turn
from tests.reconnecting.losing_servers import greet_and_close, greet_and_end, refuse
from tests.reconnecting.transcript import CLOSED, Transcript, at_once
from tests.support.stress import amount
from tests.support.waiting import SECONDS, wait_until

DESCRIPTORS = Path("/proc/self/fd")


def test_many_reconnects_leave_no_thread_and_no_descriptor_behind() -> None:
    rounds = amount(1000, 200)
    kinds = [greet_and_end, refuse(503), greet_and_close(1001), greet_and_close(1012)]
    seen: set[tuple[int, int]] = set()
    over = threading.Event()
    losses = 0

    def on_close(event: LossEvent) -> None:
        nonlocal losses
        losses += 1
        names = [thread.name for thread in threading.enumerate()]
        own = [name for name in names if name.startswith("syncws-") and "loopback" not in name]
        seen.add((len(own), len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.is_dir() else 0))
        if losses == rounds:
            over.set()

    with LoopbackServer(in_turn(*kinds * (rounds // 4))) as server:
        with ReconnectingWebSocket(server.url, policy=at_once, onclose=on_close, compression=None) as ws:
            assert over.wait(SECONDS * 2)
        assert ws.readyState == CLOSED
        assert len(server.connections) >= rounds
    # The one that makes the attempts, an attempt's three, and a writer that has found nothing to do.
    assert max(threads for threads, _ in seen) <= 5
    spread = [descriptors for _, descriptors in seen]
    assert max(spread) - min(spread) < 30  # the server's own come and go


def test_under_restarts_of_the_server_every_message_of_several_threads_is_acknowledged() -> None:
    threads, restarts = 4, 6

    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            message = peer.recv()
            assert isinstance(message, str)
            with lock:
                stored.add(message)
            peer.send(message)

    def on_message(event: MessageEvent) -> None:
        assert isinstance(event.data, str)
        with lock:
            waiting.pop(event.data, threading.Event()).set()
            acknowledged.add(event.data)

    def send(sender: int) -> int:
        number = 0
        while not over.is_set():
            message = f"{sender} {number}"
            came = threading.Event()
            with lock:
                waiting[message] = came
            until = time.monotonic() + SECONDS
            while message not in acknowledged:
                assert time.monotonic() < until
                try:
                    ws.send(message)
                except InvalidStateErr:
                    threading.Event().wait(0.002)
                else:
                    came.wait(0.2)  # else it was lost on the way: once more
            number += 1
        return number

    lock = threading.Lock()
    stored: set[str] = set()
    acknowledged: set[str] = set()
    waiting: dict[str, threading.Event] = {}
    over = threading.Event()
    counts: dict[int, int] = {}
    server = LoopbackServer(script)
    heard = Transcript()
    ws = ReconnectingWebSocket(
        server.url, policy=lambda loss: 0.01, **{**heard.handlers, "onmessage": on_message}
    )
    try:
        senders = [
            threading.Thread(target=lambda sender=sender: counts.update({sender: send(sender)}))
            for sender in range(threads)
        ]
        for thread in senders:
            thread.start()
        for _ in range(restarts):
            before = len(acknowledged)
            wait_until(lambda before=before: len(acknowledged) >= before + 50)  # type: ignore[misc]
            server.stop()
            server = LoopbackServer(script, port=server.port)
        over.set()
        for thread in senders:
            thread.join(SECONDS * 2)
            assert not thread.is_alive()
    finally:
        over.set()
        ws.close()
        ws.join(SECONDS)
        server.stop()
    assert acknowledged <= stored
    expected = {f"{sender} {number}" for sender in range(threads) for number in range(counts[sender])}
    assert expected <= acknowledged
    assert len(heard.losses) >= restarts
