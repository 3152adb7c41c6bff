"""fork: in the child every connection is over at once; the parent's goes on undisturbed.

The forks happen in programs of their own, since a test run is no place to fork.
"""

from __future__ import annotations

import os
import ssl
import textwrap
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import run_silently
from tests.support.stress import amount, turns
from tests.support.threads import all_at_once

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


HEAD = """
    import faulthandler, gc, os, signal, ssl, sys, threading, time, traceback, warnings
    import syncws

    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    faulthandler.dump_traceback_later(25, exit=True)
    url, authority = sys.argv[1:3]
    options = {"ssl_context": ssl.create_default_context(cafile=authority)} if url.startswith("wss") else {}

    def in_child(call):
        # Run `call` in a forked child, and be sure that it went well, in time.
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(60)
                call()
                gc.collect()
                sys.stdout.flush()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status

    def closed(call):
        try:
            result = call()
        except syncws.ConnectionClosed as closed:
            assert (closed.code, closed.reason, closed.wasClean) == (1006, "", False), closed
            assert "forked" in str(closed.__cause__), closed.__cause__
        else:
            raise AssertionError(f"returned {result!r}")

    def all_is_over(connection):
        assert connection.readyState == connection.CLOSED
        for _ in range(2):
            closed(connection.recv)
            closed(lambda: connection.recv(60))
            closed(lambda: list(connection))
            closed(lambda: list(connection.recv_streaming()))
            closed(lambda: connection.send("from the child"))
            closed(lambda: connection.send(["from", "the child"]))
            closed(connection.ping)
            connection.close()
        with connection:
            pass

    def round_trip(connection):
        connection.send("ping")
        assert connection.recv(60) == "ping"
        assert connection.ping(60) >= 0
"""


def run_program(program: str, url: str, authority: trustme.CA, folder: Path) -> None:
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    messages = f"MESSAGES = {amount(5000, 1500)}\n"
    text = textwrap.dedent(HEAD) + messages + textwrap.dedent(program)
    run_silently("-c", text, url, str(trusted))


PROGRAMS = {
    "an idle connection": """
        connection = syncws.connect(url, **options)
        in_child(lambda: all_is_over(connection))
        round_trip(connection)
        connection.close()
        assert connection.readyState == connection.CLOSED
    """,
    "messages received and not taken": """
        connection = syncws.connect(url, **options)
        connection.send("1")
        connection.send("2")
        connection.send("3")
        assert connection.recv(60) == "1"
        connection.ping(60)  # by now all have come, and wait in the parent, for the parent
        in_child(lambda: all_is_over(connection))
        assert [connection.recv(60), connection.recv(60)] == ["2", "3"]
        round_trip(connection)
        connection.close()
    """,
    "another thread in recv": """
        from tests.support.threads import Task  # only here, since it takes a while: it imports pytest

        connection = syncws.connect(url, **options)
        task = Task(connection.recv)
        task.wait_blocked()
        in_child(lambda: all_is_over(connection))
        connection.send("for the thread")
        assert task.result() == "for the thread"
        round_trip(connection)
        connection.close()
    """,
    "traffic in both directions": """
        connection = syncws.connect(url, **options)
        over = threading.Event()

        def send():
            number = 0
            while not over.is_set():
                connection.send(str(number))
                number += 1
                if number % 100 == 0:
                    connection.flush(60)
            connection.send("end")

        sending = threading.Thread(target=send)
        sending.start()
        for number in range(MESSAGES):
            assert connection.recv(60) == str(number)
            if number % 500 == 0:
                in_child(lambda: all_is_over(connection))
        over.set()
        while (message := connection.recv(60)) != "end":
            number += 1
            assert message == str(number)
        sending.join()
        connection.close()
    """,
    "connections of the child's own": """
        connection = syncws.connect(url, **options)

        def child():
            all_is_over(connection)
            with syncws.connect(url, **options) as own:
                round_trip(own)
                in_child(lambda: (all_is_over(own), all_is_over(connection)))
                round_trip(own)

        in_child(child)
        round_trip(connection)
        connection.close()
    """,
    "closed before the fork": """
        connection = syncws.connect(url, **options)
        connection.close(3000)

        def child():
            connection.close()
            try:
                connection.recv()
            except syncws.ConnectionClosed as closed:
                assert (closed.code, closed.wasClean) == (3000, True), closed
            else:
                raise AssertionError

        in_child(child)
    """,
    "a child that exits as programs do": """
        faulthandler.cancel_dump_traceback_later()  # its thread, which exiting waits for, is not in the child
        connection = syncws.connect(url, **options)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            sys.exit(0)  # with what is registered at exit
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        round_trip(connection)
        connection.close()
    """,
    "a signal handler forks out of recv": """
        def fork(number, frame):
            nonlocals["child"] = os.fork()

        nonlocals = {"child": None}
        connection = syncws.connect(url, **options)
        parent = os.getpid()
        for receive in (connection.recv, lambda: connection.recv(60)):
            signal.signal(signal.SIGALRM, fork)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            if os.getpid() == parent:
                threading.Timer(0.2, lambda: connection.send("for the parent")).start()
            try:
                assert receive() == "for the parent"
            except syncws.ConnectionClosed as closed:
                assert nonlocals["child"] == 0 and closed.code == 1006
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(nonlocals["child"], 0)[1]) == 7
        round_trip(connection)
        connection.close()
    """,
    "a reconnecting connection": """
        lost = []
        opened = threading.Event()
        ws = syncws.ReconnectingWebSocket(url, onopen=lambda e: opened.set(), onclose=lost.append, **options)
        assert opened.wait(60)

        def child():
            assert ws.readyState == ws.CLOSED
            ws.join(60)
            ws.close()
            ws.send("dropped, as by a closed WebSocket")
            assert not lost

        in_child(child)
        assert ws.readyState == ws.OPEN
        ws.close()
        ws.join(60)
        assert len(lost) == 1 and lost[0].wasClean
    """,
}


TOLD = turns(PROGRAMS, ["ws", "wss"])


def play(name: str, scheme: str, context: ssl.SSLContext, authority: trustme.CA, folder: Path) -> None:
    with LoopbackServer(tls=context if scheme == "wss" else False) as server:
        run_program(PROGRAMS[name], server.url, authority, folder)


@pytest.fixture(scope="module")
def programs(
    server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Future[None]]:
    """All of them, some at once, since each waits for its children; by their names and schemes."""
    return all_at_once(
        {
            told: partial(play, *told, server_ssl_context, authority, tmp_path_factory.mktemp("program"))
            for told in TOLD
        },
        at_most=3,
    )


@pytest.mark.parametrize(("name", "scheme"), TOLD)
def test_in_a_forked_child_it_is_over_and_the_parent_goes_on(
    name: str, scheme: str, programs: dict[tuple[str, str], Future[None]]
) -> None:
    programs[name, scheme].result()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_server_hears_nothing_of_a_forked_child(
    secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("begin")
        try:
            while True:
                heard.append(peer.recv())
        except PeerClosed as closed:
            heard.append(str(closed.code))
            raise

    program = """
        connection = syncws.connect(url, **options)
        assert connection.recv(60) == "begin"
        in_child(lambda: all_is_over(connection))
        in_child(lambda: None)
        connection.send("from the parent")
        connection.close(3999)
        try:
            connection.recv()
        except syncws.ConnectionClosed as closed:
            assert (closed.code, closed.wasClean) == (3999, True)
    """
    heard: list[str | bytes] = []
    with LoopbackServer(script, tls=server_ssl_context if secure else False) as server:
        run_program(program, server.url, authority, tmp_path)
    assert heard == ["from the parent", "3999"]
