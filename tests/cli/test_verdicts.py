"""What counts as done, which cause counts, and what is safe to show: the parts, without a connection."""

from __future__ import annotations

import json
import re
import socket
import ssl
import types
import unicodedata
from typing import Any

import pytest

from syncws import ConnectionClosed, ConnectionLost, HandshakeError, ProtocolError, SyntaxErr
from syncws._cli.console import Console, OutputFailed
from syncws._cli.escapes import escape, escape_json
from syncws._cli.goal import Goal
from syncws._cli.outcome import Outcome
from syncws._cli.outputs import SaveFailed
from syncws._cli.statuses import status_of
from syncws._cli.verbose import Verbose

ENDS: list[tuple[BaseException, int]] = [
    (ConnectionClosed(1000, "", True), 0),
    (ConnectionClosed(1001, "", True), 0),
    (ConnectionClosed(1005, "", True), 0),
    (ConnectionClosed(1000, "", True, unsent=1), 3),
    (ConnectionClosed(4001, "", True), 1),
    (ConnectionClosed(1008, "", True), 1),
    (ConnectionClosed(1006, "", False), 3),
    (ConnectionLost("gone"), 3),
    (ProtocolError("broken"), 3),
    (TimeoutError("late"), 3),
    (socket.gaierror(-2, "no such name"), 3),
    (ConnectionRefusedError(111, "refused"), 3),
    (ssl.SSLCertVerificationError(1, "no"), 4),
    (ssl.SSLError(1, "no"), 4),
    (HandshakeError("no", 403), 5),
    (HandshakeError("no HTTP"), 5),
    (SyntaxErr("no URL"), 2),
    (TypeError("no"), 2),
]


@pytest.mark.parametrize(("error", "status"), ENDS, ids=lambda each: repr(each))
def test_each_cause_has_its_status(error: BaseException, status: int) -> None:
    assert status_of(error) == status


CLOSED, BAD, LOST = (ConnectionClosed(code, "", code != 1006) for code in (1000, 4001, 1006))
OUTCOMES: list[tuple[dict[str, Any], int]] = [
    ({}, 0),
    ({"missing": "one"}, 6),
    ({"closed": CLOSED, "was_theirs": True}, 0),
    ({"closed": CLOSED, "was_theirs": True, "missing": "one"}, 6),
    ({"closed": BAD, "was_theirs": True, "missing": "one"}, 1),
    ({"closed": BAD}, 1),
    ({"closed": LOST, "was_theirs": True, "missing": "one"}, 3),
    ({"closed": LOST}, 0),  # the server ended TCP at our Close
    ({"closed": LOST, "missing": "one"}, 6),
    ({"closed": BAD, "was_theirs": True, "unsent": 1}, 3),
    ({"closed": BAD, "was_theirs": True, "refused": True}, 3),
    ({"closed": BAD, "was_theirs": True, "refused": True, "bad_input": True}, 2),
    ({"no_reader": True, "missing": "one", "closed": BAD, "was_theirs": True}, 0),
    ({"no_reader": True, "unsent": 1}, 3),
    ({"failure": OutputFailed("full")}, 2),
    ({"failure": SaveFailed("full")}, 2),
    ({"failure": HandshakeError("no", 403)}, 5),
]


@pytest.mark.parametrize(("known", "status"), OUTCOMES, ids=str)
def test_the_first_cause_counts(known: dict[str, Any], status: int) -> None:
    assert Outcome(**known).status == status


def test_each_line_wants_one_message() -> None:
    goal = Goal()
    assert goal.is_met and not goal.is_explicit
    goal.sent = 2
    assert [goal.on_message("a"), goal.is_met, goal.missing()] == [
        False,
        False,
        "2 lines were sent, 1 message came",
    ]
    assert [goal.on_message(b""), goal.is_met, goal.missing()] == [False, True, ""]


def test_a_count_takes_the_place_of_lines() -> None:
    goal = Goal(2)
    goal.sent = 5
    assert [goal.on_message("a"), goal.on_message("b"), goal.is_met] == [False, True, True]
    nothing = Goal(0)
    nothing.sent = 5
    assert nothing.is_met and not nothing.on_message("a")


def test_a_pattern_is_looked_for_in_text() -> None:
    goal = Goal(3, re.compile("b+"))
    assert [goal.on_message("a"), goal.on_message(b"b"), goal.is_met] == [False, False, False]
    assert [goal.on_message("abbc"), goal.is_met] == [True, True]
    cut = Goal(1, re.compile("b"))
    assert [cut.on_message("a"), cut.is_met] == [True, False]
    assert cut.missing() == "no message matched --expect, 1 message came"


def test_no_control_character_and_no_direction_mark_passes() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x3000 + 0xE000)]))
    shown = escape(everything)
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp")}
    assert not {
        c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI")
    }
    text = "Grüße 漢字 👩‍👧 é"  # a joiner and a combining mark stay, or these would fall apart
    assert escape(text) == text
    assert escape("\x1b[2J\n\t\x9b\u202e") == r"\x1b[2J\n\t\x9b\u202e"
    assert json.loads(escape_json(json.dumps(everything, ensure_ascii=False))) == everything


def record(step: str, **fields: Any) -> Any:
    """A record as `trace=` gives it: what the step has not is None."""
    names = "host port address error url head status opcode final size wire_size payload code reason clean"
    return types.SimpleNamespace(step=step, **{**dict.fromkeys(names.split()), **fields})


STEPS = [
    record("resolve", host="chat.example.com", port=443),
    record("connected", address=("192.0.2.7", 443)),
    record("request", head=b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic s3cr3t\r\n\r\n"),
    record("response", head=b"HTTP/1.1 101 Switching\r\nX: \x1b[2J\x9b\r\n\r\n"),
    record("sent", opcode=1, final=True, size=5, payload=b"hello"),
    record("received", opcode=2, final=False, size=2, payload=b"\x1b\x00"),
    record("received", opcode=9, final=True, size=1, payload=b"\x1b"),
    record("closed", code=1000, reason="bye\x1b", clean=True),
]


@pytest.mark.parametrize(
    ("level", "control", "told"),
    [
        (0, False, []),
        (0, True, ["< [ping, 1 bytes] 1b"]),
        (
            2,
            False,
            [
                "* resolve chat.example.com port 443",
                "* connected address ('192.0.2.7', 443)",
                "> GET / HTTP/1.1",
                "> Host: h",
                "> Authorization: ***",
                "< HTTP/1.1 101 Switching",
                r"< X: \x1b[2J\x9b",
                "> [text, 5 bytes] hello",
                "< [binary, 2 bytes, to be continued] 1b 00",
                "< [ping, 1 bytes] 1b",
                r"* closed code 1000 bye\x1b",
            ],
        ),
    ],
)
def test_steps_are_told_by_level(
    level: int, control: bool, told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    verbose = Verbose(Console(), level, control=control)
    for each in STEPS:
        verbose.trace(each)
    assert capfd.readouterr().err.splitlines() == told
    assert verbose.is_traced is bool(told)


def test_the_level_of_frames_is_twice(capfd: pytest.CaptureFixture[str]) -> None:
    verbose = Verbose(Console(), 1)
    for each in STEPS:
        verbose.trace(each)
    assert "hello" not in capfd.readouterr().err
