"""--check: one line and a status, for monitoring.

Owns: nothing. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from .. import Connection, ConnectionClosed
from .._protocol.url import parse_url
from .escapes import escape
from .statuses import Status, describe, status_of

if TYPE_CHECKING:
    from .console import Console


def run_check(
    connect: Any, url: str, console: Console, *, wait: float | None, deadline: float | None, quiet: bool
) -> Status:
    """Connect, wait for a pong, close, and print how that went; `connect` makes the connection.

    `wait` is for the pong, and all must be over at the `deadline`; both may be None. `quiet` prints nothing.
    """
    public = parse_url(url).public
    began = time.monotonic()
    try:
        connection = connect()
        took = time.monotonic() - began
        status, text = _look(connection, took, wait, deadline)
    except Exception as error:
        status, text = status_of(error), describe(error)
        if status is Status.USAGE:
            raise
        text = text.removeprefix(public).lstrip(": ")  # The line names the URL already.
    if quiet:
        return status
    word = "ok" if status is Status.DONE else "failed"
    console.put_line(console.paint(word, "sent" if word == "ok" else "bad") + f" {public} " + escape(text))
    return status


def _look(
    connection: Connection, took: float, wait: float | None, deadline: float | None
) -> tuple[Status, str]:
    # The error at the end of the block is about unsent data, and nothing was sent. Ctrl-C leaves a with-block
    # in a second at most.
    with contextlib.suppress(ConnectionClosed), connection:
        found = _ping(connection, took, wait, deadline)
        if deadline is not None:
            connection.close(timeout=max(0.0, deadline - time.monotonic()))
    return found


def _ping(
    connection: Connection, took: float, wait: float | None, deadline: float | None
) -> tuple[Status, str]:
    told = [f"open in {took * 1000:.1f} ms"]
    # Messages of the server must not hold up the pong, and the server's Close is noticed only by a thread
    # that receives.
    threading.Thread(target=_drain, args=(connection,), name="syncws-cli-receiver", daemon=True).start()
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    is_last = left is not None and (wait is None or left < wait)
    try:
        told.append(f"ping {connection.ping(left if is_last else wait) * 1000:.1f} ms")
        told += _tls(getattr(connection, "tls", None))
    except TimeoutError:
        if is_last:
            return Status.NO_ANSWER, f"{told[0]}, but no pong came when --timeout was over"
        return Status.NO_ANSWER, f"{told[0]}, but no pong came within {wait:g} s"
    except ConnectionClosed as closed:
        if (status := status_of(closed)) is Status.NETWORK:
            return status, f"{told[0]}, then {closed}"
        return status or Status.NO_ANSWER, f"{told[0]}, but the server closed: {closed._said}"
    return Status.DONE, ", ".join(told)


def _drain(connection: Connection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in connection:
            pass


def _tls(tls: Any) -> list[str]:
    if tls is None:
        return []
    told = [str(tls.version)]
    expiry = (tls.peer_certificate or {}).get("notAfter")
    if expiry:
        days = (ssl.cert_time_to_seconds(expiry) - time.time()) / 86400
        told.append(f"certificate for {days:.0f} days")
    return told
