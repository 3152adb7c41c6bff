"""The exceptions: their names and codes, their kinship, and that one except clause is enough."""

from __future__ import annotations

import pickle

import pytest

import syncws
from syncws import DOMException, WebSocketError

DOM = [
    (syncws.SyntaxErr, "SyntaxError", 12, ValueError),
    (syncws.SecurityErr, "SecurityError", 18, DOMException),
    (syncws.InvalidAccessErr, "InvalidAccessError", 15, ValueError),
    (syncws.InvalidStateErr, "InvalidStateError", 11, RuntimeError),
]


@pytest.mark.parametrize(("kind", "name", "code", "kin"), DOM)
def test_dom_exceptions_have_name_code_and_message(
    kind: type[DOMException], name: str, code: int, kin: type[Exception]
) -> None:
    error = kind("what was wrong")
    assert (error.name, error.code, error.message) == (name, code, "what was wrong")
    assert str(error) == "what was wrong"
    assert isinstance(error, DOMException) and isinstance(error, kin)
    assert not isinstance(error, WebSocketError)


@pytest.mark.parametrize(
    "kind",
    [
        syncws.HandshakeError,
        syncws.ProtocolError,
        syncws.ConnectionLost,
        syncws.BufferFull,
        syncws.ConnectionClosed,
    ],
)
def test_faults_of_others_are_websocket_errors_and_no_dom_exceptions(kind: type[Exception]) -> None:
    assert issubclass(kind, WebSocketError) and not issubclass(kind, DOMException)


def test_lost_connection_is_an_os_error_too() -> None:
    assert issubclass(syncws.ConnectionLost, ConnectionError)
    assert issubclass(syncws.ConnectionLost, OSError)


def test_handshake_error_carries_what_came_back() -> None:
    error = syncws.HandshakeError("refused", 403, (("X", "y"),), b"body")
    assert (str(error), error.status, error.body) == ("refused", 403, b"body")
    assert error.headers == {"x": "y"}
    error = syncws.HandshakeError("nothing came")
    assert (error.status, dict(error.headers), error.body) == (None, {}, b"")


# On CPython 3.10 an alias such as Callable[[int], None] calls itself an instance of `type`; it is no class.
PUBLIC_CLASSES = [name for name in syncws.__all__ if issubclass(type(getattr(syncws, name)), type)]


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_public_classes_say_that_they_come_from_syncws(name: str) -> None:
    assert getattr(syncws, name).__module__ == "syncws"
    assert pickle.loads(pickle.dumps(getattr(syncws, name))) is getattr(syncws, name)
