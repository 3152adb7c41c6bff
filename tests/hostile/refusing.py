"""What servers say that refuse, and the error of a client that meets one."""

from __future__ import annotations

from dataclasses import replace

from syncws import HandshakeError
from syncws.testing import Pairs
from tests.hostile.hostile_server import Case, HostileServer

REASONS = {
    200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 407: "Proxy Authentication Required", 426: "Upgrade Required",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    599: "", 999: "Denied",
}  # fmt: skip

BODY = b"You may not, because of reasons."


def refuse(hostile_server: HostileServer, case: Case) -> HandshakeError:
    error = hostile_server.check(replace(case, error=HandshakeError, opens=False)).error
    assert isinstance(error, HandshakeError)
    return error


def head(status: int, fields: Pairs = ()) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode()
