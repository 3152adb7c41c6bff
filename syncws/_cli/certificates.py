"""Certificates for a server of our own, made just now.

Owns: a folder that goes when the block ends. Runs on: the main thread. Must not import: the connection.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """What a server and its clients need: a context for the server, the authority's file for clients."""

    server: ssl.SSLContext
    ca_file: str


@contextlib.contextmanager
def certificates() -> Iterator[Certificates | None]:
    """For localhost and 127.0.0.1, by trustme or openssl; None where neither is here."""
    with tempfile.TemporaryDirectory(prefix="syncws-") as name:
        pem = Path(name, "certificate-and-key.pem")
        authority: str | None = None
        if importlib.util.find_spec("trustme"):
            authority = _with_trustme(pem)
        elif shutil.which("openssl"):
            authority = _with_openssl(pem)
        if authority is None:
            yield None
            return
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(pem)
        ca_file = Path(name, "ca.pem")
        ca_file.write_text(authority)
        yield Certificates(server, str(ca_file))


def _with_trustme(pem: Path) -> str:
    import trustme

    authority = trustme.CA()
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    return authority.cert_pem.bytes().decode()


def _with_openssl(pem: Path) -> str | None:
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-addext basicConstraints=critical,CA:TRUE"
    )
    key = pem.with_name("key.pem")
    done = subprocess.run(
        [*command.split(), "-keyout", key, "-out", pem], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"openssl could not make a certificate: {done.stderr.strip()}", file=sys.stderr)
        return None
    authority = pem.read_text()
    pem.write_text(authority + key.read_text())
    return authority
