"""`ReconnectingWebSocket`: each loss and each return is an event, and what was not sent is reported."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from syncws import (
    ConnectionClosed,
    Event,
    HandshakeError,
    InvalidStateErr,
    Loss,
    MessageEvent,
    ReconnectingWebSocket,
    SecurityErr,
    SyntaxErr,
)
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, in_turn
from tests.reconnecting.losing_servers import greet, greet_and_close, greet_and_end, refuse
from tests.reconnecting.transcript import CLOSED, CONNECTING, OPEN, Transcript, at_once
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_for, wait_until


def test_each_loss_and_each_return_is_seen_as_events() -> None:
    heard = Transcript()
    script = in_turn(greet_and_end, refuse(503), greet_and_close(1012), greet_and_close(1000))
    decided: list[Loss] = []

    def policy(loss: Loss) -> float | None:
        decided.append(loss)
        return None if isinstance(loss.error, ConnectionClosed) and loss.error.code == 1000 else 0.0

    with LoopbackServer(script) as server:
        ws = ReconnectingWebSocket(server.url, policy=policy, **heard.handlers)
        ws.join(SECONDS)
        assert len(server.connections) == 4
    assert heard.words == (
        [
            "open",
            "hello",
            "error",
            "close 1006",
            "error",
            "close 1006",
            "open",
            "hello",
            "close 1012",
            "open",
            "hello",
            "close 1000 for good",
        ]
    )
    for name, state in heard.states[:-1]:
        # CONNECTING from a loss to the next open event, also for the callbacks that tell of it.
        assert state == (OPEN if name in ("open", "message") else CONNECTING)
    assert heard.states[-1] == ("close", CLOSED)
    assert ws.readyState == CLOSED
    assert [type(loss.error) for loss in decided] == [
        ConnectionClosed,
        HandshakeError,
        ConnectionClosed,
        ConnectionClosed,
    ]
    assert [loss.failures for loss in decided] == [1, 2, 3, 4]
    assert decided[0].error.__cause__ is heard.errors[0]
    assert decided[1].error is heard.errors[1]
    assert decided[1].open_seconds == 0 < decided[0].open_seconds < SECONDS
    assert [loss.retry_in for loss in heard.losses] == [0.0, 0.0, 0.0, None]
    assert [loss.wasClean for loss in heard.losses] == [False, False, True, True]
    assert "retry_in=None" in repr(heard.losses[-1])


def test_what_was_not_sent_at_the_loss_is_reported() -> None:
    amount = 8 * 2**20

    def stuck(peer: Peer) -> None:
        peer.accept()
        wait_for(sent)
        peer.reset()

    sent = threading.Event()
    heard = Transcript()
    with LoopbackServer(in_turn(stuck, greet), receive_buffer=65536) as server:
        with ReconnectingWebSocket(server.url, policy=at_once, compression=None, **heard.handlers) as ws:
            heard.wait("open")
            ws.send(bytes(amount))
            ws.send("€")
            assert ws.bufferedAmount > 0
            sent.set()
            heard.wait("hello")
            assert ws.bufferedAmount == 0
            assert amount // 4 < heard.losses[0].unsent <= amount + 3
    assert heard.losses[-1].unsent == 0


@pytest.mark.parametrize("loss", ["ends TCP", "resets"])
def test_every_byte_that_send_took_was_sent_or_is_reported_as_unsent(loss: str) -> None:
    rounds = 10

    def script(peer: Peer) -> None:
        peer.accept()
        accepted.append(peer)
        try:
            read(peer)
        finally:
            done.append(peer)

    def read(peer: Peer) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while (frame := peer.recv_frame()).opcode != Opcode.CLOSE:
                received.append(len(frame.payload))
                if len(heard.losses) >= rounds:
                    continue
                if loss == "resets":
                    peer.reset()
                    return
                peer.half_close()

    def send() -> int:
        taken = 0
        while not over.is_set():
            try:
                ws.send("x" * 10)
                taken += 10
            except InvalidStateErr:
                threading.Event().wait(0.0005)
        return taken

    heard = Transcript()
    over = threading.Event()
    totals: list[int] = []
    received: list[int] = []
    accepted: list[Peer] = []
    done: list[Peer] = []
    with LoopbackServer(script) as server:
        ws = ReconnectingWebSocket(server.url, policy=at_once, compression=None, **heard.handlers)
        threads = [threading.Thread(target=lambda: totals.append(send())) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(heard.losses) >= rounds)
        over.set()
        for thread in threads:
            thread.join(SECONDS)
        ws.close()
        ws.join(SECONDS)
        # They read the rest of what earlier connections have sent.
        wait_until(lambda: len(done) == len(accepted))
    accounted = sum(received) + sum(loss.unsent for loss in heard.losses)
    if loss == "resets":
        # What was handed to the network counts as sent, whether or not it arrived.
        assert accounted <= sum(totals)
    else:
        assert accounted == sum(totals)


def test_send_raises_from_a_loss_to_the_next_open_event() -> None:
    heard = Transcript()
    refused: list[bool] = []

    def try_to_send(event: Event) -> None:
        heard.note(event)
        try:
            assert isinstance(event.target, ReconnectingWebSocket)
            event.target.send(event.type)
        except InvalidStateErr:
            refused.append(True)
        else:
            refused.append(False)

    handlers = {**heard.handlers, "onopen": try_to_send, "onerror": try_to_send, "onclose": try_to_send}
    with LoopbackServer(in_turn(greet_and_end, greet)) as server:
        ws = ReconnectingWebSocket(server.url, policy=at_once, **handlers)
        heard.wait("close 1006")
        heard.wait("hello")
        ws.close()
        ws.join(SECONDS)
    # In the last close event it is CLOSED: dropped, and counted, as by any WebSocket.
    assert refused == [False, True, True, False, False]
    assert ws.bufferedAmount == len("close")


def test_a_constructor_with_a_mistake_raises() -> None:
    for url, options, kind in (
        ("/relative", {}, SyntaxErr),
        ("ws://127.0.0.1:25/", {}, SecurityErr),
        ("ws://127.0.0.1/", {"no_such_option": 1}, TypeError),
        ("ws://127.0.0.1/", {"headers": {"X": "a\nb"}}, ValueError),
        ("ws://127.0.0.1/", {"headers": lambda: {"X": "a\nb"}}, ValueError),
        ("ws://127.0.0.1/", {"dispatch": 1}, TypeError),
    ):
        with pytest.raises(kind):
            ReconnectingWebSocket(url, **options)


def test_a_refusal_for_good_is_the_end_by_the_default_policy() -> None:
    heard = Transcript()
    with LoopbackServer(refuse(403)) as server:
        ReconnectingWebSocket(server.url, **heard.handlers).join(SECONDS)
        assert len(server.connections) == 1
    assert heard.words == ["error", "close 1006 for good"]
    assert heard.states[-1] == ("close", CLOSED)


def test_the_default_policy_says_in_the_close_event_how_long_it_waits() -> None:
    heard = Transcript()
    with LoopbackServer(refuse(503)) as server:
        ws = ReconnectingWebSocket(server.url, **heard.handlers)
        heard.wait("close 1006")
        ws.close()
        ws.join(SECONDS)
    retry_in = heard.losses[0].retry_in
    assert retry_in is not None
    assert 0 <= retry_in <= 5


def test_headers_given_as_a_callable_are_asked_for_afresh_before_each_attempt() -> None:
    def script(peer: Peer) -> None:
        tokens.append(peer.read_request().headers.get("X-Token"))
        greet_and_end(peer)

    def headers() -> list[tuple[str, str]]:
        asked.append(None)
        if len(asked) == 2:
            raise OSError("the token server is away")
        return [("X-Token", str(len(asked)))]

    tokens: list[str | None] = []
    asked: list[None] = []
    heard = Transcript()
    with LoopbackServer(script) as server:
        with ReconnectingWebSocket(server.url, policy=at_once, headers=headers, **heard.handlers):
            for _ in range(3):
                heard.wait("hello")
    assert tokens[:3] == ["1", "3", "4"]
    assert heard.words[2:6] == ["error", "close 1006", "error", "close 1006"]
    assert str(heard.errors[1]) == "the token server is away"


def test_dispatch_schedules_all_events_also_those_of_attempts_that_could_not_be_made() -> None:
    def headers() -> dict[str, str]:
        asked.append(None)
        if len(asked) > 1:
            raise OSError("the token server is away")
        return {}

    def schedule(task: Callable[[], None]) -> None:
        tasks.put(task)

    asked: list[None] = []
    tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    heard = Transcript()
    threads: set[int] = set()
    joined: list[str] = []

    def note(event: Event) -> None:
        threads.add(threading.get_ident())
        heard.note(event)
        with pytest.raises(RuntimeError, match="callback"):
            socket.join(SECONDS)
        joined.append(event.type)

    def policy(loss: Loss) -> float | None:
        return 0.0 if loss.failures < 3 else None

    with LoopbackServer(greet_and_end) as server:
        socket = ReconnectingWebSocket(
            server.url, policy=policy, headers=headers, dispatch=schedule, onerror=note, onclose=note
        )
        while heard.words[-1:] != ["close 1006 for good"]:
            tasks.get(timeout=SECONDS)()
        socket.join(SECONDS)
    assert threads == {threading.get_ident()}
    assert heard.words == ["error", "close 1006"] * 2 + ["error", "close 1006 for good"]
    assert joined == ["error", "close"] * 3
    assert [state for _, state in heard.states] == [CONNECTING] * 4 + [CLOSED] * 2


def test_a_policy_that_raises_is_logged_and_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    def policy(loss: Loss) -> float | None:
        raise KeyError("mine")

    heard = Transcript()
    with LoopbackServer(refuse(503)) as server:
        ReconnectingWebSocket(server.url, policy=policy, **heard.handlers).join(SECONDS)
    assert heard.words == ["error", "close 1006 for good"]
    assert "KeyError: 'mine'" in caplog.text


def test_attributes_are_those_of_the_present_connection() -> None:
    def script(peer: Peer) -> None:
        request = peer.read_request()
        numbers.append(len(numbers))
        peer.accept(protocol=f"p{len(numbers)}", extensions="permessage-deflate" if numbers[1:] else None)
        assert request.headers.get("Sec-WebSocket-Protocol") == "p1, p2"
        peer.send(b"hello")
        if not numbers[1:]:
            wait_for(go_on)
        else:
            finish(peer)

    numbers: list[int] = []
    kinds: list[type] = []
    go_on = threading.Event()
    heard = Transcript()

    def on_message(event: MessageEvent) -> None:
        kinds.append(type(event.data))
        heard.new.put("message")

    handlers = {**heard.handlers, "onmessage": on_message}
    with LoopbackServer(script) as server:
        with ReconnectingWebSocket(server.url_for("/x"), ["p1", "p2"], policy=at_once, **handlers) as ws:
            ws.binaryType = "arraybuffer"
            heard.wait("message")
            assert (ws.url, ws.protocol, ws.extensions) == (server.url_for("/x"), "p1", "")
            go_on.set()
            heard.wait("message")
            assert (ws.url, ws.protocol, ws.extensions) == (server.url_for("/x"), "p2", "permessage-deflate")
            assert ws.binaryType == "arraybuffer"
            assert (ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED) == (0, 1, 2, 3)
    assert kinds[1] is bytearray


def test_listeners_stay_from_connection_to_connection() -> None:
    heard: list[str] = []
    enough = threading.Event()

    def listen(event: Event) -> None:
        heard.append(event.type)
        if len(heard) >= 6:
            enough.set()

    with LoopbackServer(greet_and_end) as server:
        ws = ReconnectingWebSocket(server.url, policy=at_once)
        assert ws.onmessage is None
        ws.addEventListener("open", listen)
        ws.onmessage = listen
        assert ws.onmessage is listen
        wait_for(enough)
        ws.removeEventListener("open", listen)
        ws.onmessage = None
        ws.close()
        ws.join(SECONDS)
    assert heard[:6] == ["open", "message"] * 3


def test_callbacks_see_the_context_of_the_constructors_caller_after_each_return() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[tuple[str, str]] = []
    enough = threading.Event()

    def note(event: Event) -> None:
        seen.append((event.type, variable.get()))
        if event.type == "open" and len(seen) > 8:
            enough.set()

    def make() -> ReconnectingWebSocket:
        variable.set("mine")
        handlers: dict[str, Any] = {"onopen": note, "onclose": note, "onerror": note}
        return ReconnectingWebSocket(server.url, policy=at_once, **handlers)

    with LoopbackServer(in_turn(greet_and_end, refuse(503), greet_and_end)) as server:
        with contextvars.copy_context().run(make):
            wait_for(enough)
    assert {value for _, value in seen} == {"mine"}
