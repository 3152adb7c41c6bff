"""The exit statuses 5 and 6: the server refuses the handshake, or does not answer the messages."""

from __future__ import annotations

import pytest

from syncws.testing import LoopbackServer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, answer


@pytest.mark.parametrize("status", [403, 503, 302, 200])
def test_5_is_an_answer_other_than_101(status: int) -> None:
    with LoopbackServer(lambda peer: peer.refuse(status, body=b"why not", reason="No")) as server:
        done = syncws(server.url, given=b"hello\n")
    assert (done.status, done.out) == (5, b"")
    assert str(status) in done.err


def test_5_is_an_answer_that_is_no_http() -> None:
    with LoopbackServer(lambda peer: peer.send_bytes(b"SSH-2.0-OpenSSH_9\r\n\r\n")) as server:
        assert syncws(server.url).status == 5


def test_6_is_a_line_without_an_answer() -> None:
    with LoopbackServer(Recorder()) as server:
        done = syncws(server.url, "--wait", "0.1", given=b"hello\n")
    assert (done.status, done.out) == (6, b"")
    assert done.err == "syncws: the line got no answer within 0.1 s\n"


def test_6_is_one_answer_for_two_lines() -> None:
    with LoopbackServer(answer("one", None)) as server:
        done = syncws(server.url, "--wait", "0.3", given=b"a\nb\n")
    assert (done.status, done.out) == (6, b"one\n")
    assert "2 lines were sent, 1 message came" in done.err


def test_6_is_an_orderly_close_before_all_answers() -> None:
    with LoopbackServer(answer("one", None, code=1000)) as server:
        done = syncws(server.url, given=b"a\nb\n")
    assert (done.status, done.out) == (6, b"one\n")


def test_a_bad_close_code_counts_more_than_an_answer_that_is_missing() -> None:
    with LoopbackServer(answer("one", None, code=4001)) as server:
        assert syncws(server.url, given=b"a\nb\n").status == 1
