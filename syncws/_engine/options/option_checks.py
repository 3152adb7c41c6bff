"""The check of each option by itself.

Owns: nothing. Runs on: the caller's thread. Must not import: threads; sockets only to recognise one.

Every check raises `TypeError` for a wrong type and `ValueError` for a bad value; both name the option, and
quote the value only if that cannot be a secret.
"""

from __future__ import annotations

import inspect
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..._protocol.handshake import RESERVED_HEADERS
from ..._protocol.host import parse_address
from ..._protocol.http11 import Fields, check_field
from .option_types import DEFAULT_QUEUE, HeadersLike, QueueLimit

# The option to use instead of a header that the handshake sends itself.
_INSTEAD_OF_HEADERS = {
    "sec-websocket-extensions": "use compression=",
    "sec-websocket-protocol": "use protocols=",
}


def check_headers(headers: HeadersLike | None) -> Fields:
    if headers is None:
        return ()
    must = "headers must be a mapping or (name, value) pairs, not"
    if not isinstance(headers, Iterable) or isinstance(headers, (str, bytes)):
        raise TypeError(f"{must} {type(headers).__name__}")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields, faults = [], []
    reserved: dict[str, str] = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)):
            raise TypeError(f"{must} an iterable of {type(pair).__name__}")
        if len(pair) != 2:
            raise TypeError(f"{must} a {type(pair).__name__} of {len(pair)}")
        name = pair[0]
        if isinstance(name, str) and name.lower() in RESERVED_HEADERS:
            reserved[name] = _INSTEAD_OF_HEADERS.get(name.lower(), "the handshake itself sets it")
            continue
        try:
            fields.append(check_field(*pair))
        except (TypeError, ValueError) as error:
            faults.append(error)
    if reserved:
        listed = ", ".join(f"{name} ({why})" for name, why in reserved.items())
        faults.append(ValueError(f"headers must not hold {listed}"))
    if len(faults) == 1:
        raise faults[0]
    if faults:  # One error names all of them, so that nobody has to find them one by one.
        kind = TypeError if any(isinstance(fault, TypeError) for fault in faults) else ValueError
        raise kind("headers: " + "; ".join(str(fault).removeprefix("headers: ") for fault in faults))
    return tuple(fields)


def check_timeout(name: str, value: object) -> None:
    """Check the time-out of a method: a number of seconds, None for no limit; 0 and less do not wait.

    Raises `TypeError` for a value that is not a number, `ValueError` for one that is too large for a clock.
    """
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if value != value or (abs(value) > sys.float_info.max and isinstance(value, int)):
        raise ValueError(f"{name} must be a number of seconds or None, not {value!r}")


def check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    # This refuses infinity, NaN, and an int that a float cannot hold.
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name} must be greater than 0 seconds, or None, not {value!r}")


def check_count(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, or None, not {value!r}")


def queue_limit(value: QueueLimit) -> tuple[int | None, int | None]:
    pair = value if isinstance(value, tuple) else (value, None if value is None else DEFAULT_QUEUE[1])
    if len(pair) != 2:
        raise TypeError(f"max_queue must be bytes, (bytes, messages) or None, not {value!r}")
    for part in pair:
        if part is not None and (not isinstance(part, int) or isinstance(part, bool)):
            raise TypeError(f"max_queue must be bytes, (bytes, messages) or None, not {value!r}")
        check_count("max_queue", part)
    return pair


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")


def check_origin(origin: object) -> None:
    if origin is None:
        return
    if not isinstance(origin, str):
        raise TypeError(f"origin must be a str or None, not {type(origin).__name__}")
    check_field("Origin", origin)


def check_auth(auth: object) -> None:
    if auth is None:
        return
    if not isinstance(auth, tuple):
        raise TypeError(f"auth must be (user, password) or None, not {type(auth).__name__}")
    if len(auth) != 2:
        raise TypeError(f"auth must be (user, password) or None, not a tuple of {len(auth)}")
    for part, name in zip(auth, ("user", "password"), strict=True):
        if not isinstance(part, str):
            raise TypeError(f"auth: the {name} must be a str, not {type(part).__name__}")
        # RFC 7617 2 allows no control characters.
        if any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in part):
            raise ValueError(f"auth: the {name} holds a control character or a lone surrogate")
    if ":" in auth[0]:
        raise ValueError("auth: the user holds a colon, which Basic authentication has no place for")


def check_cookies(cookies: object) -> None:
    # A jar is recognised by its methods, so that nothing here imports http.cookiejar.
    if cookies is not None and not (
        hasattr(cookies, "add_cookie_header") and hasattr(cookies, "extract_cookies")
    ):
        raise TypeError(
            f"cookies must be an http.cookiejar.CookieJar or None, not {type(cookies).__name__} "
            "(for cookies that never change: headers={'Cookie': 'name=value'})"
        )


