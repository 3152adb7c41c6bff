"""Certificates for a server on loopback, made afresh for each run and never kept.

Owns: one authority for the whole process, which is made when it is first needed, by trustme (``pip install
'syncws[testing]'``) or else by the ``openssl`` program. Runs on: the thread that makes a server. Must not
import: trustme before a certificate is wanted.
"""

from __future__ import annotations

import importlib.util
import shutil
import ssl
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

_HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates and contexts that both ends need.

    Attributes:
        server: the context of a server that is ``localhost`` and 127.0.0.1.
        authority: the authority's certificate, as PEM; None for a context that the test has made.
    """

    server: ssl.SSLContext
    authority: str | None

    def client(self) -> ssl.SSLContext | None:
        """A context of a client that trusts this authority and nothing else; None without an authority."""
        if self.authority is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority)
        return context


_made: Certificates | None = None
_making = threading.Lock()


def can_make_certificates() -> bool:
    """Whether trustme or openssl is here to make certificates."""
    return bool(importlib.util.find_spec("trustme") or shutil.which("openssl"))


def certificates() -> Certificates:
    """The certificates of this process. Raises RuntimeError if nothing can make them."""
    global _made
    with _making:
        if _made is None:
            with tempfile.TemporaryDirectory(prefix="syncws-") as name:
                chain = Path(name, "certificate-and-key.pem")
                if importlib.util.find_spec("trustme"):
                    authority = _with_trustme(chain)
                elif shutil.which("openssl"):
                    authority = _with_openssl(chain)
                else:
                    raise RuntimeError("tls=True needs trustme: pip install 'syncws[testing]'")
                server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                server.load_cert_chain(chain)
            _made = Certificates(server, authority)
        return _made


def _with_trustme(chain: Path) -> str:
    import trustme

    authority = trustme.CA()
    authority.issue_cert(*_HOSTS).private_key_and_cert_chain_pem.write_to_path(str(chain))
    return authority.cert_pem.bytes().decode()


def _with_openssl(chain: Path) -> str:
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-addext basicConstraints=critical,CA:TRUE"
    )
    key = chain.with_name("key.pem")
    done = subprocess.run(
        [*command.split(), "-keyout", key, "-out", chain], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl could not make a certificate: {done.stderr.strip()}")
    authority = chain.read_text("ascii")
    chain.write_text(authority + key.read_text("ascii"), "ascii")
    return authority
