"""The event classes: what they are made with, and what they show."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from syncws import CloseEvent, ErrorEvent, Event, MessageEvent


def test_events_carry_what_they_are_made_with() -> None:
    message = MessageEvent("message", "data", "ws://h")
    assert (message.type, message.data, message.origin) == ("message", "data", "ws://h")
    close = CloseEvent("close", 1001, "bye", True)
    assert (close.type, close.code, close.reason, close.wasClean) == ("close", 1001, "bye", True)
    error = ErrorEvent("error", ValueError("x"), "y")
    assert (error.type, str(error.error), error.message) == ("error", "x", "y")
    assert (CloseEvent("close").code, CloseEvent("close").reason, CloseEvent("close").wasClean) == (
        0,
        "",
        False,
    )
    empty: Any = MessageEvent("message")
    assert (empty.data, empty.origin) == (None, "")
    assert ErrorEvent("error").error is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("why"), "why"),
        (ValueError(), "ValueError"),
        (TimeoutError(), "TimeoutError"),
        (OSError(5, "io"), "[Errno 5] io"),
    ],
)
def test_message_of_an_error_is_never_empty(error: Exception, message: str) -> None:
    assert ErrorEvent("error", error).message == message


def test_time_stamps_are_milliseconds_that_never_go_back() -> None:
    began = time.perf_counter()
    events = [Event("a"), MessageEvent("b"), CloseEvent("c"), ErrorEvent("d")]
    threading.Event().wait(0.02)
    events.append(Event("e"))
    most = (time.perf_counter() - began) * 1000
    stamps = [event.timeStamp for event in events]
    assert stamps == sorted(stamps)
    assert 10 < stamps[-1] - stamps[0] <= most + 1
    assert MessageEvent("b", time_stamp=5.0).timeStamp == 5.0


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Event("open"), "Event('open')"),
        (MessageEvent("message", "hi", "ws://h"), "MessageEvent('message', data='hi', origin='ws://h')"),
        (MessageEvent("message", b"\0"), "MessageEvent('message', data=b'\\x00', origin='')"),
        (
            MessageEvent("message", bytearray(2)),
            "MessageEvent('message', data=bytearray(b'\\x00\\x00'), origin='')",
        ),
        (MessageEvent("message", "x" * 60), f"MessageEvent('message', data='{'x' * 60}', origin='')"),
        (MessageEvent("message", "x" * 61), f"MessageEvent('message', data='{'x' * 60}'…, origin='')"),
        (MessageEvent("message", b"x" * 10**6), f"MessageEvent('message', data=b'{'x' * 60}'…, origin='')"),
        (MessageEvent("message"), "MessageEvent('message', data=None, origin='')"),
        (MessageEvent("message", 5), "MessageEvent('message', data=5, origin='')"),
        (
            CloseEvent("close", 1000, "bye", True),
            "CloseEvent('close', code=1000, reason='bye', wasClean=True)",
        ),
        (
            ErrorEvent("error", ValueError("x")),
            "ErrorEvent('error', message='x', error=ValueError('x'))",
        ),
    ],
)
def test_representation_shows_what_the_event_carries(event: Event, shown: str) -> None:
    assert repr(event) == shown