def check_redirects(max_redirects: object) -> None:
    if not isinstance(max_redirects, int) or isinstance(max_redirects, bool):
        raise TypeError(f"max_redirects must be an int, not {type(max_redirects).__name__}")
    if max_redirects < 0:
        raise ValueError(f"max_redirects must be at least 0, not {max_redirects}")


def check_context(context: object) -> None:
    if context is not None and not hasattr(context, "wrap_bio"):
        raise TypeError(f"ssl_context must be an ssl.SSLContext or None, not {type(context).__name__}")


def check_ca(ca: object) -> None:
    if ca is not None:
        _check_path("ca", ca)


def check_cert(cert: object) -> None:
    parts = cert if isinstance(cert, tuple) else () if cert is None else (cert,)
    if isinstance(cert, tuple) and len(cert) != 2:
        raise TypeError(f"cert must be a path or (certificate, key), not a tuple of {len(cert)}")
    if isinstance(cert, list):
        raise TypeError("cert must be a path or a tuple (certificate, key), not list")
    for part in parts:
        _check_path("cert", part)


def _check_path(name: str, value: object) -> None:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be the path of a file, not {type(value).__name__}")
    if not os.fspath(value) or "\0" in os.fsdecode(value):
        raise ValueError(f"{name} must be the path of a file; it is empty or holds a NUL")
    # The error of a file that is not there would quote the path: here that may be a private key.
    if "-----BEGIN " in os.fsdecode(value):
        raise ValueError(f"{name} must be the path of a file, not what is in it")


def check_proxy(proxy: object) -> None:
    if proxy is None or proxy == "auto":
        return
    if not isinstance(proxy, str):
        raise TypeError(f"proxy must be 'auto', a URL or None, not {type(proxy).__name__}")
    # This import stands here, since most connections have no proxy.
    from ..._protocol.proxy import parse_proxy

    parse_proxy(proxy)


def check_sock(sock: object) -> None:
    if sock is None:
        return
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sock must be a connected socket.socket or None, not {type(sock).__name__}")
    if hasattr(sock, "do_handshake"):
        raise TypeError("sock must be a socket without TLS, not an SSLSocket (a wss: URL begins TLS on it)")
    if sock.fileno() < 0:
        raise ValueError("sock is closed")
    if sock.type & 0xF != socket.SOCK_STREAM:
        raise ValueError("sock must be a stream socket")


def check_trace(call: object) -> None:
    if call is None:
        return
    if not callable(call):
        raise TypeError(f"trace must be callable or None, not {type(call).__name__}")
    check_plain("trace", call)


def check_dispatch(dispatch: object) -> None:
    if dispatch is None:
        return
    if not callable(dispatch):
        raise TypeError(f"dispatch must be None or callable, not {dispatch!r}")
    check_plain("dispatch", dispatch)


def check_plain(name: str, call: object) -> None:
    """Raise `TypeError` for an ``async def``: it would be called here and awaited nowhere."""
    if not callable(call):
        return
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__):
        raise TypeError(f"{name} must be a plain function, not an async one, which nothing would await")


def check_unix(path: object) -> None:
    if path is None:
        return
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"unix must be the path of a socket or None, not {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError("unix must be the path of a socket; it is empty")
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("unix: this system has no Unix sockets")


def check_source(address: object) -> None:
    if address is None:
        return
    if not isinstance(address, tuple):
        raise TypeError(f"source_address must be (host, port) or None, not {type(address).__name__}")
    if len(address) != 2 or not isinstance(address[0], str) or not isinstance(address[1], int):
        raise TypeError("source_address must be (host, port), a str and an int")
    # A name would have to be looked up, which nothing could interrupt.
    if address[0] and parse_address(address[0]) is None:
        raise ValueError("source_address: the host must be an IP address of this machine, not a name")
    if not 0 <= address[1] <= 65535:
        raise ValueError(f"source_address: the port must be from 0 to 65535, not {address[1]}")


def check_family(family: object) -> None:
    if family is None:
        return
    if not isinstance(family, int) or isinstance(family, bool):
        raise TypeError(f"family must be 4, 6 or None, not {type(family).__name__}")
    if family not in (4, 6):
        raise ValueError(f"family must be 4, 6 or None, not {int(family)}")


def socket_options(options: object) -> tuple[tuple[int, int, int | bytes], ...]:
    must = "socket_options must be a list of (level, name, value) tuples"
    if not isinstance(options, Sequence) or isinstance(options, (str, bytes)):
        raise TypeError(f"{must}, not {type(options).__name__}")
    kept: list[Any] = []
    for option in options:
        if not isinstance(option, (tuple, list)) or len(option) != 3:
            raise TypeError(f"{must}, as for socket.setsockopt")
        level, name, value = option
        if not (isinstance(level, int) and isinstance(name, int) and isinstance(value, (int, bytes))):
            raise TypeError(f"{must} of ints, or bytes for the value")
        kept.append((level, name, value))
    return tuple(kept)
