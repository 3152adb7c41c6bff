"""From a host name to its addresses.

Owns: the thread that makes the look-up. Nothing can interrupt a look-up, so a thread whose look-up takes too
long is left to end by itself. Runs on: the thread that opens the connection. Must not import: the protocol.
"""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

from .poller import READ, OpeningDeadline

Address = tuple[int, int, int, Any]  # family, type, protocol, address


def resolve(host: str, port: int, deadline: OpeningDeadline, name: str = "") -> list[Address]:
    """The addresses of `host`, in the system's order.

    Raises `socket.gaierror`, which names the host, and `OSError` when no thread can be started.
    """
    if (numeric := _numeric(host, port)) is not None:
        return [numeric]
    answers: list[list[Address] | OSError] = []

    def run() -> None:
        answers.append(_look_up(host, port))
        deadline.wake()

    try:
        threading.Thread(target=run, name=f"{name}-resolver", daemon=True).start()
    except RuntimeError as error:  # Python raises this where pthread_create fails with EAGAIN
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
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, (host, port, *rest)
    return None


def _look_up(host: str, port: int) -> list[Address] | OSError:
    try:
        # Bytes: a str would go through the idna codec, and a fork could cut in two the import of that codec
        # on this thread. The URL's host is ASCII already.
        found = socket.getaddrinfo(host.encode(), port, 0, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return socket.gaierror(socket.EAI_NONAME, str(error))
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]
