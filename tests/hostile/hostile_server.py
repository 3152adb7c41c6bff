"""A scripted server that does a client harm, what must come of it, and a client of either API that meets it.

A `Case` is one row of a table: the script of the server, and its expected outcome. A `HostileServer` plays it
to one API over one scheme, and holds what is true of every ending: it comes in time, it is told once, last
and in full, and everything afterwards says so at once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

import syncws
from syncws import CloseEvent, Connection, ConnectionClosed, ErrorEvent, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import Frame, LoopbackServer, Peer, PeerClosed
from tests.support.stress import turns
from tests.support.threads import all_at_once

# Every connection ends within this. The tests set the options to tenths of a second; the defaults (10 s and
# more) are longer than this, so that an option without effect is a failure.
ENDS_WITHIN = 8.0

# What a server may see of the client's Close frame, besides a code (None: a frame without one).
UNSEEN, NO_FRAME = "not looked at", "no Close frame"

MIB = bytes(2**20)

Session = WebSocket | Connection
Script = Callable[[Peer], object]


@dataclass(frozen=True)
class Case:
    """One hostile server.

    Attributes:
        error: the class of the failure, None for an orderly close.
        says: what the error's text names.
        sent: the code of the Close frame that the server reads.
        messages: what was complete before the end, all of which is delivered.
        opens: whether the handshake is done before the end.
        close: code and reason of an orderly close.
        clean: whether it is clean; None where that depends on what comes first.
        act: what the client does once it is open.
        reply: what the client does with each message.
    """

    name: str
    script: Script
    error: type[BaseException] | None = None
    says: tuple[str, ...] = ()
    sent: int | str | None = UNSEEN
    messages: tuple[str | bytes, ...] = ()
    opens: bool = True
    close: tuple[int, str] = (1000, "")
    clean: bool | None = True
    protocols: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    act: Callable[[Session], object] | None = None
    reply: Callable[[Session, str | bytes], object] | None = None

    def on_open(self, session: Session) -> None:
        if self.act is not None:
            self.act(session)

    def on_message(self, session: Session, data: str | bytes) -> None:
        if self.reply is not None:
            self.reply(session, data)


def send_50_mib(session: Session) -> None:
    for _ in range(50):
        session.send(MIB)


def close_unsent(session: Session) -> None:
    """Close, where the server does not take what was sent: the blocking API's call says so."""
    if isinstance(session, Connection):
        with pytest.raises(ConnectionClosed) as told:
            session.close()
        assert told.value.unsent == session.bufferedAmount > 0
    else:
        session.close()


def answer(session: Session, data: str | bytes) -> None:
    """For `Case.reply`: let the server know that the message has arrived."""
    with contextlib.suppress(ConnectionClosed):  # only the blocking API raises it
        session.send(f"got {data!r}")


def case_id(case: Case) -> str:
    return case.name.replace(" ", "-")


def sparing(cases: Sequence[Case]) -> list[Any]:
    """API, scheme and case for cases that each take their time: all of them over ws, the first over wss too.

    An ordinary run meets each by one API, and the two take turns.
    """
    pairs = [*(("ws", case) for case in cases), ("wss", cases[0])]
    told = turns(pairs, sorted(APIS))
    return [pytest.param(api, *pair, id=f"{api}-{pair[0]}-{case_id(pair[1])}") for pair, api in told]


@dataclass
class Outcome:
    """How a connection ended, by what the API tells."""

    opened: bool
    messages: list[str | bytes]
    error: BaseException | None
    code: int
    reason: str
    clean: bool


def play_callback_api(case: Case, url: str, options: dict[str, Any]) -> Outcome:
    """The outcome by the events of a `WebSocket`."""
    seen: list[tuple[str, int]] = []
    messages: list[str | bytes] = []
    ends: list[Any] = []

    def note(event: Any) -> None:
        seen.append((event.type, event.target.readyState))
        if event.type == "open":
            case.on_open(event.target)
        elif event.type == "message":
            messages.append(event.data)
            case.on_message(event.target, event.data)
        else:
            ends.append(event)

    ws = WebSocket(url, case.protocols, onopen=note, onmessage=note, onerror=note, onclose=note, **options)
    ws.join(ENDS_WITHIN)
    closed, error = ends[-1], None
    if len(ends) == 2:
        assert isinstance(ends[0], ErrorEvent)
        error = ends[0].error
        assert error is not None
        assert str(error) in ends[0].message
    assert isinstance(closed, CloseEvent)
    opened = seen[0] == ("open", WebSocket.OPEN)
    # The whole order of events: nothing twice, nothing between error and close, nothing after.
    expected = ["open"] * opened + ["message"] * len(messages) + ["error"] * (error is not None) + ["close"]
    assert [name for name, _ in seen] == expected
    assert {state for name, state in seen if name in ("error", "close")} == {WebSocket.CLOSED}
    assert ws.readyState == WebSocket.CLOSED
    ws.send("too late")  # dropped, and counted
    ws.close()
    ws.join(0)
    return Outcome(opened, messages, error, closed.code, closed.reason, closed.wasClean)


