"""The example for gevent runs as it is."""

from __future__ import annotations

from syncws.testing import LoopbackServer
from tests.embedding.greenlets.programs import skip_without
from tests.support.programs import run


def test_gevent_clients_talk_at_once() -> None:
    skip_without("gevent")
    with LoopbackServer() as server:
        out, err = run("-m", "examples.gevent_clients", server.url)
        assert len(server.connections) == 50
    assert out == "50 of 50 clients heard their own words\nother greenlets ran meanwhile\n"
    assert err == ""
