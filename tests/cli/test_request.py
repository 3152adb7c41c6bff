"""What the options do to the request and to the way: headers, names, TLS, other addresses."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, read_to_the_close

if TYPE_CHECKING:
    import trustme


def headers_of(*arguments: str) -> dict[str, str]:
    """The headers of the request that these options make."""
    script = Recorder()
    with LoopbackServer(script) as server:
        done = syncws(server.url, *arguments)
    assert (done.status, done.err) == (0, "")
    return script.headers


def test_headers_come_from_the_command_line_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cr3t\n\nX-Two:  two words \n")
    headers = headers_of("-H", "X-One: 1: a", "-H", f"@{file}", "--origin", "https://example.com")
    assert headers["x-one"] == "1: a"
    assert headers["authorization"] == "Bearer s3cr3t"
    assert headers["x-two"] == "two words"
    assert headers["origin"] == "https://example.com"


def test_auth_is_basic_authorization() -> None:
    headers = headers_of("--auth", "user:pass:word")
    assert headers["authorization"] == "Basic " + base64.b64encode(b"user:pass:word").decode()


def test_compression_is_offered_unless_refused() -> None:
    assert "permessage-deflate" in headers_of()["sec-websocket-extensions"]
    assert "sec-websocket-extensions" not in headers_of("--no-compression")


def test_subprotocols_are_asked_for_and_the_answer_is_told() -> None:
    def script(peer: Peer) -> None:
        assert peer.read_request().headers.get("Sec-WebSocket-Protocol") == "one, two"
        peer.accept(protocol="two")
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "-s", "one", "-s", "two", "--jsonl")
    assert done.status == 0
    assert json.loads(done.lines[0])["protocol"] == "two"


@pytest.mark.parametrize("option", ["--connect-to", "--resolve"])
def test_another_address_leaves_the_host_of_the_request_as_it_is(option: str) -> None:
    script = Recorder()
    with LoopbackServer(script) as server:
        there = (
            f"127.0.0.1:{server.port}"
            if option == "--connect-to"
            else f"chat.invalid:{server.port}:127.0.0.1"
        )
        url = f"ws://chat.invalid{'' if option == '--connect-to' else f':{server.port}'}/path?key=1"
        done = syncws(url, option, there)
    assert (done.status, done.err) == (0, "")
    assert script.headers["host"] == (
        "chat.invalid" if option == "--connect-to" else f"chat.invalid:{server.port}"
    )


def ca_of(authority: trustme.CA, folder: Path) -> str:
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_an_authority_of_ones_own_is_trusted(
    authority: trustme.CA, server_ssl_context: ssl.SSLContext, tmp_path: Path
) -> None:
    ca = ca_of(authority, tmp_path)
    with LoopbackServer(tls=server_ssl_context) as server:
        assert syncws(server.url, "--ca", ca, given=b"hello\n").out == b"hello\n"
        other = f"wss://chat.invalid:{server.port}/"
        there = f"127.0.0.1:{server.port}"
        assert syncws(other, "--ca", ca, "--connect-to", there).status == 4
        named = syncws(
            other, "--ca", ca, "--connect-to", there, "--server-name", "localhost", given=b"hello\n"
        )
        assert (named.status, named.out) == (0, b"hello\n")


def test_a_client_shows_its_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    own = authority.issue_cert("client.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(str(cert))
    own.private_key_pem.write_to_path(str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with LoopbackServer(tls=context) as server:
        arguments = (server.url, "--ca", ca_of(authority, tmp_path))
        assert syncws(*arguments, "--cert", str(cert), "--key", str(key), given=b"hi\n").out == b"hi\n"
        assert syncws(*arguments, given=b"hi\n").status in (3, 4)
