"""The APIs and schemes that every hostile server is met with."""

from __future__ import annotations

import ssl

import pytest

from tests.hostile.hostile_server import APIS, HostileServer, ServerFor


@pytest.fixture(params=sorted(APIS))
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ws", "wss"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def server_for(server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext) -> ServerFor:
    """Makes the server for an API and a scheme."""
    return lambda api, scheme: HostileServer(api, scheme, server_ssl_context, client_ssl_context)


@pytest.fixture
def hostile_server(api: str, scheme: str, server_for: ServerFor) -> HostileServer:
    return server_for(api, scheme)
