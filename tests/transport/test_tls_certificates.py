"""Whom a wss connection trusts, and how it shows a certificate of its own."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from syncws import ConnectionLost
from syncws.testing import LoopbackServer, Peer
from tests.support.clients import Client

if TYPE_CHECKING:
    import trustme

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def make_server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def fail(server_context: ssl.SSLContext, host: str = "localhost", **options: Any) -> BaseException:
    """The error of a connection that must fail before it is open."""
    with LoopbackServer(tls=server_context) as server:
        with Client(f"wss://{host}:{server.port}/", **options) as client:
            error = client.wait_failed()
        assert client.order == ["error", "close"]
    assert server.tls_errors
    return error


def test_by_default_an_unknown_authority_is_refused(server_ssl_context: ssl.SSLContext) -> None:
    error = fail(server_ssl_context)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert error.verify_message in str(error)
    assert "localhost" in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


def test_a_given_context_decides_whom_to_trust(
    server_ssl_context: ssl.SSLContext, client_ssl_context: ssl.SSLContext
) -> None:
    with LoopbackServer(tls=server_ssl_context) as server:
        with Client(server.url, ssl_context=client_ssl_context) as client:
            client.wait_open().send("hello")
            assert client.receive() == "hello"
        assert client.closed is not None and client.closed.wasClean


def test_a_name_that_the_certificate_does_not_have_is_refused(authority: trustme.CA) -> None:
    context = make_server_context(authority.issue_cert("other.example"))
    error = fail(context, ssl_context=trust(authority))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "not valid for 'localhost'" in str(error)


def test_server_hostname_is_sent_and_verified_in_place_of_the_host(authority: trustme.CA) -> None:
    asked_for: list[str] = []
    context = make_server_context(authority.issue_cert("other.example"))
    context.sni_callback = lambda connection, name, _: asked_for.append(name)
    with LoopbackServer(tls=context) as server:
        with Client(server.url, ssl_context=trust(authority), server_hostname="other.example") as client:
            client.wait_open()
    assert asked_for == ["other.example"]
    error = fail(make_server_context(authority.issue_cert("localhost")), ssl_context=trust(authority),
                 server_hostname="other.example")  # fmt: skip
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "other.example" in str(error)


def test_an_address_is_verified_as_an_address(authority: trustme.CA) -> None:
    with LoopbackServer(tls=make_server_context(authority.issue_cert("127.0.0.1"))) as server:
        with Client(f"wss://127.0.0.1:{server.port}/", ssl_context=trust(authority)) as client:
            client.wait_open()
    context = make_server_context(authority.issue_cert("localhost"))
    error = fail(context, "127.0.0.1", ssl_context=trust(authority))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [(NOW - 9 * DAY, NOW - DAY, "expired"), (NOW + DAY, NOW + 9 * DAY, "not yet valid")],
    ids=["expired", "not yet valid"],
)
def test_a_certificate_out_of_its_time_is_refused(
    authority: trustme.CA, start: datetime.datetime, end: datetime.datetime, reason: str
) -> None:
    certificate = authority.issue_cert("localhost", not_before=start, not_after=end)
    error = fail(make_server_context(certificate), ssl_context=trust(authority))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert reason in str(error)


def make_self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that vouches for itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), NOW - DAY, NOW + DAY
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    both = key.private_bytes(encoding, form, serialization.NoEncryption()) + certificate.public_bytes(
        encoding
    )
    path = folder / "both.pem"
    path.write_bytes(both)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_self_signed_certificate_is_refused_by_default_and_taken_where_the_context_says_so(
    tmp_path: Path,
) -> None:
    server_context = make_self_signed(tmp_path)
    error = fail(server_context)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "self" in str(error) and "signed" in str(error)

    pinned = ssl.create_default_context(cafile=str(tmp_path / "both.pem"))
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    for context in (pinned, careless):
        with LoopbackServer(tls=server_context) as server:
            with Client(server.url, ssl_context=context) as client:
                client.wait_open()


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_tls_1_2_and_1_3_carry_messages_both_ways(authority: trustme.CA, version: ssl.TLSVersion) -> None:
    def script(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        versions.append(peer.socket.version())
        peer.accept()
        peer.echo()

    versions: list[str | None] = []
    context = make_server_context(authority.issue_cert("localhost"))
    context.minimum_version = context.maximum_version = version
    with LoopbackServer(script, tls=context) as server:
        with Client(server.url, ssl_context=trust(authority)) as client:
            ws = client.wait_open()
            for size in (0, 16383, 16384, 16385, 300_000):  # round a record's size, and many records
                ws.send(b"x" * size)
                assert client.receive() == b"x" * size
    assert versions == [{TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version]]


def test_no_version_in_common_is_an_error_that_says_so(authority: trustme.CA) -> None:
    server_context = make_server_context(authority.issue_cert("localhost"))
    server_context.maximum_version = TLS12
    client_context = trust(authority)
    client_context.minimum_version = TLS13
    error = fail(server_context, ssl_context=client_context)
    assert isinstance(error, ssl.SSLError)
    assert "PROTOCOL_VERSION" in str(error)


class TestClientCertificate:
    @pytest.fixture(params=[TLS12, TLS13], ids=["1.2", "1.3"])
    def asking(self, request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext:
        """A server's context that wants a certificate of the client."""
        context = make_server_context(authority.issue_cert("localhost"))
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = request.param
        return context

    def test_the_contexts_certificate_is_shown(self, authority: trustme.CA, asking: ssl.SSLContext) -> None:
        def script(peer: Peer) -> None:
            assert isinstance(peer.socket, ssl.SSLSocket)
            shown.append(str(peer.socket.getpeercert()))
            peer.accept()
            peer.echo()

        shown: list[str] = []
        context = trust(authority)
        authority.issue_cert("me@example.org").configure_cert(context)
        with LoopbackServer(script, tls=asking) as server:
            with Client(server.url, ssl_context=context) as client:
                client.wait_open()
        assert len(shown) == 1 and "me@example.org" in shown[0]

    def test_without_one_the_error_has_the_servers_alert(
        self, authority: trustme.CA, asking: ssl.SSLContext
    ) -> None:
        for _ in range(5):  # in TLS 1.3 the alert comes after the client's part is done, and races with it
            error = fail(asking, ssl_context=trust(authority))
            alert = error.__cause__ if isinstance(error, ConnectionLost) else error
            assert isinstance(alert, ssl.SSLError)
            assert "alert" in str(error).lower()
