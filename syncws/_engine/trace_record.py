"""The record of one step of a connection, for `trace=`.

Owns: nothing; a record never changes. Runs on: any thread. Must not import: anything with I/O or threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .opening.open_stream import TLSInfo


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """A step of a connection, as `trace=` is called with it. Fields that a step does not have are None.

    Steps, and what they have:

    - ``resolve``, ``resolved``: `host`, `port`; then `address`, a tuple of all.
    - ``connect``: `host`, `port`, and the `address` that is tried; once more with its `error` if it failed.
    - ``connected``: `host`, `port`, `address`.
    - ``proxy``: `url` of the proxy; for HTTP the `head` that is sent, then `status` and `head` of the answer.
    - ``tls``: `host` that was verified, `tls`.
    - ``request``, ``response``: `url`, `head`; `status`.
    - ``sent``, ``received``: a frame: `opcode`, `final`, `size`, `wire_size`, `payload`; a Close frame's
      `code` and `reason`.
    - ``lost``: `error`, before ``closed``, where the connection failed.
    - ``closed``: `code`, `reason`, `clean`. The last step, but for
    - ``retry``: `error`, `retry_in`: a connection that comes back makes another attempt.

    Attributes:
        serial: counts the steps of a connection from 1 on, in order for each of the two directions.
        time: seconds since the epoch.
        connection: the number that is in the names of the connection's threads.
        step: its name.
        host, port: of the server, or of the proxy.
        address: as `socket` gives it; the path of a Unix socket.
        error: the exception.
        url: without userinfo, query and fragment.
        head: of HTTP, with ``...`` in the place of what may be a credential.
        status: of HTTP.
        opcode: 1 text, 2 binary, 0 continuation, 8 Close, 9 Ping, 10 Pong.
        final: whether the frame is the last of its message.
        size: the bytes of the payload, before compression, or after decompression.
        wire_size: the bytes of the whole frame as it goes over the wire.
        payload: at most 16 MiB of it, as `size` counts.
        code, reason: of a Close frame, or of the end.
        clean: whether the closing handshake was done.
        tls: what the TLS handshake agreed on.
        retry_in: seconds until the next attempt.
    """

    serial: int
    time: float
    connection: int
    step: str
    host: str | None = None
    port: int | None = None
    address: Any = None
    error: BaseException | None = None
    url: str | None = None
    head: bytes | None = None
    status: int | None = None
    opcode: int | None = None
    final: bool | None = None
    size: int | None = None
    wire_size: int | None = None
    payload: bytes | None = None
    code: int | None = None
    reason: str | None = None
    clean: bool | None = None
    tls: TLSInfo | None = None
    retry_in: float | None = None
