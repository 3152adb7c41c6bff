"""The certificates that TLS trusts: contexts made of options, and errors of TLS in words for a user.

Owns: the default context, which all connections without a context of their own share. Runs on: any thread.
Must not import: the engine.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
from typing import NamedTuple

from .._quoting import quote
from .tls import with_text

# The variables of the environment that change what a default context trusts, and where it writes its keys.
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")

# OpenSSL's reasons when the answer is no TLS at all, but an HTTP error page for example.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")

# X509_V_ERR_* of OpenSSL's x509_vfy.h, for which there is advice.
_NOT_YET_VALID, _EXPIRED = (9, 13), (10, 14)
_SELF_SIGNED = (18,)
_UNKNOWN_ISSUER = (2, 19, 20, 21, 27)
_OTHER_NAME = (62, 64)

# How many seconds to wait while another thread loads the trust store.
LONGEST_WAIT = 0.5

_default_context: tuple[tuple[str | None, ...], ssl.SSLContext] | None = None
_default_lock = threading.Lock()


def _after_fork() -> None:
    global _default_lock
    _default_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def default_context() -> ssl.SSLContext:
    """The context for connections without their own: it uses the system's trust store, and checks host names.

    It is made once for all connections in the same environment, since loading the trust store takes longer
    than a handshake. One thread at a time loads it, but no other waits for long: it may be a finalizer that
    has interrupted the loading thread. A signal handler may interrupt it as well, or raise: so the main
    thread takes no lock at all.
    """
    environment = tuple(map(os.environ.get, _VARIABLES))
    found = _default_context
    if found is not None and found[0] == environment:
        return found[1]
    if threading.current_thread() is threading.main_thread():
        return _load_default(environment)
    lock = _default_lock
    is_locked = lock.acquire(timeout=LONGEST_WAIT)
    try:
        return _load_default(environment)
    finally:
        if is_locked:
            lock.release()


def _load_default(environment: tuple[str | None, ...]) -> ssl.SSLContext:
    global _default_context
    found = _default_context
    if found is None or found[0] != environment:
        _default_context = found = environment, _new_context()
    return found[1]


FilePath = str | os.PathLike[str]


def make_context(ca: FilePath | None, cert: FilePath | tuple[FilePath, FilePath] | None) -> ssl.SSLContext:
    """A context that trusts only the authorities of a file or folder, or has a certificate of its own.

    Raises `OSError` for a file that cannot be read, `ValueError` for one without a certificate or key, and
    for a key with a password.
    """
    context = _new_context(None if ca is None else os.fspath(ca))
    if cert is not None:
        file, key = cert if isinstance(cert, tuple) else (cert, None)
        try:
            context.load_cert_chain(file, key, password=_no_password)
        except ssl.SSLError as error:
            why = f"{os.fspath(file)!r} holds no certificate with its key"
            if key is not None:
                why = f"{os.fspath(file)!r} and {os.fspath(key)!r} are no certificate and its key"
            raise ValueError(f"cert: {why} ({error.reason or error})") from error
        except OSError as error:
            raise _unreadable("cert", error, file, *([key] if key is not None else [])) from error
    return context


def _new_context(ca: str | None = None) -> ssl.SSLContext:
    """A context that verifies, speaks TLS 1.2 or later and HTTP/1.1, and writes keys to SSLKEYLOGFILE."""
    folder = ca is not None and os.path.isdir(ca)
    if ca is not None and folder and not _holds_hashed_names(ca):
        raise ValueError(f"ca: no file in {ca!r} has a hash for its name (openssl rehash makes such names)")
    try:
        context = ssl.create_default_context(cafile=None if folder else ca, capath=ca if folder else None)
    except ssl.SSLError as error:
        raise ValueError(f"ca: {ca!r} holds no certificate ({error.reason or error})") from error
    except OSError as error:
        if error.filename is not None and error.filename == os.environ.get("SSLKEYLOGFILE"):
            text = f"SSLKEYLOGFILE in the environment: {error.strerror}"
            raise OSError(error.errno, text, error.filename) from error
        if ca is None:
            raise
        raise _unreadable("ca", error, ca) from error
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _holds_hashed_names(folder: str) -> bool:
    """Whether OpenSSL can find a certificate in a folder, as far as that can be seen."""
    try:
        names = os.listdir(folder)
    except OSError:  # The process may be allowed to open files in it all the same.
        return True
    return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in names)


def _no_password() -> str:
    # Without this, OpenSSL would ask for the password on the terminal.
    raise ValueError("cert: the key takes a password; load it into an ssl_context, which can be given one")


def _unreadable(option: str, error: OSError, *files: FilePath) -> OSError:
    """The same error, with the option's name and the first file that is not there."""
    missing = [os.fspath(file) for file in files if not os.path.exists(file)] or [os.fspath(files[0])]
    return OSError(error.errno, f"{option}: {error.strerror or error}", missing[0])


