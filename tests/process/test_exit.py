"""The end of the process, with connections that nobody closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.exiting import Ends, run


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
