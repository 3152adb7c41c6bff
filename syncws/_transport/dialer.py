"""From addresses to a connected socket, under one deadline: Happy Eyeballs (RFC 8305).

Owns: sockets that are not connected yet. Runs on: the thread that opens the connection. Must not import: the
protocol.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._handler_errors import pass_on
from .poller import READ, WRITE, OpeningDeadline, OpenTimeoutError

if TYPE_CHECKING:
    from .resolver import Address

MakeSocket = Callable[[int, int, int], socket.socket]

# RFC 8305 5: how long an address has to answer before the next one is tried beside it.
STAGGER_SECONDS = 0.25

# How many addresses are tried at once. A name with a thousand addresses that do not answer would use up all
# descriptors; the one that has waited longest, for eight seconds, makes room.
MAX_PENDING = 32

# How many addresses' failures the error quotes.
MAX_TOLD = 8

# TCP's own probes, if the system lets us set them: for links on which nothing is sent, and no pings either.
KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_INTERVAL_SECONDS = 15

# The results of connect_ex for a connection that is on its way. On Linux EAGAIN is an error: no port is free.
_ON_ITS_WAY = {errno.EINPROGRESS} | ({errno.EWOULDBLOCK} if sys.platform == "win32" else set())

# How many seconds to wait before trying a Unix socket with a full backlog again: no event reports room in it.
_BACKLOG_SECONDS = 0.02

_LINUX_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class SocketSetup(NamedTuple):
    """The settings of a socket before it is connected.

    Attributes:
        source: the address to connect from: host and port.
        options: level, name and value of each option, set after our own.
        tell: called with each address that is tried, and once more with its error if it failed.
    """

    source: tuple[str, int] | None = None
    options: Sequence[tuple[int, int, int | bytes]] = ()
    tell: Callable[[object, OSError | None], None] | None = None

    def prepare(self, sock: socket.socket) -> None:
        """Raises `OSError` for an option that the system refuses, and for a source that is not here."""
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Each message is sent in one call, and a small one must not wait for an acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock)
        for level, name, value in self.options:
            sock.setsockopt(level, name, value)
        if self.source is not None:
            try:
                sock.bind(self.source)
            except OSError as error:
                pass_on(error)
                said = f"cannot bind to source_address={self.source!r}: {error.strerror or error}"
                raise OSError(error.errno, said) from error


def _keep_alive(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # macOS has another name for the first option.
        idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
        if idle is not None:
            sock.setsockopt(socket.IPPROTO_TCP, idle, KEEPALIVE_IDLE_SECONDS)
        if hasattr(socket, "TCP_KEEPINTVL"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
    except OSError as error:  # On a system without this option, the connection does without it.
        pass_on(error)


def limit_silence(sock: socket.socket, seconds: float) -> None:
    """Let the system end a connection whose data is not acknowledged for so long, if it has such an option.

    It then also ends a connection whose peer acknowledges but does not read.
    """
    if _LINUX_TCP_USER_TIMEOUT is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        milliseconds = min(int(seconds * 1000), 2**31 - 1)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _LINUX_TCP_USER_TIMEOUT, milliseconds)
        except OSError as error:
            pass_on(error)


def connect(
    addresses: list[Address],
    host: str,
    deadline: OpeningDeadline,
    make_socket: MakeSocket | None = None,
    setup: SocketSetup | None = None,
) -> socket.socket:
    """Connect to the first address that answers; returns the non-blocking socket.

    The families take turns. If an address does not answer soon, the next one is tried beside it, so that an
    address that swallows packets delays nothing. Raises the `OSError` of the address that failed last, naming
    it, with those of the others chained.

    `make_socket` is called with family, type and protocol; `socket.socket` by default.
    """
    dialing = _Dialing(host, deadline, make_socket or socket.socket, setup or SocketSetup())
    try:
        return dialing.run(deque(interleave(addresses)))
    except OpenTimeoutError as error:
        dialing.add_failure(error)
        raise
    finally:
        dialing.close_pending()


def connect_unix(
    path: str | bytes,
    deadline: OpeningDeadline,
    make_socket: MakeSocket | None = None,
    setup: SocketSetup | None = None,
) -> socket.socket:
    """A non-blocking socket, connected to a Unix socket's path. Raises `OSError`, naming the path."""
    sock = (make_socket or socket.socket)(socket.AF_UNIX, socket.SOCK_STREAM, 0)
    try:
        (setup or SocketSetup()).prepare(sock)
        while code := sock.connect_ex(path):
            if code != errno.EAGAIN:
                raise OSError(code, f"cannot connect to the Unix socket {path!r}: {os.strerror(code)}")
            deadline.wait(None, READ, _BACKLOG_SECONDS)
        return sock
    except BaseException:
        sock.close()
        raise


