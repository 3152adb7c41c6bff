"""The end of the process, where somebody does not read or a callback does not return: it comes soon."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.process.exiting import Ends, run
from tests.support.threads import all_at_once
from tests.support.waiting import SECONDS


def send_what_is_not_read() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.closing.wait(SECONDS)

    program = """
        ws = connect()
        for _ in range(50):
            ws.send(bytes(2**20))
        over()
    """
    with LoopbackServer(script, receive_buffer=65536) as server:
        assert run(program, server.url) == ""


def send_to_others_too(late: bool) -> None:
    program = f"""
        unread = [syncws.connect(url + "unread") for _ in range(6)]
        connections = [syncws.connect(url) for _ in range(3)]

        def send():
            if {late}:  # some versions of Python start no thread any more then
                threading.main_thread().join()
            for connection in unread:
                connection.send(bytes(2**24))
            for connection in connections:
                connection.send("goodbye")
            over()

        threading.Thread(target=send).start() if {late} else send()
    """
    server = Ends()
    with server:
        assert run(program, server.url) == ""
        assert [server.next() for _ in range(3)] == [(["goodbye"], 1001)] * 3


def take_no_message() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(50):
            peer.send(bytes(2**20))
        peer.wait_eof(SECONDS)

    program = """
        came = threading.Event()

        def block(event):
            came.set()
            threading.Event().wait()

        ws = connect(onmessage=block)
        assert came.wait(60)
        over()
    """
    with LoopbackServer(script) as server:
        assert run(program, server.url) == ""


def block_a_callback() -> None:
    program = """
        blocked = threading.Event()

        def block(event):
            blocked.set()
            threading.Event().wait()

        ws = syncws.WebSocket(url, onopen=block)
        assert blocked.wait(60)
        over()
    """
    server = Ends()
    with server:
        assert run(program, server.url) == ""
        assert server.next() == ([], 1001)


PROGRAMS: dict[str, Callable[[], None]] = {
    "what is not read": send_what_is_not_read,
    "to others at the end of main": lambda: send_to_others_too(late=False),
    "to others after it": lambda: send_to_others_too(late=True),
    "no message taken": take_no_message,
    "a callback blocked": block_a_callback,
}


@pytest.fixture(scope="module")
def programs() -> dict[str, Future[None]]:
    """All of them, run at once: the end of each takes the second that the package gives it."""
    return all_at_once(PROGRAMS)


def test_data_that_the_server_does_not_read_holds_up_nothing(programs: dict[str, Future[None]]) -> None:
    programs["what is not read"].result()


@pytest.mark.parametrize("when", ["at the end of main", "after it"])
def test_servers_that_do_not_read_hold_up_no_goodbye_to_others(
    when: str, programs: dict[str, Future[None]]
) -> None:
    programs[f"to others {when}"].result()


def test_messages_that_no_callback_takes_hold_up_nothing(programs: dict[str, Future[None]]) -> None:
    programs["no message taken"].result()


def test_a_callback_that_is_blocked_holds_up_neither_the_end_nor_1001(
    programs: dict[str, Future[None]],
) -> None:
    programs["a callback blocked"].result()
