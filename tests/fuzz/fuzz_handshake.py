"""Fuzz target: any answer to the opening handshake.

The first two bytes of the input choose what was asked for and the cuts; the rest is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.harness import cut, instrumented, main

with instrumented(__name__):
    from tests.support.parser_checks import ACCEPT, check_answer, make_asked

PROTOCOLS: tuple[tuple[str, ...], ...] = ((), ("chat",), ("chat", "superchat"))

# Answers that something went wrong with, whole inputs.
FOUND = [
    # A run of blanks that ends in a NUL: the header line took cubic time.
    bytes(2) + b"HTTP/1.1 101 x\r\nX:" + b" " * 3000 + b"\0\r\n\r\n",
]

EXTENSIONS = [
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    'permessage-deflate; server_max_window_bits=10; client_max_window_bits="12"',
    'permessage-deflate; client_max_window_bits="1\\2"',
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=08",
    "permessage-deflate;server_max_window_bits=15,,\t,",
    "permessage-deflate, permessage-deflate",
    'x-other; a="b c"; d=e',
    'permessage-deflate; server_max_window_bits="',
    " , ",
]


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    asked = make_asked(PROTOCOLS[(data[0] >> 1) % len(PROTOCOLS)], bool(data[0] & 1))
    check_answer(data[2:], cut(data[2:], data[1]), asked)


def answer(*lines: str, status: str = "HTTP/1.1 101 Switching Protocols", rest: bytes = b"") -> bytes:
    head = [
        status,
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
        *lines,
        "",
        "",
    ]
    return "\r\n".join(head).encode("latin-1") + rest


def seeds() -> Iterator[bytes]:
    yield from FOUND
    yield bytes((0, 1)) + answer(rest=b"\x81\x05Hello")
    for extension in EXTENSIONS:
        yield bytes((1, 2)) + answer(f"Sec-WebSocket-Extensions: {extension}")
    for protocol in ("chat", "superchat", "Chat", "other", "", "chat, superchat"):
        yield bytes((4, 3)) + answer(f"sec-websocket-protocol:{protocol}")
    yield bytes((2, 4)) + answer("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat")
    for status in (
        "HTTP/1.0 101 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 302 ",
        "HTTP/1.1 1010 x",
        "http/1.1 101 x",
        "SSH-2.0-x",
    ):
        yield bytes((0, 5)) + answer("Location: /elsewhere", status=status)
    yield (
        bytes((0, 6)) + b"HTTP/1.1 101 x\r\nConnection: keep-alive,\tUPGRADE ,x\r\nUpgrade: WebSocket\r\n\r\n"
    )
    yield bytes((0, 7)) + answer("X: a", " folded")
    yield bytes((0, 8)) + answer("X : a") + answer("\xe9: b").replace(b"\r\n", b"\n")


if __name__ == "__main__":
    main(check, seeds())
