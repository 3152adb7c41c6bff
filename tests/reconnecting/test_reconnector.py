"""`reconnect()` of the blocking API: connections one after the other, by a policy, until it is stopped."""

from __future__ import annotations

import datetime
import fractions
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import syncws
from syncws import Connection, ConnectionClosed, HandshakeError, Loss, Reconnector
from syncws.testing import LoopbackServer, Peer, PeerClosed, in_turn
from tests.reconnecting.losing_servers import (
    Recorded,
    greet,
    greet_and_close,
    greet_and_end,
    refuse,
)
from tests.support.servers import hold, keep_close_code, unanswering
from tests.support.threads import Task
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until


def take(connections: Iterator[Connection]) -> str | bytes:
    """The first message of the next connection."""
    return next(connections).recv(SECONDS)


def use_up(connections: Iterator[Connection]) -> list[str | bytes]:
    """All messages of the next connection, until it is over."""
    connection = next(connections)
    messages = []
    try:
        while True:
            messages.append(connection.recv(SECONDS))
    except ConnectionClosed:
        return messages


def test_each_connection_is_given_when_the_one_before_is_over() -> None:
    policy = Recorded()
    received: list[str | bytes] = []
    script = in_turn(greet_and_end, greet_and_close(1012), refuse(503), greet_and_close(1000))
    with LoopbackServer(script) as server:
        for connection in syncws.reconnect(server.url, policy=policy, headers={"X-A": "b"}):
            assert connection.readyState in (connection.OPEN, connection.CLOSED, connection.CLOSING)
            try:
                received.extend(connection)
            except ConnectionClosed as closed:
                received.append(str(closed.code))
            if len(policy.losses) == 3:
                break
        assert len(server.connections) == 4
    connection.close()
    assert received == ["hello", "1006", "hello", "1012", "hello"]
    assert policy.kinds == [ConnectionClosed, ConnectionClosed, HandshakeError]
    assert [loss.failures for loss in policy.losses] == [1, 2, 3]
    assert policy.losses[2].open_seconds == 0 < policy.losses[0].open_seconds < SECONDS


def test_the_time_that_the_body_takes_after_the_loss_does_not_count_as_open() -> None:
    policy = Recorded(None)
    began = lost_at = time.monotonic()
    with LoopbackServer(greet_and_end) as server:
        with pytest.raises(ConnectionClosed):
            for connection in syncws.reconnect(server.url, policy=policy):
                assert connection.recv(SECONDS) == "hello"
                wait_until(lambda connection=connection: connection.readyState == connection.CLOSED)  # type: ignore[misc]
                lost_at = time.monotonic()
                threading.Event().wait(0.5)
    assert 0 < policy.losses[0].open_seconds <= lost_at - began


def test_iteration_ends_quietly_when_the_server_closed_with_1000() -> None:
    with LoopbackServer(greet_and_close(1000)) as server:
        messages = [list(connection) for connection in syncws.reconnect(server.url)]
        assert messages == [["hello"]]
        assert len(server.connections) == 1


@pytest.mark.parametrize("code", [1008, 4000, 4999])
def test_a_close_by_policy_is_raised_and_not_tried_again(code: int) -> None:
    with LoopbackServer(greet_and_close(code)) as server:
        connections = syncws.reconnect(server.url)
        assert use_up(connections) == ["hello"]
        with pytest.raises(ConnectionClosed) as closed:
            next(connections)
        assert closed.value.code == code
        assert len(server.connections) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_for_good_is_raised_and_not_tried_again(status: int) -> None:
    with LoopbackServer(refuse(status)) as server:
        with pytest.raises(HandshakeError) as raised:
            next(syncws.reconnect(server.url))
        assert raised.value.status == status
        assert len(server.connections) == 1


def test_a_certificate_that_does_not_verify_is_raised(server_ssl_context: ssl.SSLContext) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            next(syncws.reconnect(server.url))
        assert len(server.connections) == 1


MISTAKES: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("/relative", {}, syncws.SyntaxErr),
    ("ws://127.0.0.1:25/", {}, syncws.SecurityErr),
    ("ws://127.0.0.1/", {"protocols": "no token"}, syncws.SyntaxErr),
    ("ws://127.0.0.1/", {"headers": {"X": "a\nb"}}, ValueError),
    ("ws://127.0.0.1/", {"no_such_option": 1}, TypeError),
    ("ws://127.0.0.1/", {"onmessage": print}, TypeError),
    ("ws://127.0.0.1/", {"policy": 3}, TypeError),
]


