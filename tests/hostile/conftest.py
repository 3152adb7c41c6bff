"""The APIs and schemes that every hostile server is met with."""

from __future__ import annotations

import ssl

import pytest

from tests.hostile.hostile_server import APIS, HostileServer


@pytest.fixture(params=sorted(APIS))
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ws", "wss"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hostile_server(
    api: str, scheme: str, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> HostileServer:
    return HostileServer(api, scheme, server_ssl_context, client_ssl_context)
