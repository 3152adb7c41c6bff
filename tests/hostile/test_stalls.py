"""Servers that stop reading: send() never blocks, and keepalive and close() end the connection anyway."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from syncws import Connection, WebSocketError
from syncws._protocol.frames import Opcode
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import (
    ENDS_WITHIN,
    Case,
    HostileServer,
    Session,
    close_unsent,
    keep_sending,
    one_scheme_each,
)

MIB = bytes(2**20)
TOTAL = 50 * len(MIB)
KEEPALIVE = {"ping_interval": 0.05, "ping_timeout": 0.1, "close_timeout": 0.1}
DEAD = ("ping_timeout=0.1",)


# These take their time, and TLS makes no difference, as the others show.
ws_only = pytest.mark.parametrize("scheme", ["ws"])


def send_50_mib(session: Session) -> None:
    for _ in range(50):
        session.send(MIB)


def stall(then: Callable[[Peer], object] = lambda peer: None) -> Callable[[Peer], None]:
    """A server that reads nothing once the connection is open, until the test is over."""

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.accept()
        then(peer)
        peer.closing.wait(ENDS_WITHIN)

    return script


class Kept:
    """What the client does, and the session that it did it with."""

    def __init__(self, act: Callable[[Session], object]) -> None:
        self._act = act
        self._session: Session | None = None

    def __call__(self, session: Session) -> None:
        self._session = session
        self._act(session)

    @property
    def unsent(self) -> int:
        assert self._session is not None
        return self._session.bufferedAmount


@one_scheme_each
def test_a_server_that_stops_reading_while_50_mib_are_sent_is_found_dead_by_ping_timeout(
    hostile_server: HostileServer,
) -> None:
    kept = Kept(send_50_mib)
    hostile_server.check(Case("stall", stall(), TimeoutError, DEAD, options=KEEPALIVE, act=kept))
    assert 0 < kept.unsent <= TOTAL + len("too late")


@one_scheme_each
def test_a_silent_server_is_found_dead_by_ping_timeout_and_told_1011(hostile_server: HostileServer) -> None:
    hostile_server.check(Case("silent", Peer.accept, TimeoutError, DEAD, sent=1011, options=KEEPALIVE))


@one_scheme_each
def test_close_ends_within_close_timeout_while_50_mib_wait_for_a_server_that_stopped_reading(
    hostile_server: HostileServer,
) -> None:
    def act(session: Session) -> None:
        send_50_mib(session)
        close_unsent(session)

    kept = Kept(act)
    options = {"close_timeout": 0.1, "ping_interval": None}
    hostile_server.check(
        Case("stall", stall(), TimeoutError, ("close_timeout=0.1",), options=options, act=kept)
    )
    assert kept.unsent > 0


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


@ws_only
def test_a_server_that_sends_but_does_not_read_lives_until_close_timeout(
    hostile_server: HostileServer,
) -> None:
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


@ws_only
def test_a_bad_frame_ends_a_connection_whose_sending_is_stalled(hostile_server: HostileServer) -> None:
    released = threading.Event()

    def bad(peer: Peer) -> None:
        assert released.wait(ENDS_WITHIN)
        peer.send_bytes(frame_bytes(3))

    def act(session: Session) -> None:
        send_50_mib(session)
        released.set()

    case = Case("bad", stall(bad), WebSocketError, ("opcode 3",), options={"close_timeout": 0.1}, act=act)
    hostile_server.check(case)


@ws_only
def test_flush_and_ping_time_out_while_the_server_does_not_read(hostile_server: HostileServer) -> None:
    told: list[BaseException] = []

    def act(session: Session) -> None:
        send_50_mib(session)
        if isinstance(session, Connection):
            for call in (session.flush, session.ping):
                try:
                    call(timeout=0.05)
                except TimeoutError as error:
                    told.append(error)
        close_unsent(session)

    case = Case("stall", stall(), TimeoutError, options={"close_timeout": 0.1}, act=act)
    hostile_server.check(case)
    assert len(told) == (2 if hostile_server.api == "blocking" else 0)


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