def interleave(addresses: list[Address]) -> list[Address]:
    """Addresses of the two families in turns, each family's in its order, none twice (RFC 8305 4)."""
    distinct = list(dict.fromkeys(addresses))
    first = [address for address in distinct if address[0] == distinct[0][0]]
    others = [address for address in distinct if address[0] != distinct[0][0]]
    both = min(len(first), len(others))
    turns = [address for pair in zip(first, others, strict=False) for address in pair]
    return turns + first[both:] + others[both:]


class _Dialing:
    """The attempt to connect to one of a name's addresses."""

    def __init__(
        self, host: str, deadline: OpeningDeadline, make_socket: MakeSocket, setup: SocketSetup
    ) -> None:
        self._host = host
        self._deadline = deadline
        self._make_socket = make_socket
        self._setup = setup
        self._pending: dict[socket.socket, Address] = {}  # in the order in which their attempts began
        self._failures: list[OSError] = []
        self._failed = 0

    def run(self, waiting: deque[Address]) -> socket.socket:
        next_at = time.monotonic()
        while waiting or self._pending:
            now = time.monotonic()
            if waiting and (not self._pending or now >= next_at):
                sock = self._start(waiting.popleft())
                if sock is None:
                    continue  # This attempt failed, so the next one is tried at once.
                if sock not in self._pending:
                    return sock
                next_at = now + STAGGER_SECONDS
                continue
            limit = max(0.0, next_at - now) if waiting else None
            for sock in self._deadline.wait_any(list(self._pending), WRITE, limit):
                address = self._pending.pop(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return sock
                sock.close()
                self._note(address, OSError(code, os.strerror(code)))
                next_at = now  # RFC 8305 5: a failure starts the next attempt.
        raise self._error()

    def add_failure(self, error: OpenTimeoutError) -> None:
        """Have the error of a time-out say what became of the addresses that did answer."""
        if self._failures:
            last = self._error()
            error.args = (f"{error}; before that: {last.strerror}",)
            error.__cause__ = last

    def close_pending(self) -> None:
        for sock in self._pending:
            sock.close()

    def _start(self, address: Address) -> socket.socket | None:
        """Begin with one address. Returns the socket, which is connected or pending; None if it has
        failed."""
        family, kind, protocol, where = address
        if self._setup.tell is not None:
            self._setup.tell(where, None)
        try:
            sock = self._make_socket(family, kind, protocol)
        except OSError as error:
            pass_on(error)
            self._note(address, error)
            return None
        try:
            self._setup.prepare(sock)
            code = sock.connect_ex(where)
        except OSError as error:
            sock.close()
            pass_on(error)
            self._note(address, error)
            return None
        except BaseException:
            sock.close()
            raise
        if code in _ON_ITS_WAY:
            if len(self._pending) >= MAX_PENDING:
                oldest = next(iter(self._pending))
                self._note(self._pending.pop(oldest), OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
                oldest.close()
            self._pending[sock] = address
        elif code:
            sock.close()
            self._note(address, OSError(code, os.strerror(code)))
            return None
        return sock

    def _note(self, address: Address, error: OSError) -> None:
        """Keep the error of an address; its text says what was tried, and its errno chooses the class."""
        self._failed += 1
        where, port = address[3][:2]
        name = "" if where == self._host else f" ({self._host!r})"
        text = f"cannot connect to {where} port {port}{name}: {error.strerror or error}"
        described = OSError(error.errno or errno.EIO, text)
        described.__cause__ = error
        described.__context__ = self._failures[-1] if self._failures else None
        if len(self._failures) == MAX_TOLD:
            described.__context__ = self._failures[-2]
            self._failures.pop()
        self._failures.append(described)
        if self._setup.tell is not None:
            self._setup.tell(address[3], described)

    def _error(self) -> OSError:
        if not self._failures:
            return OSError(errno.EADDRNOTAVAIL, f"{self._host!r} has no address")
        last = self._failures[-1]
        if self._failed > 1:
            last.strerror = f"{last.strerror} (none of {self._failed} addresses could be connected to)"
        return last
