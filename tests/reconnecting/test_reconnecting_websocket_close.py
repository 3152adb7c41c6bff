"""`ReconnectingWebSocket.close()`: for good, at once, in every phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from syncws import (
    Event,
    InvalidAccessErr,
    Loss,
    ReconnectingWebSocket,
    SyntaxErr,
)
from syncws.testing import LoopbackServer, Peer, PeerClosed, in_turn
from tests.reconnecting.losing_servers import greet, greet_and_close, greet_and_end, refuse
from tests.reconnecting.transcript import (
    CLOSED,
    CLOSING,
    CONNECTING,
    OPEN,
    Transcript,
    at_once,
    never,
    patient,
)
from tests.support.waiting import AT_ONCE, SECONDS, wait_until

# What counts as "at once" on a busy machine: far below every option that could end a wait instead.


def waiting_to_connect(heard: Transcript, server: LoopbackServer) -> None:
    wait_until(lambda: len(server.connections) > 0)


PHASES: dict[
    str,
    tuple[
        Callable[[Peer], object],
        Callable[[Loss], float | None],
        Callable[[Transcript, LoopbackServer], None],
        list[str],
    ],
] = {
    "connecting": (
        lambda peer: peer.wait_eof(SECONDS),
        patient,
        waiting_to_connect,
        ["error", "close 1006 for good"],
    ),
    "open": (
        greet,
        patient,
        lambda heard, server: heard.wait("hello"),
        ["open", "hello", "close 3000 for good"],
    ),
    "in a pause": (
        refuse(503),
        patient,
        lambda heard, server: heard.wait("close 1006"),
        ["error", "close 1006", "error", "close 1006 for good"],
    ),
    "ended": (
        greet_and_close(1000),
        never,
        lambda heard, server: heard.wait("close 1000 for good"),
        ["open", "hello", "close 1000 for good"],
    ),
}


@pytest.mark.parametrize("phase", PHASES)
def test_close_takes_effect_at_once_and_for_good(phase: str) -> None:
    script, policy, reach, words = PHASES[phase]
    heard = Transcript()
    with LoopbackServer(script) as server:
        ws = ReconnectingWebSocket(server.url, policy=policy, open_timeout=SECONDS * 3, **heard.handlers)
        reach(heard, server)
        began = time.monotonic()
        ws.close(3000, "mine")
        assert ws.readyState in (CLOSING, CLOSED)
        ws.close(3001)
        ws.join(SECONDS)
        assert time.monotonic() - began < AT_ONCE
        assert ws.readyState == CLOSED
        assert len(server.connections) == 1
    assert heard.words == words
    assert heard.losses[-1].retry_in is None
    ws.join()
    ws.close()


def test_close_of_a_server_that_does_not_answer_takes_close_timeout() -> None:
    heard = Transcript()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        peer.closing.wait(SECONDS)

    with LoopbackServer(script) as server:
        with ReconnectingWebSocket(server.url, close_timeout=0.2, policy=at_once, **heard.handlers):
            heard.wait("hello")
        assert len(server.connections) == 1
    assert heard.words == ["open", "hello", "error", "close 1006 for good"]


@pytest.mark.parametrize("type", ["open", "message", "error", "close"])
def test_close_from_a_callback_is_for_good(type: str) -> None:
    heard = Transcript()

    def close(event: Event) -> None:
        heard.note(event)
        assert isinstance(event.target, ReconnectingWebSocket)
        with pytest.raises(RuntimeError):
            event.target.join()
        event.target.close()

    handlers = {**heard.handlers, f"on{type}": close}
    with LoopbackServer(in_turn(greet_and_end, refuse(503), greet)) as server:
        ws = ReconnectingWebSocket(server.url, policy=at_once, **handlers)
        ws.join(SECONDS)
    assert ws.readyState == CLOSED
    assert heard.losses[-1].retry_in is None
    assert heard.words[-1].endswith("for good")
    assert heard.words.count(heard.words[-1]) == 1


def test_close_at_any_moment_is_for_good() -> None:
    script = in_turn(*[greet_and_end, refuse(503), greet_and_close(1012)] * 200)
    with LoopbackServer(script) as server:
        for number in range(40):
            heard = Transcript()
            ws = ReconnectingWebSocket(server.url, policy=lambda loss: 0.0005, **heard.handlers)
            threading.Event().wait(number / 2000)
            ws.close()
            ws.join(SECONDS)
            assert ws.readyState == CLOSED
            assert [loss.retry_in is None for loss in heard.losses] == [False] * (len(heard.losses) - 1) + [
                True
            ]
            assert heard.words[-1].endswith("for good")


def test_close_raises_the_callers_mistakes_and_goes_on() -> None:
    heard = Transcript()
    with LoopbackServer(greet) as server, ReconnectingWebSocket(server.url, **heard.handlers) as ws:
        heard.wait("hello")
        for arguments, kind in (((1001,), InvalidAccessErr), ((1000, "x" * 124), SyntaxErr)):
            with pytest.raises(kind):
                ws.close(*arguments)
        assert ws.readyState == OPEN


def test_join_raises_timeout_error_while_it_goes_on() -> None:
    heard = Transcript()
    with LoopbackServer(refuse(503)) as server:
        with ReconnectingWebSocket(server.url, policy=patient, **heard.handlers) as ws:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    ws.join(0.05)
            assert ws.readyState == CONNECTING


def test_the_with_block_closes_for_good_with_1000() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("hello")
        with pytest.raises(PeerClosed) as closed:
            peer.recv()
        codes.append(closed.value.code)
        raise closed.value

    codes: list[int | None] = []
    heard = Transcript()
    with LoopbackServer(script) as server:
        with pytest.raises(KeyError):
            with ReconnectingWebSocket(server.url, policy=at_once, **heard.handlers):
                heard.wait("hello")
                raise KeyError("mine")
    assert codes == [1000]
    assert heard.words[-1] == "close 1000 for good"
