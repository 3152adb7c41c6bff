"""Bodies of refusals: the error carries the beginning, whatever the form, and does not wait for long."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from syncws import HandshakeError
from syncws.testing import Pairs, Peer
from tests.hostile.hostile_server import (
    APIS,
    ENDS_WITHIN,
    Case,
    HostileServer,
    Outcome,
    ServerFor,
    case_id,
    check_at_once,
    keep_sending,
    until_gone,
)
from tests.hostile.refusing import BODY, head, refuse

CHUNKED = b"20\r\n" + BODY + b"\r\n0\r\n\r\n"

# Forms of a body: what the head says, what is sent, and what the client has at the end.
FORMS: dict[str, tuple[Pairs, bytes, bytes]] = {
    "with its length": ([("Content-Length", str(len(BODY)))], BODY, BODY),
    "without its length": ([], BODY, BODY),
    "of length 0": ([("Content-Length", "0")], b"", b""),
    "chunked": ([("Transfer-Encoding", "chunked")], CHUNKED, BODY),
    "cut short": ([("Content-Length", "1000")], BODY, BODY),
    "with a length that is none": ([("Content-Length", "many")], BODY, BODY),
    "with a negative length": ([("Content-Length", "-5")], BODY, BODY),
    "with a length of 4000 digits": ([("Content-Length", "9" * 4000)], BODY, BODY),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("glued", [True, False], ids=["one segment", "two segments"])
def test_the_body_is_told_whatever_is_said_of_its_length(
    name: str, glued: bool, hostile_server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may need more than usual.
    monkeypatch.setattr("syncws._engine.opening.answer.BODY_SECONDS", ENDS_WITHIN)
    fields, sent, got = FORMS[name]

    def script(peer: Peer) -> None:
        peer.read_request()
        if glued:
            peer.send_bytes(head(403, fields) + sent)
        else:
            peer.send_bytes(head(403, fields))
            peer.closing.wait(0.01)
            peer.send_bytes(sent)

    error = refuse(hostile_server, Case(name, script, says=("403 Forbidden", got.decode())))
    assert (error.status, error.body) == (403, got)


KEPT: dict[str, tuple[int, Pairs, bytes, bytes]] = {
    "by its length": (503, [("Content-Length", str(len(BODY)))], BODY, BODY),
    "chunked": (503, [("Transfer-Encoding", "chunked")], CHUNKED, BODY),
    "of length 0": (503, [("Content-Length", "0")], b"", b""),
    "none, by its status": (204, [], b"", b""),
    "none, by its status, whatever is said of it": (304, [("Content-Length", "1000")], b"", b""),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_body_whose_end_http_tells_is_not_waited_for_any_longer(
    name: str, hostile_server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A wait that these limits would end would be a failure of the test.
    monkeypatch.setattr("syncws._engine.opening.answer.BODY_SECONDS", ENDS_WITHIN * 2)
    monkeypatch.setattr("syncws._engine.opening.answer.FRAMED_BODY_SECONDS", ENDS_WITHIN * 2)
    status, fields, sent, got = KEPT[name]

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_bytes(head(status, fields) + sent)
        until_gone(peer)

    case = Case(name, script, options={"open_timeout": ENDS_WITHIN * 2})
    assert refuse(hostile_server, case).body == got


# These tests take their time, and TLS makes no difference.
ws_only = pytest.mark.parametrize("scheme", ["ws"])


def endless(name: str, data: bytes, pause: float) -> Case:
    def script(peer: Peer) -> None:
        peer.read_request()
        chunked = [("Transfer-Encoding", "chunked")] if data.startswith(b"1") else []
        peer.send_bytes(head(500, chunked))
        keep_sending(peer, data, pause)

    return Case(name, script, HandshakeError, ("500 Internal",), opens=False)


LINE, CHUNK = b"x" * 1000, b"1\r\nx\r\n"
FLOODS = [endless("flood plain", LINE, 0), endless("flood chunked", CHUNK, 0)]
DRIPS = [endless("drip plain", LINE, 0.01), endless("drip chunked", CHUNK, 0.01)]


def end_body_early(peer: Peer) -> None:
    peer.read_request()
    peer.send_bytes(head(503, [("Content-Length", "100")]) + b"wait")
    until_gone(peer)


ABSENT = Case(
    "no body", end_body_early, HandshakeError, ("503", "wait"), opens=False, options={"open_timeout": 0.7}
)


@pytest.fixture(scope="module")
def bodies(server_for: ServerFor) -> dict[tuple[str, str, str], Future[Outcome]]:
    """Those of a kind at once, so that each has time for what comes first even on a busy machine."""

    def check(*cases: Case) -> dict[tuple[str, str, str], Future[Outcome]]:
        return check_at_once([(api, "ws", case) for api in APIS for case in cases], server_for)

    def give(seconds: float) -> None:
        monkeypatch.setattr("syncws._engine.opening.answer.BODY_SECONDS", seconds)
        monkeypatch.setattr("syncws._engine.opening.answer.FRAMED_BODY_SECONDS", seconds)

    with pytest.MonkeyPatch.context() as monkeypatch:
        give(0.25)
        told = check(*FLOODS)
        give(0.4)
        told |= check(*DRIPS)  # apart from the floods, which leave little time to others
        give(ENDS_WITHIN * 2)
        return told | check(ABSENT)  # only open_timeout may end the wait for this one


@ws_only
@pytest.mark.parametrize("case", FLOODS + DRIPS, ids=case_id)
def test_an_endless_body_is_told_in_its_beginning(
    api: str, scheme: str, case: Case, bodies: dict[tuple[str, str, str], Future[Outcome]]
) -> None:
    error = bodies[api, scheme, case.name].result().error
    assert isinstance(error, HandshakeError)
    assert error.body.startswith(b"x" * 2 if "chunked" in case.name else LINE)
    assert len(error.body) <= 64 * 1024


@ws_only
def test_a_body_that_does_not_come_is_not_waited_for_longer_than_open_timeout(
    api: str, scheme: str, bodies: dict[tuple[str, str, str], Future[Outcome]]
) -> None:
    error = bodies[api, scheme, ABSENT.name].result().error
    assert isinstance(error, HandshakeError)
    assert error.status == 503


def test_control_characters_of_the_body_do_not_reach_the_terminal_raw(hostile_server: HostileServer) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(403, body=b"\x1b[2Jgone\0\x07")

    error = refuse(hostile_server, Case("escape", script, says=("403",)))
    assert error.body == b"\x1b[2Jgone\0\x07"
    assert str(error).isprintable()
