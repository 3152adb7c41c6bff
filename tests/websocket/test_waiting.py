"""`join()` and the `with` block: when they return, when they do not, and that Ctrl-C ends the wait."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from syncws import Event, MessageEvent, ReconnectingWebSocket, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer, echo, frame_bytes
from tests.support.clients import Recorder, connected, run, socket_of
from tests.support.leftovers import wait_for_no_threads
from tests.support.servers import finish, hold, unanswering
from tests.support.waiting import SECONDS, wait_for


def closing(peer: Peer) -> None:
    peer.accept()
    peer.send_close(3001)
    finish(peer)


def test_join_returns_when_closed_and_the_close_event_has_been_dispatched() -> None:
    def on_close(event: Event) -> None:
        threading.Event().wait(0.05)
        done.append(socket_of(event).readyState)

    done: list[int] = []
    with LoopbackServer(closing) as server:
        ws = WebSocket(server.url, onclose=on_close)
        ws.join()
        assert done == [WebSocket.CLOSED]
        assert ws.readyState == WebSocket.CLOSED


def test_after_join_the_threads_of_the_connection_end() -> None:
    with LoopbackServer(closing) as server:
        ws = WebSocket(server.url)
        ws.join()
        wait_for_no_threads()


def test_join_returns_at_once_when_all_is_over_however_often() -> None:
    ws = socket_of(run(Peer.refuse).close)
    for timeout in (None, 0, 0.0, 5):
        ws.join(timeout)


@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_join_raises_timeout_error_when_not_in_time_and_may_be_called_again(timeout: float) -> None:
    with unanswering() as url:
        ws = WebSocket(url)
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(TimeoutError, match=f"{timeout} s") as caught:
                ws.join(timeout)
            assert url in str(caught.value)
        assert time.monotonic() - began >= 2 * timeout
        ws.close()
        ws.join(SECONDS)


def test_join_from_many_threads_returns_in_all() -> None:
    def join() -> None:
        ws.join(SECONDS)
        returned.append(ws.readyState)

    returned: list[int] = []
    with connected(echo) as (ws, _, _):
        threads = [threading.Thread(target=join) for _ in range(5)]
        for thread in threads:
            thread.start()
        ws.close()
        for thread in threads:
            thread.join(SECONDS)
    assert returned == [WebSocket.CLOSED] * 5


@pytest.mark.parametrize("kind", ["open", "message", "error", "close"])
@pytest.mark.parametrize("timeout", [None, 1])
def test_join_from_a_callback_raises_runtime_error(kind: str, timeout: float | None) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("a")

    def callback(event: Event) -> None:
        try:
            socket_of(event).join(timeout)
        except RuntimeError as error:
            errors.append(str(error))

    errors: list[str] = []
    options: dict[str, Any] = {f"on{kind}": callback}
    with LoopbackServer(script) as server:
        WebSocket(server.url, **options).join(SECONDS)
    assert len(errors) == 1
    assert "join()" in errors[0] and "callback" in errors[0]


def test_join_from_a_callback_that_dispatch_schedules_raises_runtime_error() -> None:
    def callback(event: Event) -> None:
        with pytest.raises(RuntimeError):
            socket_of(event).join()
        raised.append(event.type)

    raised: list[str] = []
    batches: list[Any] = []
    handed = threading.Semaphore(0)

    def dispatch(batch: Any) -> None:
        batches.append(batch)
        handed.release()

    with LoopbackServer(closing) as server:
        ws = WebSocket(server.url, onopen=callback, onclose=callback, dispatch=dispatch)
        while "close" not in raised:
            assert handed.acquire(timeout=SECONDS)
            batches.pop(0)()
        ws.join(SECONDS)
    assert raised == ["open", "close"]


def test_join_of_another_connection_from_a_callback_is_lawful() -> None:
    def callback(event: Event) -> None:
        other = WebSocket(socket_of(event).url)
        other.join(SECONDS)
        joined.append(other.readyState)

    joined: list[int] = []
    with LoopbackServer(closing) as server:
        WebSocket(server.url, onclose=callback).join(2 * SECONDS)
    assert joined == [WebSocket.CLOSED]


def test_with_block_gives_the_connection_and_closes_and_joins_at_its_end() -> None:
    recorder = Recorder()
    with LoopbackServer() as server:
        ws = WebSocket(server.url, **recorder.handlers)
        with ws as inner:
            assert inner is ws
            recorder.wait("open")
            ws.send("sent though the block ends at once")
        assert ws.readyState == ws.CLOSED
    assert recorder.types[-1] == "close"
    assert recorder.ending == (1000, "", True)
    assert ws.bufferedAmount == 0


def test_with_block_keeps_the_code_of_a_close_inside_it() -> None:
    recorder = Recorder()
    with LoopbackServer() as server, WebSocket(server.url, **recorder.handlers) as ws:
        recorder.wait("open")
        ws.close(3001, "inside")
    assert recorder.ending == (3001, "inside", True)


def test_with_block_lets_an_exception_out_after_it_has_closed() -> None:
    recorder = Recorder()
    with (
        LoopbackServer() as server,
        pytest.raises(KeyError, match="inside"),
        WebSocket(server.url, **recorder.handlers),
    ):
        recorder.wait("open")
        raise KeyError("inside")
    assert recorder.ending == (1000, "", True)


def test_with_block_that_ends_before_the_connection_is_open_abandons_it() -> None:
    recorder = Recorder()
    with unanswering() as url, WebSocket(url, **recorder.handlers):
        pass
    assert recorder.types == ["error", "close"]


def test_with_block_ends_though_the_server_never_answers_the_close() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        hold(peer)

    recorder = Recorder()
    with LoopbackServer(script) as server:
        with WebSocket(server.url, **recorder.handlers, close_timeout=0.1):
            recorder.wait("open")
        assert recorder.failed


@pytest.fixture
def ctrl_c() -> Iterator[threading.Event]:
    """Ctrl-C in the main thread, a moment after the event is set."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no setitimer here")
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals arrive in the main thread only")

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    go = threading.Event()
    yield go
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("timeout", [None, SECONDS])
def test_ctrl_c_ends_join_at_once_and_the_connection_goes_on(
    timeout: float | None, ctrl_c: threading.Event
) -> None:
    with connected(echo) as (ws, recorder, _):
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            ws.join(timeout)
        assert time.monotonic() - began < SECONDS
        ws.send("still there")
        recorder.wait("message")
    assert recorder.data == ["still there"]
    assert recorder.ending == (1000, "", True)


