"""Answers with 101 that are not right: whatever is missing, wrong or twice, the error names it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from syncws import HandshakeError
from syncws.testing import Peer, accept_key
from tests.hostile.hostile_server import NO_FRAME, Case, HostileServer

UPGRADE, CONNECTION = "Upgrade: websocket", "Connection: Upgrade"
ACCEPT = "Sec-WebSocket-Accept: {accept}"
PROTOCOL, EXTENSIONS = "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"
RIGHT = (UPGRADE, CONNECTION, ACCEPT)
DEFLATE = f"{EXTENSIONS}: permessage-deflate"


def answer(
    lines: Iterable[str], status: str = "HTTP/1.1 101 Switching Protocols", end: str = "\r\n"
) -> bytes:
    return end.join([status, *lines, "", ""]).encode("latin-1")


def case(data: bytes, says: str = "", protocols: tuple[str, ...] = (), **options: object) -> Case:
    """A server with this answer, in which ``{accept}`` stands for the right value; `says` is the error."""

    def script(peer: Peer) -> None:
        key = peer.read_request().headers.get("Sec-WebSocket-Key") or ""
        accept = accept_key(key)
        filled = data.replace(b"{accept}", accept.encode()).replace(b"{ACCEPT}", accept.swapcase().encode())
        # After what follows the client must never send a frame, nor take this one.
        peer.send_bytes(filled + (b"\x81\x02hi" if says else b"\x88\x02\x03\xe8"))

    if not says:
        return Case("right", script, sent=1000, protocols=protocols, options=options)
    return Case(
        "wrong", script, HandshakeError, (says,), NO_FRAME, opens=False, protocols=protocols, options=options
    )


WRONG: dict[str, tuple[bytes, str]] = {
    "no headers": (answer(()), "no Upgrade header"),
    "no Upgrade": (answer((CONNECTION, ACCEPT)), "no Upgrade header"),
    "empty Upgrade": (answer(("Upgrade:", CONNECTION, ACCEPT)), "Upgrade header is ''"),
    "another Upgrade": (answer(("Upgrade: h2c", CONNECTION, ACCEPT)), "'h2c'"),
    "two Upgrades": (answer((UPGRADE, *RIGHT)), "2 Upgrade headers"),
    "two different Upgrades": (answer(("Upgrade: h2c", *RIGHT)), "2 Upgrade headers"),
    "Upgrade with two values": (answer(("Upgrade: websocket, h2c", CONNECTION, ACCEPT)), "'websocket, h2c'"),
    "Upgrade with a version": (answer(("Upgrade: websocket/13", CONNECTION, ACCEPT)), "'websocket/13'"),
    "no Connection": (answer((UPGRADE, ACCEPT)), "Connection header"),
    "empty Connection": (answer((UPGRADE, "Connection:", ACCEPT)), "Connection header"),
    "Connection: keep-alive": (answer((UPGRADE, "Connection: keep-alive", ACCEPT)), "'keep-alive'"),
    "Connection: close": (answer((UPGRADE, "Connection: close", ACCEPT)), "'close'"),
    "Connection: Upgraded": (answer((UPGRADE, "Connection: Upgraded", ACCEPT)), "'Upgraded'"),
    "no Accept": (answer((UPGRADE, CONNECTION)), "no Sec-WebSocket-Accept header"),
    "empty Accept": (answer((UPGRADE, CONNECTION, "Sec-WebSocket-Accept:")), "Sec-WebSocket-Accept is ''"),
    "wrong Accept": (
        answer((UPGRADE, CONNECTION, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        "'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='",
    ),
    "Accept in the other case": (
        answer((UPGRADE, CONNECTION, "Sec-WebSocket-Accept: {ACCEPT}")),
        "Sec-WebSocket-Accept",
    ),
    "Accept with more behind it": (answer((UPGRADE, CONNECTION, ACCEPT + "=")), "Sec-WebSocket-Accept"),
    "Accept in quotes": (
        answer((UPGRADE, CONNECTION, 'Sec-WebSocket-Accept: "{accept}"')),
        "Sec-WebSocket-Accept",
    ),
    "two Accepts": (answer((*RIGHT, ACCEPT)), "2 Sec-WebSocket-Accept headers"),
    "a wrong Accept before the right one": (
        answer((UPGRADE, CONNECTION, "Sec-WebSocket-Accept: no", ACCEPT)),
        "2 Sec-WebSocket-Accept headers",
    ),
    "HTTP/1.2": (answer(RIGHT, "HTTP/1.2 101 Switching Protocols"), "HTTP/1.2"),
    "HTTP/2.0": (answer(RIGHT, "HTTP/2.0 101 Switching Protocols"), "HTTP/2.0"),
    "bare CR": (answer((*RIGHT, "X: a\rb")), "header line"),
    "a folded line": (answer((UPGRADE, "Connection:\r\n Upgrade", ACCEPT)), "header line"),
    "a folded line at first": (answer((" Upgrade: websocket", CONNECTION, ACCEPT)), "header line"),
    "NUL in a value": (answer((*RIGHT, "X: a\0b")), "header line"),
    "NUL in a name": (answer((*RIGHT, "X\0: a")), "header line"),
    "a blank before the colon": (answer(("Upgrade : websocket", CONNECTION, ACCEPT)), "header line"),
    "a tab before the colon": (answer((*RIGHT, "X\t: y")), "header line"),
    "a blank in a name": (answer((*RIGHT, "X Y: z")), "header line"),
    "no name": (answer((*RIGHT, ": y")), "header line"),
    "no colon": (answer((*RIGHT, "X")), "header line"),
    "a name beyond ASCII": (answer((*RIGHT, "Ä: y")), "header line"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_101_fails_the_handshake_and_the_error_names_what_was_wrong(
    name: str, hostile_server: HostileServer
) -> None:
    error = hostile_server.check(case(*WRONG[name])).error
    assert isinstance(error, HandshakeError)
    assert error.status == 101


LAWFUL: dict[str, bytes] = {
    "as it is": answer(RIGHT),
    "HTTP/1.0": answer(RIGHT, "HTTP/1.0 101 Switching Protocols"),
    "bare LF": answer(RIGHT, end="\n"),
    "one bare LF": answer((f"{UPGRADE}\nX: y", CONNECTION, ACCEPT)),
    "a bare LF at the end": answer(RIGHT)[:-2] + b"\n",
    "an empty subprotocol, unasked": answer((*RIGHT, "Sec-WebSocket-Protocol:")),
    "other case": answer(("UPGRADE: WebSocket", "connection: UPGRADE", ACCEPT.replace("Sec-W", "sec-w"))),
    "blanks around values": answer((UPGRADE + " \t", "Connection:Upgrade", ACCEPT + "  ")),
    "Connection with more": answer((UPGRADE, "Connection: keep-alive, Upgrade", ACCEPT)),
    "Connection in two lines": answer((UPGRADE, "Connection: keep-alive", CONNECTION, ACCEPT)),
    "Connection twice": answer((*RIGHT, CONNECTION)),
    "Connection with empty elements": answer((UPGRADE, "Connection: ,, upgrade ,", ACCEPT)),
    "no reason": answer(RIGHT, "HTTP/1.1 101 "),
    "another reason": answer(RIGHT, "HTTP/1.1 101 Wechsle die Sprache, bittesch\xf6n"),
    "Latin-1 in a value": answer((*RIGHT, "X: \xe4\xff")),
    "an empty value": answer((*RIGHT, "X:", "Y: ")),
    "a body's length": answer((*RIGHT, "Content-Length: 0")),
    "permessage-deflate": answer((*RIGHT, DEFLATE)),
    "permessage-deflate with all it may have": answer(
        (
            *RIGHT,
            f"{DEFLATE}; server_no_context_takeover ;client_no_context_takeover; "
            'client_max_window_bits="9"; server_max_window_bits = 15',
        )
    ),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_a_lawful_101_of_whatever_form_opens(name: str, hostile_server: HostileServer) -> None:
    hostile_server.check(case(LAWFUL[name]))


# The subprotocols asked for, the header lines in answer, and what the error says.
PROTOCOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "unasked": ((), ("chat",), "'chat', which was not asked for"),
    "none of two": (("chat", "super"), (), "none of the subprotocols 'chat', 'super'"),
    "another": (("chat", "super"), ("soap",), "'soap', which was not asked for"),
    "empty": (("chat",), ("",), "none of the subprotocols 'chat'"),
    "in the other case": (("chat",), ("Chat",), "'Chat', which was not asked for"),
    "two in one line": (("chat", "super"), ("chat, super",), "'chat, super'"),
    "twice": (("chat",), ("chat", "chat"), "2 Sec-WebSocket-Protocol headers"),
    "two": (("chat", "super"), ("chat", "super"), "2 Sec-WebSocket-Protocol headers"),
    "in quotes": (("chat",), ('"chat"',), "which was not asked for"),
    "with a parameter": (("chat",), ("chat;v=2",), "which was not asked for"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_wrong_subprotocol_fails_the_handshake(name: str, hostile_server: HostileServer) -> None:
    asked, given, says = PROTOCOLS[name]
    hostile_server.check(case(answer((*RIGHT, *(f"{PROTOCOL}: {value}" for value in given))), says, asked))


@pytest.mark.parametrize("asked", [("chat",), ("super", "chat")])
def test_a_subprotocol_that_was_asked_for_opens(
    asked: tuple[str, ...], hostile_server: HostileServer
) -> None:
    hostile_server.check(case(answer((*RIGHT, f"{PROTOCOL}: chat")), protocols=asked))


EXTENSION: dict[str, tuple[str, str]] = {
    "unknown": ("permessage-bzip2", "'permessage-bzip2', which was not asked for"),
    "unknown after a known one": ("permessage-deflate, x-frob", "'x-frob', which was not asked for"),
    "another case": ("Permessage-Deflate", "which was not asked for"),
    "twice": ("permessage-deflate, permessage-deflate", "twice"),
    "unknown parameter": ("permessage-deflate; level=9", "unknown parameter 'level'"),
    "repeated parameter": (
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "repeats",
    ),
    "a value too much": ("permessage-deflate; client_no_context_takeover=1", "takes no value"),
    "window of 7": ("permessage-deflate; server_max_window_bits=7", "from 8 to 15, got '7'"),
    "window of 16": ("permessage-deflate; client_max_window_bits=16", "from 8 to 15, got '16'"),
    "window of 0": ("permessage-deflate; server_max_window_bits=0", "from 8 to 15"),
    "window with a zero": ("permessage-deflate; server_max_window_bits=09", "from 8 to 15"),
    "window of words": ("permessage-deflate; server_max_window_bits=ten", "from 8 to 15"),
    "window without a value": ("permessage-deflate; server_max_window_bits", "from 8 to 15"),
    "client window without a value": ("permessage-deflate; client_max_window_bits", "from 8 to 15"),
    "no name": ("; server_no_context_takeover", "malformed"),
    "a bare semicolon": ("permessage-deflate;", "malformed"),
    "a bare equals sign": ("permessage-deflate; server_max_window_bits=", "from 8 to 15"),
    "two words": ("permessage deflate", "'permessage', which was not asked for"),
    "an open quote": ('permessage-deflate; server_max_window_bits="10', "from 8 to 15"),
}


@pytest.mark.parametrize("name", EXTENSION)
def test_a_wrong_extension_fails_the_handshake(name: str, hostile_server: HostileServer) -> None:
    value, says = EXTENSION[name]
    hostile_server.check(case(answer((*RIGHT, f"{EXTENSIONS}: {value}")), says))


def test_an_extension_in_two_lines_is_twice(hostile_server: HostileServer) -> None:
    hostile_server.check(case(answer((*RIGHT, DEFLATE, DEFLATE)), "twice"))


def test_permessage_deflate_unasked_fails_the_handshake(hostile_server: HostileServer) -> None:
    hostile_server.check(case(answer((*RIGHT, DEFLATE)), "which was not asked for", compression=None))
