"""`trace=` and the log at the level `DEBUG`: each step of a connection, of both APIs."""

from __future__ import annotations

import logging
import signal
import ssl
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import syncws
from syncws import ReconnectingWebSocket, TraceRecord, WebSocket
from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import opened
from tests.support.leftovers import wait_for_no_threads
from tests.support.servers import finish, refusing
from tests.support.waiting import SECONDS, wait_until

OPENING = ["resolve", "resolved", "connect", "connected", "request", "response"]
DOWN = ["sent", "received", "closed"]


def steps(records: list[TraceRecord]) -> list[str]:
    return [record.step for record in records]


def frames(records: list[TraceRecord], step: str) -> list[tuple[int | None, bool | None, bytes | None]]:
    return [(record.opcode, record.final, record.payload) for record in records if record.step == step]


def test_each_step_is_told_with_what_it_has() -> None:
    records: list[TraceRecord] = []
    before = time.time()
    with LoopbackServer(compression=False) as server:
        url = server.url_for("/path?key=1")
        with syncws.connect(url, trace=records.append) as connection:
            connection.send("hello")
            assert connection.recv(SECONDS) == "hello"
        address, port = ("127.0.0.1", server.port), server.port
        public = server.url_for("/path")
    assert steps(records) == [*OPENING, "sent", "received", *DOWN]
    assert [record.serial for record in records] == list(range(1, len(records) + 1))
    assert before <= records[0].time <= records[-1].time <= time.time()
    assert len({record.connection for record in records}) == 1
    resolve, resolved, connect, connected, request, response = records[:6]
    assert {(record.host, record.port) for record in records[:4]} == {("127.0.0.1", port)}
    assert (resolve.address, resolved.address) == (None, (address,))
    assert (connect.address, connect.error, connected.address) == (address, None, address)
    assert (request.url, response.url, response.status) == (public, public, 101)
    assert request.head is not None and request.head.startswith(b"GET /path?... HTTP/1.1\r\nHost: ")
    assert request.head.endswith(b"\r\n\r\n") and b"Sec-WebSocket-Key: " in request.head
    assert response.head is not None and response.head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    sent, received, close_sent, close_received, closed = records[6:]
    for record, wire_size in ((sent, 11), (received, 7)):
        assert (record.opcode, record.final, record.payload, record.size) == (1, True, b"hello", 5)
        assert record.wire_size == wire_size
    for record in (close_sent, close_received):
        assert (record.opcode, record.code, record.reason, record.payload) == (8, 1000, "", b"\x03\xe8")
    assert (closed.code, closed.reason, closed.clean, closed.error) == (1000, "", True, None)


def test_the_callback_api_tells_the_same() -> None:
    records: list[TraceRecord] = []
    with LoopbackServer() as server:
        ws = WebSocket(
            server.url, trace=records.append, onmessage=lambda event: event.target.close(3000, "bye")
        )
        ws.addEventListener("open", lambda event: ws.send(b"\0\1"))
        ws.join(SECONDS)
    assert steps(records) == [*OPENING, "sent", "received", *DOWN]
    assert frames(records, "sent")[0] == (2, True, b"\0\1")
    assert (records[-1].code, records[-1].reason) == (3000, "bye")
    assert records[-3].reason == "bye"


def test_fragments_pings_and_pongs_are_frames_like_others() -> None:
    records: list[TraceRecord] = []
    with opened(trace=records.append, compression=None, ping_interval=None) as connection:
        connection.ping(SECONDS)
        connection.send(["a", "b"])
        connection.recv(SECONDS)
    ping = next(record for record in records if record.step == "sent")
    assert frames(records, "sent") == [
        (Opcode.PING, True, ping.payload),
        (Opcode.TEXT, False, b"a"),
        (Opcode.CONTINUATION, False, b"b"),
        (Opcode.CONTINUATION, True, b""),
        (Opcode.CLOSE, True, b"\x03\xe8"),
    ]
    assert frames(records, "received")[0] == (Opcode.PONG, True, ping.payload)


def test_with_compression_a_frame_has_both_sizes() -> None:
    records: list[TraceRecord] = []
    with LoopbackServer(compression=True) as server:
        with syncws.connect(server.url, trace=records.append) as connection:
            connection.send("x" * 3_000_000)
            assert len(connection.recv(SECONDS)) == 3_000_000
    for step in ("sent", "received"):
        found = [record for record in records if record.step == step and record.opcode in (0, 1)]
        assert sum(record.size or 0 for record in found) == 3_000_000
        assert sum(record.wire_size or 0 for record in found) < 100_000
        assert b"".join(record.payload or b"" for record in found) == b"x" * 3_000_000


