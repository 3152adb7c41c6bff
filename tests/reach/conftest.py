"""Both APIs and both schemes, against a server that echoes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from syncws.testing import LoopbackServer
from tests.support.dialers import Dialer


@pytest.fixture(params=["callback", "blocking"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ws", "wss"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "wss")


@pytest.fixture
def server(secure: bool, server_ssl_context: ssl.SSLContext) -> Iterator[LoopbackServer]:
    with LoopbackServer(tls=server_ssl_context if secure else None) as made:
        yield made


@pytest.fixture
def dialer(api: str, client_ssl_context: ssl.SSLContext) -> Dialer:
    return Dialer(api, client_ssl_context)
