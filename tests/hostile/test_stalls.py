"""Servers that stop reading: send() never blocks, and keepalive and close() end the connection anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from syncws import Connection, WebSocketError
from syncws.testing import Peer, frame_bytes
from tests.hostile.hostile_server import (
    ENDS_WITHIN,
    MIB,
    Case,
    HostileServer,
    Session,
    close_unsent,
    one_scheme_each,
    send_50_mib,
    stall,
)

TOTAL = 50 * len(MIB)
KEEPALIVE = {"ping_interval": 0.05, "ping_timeout": 0.1, "close_timeout": 0.1}
DEAD = ("ping_timeout=0.1",)


# These take their time, and TLS makes no difference, as the others show.
ws_only = pytest.mark.parametrize("scheme", ["ws"])


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
