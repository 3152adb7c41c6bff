"""Authorities and certificates as plain options, and errors of TLS that say what helps."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import syncws
from syncws import ConnectionLost, WebSocketError
from syncws._transport.trust import make_context
from syncws.testing import LoopbackServer, Peer
from tests.support.dialers import Dialer
from tests.support.servers import drain
from tests.support.waiting import SECONDS

if TYPE_CHECKING:
    import trustme

CALLS: list[Any] = [syncws.connect, syncws.WebSocket, syncws.reconnect, syncws.ReconnectingWebSocket]

NEVER_SAID = ("CERT_NONE", "check_hostname", "verify_mode", "unverified", "insecure", "disable")


@pytest.fixture
def plain_dialer(api: str) -> Dialer:
    """By either API, without a context."""
    return Dialer(api, None)


@pytest.fixture
def secure_server(server_ssl_context: ssl.SSLContext) -> Any:
    with LoopbackServer(tls=server_ssl_context) as server:
        yield server


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_authority_is_given_as_a_file(
    ca_file: Path, plain_dialer: Dialer, secure_server: LoopbackServer
) -> None:
    plain_dialer.talk(secure_server.url, ca=ca_file)
    plain_dialer.talk(secure_server.url, ca=str(ca_file))


def test_authority_is_given_as_a_folder(
    ca_file: Path, tmp_path: Path, plain_dialer: Dialer, secure_server: LoopbackServer
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(ca_file)]
    try:
        hashed = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
    except FileNotFoundError:
        pytest.skip("there is no openssl command here to name the file by its hash")
    (folder / f"{hashed}.0").write_bytes(ca_file.read_bytes())
    plain_dialer.talk(secure_server.url, ca=folder)


def test_authority_takes_the_place_of_the_system_s(
    tmp_path: Path, plain_dialer: Dialer, secure_server: LoopbackServer
) -> None:
    other = tmp_path / "other.pem"
    import trustme

    trustme.CA().cert_pem.write_to_path(str(other))
    error = plain_dialer.fail(secure_server.url, ca=other)
    assert isinstance(error, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("separate", [False, True], ids=["one file", "two files"])
def test_certificate_of_the_client_is_shown(
    separate: bool, authority: trustme.CA, ca_file: Path, tmp_path: Path, plain_dialer: Dialer
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("client@example.com")
    both, certificate, key = (tmp_path / name for name in ("both.pem", "certificate.pem", "key.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(both))
    mine.cert_chain_pems[0].write_to_path(str(certificate))
    mine.private_key_pem.write_to_path(str(key))
    with LoopbackServer(tls=context) as server:
        plain_dialer.talk(server.url, ca=ca_file, cert=(certificate, str(key)) if separate else both)
        error = plain_dialer.fail(server.url, ca=ca_file)
        assert isinstance(error, OSError)
        assert server.url_for("/") in str(error)
        # TLS 1.3 says so only after the handshake, when the server may have reset TCP as well.
        if "certificate required" in str(error).lower():
            assert "cert=)" in str(error) and "does not know the path" not in str(error)


def test_file_that_is_missing_or_holds_nothing_is_told_at_the_call(tmp_path: Path, ca_file: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "authority.pem").write_bytes(ca_file.read_bytes())
    for options, kind, says in (
        ({"ca": tmp_path / "folder"}, ValueError, "ca: no file in .*folder.* has a hash .*openssl rehash"),
        ({"ca": tmp_path / "no.pem"}, FileNotFoundError, "ca: .*no.pem"),
        ({"cert": tmp_path / "no.pem"}, FileNotFoundError, "cert: .*no.pem"),
        ({"cert": (ca_file, tmp_path / "no.pem")}, FileNotFoundError, "cert: .*no.pem"),
        ({"ca": empty}, ValueError, "ca: .*empty.pem.* holds no certificate"),
        ({"cert": empty}, ValueError, "cert: .*empty.pem.* holds no certificate"),
        ({"cert": ca_file}, ValueError, "cert: .*authority.pem.* holds no certificate with its key"),
        ({"cert": (ca_file, empty)}, ValueError, "cert: .* are no certificate and its key"),
    ):
        for call in CALLS:
            with pytest.raises(kind, match=says):
                call("wss://localhost:9999/", **options)


def test_what_is_in_a_file_is_not_taken_for_its_path_and_never_quoted() -> None:
    text = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    options: tuple[dict[str, Any], ...] = ({"ca": text}, {"cert": text}, {"cert": ("client.pem", text)})
    for given in options:
        for call in CALLS:
            with pytest.raises(ValueError, match="must be the path of a file, not what is in it") as caught:
                call("wss://localhost:9999/", **given)
            assert "c2VjcmV0" not in "".join(traceback.format_exception(caught.value))


def test_certificate_and_key_in_a_list_are_told_what_is_wanted() -> None:
    with pytest.raises(TypeError, match="cert must be a path or a tuple .certificate, key., not list"):
        syncws.connect("wss://localhost:9999/", cert=["client.pem", "client.key"])  # type: ignore[arg-type]


def test_key_with_a_password_asks_nobody(authority: trustme.CA, tmp_path: Path) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    mine = authority.issue_cert("client.example")
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    encrypted = key.private_bytes(pem, form, serialization.BestAvailableEncryption(b"s3cret"))
    path = tmp_path / "both.pem"
    path.write_bytes(mine.cert_chain_pems[0].bytes() + encrypted)
    with pytest.raises(ValueError, match="cert: the key takes a password.*ssl_context"):
        syncws.connect("wss://localhost:9999/", cert=path)


def test_context_is_given_alone() -> None:
    context = ssl.create_default_context()
    for options in ({"ca": "x"}, {"cert": "x"}):
        with pytest.raises(ValueError, match="cannot be given together"):
            syncws.connect("wss://localhost:9999/", ssl_context=context, **options)  # type: ignore[arg-type]


TALK = """
import sys, syncws
with syncws.connect(sys.argv[1]) as connection:
    connection.send("hello")
    assert connection.recv(60) == "hello"
