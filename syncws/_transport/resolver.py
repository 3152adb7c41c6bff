"""From a host name to its addresses.

Owns: the thread that makes the look-up. Nothing can interrupt a look-up, so a thread whose look-up takes too
long is left behind, and ends by itself. Runs on: the thread that opens the connection. Must not import: the
protocol.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from .._handler_errors import pass_on, start_daemon
from .poller import READ, OpeningDeadline

Address = tuple[int, int, int, Any]  # family, type, protocol, address


def resolve(
    host: str, port: int, deadline: OpeningDeadline, name: str = "", family: int = 0
) -> list[Address]:
    """The addresses of `host`, in the system's order; with `family` those of one alone.

    Raises `socket.gaierror` naming the host, and `OSError` when there is no thread for the look-up, for an
    address of the other family, or one in the zone of a network interface that is not there.
    """
    if (numeric := _numeric(host, port)) is not None:
        if family not in (0, numeric[0]):
            raise OSError(
                errno.EAFNOSUPPORT, f"{host!r} is an address of another family than the one asked for"
            )
        return [numeric]
    answers: list[list[Address] | OSError] = []

    def run(waiting: list[OpeningDeadline]) -> None:
        answers.append(_look_up(host, port, family))
        for one in waiting:
            one.wake()

    try:
        start_daemon(f"{name}-resolver", run, [deadline])
    except RuntimeError as error:  # Python raises this when pthread_create fails with EAGAIN.
        pass_on(error)
        raise OSError(errno.EAGAIN, f"cannot resolve {host!r}: {error}") from error
    while not answers:
        deadline.wait(None, READ)
    answer = answers[0]
    if isinstance(answer, list):
        return answer
    text = f"cannot resolve {host!r}: {answer.strerror or answer}"
    raise type(answer)(answer.errno, text) from answer


def _numeric(host: str, port: int) -> Address | None:
    """The address that `host` spells out; None when it is a name.

    `getaddrinfo` is not asked, since gevent runs it in a pool of threads: there an address would wait behind
    the names that other connections look up, and miss its deadline.
    """
    literal, percent, zone = host.partition("%")
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, _scope(host, zone) if percent else 0))):
        try:
            socket.inet_pton(family, literal if family == socket.AF_INET6 else host)
        except OSError as error:
            pass_on(error)
            continue
        return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, (literal, port, *rest)
    return None


def _scope(host: str, zone: str) -> int:
    """The number of the network interface that a zone names (RFC 4007 11)."""
    if zone.isascii() and zone.isdecimal():
        return int(zone[:10])
    try:
        return socket.if_nametoindex(zone)
    except OSError as error:
        pass_on(error)
        text = f"cannot resolve {host!r}: there is no network interface {zone!r} here"
        raise OSError(errno.ENODEV, text) from error


def _look_up(host: str, port: int, family: int) -> list[Address] | OSError:
    try:
        # The name is passed as bytes, since a str would go through the idna codec, whose import on this
        # thread a fork could cut in two. The URL's host is ASCII already.
        found = socket.getaddrinfo(host.encode(), port, family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return socket.gaierror(socket.EAI_NONAME, str(error))
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]
