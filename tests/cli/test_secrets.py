"""What the command line prints shows no secret of its arguments, nor of the server's answer."""

from __future__ import annotations

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import Done, finish_all, start


def secrets_in(done: Done) -> bool:
    return "s3cr3t" in done.err or b"s3cr3t" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("-H", "Authorization: Bearer s3cr3t"),
        ("--auth", "user:s3cr3t"),
        ("-H", "X-Token: s3cr3t\x01"),
    ],
)
def test_no_output_shows_a_secret(arguments: tuple[str, ...]) -> None:
    def refuse(peer: Peer) -> None:
        peer.refuse(401, [("Set-Cookie", "session=s3cr3t")])

    for script in (refuse, lambda peer: peer.read_request()):
        with LoopbackServer(script) as server:
            url = server.url_for("/path?key=s3cr3t").replace("ws://", "ws://user:s3cr3t@")
            given = server.url_for("/path?key=s3cr3t") if "X-Token" not in arguments[1] else url
            processes = start(given, "-vv", "--jsonl", *arguments), start(url, "-vv")
            assert not any(map(secrets_in, finish_all(*processes)))


def test_no_output_shows_a_secret_of_the_url_once_it_is_open() -> None:
    with LoopbackServer() as server:
        url = server.url_for("/path?key=s3cr3t").replace("ws://", "ws://user:s3cr3t@")
        processes = [start(url, option) for option in ("--jsonl", "-vv", "--timings", "--check")]
        for done in finish_all(*processes):
            assert done.status == 0
            assert not secrets_in(done)