class Came(NamedTuple):
    """The first bytes of the answer to a TLS handshake, who sent them, and its URL's scheme without TLS."""

    first_bytes: bytes = b""
    who: str = "server"
    without: str = "ws:"


_NOTHING = Came()


def describe(
    error: ssl.SSLError,
    tried: str,
    name: str,
    issuer: str,
    came: Came = _NOTHING,
    ca: FilePath | None = None,
) -> ssl.SSLError:
    """A copy of a TLS error, of the same class, whose text says what was tried, what is wrong and what helps.

    `name` is the name that the certificate must have, `issuer` the name of its signer, ``""`` if unknown,
    `ca` the option.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or error.reason or str(error)
        remedy = _remedy(error.verify_code, name, issuer, ca)
        return with_text(error, f"{tried}: certificate verify failed: {reason}{remedy}")
    reason = error.reason or str(error)
    hint = ""
    if error.reason in _NOT_TLS:
        shown = f", but {came.first_bytes!r}" if came.first_bytes else ""
        question = f"does the {came.who} speak TLS on this port? Without TLS its URL is {came.without}"
        hint = f" (what came is not TLS{shown}: {question})"
    elif error.reason == "NO_PROTOCOLS_AVAILABLE" or "PROTOCOL_VERSION" in (error.reason or ""):
        hint = " (the server speaks no version of TLS that is allowed here; 1.2 is the least by default)"
    elif "CERTIFICATE_REQUIRED" in (error.reason or "") or "HANDSHAKE_FAILURE" in (error.reason or ""):
        hint = " (it may ask for a certificate of the client: cert=)"
    return with_text(error, f"{tried}: {reason}{hint}")


def _remedy(code: int, name: str, issuer: str, ca: FilePath | None) -> str:
    """Advice for a certificate that does not verify. It is never to verify nothing: that is for test
    servers."""
    if code in _UNKNOWN_ISSUER:
        authority = f"the authority {quote(issuer)}, which" if issuer else "an authority that"
        shown = f" (the certificate shown for {name!r} is from {authority} is not "
        if ca is not None:
            return (
                f"{shown}in ca={os.fspath(ca)!r}, which alone is trusted here; if one in there has signed "
                "it, the server does not send the certificates between)"
            )
        text = (
            "trusted here: if that is a private one, give its certificate as ca='file.pem' or in an "
            "ssl_context; if it is a public one, the server may not send the certificates between)"
        )
        return shown + text + _environment_hint()
    if code in _SELF_SIGNED:
        return (
            f" (the certificate shown for {name!r} is signed by itself; if it is the right one, give it as "
            "ca='file.pem' or in an ssl_context)"
        )
    if code in _OTHER_NAME:
        return (
            f" (by its certificate the server that was reached is not {name!r}; if it is known to be the "
            "right one, server_hostname= says which name to verify)"
        )
    if code in _EXPIRED + _NOT_YET_VALID:
        return " (or the clock of this machine is wrong; else the server needs a new certificate)"
    return ""


def _environment_hint() -> str:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if (path := os.environ.get(variable)) and not os.path.exists(path):
            return f"; {variable} in the environment names {path!r}, which does not exist"
    return ""
