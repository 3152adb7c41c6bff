"""When the command line is done: after so many messages, after a match; and when it goes on or comes back."""

from __future__ import annotations

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import syncws
from tests.cli.scripts import Recorder, answer, read_to_the_close, say


def test_the_first_message_ends_it_with_one() -> None:
    with LoopbackServer(say("first", "second", "third")) as server:
        done = syncws(server.url, "-1", "--listen")
    assert (done.status, done.out, done.err) == (0, b"first\n", "")


def test_n_messages_end_it_though_fewer_lines_were_sent() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        for number in range(10):
            peer.send(str(number))
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "-n", "3", given=b"subscribe\n")
    assert (done.status, done.lines) == (0, ["0", "1", "2"])


def test_no_answer_is_wanted_with_n_0() -> None:
    script = Recorder()
    with LoopbackServer(script) as server:
        done = syncws(server.url, "-n", "0", given=b"a\nb\n")
    assert (done.status, done.err) == (0, "")
    assert script.messages == ["a", "b"]
    assert script.close_codes == [1000]


def test_a_match_ends_it() -> None:
    with LoopbackServer(say("starting", "still starting", "ready: 7", "more")) as server:
        done = syncws(server.url, "--expect", r"ready: \d")
    assert (done.status, done.lines) == (0, ["starting", "still starting", "ready: 7"])


@pytest.mark.parametrize("code", [1000, 4001])
def test_no_match_is_no_success(code: int) -> None:
    with LoopbackServer(say("starting", code=code)) as server:
        done = syncws(server.url, "--expect", "ready", "--listen")
    assert done.status == (6 if code == 1000 else 1)
    assert "no message matched --expect, 1 message came" in done.err


def test_with_reconnect_a_link_that_is_lost_is_made_anew() -> None:
    visits: list[Peer] = []

    def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) == 1:
            peer.refuse(503)
            return
        peer.accept()
        peer.send(f"visit {len(visits)}")
        if len(visits) == 4:
            read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "--reconnect", "--max-pause", "0.01", "-n", "3", "--listen")
    assert (done.status, done.lines) == (0, ["visit 2", "visit 3", "visit 4"])
    assert "503" in done.err and "next attempt in 0.0 s" in done.err


def test_a_message_and_then_whatever_comes() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        assert peer.recv() == "subscribe"
        for number in range(3):
            peer.send(f"news {number}")
        peer.send_close(1000)
        read_to_the_close(peer)

    with LoopbackServer(script) as server:
        done = syncws(server.url, "-m", "subscribe", "--listen", given=b"not read")
        assert server.connections[0].received == ["subscribe"]
    assert (done.status, done.lines) == (0, ["news 0", "news 1", "news 2"])
    assert done.err == "syncws: the server closed: 1000\n"


def test_a_message_that_nothing_answers_is_no_fault_where_one_listens() -> None:
    with LoopbackServer(answer(None, code=1000)) as server:
        assert syncws(server.url, "-m", "subscribe", "--listen").status == 0
        assert syncws(server.url, "-m", "subscribe").status == 6


def test_with_reconnect_each_connection_begins_with_the_messages() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(f"news of {peer.recv()!s} {peer.recv()!s}")
        if len(server.connections) == 3:
            read_to_the_close(peer)
        peer.cut()

    arguments = ("-m", "books", "-m", "films", "--listen", "--reconnect", "--max-pause", "0.01", "-n", "3")
    with LoopbackServer(script) as server:
        done = syncws(server.url, *arguments)
        received = [record.received for record in server.connections]
    assert (done.status, done.lines) == (0, ["news of books films"] * 3)
    assert received == [["books", "films"]] * 3


def test_with_reconnect_lines_wait_for_the_next_connection() -> None:
    visits: list[Peer] = []

    def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) < 3:
            peer.refuse(503)
            return
        peer.accept()
        peer.echo()

    with LoopbackServer(script) as server:
        done = syncws(server.url, "--reconnect", "--max-pause", "0.01", given=b"a\nb\n")
    assert (done.status, done.lines) == (0, ["a", "b"])


def test_with_reconnect_a_refusal_for_good_ends_it() -> None:
    with LoopbackServer(lambda peer: peer.refuse(403)) as server:
        done = syncws(server.url, "--reconnect", "--max-pause", "0.01", given=b"a\n")
    assert (done.status, done.out) == (5, b"")
    assert "403" in done.err