def test_tls_is_a_step(server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext) -> None:
    records: list[TraceRecord] = []
    with LoopbackServer(tls=server_ssl_context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with syncws.connect(url, ssl_context=client_ssl_context, trace=records.append, family=4):
            pass
    assert steps(records) == [*OPENING[:4], "tls", *OPENING[4:], *DOWN]
    tls = records[4]
    assert tls.host == "localhost" and tls.tls is not None and tls.tls.version.startswith("TLS")


def test_a_refusal_ends_with_lost_and_closed() -> None:
    records: list[TraceRecord] = []
    with (
        LoopbackServer(lambda peer: peer.refuse(403)) as server,
        pytest.raises(syncws.HandshakeError) as refused,
    ):
        syncws.connect(server.url, trace=records.append)
    assert steps(records) == [*OPENING, "lost", "closed"]
    assert records[5].status == 403
    assert records[6].error is refused.value
    assert (records[7].code, records[7].clean) == (1006, False)


def test_an_address_that_fails_is_told_with_its_error() -> None:
    records: list[TraceRecord] = []
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        syncws.connect(url, trace=records.append)
    assert steps(records) == ["resolve", "resolved", "connect", "connect", "lost", "closed"]
    assert records[2].error is None
    assert isinstance(records[3].error, ConnectionRefusedError)
    assert records[3].address == records[2].address


def test_a_link_that_is_lost_is_told_before_its_end() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        peer.reset()

    records: list[TraceRecord] = []
    with opened(script, trace=records.append) as connection:
        connection.send("x")
        with pytest.raises(syncws.ConnectionClosed):
            connection.recv(SECONDS)
    assert steps(records)[-2:] == ["lost", "closed"]
    assert isinstance(records[-2].error, syncws.ConnectionLost)


def test_both_that_come_back_tell_of_the_next_attempt_and_number_their_connections() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(1012)
        finish(peer)

    def policy(loss: syncws.Loss) -> float | None:
        return 0.001 if loss.failures < 2 else None

    with LoopbackServer(script) as server:
        records: list[TraceRecord] = []
        with pytest.raises(syncws.ConnectionClosed):
            for connection in syncws.reconnect(server.url, policy=policy, trace=records.append):
                with pytest.raises(syncws.ConnectionClosed):
                    connection.recv(SECONDS)
        again: list[TraceRecord] = []
        ReconnectingWebSocket(server.url, policy=policy, trace=again.append).join(SECONDS)
    one = [*OPENING, "received", "sent", "closed"]
    for told in (records, again):
        assert steps(told) == [*one, "retry", *one]
        assert told[9].retry_in == 0.001
        assert isinstance(told[9].error, syncws.ConnectionClosed)
        assert told[9].connection == told[0].connection != told[10].connection
        assert [record.serial for record in told] == [*range(1, 11), *range(1, 10)]


def test_an_exception_of_the_callable_is_logged_and_the_connection_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[type[BaseException]] = []

    def trace(record: TraceRecord) -> None:
        kinds: list[type[BaseException]] = [ZeroDivisionError, SystemExit, KeyboardInterrupt]
        raised.append(kinds[len(raised) % 3])
        raise raised[-1]

    with opened(trace=trace) as connection:
        connection.send("x")
        assert connection.recv(SECONDS) == "x"
    assert connection.close_code == 1000
    assert len(raised) == len([record for record in caplog.records if "the trace callable" in record.message])
    assert {record.levelname for record in caplog.records} == {"ERROR"}


@pytest.mark.parametrize("step", OPENING)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, TimeoutError])
def test_none_leaves_connect(kind: type[BaseException], step: str, caplog: pytest.LogCaptureFixture) -> None:
    def trace(record: TraceRecord) -> None:
        if record.step == step:
            raise kind("of the callable")

    with opened(trace=trace) as connection:
        connection.send("x")
        assert connection.recv(SECONDS) == "x"
    assert f"the trace callable raised at '{step}'" in caplog.text


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no such signal")
@pytest.mark.parametrize("step", OPENING)
def test_what_a_signal_handler_raises_in_the_callable_leaves_connect(step: str) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("the program's own")

    def trace(record: TraceRecord) -> None:
        if record.step == step:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            left.wait(SECONDS)

    left = threading.Event()
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with LoopbackServer() as server, pytest.raises(TimeoutError, match="the program's own"):
            syncws.connect(server.url, trace=trace)
        assert not left.is_set()
    finally:
        left.set()
        signal.signal(signal.SIGUSR1, before)
    wait_for_no_threads()


