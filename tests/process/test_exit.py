"""The end of the process, with connections that nobody closed."""

from __future__ import annotations

import queue
import signal
import textwrap
import time
from collections.abc import Iterator

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import EXIT_SECONDS, spawn
from tests.support.stress import turns
from tests.support.waiting import SECONDS

# From the end of the main program to the end of the process. Goodbyes take at most a second; the rest is

# Every program begins so, and says when its own part is over.
HEAD = """
    import os, sys, threading, time
    import syncws

    url = sys.argv[1]

    def over():
        print("over", flush=True)

    def connect(**options):
        opened = threading.Event()
        ws = syncws.WebSocket(url, onopen=lambda event: opened.set(), **options)
        ws.addEventListener("close", lambda event: None)  # so that it lives on
        assert opened.wait(60)
        return ws
"""


def run(program: str, url: str, status: int = 0) -> str:
    """Run a program to its end, which must come soon after its "over"; what it wrote to stderr."""
    text = textwrap.dedent(HEAD) + textwrap.dedent(program)
    with spawn("-c", text, url) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = process.stdout.readline()
            since = time.monotonic()
            process.wait(SECONDS)
            seconds = time.monotonic() - since
        finally:
            process.kill()
        assert process.returncode == status, process.stderr.read()
        assert said == "over\n"
        assert seconds < EXIT_SECONDS
        return process.stderr.read()


class Ends(LoopbackServer):
    """A server that keeps what each connection received, and how it ended."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[list[str | bytes], object]] = queue.SimpleQueue()
        super().__init__(self._script, receive_buffer=65536)

    def _script(self, peer: Peer) -> None:
        received: list[str | bytes] = []
        peer.accept()
        if peer.request is not None and peer.request.target == "/unread":
            peer.closing.wait(SECONDS)
            return
        try:
            while True:
                received.append(peer.recv())
        except PeerClosed as closed:
            self._ends.put((received, closed.code))
            raise
        except (EOFError, ConnectionError) as error:
            self._ends.put((received, type(error)))

    def next(self) -> tuple[list[str | bytes], object]:
        return self._ends.get(timeout=SECONDS)


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
    "a callback is blocked": """
        blocked = threading.Event()

        def block(event):
            blocked.set()
            threading.Event().wait()

        ws = syncws.WebSocket(url, onopen=block)
        assert blocked.wait(60)
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


def test_data_that_the_server_does_not_read_holds_up_nothing() -> None:
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


@pytest.mark.parametrize("late", [False, True], ids=["at the end of main", "after it"])
def test_servers_that_do_not_read_hold_up_no_goodbye_to_others(late: bool, server: Ends) -> None:
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
    assert run(program, server.url) == ""
    assert [server.next() for _ in range(3)] == [(["goodbye"], 1001)] * 3


def test_messages_that_no_callback_takes_hold_up_nothing() -> None:
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


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_where_python_no_longer_runs_the_server_sees_the_end_of_tcp(server: Ends) -> None:
    program = """
        import signal

        ws = connect()
        over()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(program, server.url, status=-signal.SIGKILL) == ""
    _received, end = server.next()
    assert end in (EOFError, ConnectionResetError)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no signals as Unix has them")
def test_term_without_a_handler_ends_the_process_and_tcp(server: Ends) -> None:
    program = """
        import signal

        ws = connect()
        connection = syncws.connect(url)
        over()
        os.kill(os.getpid(), signal.SIGTERM)
    """
    assert run(program, server.url, status=-signal.SIGTERM) == ""
    for _ in range(2):
        assert server.next()[1] in (EOFError, ConnectionResetError)


HANDLERS = {
    "exits": "sys.exit(0)",
    "raises": "raise KeyboardInterrupt",
    "closes": "(ws.close(1000), connection.close(1000), sys.exit(0))",
    "sets an event": "done.set()",
}
WAITS = {
    "recv": "connection.recv()",
    "iteration": "list(connection)",
    "join": "ws.join()",
    "an event": "done.wait()",
    "nothing": "signal.pause()",
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no signals as Unix has them")
@pytest.mark.parametrize(("wait", "handler"), turns(WAITS, HANDLERS))
def test_a_handler_of_term_may_end_the_process_from_any_wait(handler: str, wait: str, server: Ends) -> None:
    program = f"""
        import signal

        def on_term(number, frame):
            {HANDLERS[handler]}

        done = threading.Event()
        ws = connect()
        connection = syncws.connect(url)
        signal.signal(signal.SIGTERM, on_term)
        threading.Timer(0.1, lambda: (over(), os.kill(os.getpid(), signal.SIGTERM))).start()
        try:
            {WAITS[wait] if handler != "sets an event" else "done.wait()"}
        except (KeyboardInterrupt, syncws.ConnectionClosed):
            pass
    """
    assert run(program, server.url) == ""
    code = 1000 if handler == "closes" else 1001
    assert [server.next(), server.next()] == [([], code), ([], code)]


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


def test_ctrl_c_in_join_ends_the_process_with_a_goodbye(server: Ends) -> None:
    program = """
        import signal

        def interrupt(event):
            over()
            os.kill(os.getpid(), signal.SIGINT)

        ws = syncws.WebSocket(url, onopen=interrupt)
        try:
            ws.join()
        except KeyboardInterrupt:
            sys.exit(7)
    """
    assert run(program, server.url, status=7) == ""
    assert server.next() == ([], 1001)
