"""Answers with 101 that are not right: whatever is missing, wrong or twice, the error names it."""

from __future__ import annotations

import pytest

from syncws import HandshakeError
from tests.hostile.answers import ACCEPT, CONNECTION, DEFLATE, RIGHT, UPGRADE, answer, case
from tests.hostile.hostile_server import HostileServer

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