def failing(trace: Callable[[TraceRecord], object]) -> None:
    """An attempt that fails: the callable hears of the next one on the thread of the caller."""
    with refusing() as url:
        attempts = syncws.reconnect(url, trace=trace, policy=lambda loss: 0.0 if loss.failures < 2 else None)
        next(attempts)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_none_leaves_the_pause_of_reconnect_either(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def trace(record: TraceRecord) -> None:
        if record.step == "retry":
            raise kind

    with pytest.raises(ConnectionRefusedError):
        failing(trace)
    assert "the trace callable raised at 'retry'" in caplog.text


def test_but_ctrl_c_does() -> None:
    def trace(record: TraceRecord) -> None:
        if record.step == "retry":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        failing(trace)


def test_in_the_callable_calls_that_do_not_wait_work_and_others_raise() -> None:
    found: list[str] = []
    ready = threading.Event()

    def trace(record: TraceRecord) -> None:
        if record.step != "received" or not ready.wait(SECONDS) or found:
            return
        for call in (connection.recv, connection.flush, connection.ping):
            with pytest.raises(RuntimeError):
                call()
        connection.send("from the trace")
        assert connection.stats.messages_received >= 0
        found.append("all")

    with opened(trace=trace) as connection:
        ready.set()
        connection.send("x")
        assert [connection.recv(SECONDS), connection.recv(SECONDS)] == ["x", "from the trace"]
    assert found == ["all"]


def test_it_is_called_on_threads_of_the_connections() -> None:
    names: dict[str, set[str]] = {}

    def trace(record: TraceRecord) -> None:
        names.setdefault(record.step, set()).add(threading.current_thread().name.partition("-")[0])

    with opened(trace=trace) as connection:
        connection.send("x")
        connection.recv(SECONDS)
    assert set(names) == {*OPENING, *DOWN}
    assert {name for found in names.values() for name in found} == {"syncws"}


@pytest.mark.parametrize("trace", ["print", 5, True, object()])
def test_what_cannot_be_called_is_refused_at_the_call(trace: Any) -> None:
    for call in (WebSocket, syncws.connect, syncws.reconnect, ReconnectingWebSocket):
        with pytest.raises(TypeError, match="^trace must be callable"):
            call("ws://127.0.0.1:9999/", trace=trace)


def test_an_asynchronous_callable_is_refused() -> None:
    async def trace(record: TraceRecord) -> None: ...

    with pytest.raises(TypeError, match="^trace must be a plain function"):
        syncws.connect("ws://127.0.0.1:9999/", trace=trace)


# The log.


def test_debug_shows_the_same_steps_as_text_one_record_each(caplog: pytest.LogCaptureFixture) -> None:
    records: list[TraceRecord] = []
    with caplog.at_level(logging.DEBUG, "syncws"):
        with opened(trace=records.append) as connection:
            connection.send("x" * 5000)
            connection.send("a\nb")
            for _ in range(2):
                connection.recv(SECONDS)
        wait_until(lambda: "closed" in caplog.text)
    logged = [vars(record) for record in caplog.records]
    assert [record["step"] for record in logged] == steps(records)
    assert {record["connection"] for record in logged} == {f"syncws-{records[0].connection}"}
    assert all(record["levelname"] == "DEBUG" and "\n" not in record["message"] for record in logged)
    by_step = {record["step"]: record["message"] for record in logged}
    assert by_step["connected"].endswith(f"connected 127.0.0.1:{records[0].port} {records[3].address}")
    assert "GET / HTTP/1.1 | Host: " in by_step["request"]
    long = next(record["message"] for record in logged if "5000 bytes" in record["message"])
    assert len(long) < 200 and long.endswith("xxx'...")
    assert by_step["closed"].endswith("closed ws://127.0.0.1:" + f"{records[0].port}/ 1000")


def test_whether_it_is_logged_is_looked_up_when_the_connection_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opened() as connection, caplog.at_level(logging.DEBUG, "syncws"):
        connection.send("x")
        connection.recv(SECONDS)
    assert not caplog.records


def test_one_connection_alone_is_shown_by_a_filter_on_its_name() -> None:
    shown: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(record.__dict__["connection"])

    logger, handler, level = logging.getLogger("syncws"), Handler(), logging.getLogger("syncws").level
    records: list[TraceRecord] = []
    handler.addFilter(lambda record: record.__dict__["connection"] == f"syncws-{records[0].connection}")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with opened(trace=records.append), opened():
            pass
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert set(shown) == {f"syncws-{records[0].connection}"}
