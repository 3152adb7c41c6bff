"""Servers that read slowly or not at all, but live: so does the connection, and what they send arrives."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from functools import partial

import pytest

from syncws import WebSocketError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import (
    APIS,
    ENDS_WITHIN,
    MIB,
    Case,
    HostileServer,
    ServerFor,
    Session,
    close_unsent,
    keep_sending,
    one_scheme_each,
    send_50_mib,
    stall,
)
from tests.support.threads import all_at_once

# These take their time, and TLS makes no difference, as the other one shows.
ws_only = pytest.mark.parametrize("scheme", ["ws"])


@one_scheme_each
def test_a_stalled_send_does_not_keep_messages_from_arriving(hostile_server: HostileServer) -> None:
    released = threading.Event()
    texts = tuple(f"{number}" for number in range(100))

    def script(peer: Peer) -> None:
        peer.accept()
        assert released.wait(ENDS_WITHIN)
        peer.send_bytes(b"".join(frame_bytes(Opcode.TEXT, text.encode()) for text in texts))

    def act(session: Session) -> None:
        send_50_mib(session)
        released.set()

    hostile_server.check(Case("one way", script, WebSocketError, messages=texts, act=act))


def check_chatter(hostile_server: HostileServer) -> None:
    # Any byte counts as life: the pings in the outbox are no reason to fail, but close() must end it.
    outlived, patience = threading.Event(), 0.7

    def chatter(peer: Peer) -> None:
        until = time.monotonic() + 0.1 + patience + 0.1  # beyond the first ping's time
        while time.monotonic() < until:
            peer.pong()
            peer.closing.wait(0.02)
        outlived.set()
        keep_sending(peer, frame_bytes(Opcode.PONG), 0.02)

    def act(session: Session) -> None:
        send_50_mib(session)
        assert outlived.wait(ENDS_WITHIN)
        close_unsent(session)

    options = {"ping_interval": 0.1, "ping_timeout": patience, "close_timeout": 0.1}
    hostile_server.check(
        Case("chatter", stall(chatter), TimeoutError, ("close_timeout=0.1",), options=options, act=act)
    )


@pytest.fixture(scope="module")
def chatters(server_for: ServerFor) -> dict[str, Future[None]]:
    """Both APIs at once: a shorter time to outlive could pass on a busy machine."""
    return all_at_once({api: partial(check_chatter, server_for(api, "ws")) for api in APIS})


@ws_only
def test_a_server_that_sends_but_does_not_read_lives_until_close_timeout(
    api: str, scheme: str, chatters: dict[str, Future[None]]
) -> None:
    chatters[api].result()


@ws_only
def test_a_server_that_reads_slowly_but_reads_gets_all_of_it(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(8):
            peer.closing.wait(0.02)
            assert peer.recv() == MIB
        peer.send_close()

    def act(session: Session) -> None:
        for _ in range(8):
            session.send(MIB)

    options = {"ping_interval": 0.02, "ping_timeout": 5}
    hostile_server.check(Case("slow", script, sent=1000, options=options, act=act))