@pytest.mark.parametrize(("url", "arguments", "kind"), MISTAKES)
def test_the_callers_mistakes_raise_at_the_call(
    url: str, arguments: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        syncws.reconnect(url, **arguments)


def test_bad_headers_from_a_callable_are_raised() -> None:
    connections = syncws.reconnect("ws://127.0.0.1/", headers=lambda: {"X": "a\nb"})
    with pytest.raises(ValueError, match="X"):
        next(connections)


def test_the_default_policy_waits_longer_from_failure_to_failure() -> None:
    delays: list[float | None] = []

    def policy(loss: Loss) -> float | None:
        delays.append(syncws.default_policy(loss))
        return 0.0

    script = in_turn(refuse(503), refuse(503), refuse(429), refuse(503), greet)
    with LoopbackServer(script) as server, syncws.reconnect(server.url, policy=policy) as connections:
        assert take(connections) == "hello"
    ranges = [(0, 5), (5, 10), (10, 20), (20, 40)]
    assert len(delays) == 4
    for delay, (low, high) in zip(delays, ranges, strict=True):
        assert delay is not None
        assert low <= delay <= high


def test_dns_and_network_failures_are_tried_again() -> None:
    policy = Recorded(0, 0, None)
    with pytest.raises(socket.gaierror):
        next(syncws.reconnect("ws://nowhere.invalid/", policy=policy))
    assert policy.kinds == [socket.gaierror] * 3
    policy = Recorded(0, 0, None)
    with unanswering() as url, pytest.raises(TimeoutError):
        next(syncws.reconnect(url, policy=policy, open_timeout=0.05))
    assert len(policy.losses) == 3


def test_the_policy_decides_alone_and_what_it_raises_is_raised() -> None:
    with LoopbackServer(in_turn(refuse(404), refuse(401), greet_and_close(1000), greet)) as server:
        policy = Recorded()
        with syncws.reconnect(server.url, policy=policy) as connections:
            assert use_up(connections) == ["hello"]
            assert take(connections) == "hello"
        assert [loss.failures for loss in policy.losses] == [1, 2, 3]

    def bad(loss: Loss) -> float | None:
        raise KeyError("mine")

    with LoopbackServer(refuse(503)) as server, pytest.raises(KeyError):
        next(syncws.reconnect(server.url, policy=bad))


@pytest.mark.parametrize("answer", ["5", True, False, datetime.timedelta(seconds=1)])
def test_a_policy_that_returns_no_number_is_told_what_it_returned(answer: object) -> None:
    with LoopbackServer(refuse(503)) as server:
        with pytest.raises(TypeError, match="policy must return a number of seconds or None, not") as caught:
            next(syncws.reconnect(server.url, policy=lambda loss: answer))  # type: ignore[arg-type,return-value]
    assert repr(answer) in str(caught.value)


def test_a_policy_may_return_any_kind_of_number() -> None:
    with LoopbackServer(in_turn(refuse(503), refuse(503), greet)) as server:
        policy = Recorded(0, fractions.Fraction(0))  # type: ignore[arg-type]
        with syncws.reconnect(server.url, policy=policy) as connections:
            assert take(connections) == "hello"


def test_headers_given_as_a_callable_are_asked_for_afresh_before_each_attempt() -> None:
    def script(peer: Peer) -> None:
        tokens.append(peer.read_request().headers.get("Authorization"))
        if len(tokens) == 2:
            peer.refuse(503)
        else:
            greet_and_end(peer)

    def headers() -> dict[str, str]:
        asked.append(None)
        if len(asked) == 4:
            raise OSError("the token server is away")
        return {"Authorization": f"Bearer {len(asked)}"}

    tokens: list[str | None] = []
    asked: list[None] = []
    policy = Recorded()
    with LoopbackServer(script) as server:
        with syncws.reconnect(server.url, policy=policy, headers=headers) as connections:
            assert [use_up(connections) for _ in range(3)] == [["hello"]] * 3
    assert tokens == ["Bearer 1", "Bearer 2", "Bearer 3", "Bearer 5"]
    assert str(policy.losses[3].error) == "the token server is away"


def test_the_count_of_failures_begins_anew_only_after_a_stable_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(peer: Peer) -> None:
        greet_and_end(peer)

    policy = Recorded()
    with LoopbackServer(script) as server:
        with syncws.reconnect(server.url, policy=policy) as connections:
            for _ in range(3):
                assert use_up(connections) == ["hello"]
            monkeypatch.setattr("syncws._retry.STABLE_SECONDS", 0.0)
            assert use_up(connections) == ["hello"]
            monkeypatch.undo()
            assert use_up(connections) == ["hello"]
    assert [loss.failures for loss in policy.losses] == [1, 2, 1, 2]


def test_a_connection_left_open_is_closed_before_the_next_one_is_made_at_once() -> None:
    codes: list[int | None] = []
    policy = Recorded()
    with LoopbackServer(keep_close_code(codes)) as server:
        with syncws.reconnect(server.url, policy=policy) as connections:
            first = next(connections)
            second = next(connections)
            assert first.readyState == first.CLOSED
            assert codes == [1000]
            assert second.readyState == second.OPEN
    assert not policy.losses
    assert codes == [1000, 1001]


# stop() from another thread, at each moment: the script, what the policy wants, and how to know that the
# moment has come.


def stops(script: Callable[[Peer], object], delay: float, **options: Any) -> None:
    def policy(loss: Loss) -> float:
        asked.set()
        return delay

    asked = threading.Event()
    with LoopbackServer(script) as server:
        connections = syncws.reconnect(server.url, policy=policy, **options)
        task = Task(lambda: next(connections, None))
        if delay:
            wait_for(asked)
        else:
            wait_until(lambda: len(server.connections) > 0)
        began = time.monotonic()
        connections.stop()
        assert task.result() is None
        assert time.monotonic() - began < AT_ONCE
        assert next(connections, None) is None
        attempts = len(server.connections)
        connections.stop()  # again, without harm
        assert next(connections, None) is None
        assert len(server.connections) == attempts


def test_stop_during_an_attempt_takes_effect_at_once() -> None:
    stops(lambda peer: peer.wait_eof(SECONDS), 0.0, open_timeout=SECONDS * 3)


def test_stop_during_a_pause_takes_effect_at_once() -> None:
    stops(refuse(503), SECONDS * 3)


def test_stop_before_the_first_attempt_makes_none() -> None:
    with LoopbackServer() as server:
        connections = syncws.reconnect(server.url)
        connections.stop()
        assert list(connections) == []
        assert len(server.connections) == 0


@pytest.mark.parametrize("answers", [True, False])
def test_stop_while_open_closes_as_the_connection_itself_does(answers: bool) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        codes.append(closed.value.code)
        if not answers:
            hold(peer)
        raise closed.value

    def consume() -> int:
        for connection in connections:
            opened.set()
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    connection.recv()
            ends.append(closed.value.code)
        return len(ends)

    codes: list[int | None] = []
    ends: list[int] = []
    opened = threading.Event()
    with LoopbackServer(script) as server:
        connections = syncws.reconnect(server.url, close_timeout=SECONDS if answers else 0.3)
        task = Task(consume)
        wait_for(opened)
        began = time.monotonic()
        connections.stop()
        assert task.result() == 1
        assert time.monotonic() - began < AT_ONCE
        assert len(server.connections) == 1
    assert codes == [1001]
    assert ends == [1001 if answers else 1006]


def test_stop_at_any_moment_ends_the_iteration() -> None:
    def consume(connections: Reconnector) -> None:
        for connection in connections:
            try:
                while True:
                    connection.recv()
            except ConnectionClosed:
                pass

    script = in_turn(*[greet_and_end, refuse(503), greet_and_close(1012)] * 200)
    with LoopbackServer(script) as server:
        for number in range(40):
            connections = syncws.reconnect(server.url, policy=lambda loss: 0.0005)
            task = Task(lambda connections=connections: consume(connections))  # type: ignore[misc]
            threading.Event().wait(number / 2000)
            connections.stop()
            task.result(AT_ONCE)


def test_the_with_block_stops_it_also_when_left_by_an_exception() -> None:
    with LoopbackServer(greet) as server:
        with pytest.raises(KeyError), syncws.reconnect(server.url) as connections:
            connection = next(connections)
            raise KeyError("mine")
        assert connection.readyState == connection.CLOSED
        assert next(connections, None) is None
