"""From addresses to a connected socket, under one deadline.

Owns: sockets that are not connected yet. Runs on: the thread that opens the connection. Must not import: the
protocol.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .poller import WRITE, OpeningDeadline, OpenTimeoutError

if TYPE_CHECKING:
    from .resolver import Address

MakeSocket = Callable[[int, int, int], socket.socket]


def connect(
    addresses: list[Address], host: str, deadline: OpeningDeadline, make_socket: MakeSocket | None = None
) -> socket.socket:
    """A connected socket, non-blocking, from the first address that answers.

    Each address but the last gets an equal share of the time that is left, so that an address that swallows
    packets leaves time for the others. Raises the `OSError` of the last address, with those of the earlier
    ones chained; each names its address.

    `make_socket` is called with family, type and protocol; `socket.socket` by default.
    """
    make_socket = make_socket or socket.socket
    failure: OSError | None = None
    for index, address in enumerate(addresses):
        left = len(addresses) - index
        share = None
        if deadline.at is not None and left > 1:
            share = max(0.0, deadline.at - time.monotonic()) / left
        outcome = _connect_one(make_socket, address, deadline, share)
        if isinstance(outcome, socket.socket):
            return outcome
        failure = _describe(outcome, host, address, failure)
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{host!r} has no address")


def _connect_one(
    make_socket: MakeSocket, address: Address, deadline: OpeningDeadline, share: float | None
) -> socket.socket | OSError:
    family, kind, protocol, where = address
    try:
        sock = make_socket(family, kind, protocol)
    except OSError as error:
        return error
    try:
        sock.setblocking(False)
        # Messages are handed over whole, so TCP need not collect them: a small one must not wait for the
        # acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(where)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            ready = deadline.wait(sock, WRITE, share)
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
    """A copy of `error`, of the class that its errno chooses, which says what was tried."""
    where, port = address[3][:2]
    name = "" if where == host else f" ({host!r})"
    text = f"cannot connect to {where} port {port}{name}: {error.strerror or error}"
    described = OSError(error.errno or errno.EIO, text)
    described.__cause__ = error
    described.__context__ = earlier
    return described
