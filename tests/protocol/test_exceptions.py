"""`syncws._exceptions`: what the texts of the errors show."""

from __future__ import annotations

import copy
import pickle

import pytest

from syncws._exceptions import ConnectionClosed, HandshakeError, printable


def test_repr_of_connection_closed_shows_code_reason_and_cause() -> None:
    closed = ConnectionClosed(4001, "session\nexpired", True)
    assert repr(closed) == "ConnectionClosed(code=4001, reason='session\\nexpired', wasClean=True)"
    failed = ConnectionClosed(1006, "", False, unsent=7)
    failed.__cause__ = TimeoutError("no pong")
    assert repr(failed) == (
        "ConnectionClosed(code=1006, reason='', wasClean=False, unsent=7, cause=TimeoutError('no pong'))"
    )


def test_text_of_connection_closed_tells_the_cause_and_what_was_not_sent() -> None:
    assert str(ConnectionClosed(1000, "bye", True)) == "connection closed: 1000 bye"
    failed = ConnectionClosed(1006, "", False, unsent=9_000_000)
    assert str(failed) == "connection failed: 1006 (9000000 bytes were not sent)"
    failed.__cause__ = TimeoutError("the server stopped reading")
    expected = "connection failed: 1006: the server stopped reading (9000000 bytes were not sent)"
    assert str(failed) == expected
    assert ConnectionClosed(1000, "", True).unsent == 0


def test_connection_closed_leaves_it_to_its_cause_to_say_what_was_not_sent() -> None:
    failed = ConnectionClosed(1006, "", False, unsent=4096)
    failed.__cause__ = TimeoutError("the network took nothing, and 4096 bytes were not sent")
    assert str(failed) == "connection failed: 1006: the network took nothing, and 4096 bytes were not sent"


@pytest.mark.parametrize(
    "error", [ConnectionClosed(4001, "a", False, unsent=3), HandshakeError("no", 503, reason="x")]
)
def test_an_error_can_be_copied_and_pickled(error: Exception) -> None:
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


def test_handshake_error_has_the_reason_phrase() -> None:
    assert HandshakeError("refused", 503, reason="Service Unavailable").reason == "Service Unavailable"
    assert HandshakeError("refused").reason == ""


def test_printable_escapes_what_a_terminal_would_obey() -> None:
    assert printable("a\x1b[2J\r\nb\u202e\x7fü") == "a\\x1b[2J\\r\\nb\\u202e\\x7fü"