def test_ctrl_c_in_a_with_block_closes_the_connection(ctrl_c: threading.Event) -> None:
    recorder = Recorder()
    with LoopbackServer() as server, pytest.raises(KeyboardInterrupt):
        with WebSocket(server.url, **recorder.handlers):
            recorder.wait("open")
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            wait_for(ctrl_c)  # which nobody sets
    assert recorder.ending == (1001, "", True)


def test_library_installs_no_signal_handlers() -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with connected(echo):
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_ctrl_c_in_a_callback_on_the_main_thread_goes_on_and_loses_no_event() -> None:
    batches: queue.Queue[Callable[[], None]] = queue.Queue()
    seen: list[object] = []

    def on_message(event: MessageEvent) -> None:
        seen.append(event.data)
        if event.data == "one":
            raise KeyboardInterrupt

    def script(peer: Peer) -> None:
        peer.accept(glued=b"".join(frame_bytes(Opcode.TEXT, data) for data in (b"one", b"two", b"three")))
        peer.send_close(1000)

    with LoopbackServer(script) as server:
        ws = WebSocket(server.url, onmessage=on_message, dispatch=batches.put)
        interrupts = 0
        while ws.readyState != WebSocket.CLOSED:
            try:
                batches.get(timeout=SECONDS)()
            except KeyboardInterrupt:
                interrupts += 1
        ws.join(SECONDS)
    assert seen == ["one", "two", "three"]
    assert interrupts == 1


def test_ctrl_c_in_a_callback_of_a_reconnecting_one_goes_on_too() -> None:
    batches: queue.Queue[Callable[[], None]] = queue.Queue()

    def on_open(event: Event) -> None:
        event.target.close()
        raise KeyboardInterrupt

    with LoopbackServer() as server:
        ws = ReconnectingWebSocket(server.url, onopen=on_open, dispatch=batches.put)
        interrupts = 0
        while ws.readyState != WebSocket.CLOSED:
            try:
                batches.get(timeout=SECONDS)()
            except KeyboardInterrupt:
                interrupts += 1
        ws.join(SECONDS)
    assert interrupts == 1


def test_ctrl_c_in_dispatch_event_is_not_raised_on_the_worker() -> None:
    inside, told = threading.Event(), threading.Event()

    def on_open(event: Event) -> None:
        wait_for(inside)
        socket_of(event).send("now")

    def on_mine(event: Event) -> None:
        inside.set()
        wait_for(told)  # meanwhile the worker dispatches
        raise KeyboardInterrupt

    def on_message(event: Event) -> None:
        told.set()

    with LoopbackServer() as server, WebSocket(server.url, onopen=on_open, onmessage=on_message) as ws:
        ws.addEventListener("mine", on_mine)
        with pytest.raises(KeyboardInterrupt):
            ws.dispatchEvent(Event("mine"))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no setitimer")
def test_a_signal_handler_may_close_in_the_middle_of_send() -> None:
    def close(number: int, frame: object) -> None:
        ws.close()

    def set_event(opened: threading.Event, event: Event) -> None:
        opened.set()

    before = signal.signal(signal.SIGALRM, close)
    try:
        with LoopbackServer() as server:
            for number in range(60):
                opened = threading.Event()
                on_open = partial(set_event, opened)
                ws = WebSocket(server.url, compression=None, onopen=on_open)
                wait_for(opened)
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + number * 0.00002)
                while ws.readyState == ws.OPEN:
                    ws.send("x")
                ws.join(SECONDS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
