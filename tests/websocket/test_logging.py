"""What is logged, on the logger ``syncws``, and what a record carries."""

from __future__ import annotations

import contextlib
import logging
import re
import threading

import pytest

import syncws
from syncws import Event, WebSocket
from syncws.testing import LoopbackServer, Peer
from tests.support.programs import run_silently
from tests.support.servers import finish
from tests.support.waiting import SECONDS, wait_until


def fail(event: Event) -> None:
    raise ValueError("in the listener")


def test_records_say_which_connection_they_are_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "syncws"), LoopbackServer() as server:
        url = server.url_for("/path")
        ws = WebSocket(url + "?token=secret", onopen=fail)
        ws.addEventListener("open", lambda event: ws.close(3000, "done"))
        ws.join(SECONDS)
        wait_until(lambda: "code" in vars(caplog.records[-1]))  # it is logged once the end is told
    by_level = {record.levelname: record for record in caplog.records}
    for record in caplog.records:
        assert re.fullmatch(r"syncws-\d+", vars(record)["connection"])
        assert vars(record)["url"].startswith(url)
        assert "secret" not in vars(record)["url"] + record.getMessage()
    assert vars(by_level["ERROR"])["event_type"] == "open"
    closed = vars(caplog.records[-1])
    assert (closed["code"], closed["reason"], closed["was_clean"]) == (3000, "done", True)


def test_an_orderly_connection_is_not_heard_of_by_default() -> None:
    program = """if True:
        import sys, syncws
        with syncws.connect(sys.argv[1]) as connection:
            connection.send("hello")
            assert connection.recv(20) == "hello"
    """
    with LoopbackServer() as server:
        assert run_silently("-c", program, server.url) == ""


def test_a_failure_that_no_error_listener_hears_of_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with LoopbackServer(lambda peer: peer.refuse(403)) as server:
        WebSocket(server.url, onclose=lambda event: None).join(SECONDS)
        WebSocket(server.url, onerror=lambda event: None).join(SECONDS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "failed" in caplog.text and "403 Forbidden" in caplog.text


def test_a_failure_after_our_own_close_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with LoopbackServer(lambda peer: peer.wait_eof(SECONDS)) as server:
        ws = WebSocket(server.url)
        ws.close()
        ws.join(SECONDS)
    assert caplog.records == []


def test_a_process_that_ends_while_it_connects_prints_nothing() -> None:
    program = (
        "import sys, syncws; ws = syncws.WebSocket(sys.argv[1]); syncws.ReconnectingWebSocket(sys.argv[1])"
    )
    with LoopbackServer(lambda peer: peer.wait_eof(SECONDS)) as server:
        assert run_silently("-c", program, server.url) == ""


def test_attempts_that_fail_say_when_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(peer: Peer) -> None:
        peer.refuse(503, reason="Away")

    def policy(loss: syncws.Loss) -> float | None:
        return 0.04 if loss.failures < 3 else None

    with LoopbackServer(refuse) as server:
        with pytest.raises(syncws.HandshakeError):
            next(syncws.reconnect(server.url, policy=policy))
        by_waiting = [record.getMessage() for record in caplog.records]
        caplog.clear()
        syncws.ReconnectingWebSocket(server.url, policy=policy).join(SECONDS)
        by_events = [record.getMessage() for record in caplog.records]
        caplog.clear()
        syncws.ReconnectingWebSocket(server.url, policy=policy, onerror=lambda event: None).join(SECONDS)
        with_listeners = [record.getMessage() for record in caplog.records]
    failed = f"{server.url} answered 503 Away"
    again = [f"{failed}; next attempt in 0.0 s"] * 2
    assert by_waiting == again
    assert by_events == with_listeners == [*again, f"{failed}; no further attempt"]


@pytest.mark.parametrize("by_events", [True, False])
def test_losses_say_their_cause_and_the_next_attempt_and_a_quiet_end_is_information(
    caplog: pytest.LogCaptureFixture, by_events: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        match len(server.connections):
            case 1:
                peer.send_close(1011, "restart")
            case 2:
                peer.recv_frame()
                peer.reset()
                return
            case _:
                peer.send_close(1000, "bye")
        finish(peer)

    def policy(loss: syncws.Loss) -> float | None:
        return None if syncws.default_policy(loss) is None else 0.04

    with LoopbackServer(script) as server, caplog.at_level(logging.INFO, "syncws"):
        if by_events:
            ws = syncws.ReconnectingWebSocket(server.url, policy=policy, onclose=lambda event: None)
            ws.onopen = lambda event: event.target.send("x")
            ws.join(SECONDS)
        else:
            for connection in syncws.reconnect(server.url, policy=policy):
                with contextlib.suppress(syncws.ConnectionClosed):
                    connection.send("x")
                    connection.recv(SECONDS)
        url = server.url
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told[0] == ("WARNING", f"{url}: lost (1011 restart); next attempt in 0.0 s")
    level, text = told[1]
    assert level == "WARNING" and text.endswith("); next attempt in 0.0 s")
    assert text.startswith("lost (1006: ") and text.count(url) == 1
    assert told[2:] == [("INFO", f"{url}: closed (1000 bye); no further attempt")]


def test_a_filter_that_raises_costs_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise OSError("the disk is full")

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    logger = logging.getLogger("syncws")
    level = logger.level
    logger.addFilter(refuse)
    logger.setLevel(logging.DEBUG)
    closed: list[int] = []
    try:
        with LoopbackServer() as server:
            ws = WebSocket(server.url, onopen=lambda event: ws.close())
            ws.addEventListener("close", lambda event: closed.append(event.code))
            ws.join(SECONDS)
    finally:
        logger.removeFilter(refuse)
        logger.setLevel(level)
    assert closed == [1000]


def test_what_cannot_be_logged_goes_to_the_hook_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise OSError("the disk is full")

    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    logger = logging.getLogger("syncws")
    logger.addFilter(refuse)
    try:
        with LoopbackServer() as server, WebSocket(server.url, onopen=fail) as ws:
            heard = threading.Event()
            ws.addEventListener("open", lambda event: ws.send("hello"))
            ws.onmessage = lambda event: heard.set()
            assert heard.wait(SECONDS)  # the worker goes on
    finally:
        logger.removeFilter(refuse)
    assert [type(args.exc_value) for args in told] == [OSError]
    assert told[0].exc_value is not None
    assert isinstance(told[0].exc_value.__context__, ValueError)
    assert told[0].thread is not None and told[0].thread.name.endswith("-worker")
