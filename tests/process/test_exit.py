"""The end of the process, with connections that nobody closed."""

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


ENDINGS = {
    "the script ends without close": """
        ws = connect()
        over()
    """,
    "nothing refers to the connection any more": """
        connect()
        over()
    """,
    "sys.exit in a thread": """
        thread = threading.Thread(target=lambda: (connect(), sys.exit(3)))
        thread.start()
        thread.join()
        over()
    """,
    "sys.exit in main": """
        ws = connect()
        over()
        sys.exit()
    """,
    "another thread, no daemon, outlives main": """
        ws = connect()
        thread = threading.Thread(target=lambda: (threading.main_thread().join(), over()))
        thread.start()
    """,
}


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_server_is_told_1001_and_nothing_is_printed(program: str, server: Ends) -> None:
    assert run(program, server.url) == ""
    assert server.next() == ([], 1001)


def test_what_was_sent_before_the_end_goes_ahead_of_1001(server: Ends) -> None:
    program = """
        ws = connect()
        for number in range(1000):
            ws.send(str(number))
        over()
    """
    assert run(program, server.url) == ""
    assert server.next() == ([str(number) for number in range(1000)], 1001)


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


def test_every_one_of_many_connections_says_goodbye(server: Ends) -> None:
    program = """
        connections = [connect() for _ in range(20)]
        over()
    """
    assert run(program, server.url) == ""
    assert [server.next() for _ in range(20)] == [([], 1001)] * 20


def test_an_uncaught_exception_is_printed_alone(server: Ends) -> None:
    program = """
        ws = connect()
        over()
        raise ValueError("mine")
    """
    lines = run(program, server.url, status=1).splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "ValueError: mine"
    assert "syncws" not in "".join(lines)
    assert server.next() == ([], 1001)


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


def test_the_pull_face_says_goodbye_too(server: Ends) -> None:
    program = """
        connection = syncws.connect(url)
        waiting = threading.Thread(target=lambda: list(connection), daemon=True)
        waiting.start()
        connection.send("said")
        for other in syncws.reconnect(url):
            break
        over()
    """
    assert run(program, server.url) == ""
    assert sorted([server.next(), server.next()]) == [([], 1001), (["said"], 1001)]
