"""The trust store, which is loaded once for all connections that bring no context."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from syncws._transport import trust
from tests.support.threads import Task


def test_a_handler_may_open_a_connection_while_the_trust_store_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[ssl.SSLContext] = []

    def create(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        monkeypatch.setattr(ssl, "create_default_context", create_default_context)
        made.append(trust.default_context())  # what a handler would do here
        return create_default_context(*arguments, **keywords)

    create_default_context = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", create)
    monkeypatch.setattr(trust, "_default_context", None)
    assert trust.default_context().verify_mode is made[0].verify_mode is ssl.CERT_REQUIRED
    assert trust.default_context() is trust.default_context()


def test_no_thread_waits_long_for_one_that_loads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(trust, "_default_context", None)
    with trust._default_lock:
        found = Task(trust.default_context).result()
    assert found is trust.default_context()