"""


def run(url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TALK, url]
    given = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=given)


def test_variables_of_openssl_are_honoured(
    ca_file: Path, tmp_path: Path, secure_server: LoopbackServer
) -> None:
    keys = tmp_path / "keys"
    done = run(secure_server.url, SSL_CERT_FILE=str(ca_file), SSLKEYLOGFILE=str(keys))
    assert done.returncode == 0, done.stderr
    assert "CLIENT_TRAFFIC_SECRET_0" in keys.read_text()
    done = run(secure_server.url, SSL_CERT_FILE=str(tmp_path / "no.pem"))
    assert "SSL_CERT_FILE in the environment names" in done.stderr


def test_change_of_the_environment_counts_for_the_next_connection(
    ca_file: Path, plain_dialer: Dialer, secure_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(plain_dialer.fail(secure_server.url), ssl.SSLCertVerificationError)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    plain_dialer.talk(secure_server.url)


def test_http_1_1_is_what_our_contexts_offer(
    authority: trustme.CA, ca_file: Path, plain_dialer: Dialer
) -> None:
    offered: list[Any] = []

    class Server(LoopbackServer):
        pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def script(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        offered.append(peer.socket.selected_alpn_protocol())
        peer.accept()
        peer.echo()

    with Server(script, tls=context) as server:
        plain_dialer.talk(server.url, ca=ca_file)
    assert offered == ["http/1.1"]


def test_http_2_that_the_context_offered_and_the_server_took_is_explained(
    authority: trustme.CA, dialer: Dialer
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    mine = ssl.create_default_context()
    authority.configure_trust(mine)
    mine.set_alpn_protocols(["h2", "http/1.1"])
    with LoopbackServer(drain, tls=context) as server:
        error = dialer.fail(server.url, ssl_context=mine)
    assert isinstance(error, WebSocketError)
    for part in ("HTTP/2", "'h2'", "ALPN", "set_alpn_protocols(['http/1.1'])", server.url_for("/")):
        assert part in str(error)


def test_contexts_of_ours_speak_tls_1_2_and_later_whatever_the_system_allows(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*arguments: Any, **keywords: Any) -> ssl.SSLContext:
        context = create_default_context(*arguments, **keywords)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        return context

    create_default_context = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", create)
    assert make_context(str(ca_file), None).minimum_version == ssl.TLSVersion.TLSv1_2


def test_tls_before_1_2_is_refused(authority: trustme.CA, ca_file: Path, plain_dialer: Dialer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with LoopbackServer(drain, tls=context) as server:
        error = plain_dialer.fail(server.url, ca=ca_file)
    assert isinstance(error, OSError)
    assert "TLS" in str(error)


# What the errors say.


def test_unknown_authority_is_told_with_what_helps(
    plain_dialer: Dialer, secure_server: LoopbackServer
) -> None:
    text = str(plain_dialer.fail(secure_server.url_for("/path?s3cret")))
    for part in (
        secure_server.url_for("/path"),
        "'localhost'",
        "not trusted here",
        "ca=",
        "ssl_context",
    ):
        assert part in text
    assert not [word for word in (*NEVER_SAID, "s3cret") if word in text]


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy does not tell what a peer has sent")
def test_unknown_authority_is_named(dialer: Dialer) -> None:
    import trustme

    private = trustme.CA(organization_name="Example Works", organization_unit_name="private\x1b[31m")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    private.issue_cert("localhost").configure_cert(context)
    with LoopbackServer(tls=context) as server:
        text = str(dialer.fail(server.url))
    assert "authority 'Example Works, private\\x1b[31m', which is not trusted here" in text


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy does not tell what a peer has sent")
def test_authority_that_is_not_in_the_given_file_is_told_with_the_file(
    plain_dialer: Dialer, secure_server: LoopbackServer, tmp_path: Path
) -> None:
    import trustme

    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    text = str(plain_dialer.fail(secure_server.url, ca=path))
    assert f"is not in ca={str(path)!r}, which alone is trusted here" in text
    assert "file.pem" not in text


def test_other_name_is_told_with_what_helps(authority: trustme.CA, dialer: Dialer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with LoopbackServer(tls=context) as server:
        text = str(dialer.fail(server.url))
    for part in ("not valid for 'localhost'", "server_hostname="):
        assert part in text
    assert not [word for word in NEVER_SAID if word in text]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example ESMTP\r\n"])
def test_wss_to_a_port_without_tls_is_told(answer: bytes, dialer: Dialer) -> None:
    def script(peer: Peer) -> None:
        peer.recv_bytes()
        peer.send_bytes(answer)

    with LoopbackServer(script) as server:
        error = dialer.fail(server.url.replace("ws:", "wss:").replace("127.0.0.1", "localhost"))
    assert "does the server speak TLS on this port?" in str(
        error
    ) or "does it speak TLS on this port?" in str(error)


def test_ws_to_a_port_with_tls_is_told_where_the_bytes_say_so(dialer: Dialer) -> None:
    with LoopbackServer(lambda peer: peer.send_bytes(b"\x15\x03\x01\0\2\2\x46")) as server:
        error = dialer.fail(server.url)
    assert "TLS (should the URL be wss: ?)" in str(error)


def test_silent_end_names_the_likely_causes_and_not_tls(dialer: Dialer) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()

    with LoopbackServer(script) as server:
        error = dialer.fail(server.url_for("/path"))
    assert isinstance(error, ConnectionLost)
    for part in (server.url_for("/path"), "does not know the path", "Origin"):
        assert part in str(error)
    assert "wss" not in str(error) and "subprotocol" not in str(error)


def test_certificate_of_a_test_server_can_be_fetched_once_and_trusted_alone(dialer: Dialer) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    import trustme

    trustme.CA().issue_cert("localhost").configure_cert(server_context)

    def script(peer: Peer) -> None:
        with contextlib.suppress(EOFError):  # of the one that fetches the certificate
            peer.accept()
            peer.echo()

    with LoopbackServer(script, tls=server_context) as server:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=SECONDS)
        context = ssl.create_default_context(cadata=pem)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        dialer.talk(server.url, ssl_context=context)


def test_flood_of_messages_that_tls_ignores_ends_with_the_time(dialer: Dialer) -> None:
    hello_requests = b"\x16\x03\x03\0\4\0\0\0\0" * 1000

    def script(peer: Peer) -> None:
        with contextlib.suppress(OSError):
            while not peer.closing.is_set():
                peer.send_bytes(hello_requests)

    with LoopbackServer(script) as server:
        error = dialer.fail(server.url.replace("ws:", "wss:"), open_timeout=0.5)
    assert isinstance(error, TimeoutError)
    assert f"TLS handshake with '127.0.0.1' port {server.port}" in str(error)


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy does not tell which file it was")
@pytest.mark.parametrize("given", [False, True], ids=["default", "ca"])
def test_key_log_that_cannot_be_written_is_named_with_its_variable(
    given: bool, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "missing" / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    with (
        LoopbackServer() as server,
        pytest.raises(OSError, match="SSLKEYLOGFILE in the environment") as caught,
    ):
        syncws.connect(server.url.replace("ws:", "wss:"), ca=ca_file if given else None)
    assert str(path) in str(caught.value) and str(ca_file) not in str(caught.value)