def play_blocking_api(case: Case, url: str, options: dict[str, Any]) -> Outcome:
    """The outcome by `connect` and `recv`."""
    try:
        connection = syncws.connect(url, case.protocols, **options)
    except (OSError, syncws.WebSocketError) as failure:
        return Outcome(False, [], failure, 1006, "", False)
    messages: list[str | bytes] = []
    case.on_open(connection)
    try:
        while True:
            messages.append(connection.recv(ENDS_WITHIN))
            case.on_message(connection, messages[-1])
    except ConnectionClosed as first:
        closed = first
    error = closed.__cause__
    again: tuple[Callable[[], object], ...] = (
        connection.recv,
        lambda: connection.recv(0),
        lambda: connection.recv(ENDS_WITHIN),
        lambda: connection.send("too late"),
        connection.ping,
    )
    for call in again:
        with pytest.raises(ConnectionClosed) as told:
            call()
        assert told.value.__cause__ is error
        assert (told.value.code, told.value.reason) == (closed.code, closed.reason)
    with contextlib.suppress(ConnectionClosed):  # the scripts say what is right if something was not sent
        connection.close()  # waits for the end, if that is still to come
    assert connection.readyState == Connection.CLOSED
    with pytest.raises(ConnectionClosed) as told:
        connection.recv(0)
    closed = told.value
    return Outcome(True, messages, error, closed.code, closed.reason, closed.wasClean)


APIS = {"callback": play_callback_api, "blocking": play_blocking_api}

# For tests that take their time: an ordinary run meets each API over one scheme.
one_scheme_each = pytest.mark.parametrize(("api", "scheme"), turns(sorted(APIS), ["ws", "wss"]))


class HostileServer:
    """Plays cases over one API and one scheme.

    Attributes:
        api, scheme: which.
        frames: what the server read of the last case's client after its script was done, if it looked.
        server: the last case's server.
    """

    def __init__(self, api: str, scheme: str, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.api = api
        self.scheme = scheme
        self.frames: list[Frame] = []
        self._server_context = server if scheme == "wss" else None
        self._client_options = {"ssl_context": client} if scheme == "wss" else {}

    def play(self, case: Case) -> Outcome:
        """The outcome of a case, once the client is gone and the server is closed."""
        self.frames = []

        def script(peer: Peer) -> None:
            # How a script ends that the client leaves in the middle does not matter.
            with contextlib.suppress(ConnectionError, EOFError, PeerClosed, ssl.SSLError):
                case.script(peer)
            if case.sent != UNSEEN:
                self.frames = read_to_end(peer)

        with LoopbackServer(script, tls=self._server_context) as server:
            self.server = server
            options = {"open_timeout": ENDS_WITHIN, **self._client_options, **case.options}
            return APIS[self.api](case, server.url_for("/"), options)

    def check(self, case: Case) -> Outcome:
        """Play a case, and hold its outcome against what is expected."""
        outcome = self.play(case)
        assert outcome.opened == case.opens, outcome
        assert outcome.messages == list(case.messages)
        if case.error is None:
            assert outcome.error is None
            assert (outcome.code, outcome.reason) == case.close
            assert case.clean is None or outcome.clean is case.clean
        else:
            assert isinstance(outcome.error, case.error), repr(outcome.error)
            for part in case.says:
                assert part in str(outcome.error)
            assert (outcome.code, outcome.reason, outcome.clean) == (1006, "", False)
        if case.sent != UNSEEN:
            assert self.seen_code() == case.sent
        return outcome

    def seen_code(self) -> int | str | None:
        """What the server saw of the client's Close frame: its code, None for none in it, `NO_FRAME`."""
        closes = [frame.payload for frame in self.frames if frame.opcode == Opcode.CLOSE]
        if not closes:
            return NO_FRAME
        assert len(closes) == 1
        assert self.frames[-1].opcode == Opcode.CLOSE  # RFC 6455 5.5.1: nothing follows it
        if not closes[0]:
            return None
        closes[0][2:].decode()  # what stands there must be UTF-8
        return int.from_bytes(closes[0][:2], "big")


ServerFor = Callable[[str, str], HostileServer]


def check_at_once(
    told: Sequence[tuple[str, str, Case]], server_for: ServerFor
) -> dict[tuple[str, str, str], Future[Outcome]]:
    """Check cases at the same time, each by its API and scheme; the outcomes by API, scheme and name.

    It is for cases that wait for a time which cannot be any shorter on a busy machine.
    """
    return all_at_once(
        {(api, scheme, case.name): partial(server_for(api, scheme).check, case) for api, scheme, case in told}
    )


def read_to_end(peer: Peer, timeout: float = ENDS_WITHIN) -> list[Frame]:
    """The frames up to the end of the stream, which must come in time; a Close is answered by ending TCP."""
    frames = []
    peer.socket.settimeout(timeout)
    try:
        while True:
            frames.append(peer.recv_frame())
            if frames[-1].opcode == Opcode.CLOSE:
                peer.half_close()
    except (EOFError, ConnectionError, ssl.SSLError):
        return frames


def until_gone(peer: Peer) -> None:
    """The end of many a script: wait for the client to leave, and take no notice of what it says."""
    peer.wait_eof(ENDS_WITHIN)


def stall(then: Script = lambda peer: None) -> Script:
    """A server that reads nothing once the connection is open, until the test is over."""

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.accept()
        then(peer)
        peer.closing.wait(ENDS_WITHIN)

    return script


def keep_sending(peer: Peer, data: bytes, pause: float = 0) -> None:
    """Send the same again and again until the client has left."""
    until = time.monotonic() + ENDS_WITHIN
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while time.monotonic() < until and not peer.closing.wait(pause):
            peer.send_bytes(data)
