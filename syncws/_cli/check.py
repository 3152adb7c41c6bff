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


def run_check(connect: Any, url: str, console: Console, wait: float | None) -> Status:
    """Connect, wait for a pong, close, and print how that went; `connect` makes the connection."""
    public = parse_url(url).public
    began = time.monotonic()
    try:
        connection = connect()
        took = time.monotonic() - began
        status, text = _look(connection, took, wait)
    except Exception as error:
        status, text = status_of(error), describe(error)
        if status is Status.USAGE:
            raise
    word = "ok" if status is Status.DONE else "failed"
    console.put_line(console.paint(word, "sent" if word == "ok" else "bad") + f" {public} " + escape(text))
    return status


def _look(connection: Connection, took: float, wait: float | None) -> tuple[Status, str]:
    told = [f"open in {took * 1000:.1f} ms"]
    # Messages of the server must not hold up the pong, and the server's Close is noticed only by a thread
    # that receives.
    threading.Thread(target=_drain, args=(connection,), name="syncws-cli-receiver", daemon=True).start()
    try:
        told.append(f"ping {connection.ping(wait) * 1000:.1f} ms")
        told += _tls(getattr(connection, "tls", None))
    except TimeoutError:
        return Status.NO_ANSWER, f"{told[0]}, but no pong came within {wait:g} s"
    except ConnectionClosed as closed:
        if (status := status_of(closed)) is Status.NETWORK:
            return status, f"{told[0]}, then {closed}"
        return status or Status.NO_ANSWER, f"{told[0]}, but the server closed: {closed._said}"
    finally:
        with contextlib.suppress(ConnectionClosed):  # This error is about unsent data, and nothing was sent.
            connection.close()
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
