"""The fixtures ``ws_server`` and ``wss_server`` for pytest, which finds them by the entry point ``pytest11``.

Owns: the servers of the running tests. Runs on: pytest's thread. Nothing else imports this module, so that
the package does without pytest.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Iterator

import pytest

from .server import LoopbackServer

_servers: weakref.WeakKeyDictionary[pytest.Item, list[LoopbackServer]] = weakref.WeakKeyDictionary()


@pytest.fixture
def ws_server(request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    """A WebSocket server on loopback: an echo until ``ws_server.script = …`` or ``ws_server.replay(…)``."""
    yield from _serve(request, tls=False)


@pytest.fixture
def wss_server(request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    """The same over TLS; clients trust it by ``wss_server.ssl_context`` or ``wss_server.ca_file``."""
    yield from _serve(request, tls=True)


def _serve(request: pytest.FixtureRequest, *, tls: bool) -> Iterator[LoopbackServer]:
    server = LoopbackServer(tls=tls)
    _servers.setdefault(request.node, []).append(server)
    yield server
    server.stop()  # This raises the error of a script since the test ended.


# These are plain hooks, not wrappers, since plain hooks work with every version of pytest.


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Let the error of a script fail the test: this comes after a test that has passed."""
    if errors := [error for server in _servers.get(item, ()) for error in server.take_errors()]:
        _show(item, errors[1:])
        raise errors[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Show the error of a script beside that of a failed test: very often it is the cause."""
    if call.when == "call" and call.excinfo is not None:
        _show(item, [error for server in _servers.get(item, ()) for error in server.take_errors()])


def _show(item: pytest.Item, errors: list[BaseException]) -> None:
    for error in errors:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        item.add_report_section("call", "error of the server's script", text)
