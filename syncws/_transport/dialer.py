"""From a host name to a connected socket, under one deadline.

Owns: sockets that are not connected yet. Runs on: the reader thread, and for a name look-up, which nothing
can interrupt, a thread of its own that is left behind when the look-up takes too long. Must not import:
the protocol.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from typing import Any, Protocol

from .poller import READ, WRITE

Address = tuple[int, int, int, Any]  # family, type, protocol, address


class OpenTimeoutError(TimeoutError):
    """The time for the whole attempt is over."""


class Patience(Protocol):
    """How long an attempt may take. `wait` raises `OpenTimeoutError` when the time is over, and another error
    when the attempt was abandoned."""

    deadline: float | None

    def wait(self, sock: socket.socket | None, events: int, limit: float | None = None) -> bool:
        """Wait for `sock`, or with None for a wake-up, at most `limit` seconds; True when it is ready."""

    def wake(self) -> None:
        """Make `wait` return; from any thread."""


def resolve(host: str, port: int, patience: Patience, name: str = "") -> list[Address]:
    """The addresses of `host`, in the system's order.

    Raises `socket.gaierror` naming the host.
    """
    if (numeric := _numeric(host, port)) is not None:
        return [numeric]
    answers: list[list[Address] | OSError] = []

    def run() -> None:
        answers.append(_look_up(host, port))
        patience.wake()

    threading.Thread(target=run, name=f"{name}-resolver", daemon=True).start()
    while not answers:
        patience.wait(None, READ)
    answer = answers[0]
    if isinstance(answer, list):
        return answer
    text = f"cannot resolve {host!r}: {answer.strerror or answer}"
    raise type(answer)(answer.errno, text) from answer


def _numeric(host: str, port: int) -> Address | None:
    """The address that `host` is; None when it is a name.

    Not from `getaddrinfo`, since gevent has a pool of threads for that, where an address would wait behind
    the names of others, and no deadline be kept.
    """
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, (host, port, *rest)
    return None


def _look_up(host: str, port: int) -> list[Address] | OSError:
    try:
        # Bytes, since a str would be sent through the idna codec, whose import on this thread could be cut
        # in two by a fork. The URL's host is ASCII already.
        found = socket.getaddrinfo(host.encode(), port, 0, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return socket.gaierror(socket.EAI_NONAME, str(error))
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]


def connect(addresses: list[Address], host: str, patience: Patience) -> socket.socket:
    """A connected socket, non-blocking, from the first address that answers.

    Each address but the last has an equal share of the time that is left, so that one that swallows
    packets does not use up the others' chance. Raises the last address's `OSError`, naming it, with
    those of the others chained.
    """
    failure: OSError | None = None
    for index, address in enumerate(addresses):
        left = len(addresses) - index
        share = None
        if patience.deadline is not None and left > 1:
            share = max(0.0, patience.deadline - time.monotonic()) / left
        outcome = _connect_one(address, patience, share)
        if isinstance(outcome, socket.socket):
            return outcome
        failure = _describe(outcome, host, address, failure)
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{host!r} has no address")


def _connect_one(address: Address, patience: Patience, share: float | None) -> socket.socket | OSError:
    family, kind, protocol, where = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        return error
    try:
        sock.setblocking(False)
        # A message is sent whole in one call, and a small one must not wait for an acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(where)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            ready = patience.wait(sock, WRITE, share)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else errno.ETIMEDOUT
        if code == 0:
            return sock
        sock.close()
        return OSError(code, os.strerror(code))
    except OSError as error:
        sock.close()
        if isinstance(error, OpenTimeoutError):
            raise
        return error
    except BaseException:
        sock.close()
        raise


def _describe(error: OSError, host: str, address: Address, earlier: OSError | None) -> OSError:
    """The same error (the errno chooses the class) saying what was tried."""
    where, port = address[3][:2]
    name = "" if where == host else f" ({host!r})"
    text = f"cannot connect to {where} port {port}{name}: {error.strerror or error}"
    described = OSError(error.errno or errno.EIO, text)
    described.__cause__ = error
    described.__context__ = earlier
    return described
