"""Answers with 101 that select a subprotocol or an extension which they must not: the error names it."""

from __future__ import annotations

import pytest

from tests.hostile.answers import DEFLATE, EXTENSIONS, PROTOCOL, RIGHT, answer, case
from tests.hostile.hostile_server import HostileServer

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
