"""The end of the process by a signal, with connections that nobody closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.process.exiting import Ends, run
from tests.support.stress import turns


@pytest.fixture
def server() -> Iterator[Ends]:
    server = Ends()
    with server:
        yield server


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
