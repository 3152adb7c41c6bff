"""What is logged, on the logger ``syncws``, and what a record carries."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from syncws import Event, WebSocket
from syncws._loopback import LoopbackServer
from tests.interface.recorder import SECONDS

ROOT = Path(__file__).resolve().parents[2]


def fail(event: Event) -> None:
    raise ValueError("in the listener")


def test_records_say_which_connection_they_are_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "syncws"), LoopbackServer() as server:
        url = server.url("/path")
        ws = WebSocket(url + "?token=secret", onopen=fail)
        ws.addEventListener("open", lambda event: ws.close(3000, "done"))
        ws.join(SECONDS)
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
        command = [sys.executable, "-c", program, server.url()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_cannot_be_logged_goes_to_the_hook_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise OSError("the disk is full")

    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    logger = logging.getLogger("syncws")
    logger.addFilter(refuse)
    try:
        with LoopbackServer() as server, WebSocket(server.url(), onopen=fail) as ws:
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
