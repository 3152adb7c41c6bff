"""The faces and schemes that every hostile server is met with."""

from __future__ import annotations

import ssl

import pytest

from tests.hostile.hostile_server import FACES, Arena


@pytest.fixture(params=sorted(FACES))
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ws", "wss"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def arena(
    face: str, scheme: str, server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> Arena:
    return Arena(face, scheme, server_ssl_context, client_ssl_context)
