"""The dialogue with a SOCKS proxy: SOCKS4, SOCKS4a, SOCKS5 (RFC 1928, RFC 1929), by the package ``socksio``.

Owns: nothing. Runs on: the thread that opens the connection. Must not import: the engine.

The package turns requests into bytes and bytes into replies. This module knows the length of a reply, and its
caller waits for it, so that the deadline and `close()` hold at every step.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import socksio.exceptions
import socksio.socks4
import socksio.socks5

# Sends bytes, then receives so many, of which the first is one of the versions that are given; none says that
# it may be any. Raises an error that ends the opening.
Exchange = Callable[[bytes, int, bytes], bytes]

# The length of the reply's address after its first five bytes, by the type of the address (RFC 1928 6).
_ADDRESS_REST = {1: 3, 4: 15}

# The codes with which a proxy refuses, as they are on the wire.
_SUCCEEDED = socksio.socks5.SOCKS5ReplyCode.SUCCEEDED
_REFUSALS = {code.value: code for code in socksio.socks5.SOCKS5ReplyCode if code != _SUCCEEDED}

# Failures of the network behind a proxy, by the names that the package has for their codes (RFC 1928 6); with
# any other code the proxy itself refuses. SOCKS4 has one code for both.
_NETWORK_ERRORS = {
    "GENERAL_SERVER_FAILURE": errno.EIO,
    "NETWORK_UNREACHABLE": errno.ENETUNREACH,
    "HOST_UNREACHABLE": errno.EHOSTUNREACH,
    "CONNECTION_REFUSED": errno.ECONNREFUSED,
    "TTL_EXPIRED": errno.ETIMEDOUT,
    "REQUEST_REJECTED_OR_FAILED": errno.ECONNREFUSED,
}


class SOCKSError(Exception):
    """The proxy refused, could not reach the server, or did not speak SOCKS; the text says which.

    Attributes:
        errno: the number of the same error on this machine, if the proxy could not reach the server;
            otherwise None.
    """

    def __init__(self, text: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.errno = errno


def open_tunnel(
    scheme: str, host: str, port: int, credentials: tuple[str, str] | None, exchange: Exchange
) -> None:
    """Make a SOCKS proxy connect to a server.

    Raises `SOCKSError`, and the errors of `exchange`.
    """
    try:
        if scheme in ("socks4", "socks4a"):
            _open_socks4(scheme, host, port, credentials, exchange)
        else:
            _open_socks5(host, port, credentials, exchange)
    except socksio.exceptions.SOCKSError as error:
        raise SOCKSError(f"its answer is not SOCKS ({error})") from error


def _open_socks4(
    scheme: str, host: str, port: int, credentials: tuple[str, str] | None, exchange: Exchange
) -> None:
    user = (credentials or ("", ""))[0].encode()
    if b"\0" in user:
        raise SOCKSError("its user holds a NUL")
    kinds: dict[str, Any] = {"socks4": socksio.socks4.SOCKS4Request, "socks4a": socksio.socks4.SOCKS4ARequest}
    if ":" in host:
        raise SOCKSError(f"{host!r} is an IPv6 address, which SOCKS4 has no place for (socks5h has)")
    kind = kinds["socks4" if host.replace(".", "").isdecimal() else scheme]
    connection = socksio.socks4.SOCKS4Connection(user_id=user)
    connection.send(kind.from_address(socksio.socks4.SOCKS4Command.CONNECT, (host, port), user_id=user))
    reply = connection.receive_data(exchange(connection.data_to_send(), 8, b"\0"))
    if reply.reply_code != socksio.socks4.SOCKS4ReplyCode.REQUEST_GRANTED:
        raise _refusal(reply.reply_code)


def _open_socks5(host: str, port: int, credentials: tuple[str, str] | None, exchange: Exchange) -> None:
    if len(host) > 255:
        raise SOCKSError("the name of the server is longer than 255 bytes, which SOCKS has no place for")
    methods = [socksio.socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
    if credentials is not None:
        methods.append(socksio.socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
    # The type is Any, since the package says only that a reply is one of three, whatever was asked.
    connection: Any = socksio.socks5.SOCKS5Connection()
    connection.send(socksio.socks5.SOCKS5AuthMethodsRequest(methods))
    selected = connection.receive_data(exchange(connection.data_to_send(), 2, b"\5")).method
    if selected not in methods:
        missing = " (its URL has no user and password)" if credentials is None else ""
        raise SOCKSError(f"it takes none of the ways to authenticate that it was offered{missing}")
    if selected == socksio.socks5.SOCKS5AuthMethod.USERNAME_PASSWORD:
        assert credentials is not None
        user, password = (part.encode() for part in credentials)
        if not (0 < len(user) < 256 and len(password) < 256):
            raise SOCKSError("its user or password is longer than 255 bytes, or it has no user")
        connection.send(socksio.socks5.SOCKS5UsernamePasswordRequest(user, password))
        # RFC 1929 has 1 as the version here; some proxies send the 5 of the rest when they refuse.
        if not connection.receive_data(exchange(connection.data_to_send(), 2, b"\1\5")).success:
            raise SOCKSError("it refused the user and password")
    command = socksio.socks5.SOCKS5Command.CONNECT
    connection.send(socksio.socks5.SOCKS5CommandRequest.from_address(command, (host, port)))
    reply = exchange(connection.data_to_send(), 2, b"\5")
    code = reply[1:]
    if code in _REFUSALS:
        raise _refusal(_REFUSALS[code])  # Nothing in the rest of the reply matters, and it may never come.
    # The head ends with the type of the address, and a name's length or an address's first byte; then the
    # port follows.
    reply += exchange(b"", 3, b"")
    reply += exchange(b"", _ADDRESS_REST.get(reply[3], reply[4]) + 2, b"")
    connection.receive_data(reply)


def _refusal(code: object) -> SOCKSError:
    """The proxy's reason, by the name that the package has for it."""
    name = getattr(code, "name", "")
    return SOCKSError(f"it answered {name.lower().replace('_', ' ')!r}", _NETWORK_ERRORS.get(name))
