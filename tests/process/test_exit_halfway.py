"""The end of the process, with connections that are halfway: opening, closing, dropped, joined, made anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.process.exiting import Ends, run
from tests.support.waiting import SECONDS


@pytest.fixture
def server() -> Iterator[Ends]:
    server = Ends()
    with server:
        yield server


@pytest.mark.parametrize("size", [5, 4 * 2**20])
@pytest.mark.parametrize("name", ["connection", "ws"])
def test_a_connection_that_was_dropped_just_before_still_sends_what_it_had(
    name: str, size: int, server: Ends
) -> None:
    program = f"""
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)

        opened = threading.Event()
        connection = syncws.connect(url)
        ws = syncws.WebSocket(url, onopen=lambda event: opened.set())
        assert opened.wait(60)
        {name}.send(b"x" * {size})
        del connection, ws
        over()
    """
    assert run(program, server.url) == ""
    ends = [server.next(), server.next()]
    assert [code for _, code in ends] == [1001, 1001]
    assert sorted(len(message) for received, _ in ends for message in received) == [size]


def test_a_close_that_is_not_joined_still_goes_out_with_its_code(server: Ends) -> None:
    program = """
        ws = connect()
        ws.send("last words")
        ws.close(3001, "bye")
        over()
    """
    assert run(program, server.url) == ""
    assert server.next() == (["last words"], 3001)


@pytest.mark.parametrize("accepted", [True, False], ids=["before the answer", "before the request"])
def test_a_connection_that_is_not_open_yet_is_given_up(accepted: bool) -> None:
    def script(peer: Peer) -> None:
        if accepted:
            peer.read_request()
        peer.wait_eof(SECONDS)

    program = """
        ws = syncws.WebSocket(url)
        over()
    """
    with LoopbackServer(script) as server:
        assert run(program, server.url) == ""


def test_a_connection_that_is_made_anew_at_every_close_ends_too(server: Ends) -> None:
    program = """
        def again(event=None):
            connections.append(syncws.WebSocket(url, onopen=lambda event: opened.set(), onclose=again))

        opened, connections = threading.Event(), []
        again()
        assert opened.wait(60)
        over()
    """
    printed = run(program, server.url)
    # Python 3.12 starts no thread at that time, so there the callback raises, and that is logged.
    assert printed == "" or "can't create new thread at interpreter shutdown" in printed
    assert server.next() == ([], 1001)


def test_a_join_in_another_thread_holds_up_nothing(server: Ends) -> None:
    program = """
        ws = connect()
        threading.Thread(target=ws.join, daemon=True).start()
        over()
    """
    assert run(program, server.url) == ""
    assert server.next() == ([], 1001)
