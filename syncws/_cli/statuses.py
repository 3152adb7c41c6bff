"""The exit statuses: one for each cause, the same in every release.

Owns: the table. Runs on: the main thread. Must not import: sockets, the engine.
"""

from __future__ import annotations

import contextlib
from enum import IntEnum

from .._exceptions import ConnectionClosed, DOMException, HandshakeError
from .._protocol.frames import CloseCode
from .hints import in_options

# A connection that ends with one of these codes has ended in order.
QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})


class Status(IntEnum):
    """The exit status. After a signal it is 128 plus the signal's number (Ctrl-C: 130)."""

    DONE = 0
    CLOSED = 1  # a close code other than 1000, 1001 and 1005
    USAGE = 2  # the command line, a local file, or a line of stdin
    NETWORK = 3  # name, network, a loss (1006), or anything that was not sent
    TLS = 4
    REFUSED = 5  # an answer other than 101, or one that is no WebSocket's
    NO_ANSWER = 6
    SIGNAL = 128
    INTERRUPTED = 130


# The texts that `--help` and the documentation print.
MEANINGS = (
    (Status.DONE, "done"),
    (Status.CLOSED, "the server closed with a code other than 1000, 1001 and 1005"),
    (Status.USAGE, "the command line, a local file or a line of stdin is wrong"),
    (Status.NETWORK, "name, network or a loss (1006); also whenever something was not sent"),
    (Status.TLS, "TLS: a certificate that does not verify, a failed handshake"),
    (Status.REFUSED, "the server's answer to the handshake was not 101"),
    (Status.NO_ANSWER, "no answer to a line, or fewer messages than -n or --expect want"),
    (Status.INTERRUPTED, "Ctrl-C (other signals: 128 and their number)"),
)


def status_of(error: BaseException) -> Status:
    """The status for what `connect()` raised, or for how a connection ended."""
    if isinstance(error, ConnectionClosed):
        if error.unsent or error.code == CloseCode.ABNORMAL:
            return Status.NETWORK
        return Status.DONE if error.code in QUIET_CODES else Status.CLOSED
    if isinstance(error, HandshakeError):
        return Status.REFUSED
    if _is_tls(error):
        return Status.TLS
    if isinstance(error, (DOMException, TypeError, ValueError)):
        return Status.USAGE
    return Status.NETWORK


def describe(error: BaseException) -> str:
    """The error's text without the operating system's number, in words of the command line."""
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return in_options(text)


def _is_tls(error: BaseException) -> bool:
    with contextlib.suppress(ImportError):  # An interpreter may be built without ssl.
        import ssl

        return isinstance(error, ssl.SSLError)
    return False
