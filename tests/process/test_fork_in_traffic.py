"""Forks in the middle of traffic, hundreds of them.

What a single fork does to each call of a connection is in test_fork.py.
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

from tests.process.forking import Echo
from tests.support.programs import run_silently
from tests.support.stress import amount, turns
from tests.support.threads import all_at_once

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

FORKS = amount(250, 60)  # each over ws and over wss

# Two connections echo numbers all the time while the main thread forks. Each child looks at what it has
# inherited, uses a connection of its own now and then, and ends in the ways that children end.
TRAFFIC = """
    import os, signal, ssl, sys, threading, time, traceback
    import syncws

    url, trusted, forks, interval = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    if sys.gettrace() is None:  # under coverage's tracer each switch costs so much that nothing gets done
        sys.setswitchinterval(interval)
    options = {"ssl_context": ssl.create_default_context(cafile=trusted)} if url[:3] == "wss" else {}
    over = threading.Event()
    opened = threading.Event()
    heard = []

    connection = syncws.connect(url, **options)
    ws = syncws.WebSocket(
        url, onopen=lambda e: opened.set(), onmessage=lambda e: heard.append(e.data), **options
    )
    assert opened.wait(60)

    def pull():
        number = 0
        while not over.is_set():
            connection.send(str(number))
            assert connection.recv(60) == str(number)
            number += 1
        counts.append(number)

    def push():
        number = 0
        while not over.is_set():
            ws.send(str(number))
            number += 1
            while number - len(heard) > 50:
                time.sleep(0.0005)
        counts.append(number)
        until = time.monotonic() + 20
        while len(heard) < number:
            assert time.monotonic() < until
            time.sleep(0.001)
        assert heard == [str(number) for number in range(number)]

    def look():
        assert (ws.readyState, connection.readyState) == (ws.CLOSED, connection.CLOSED)
        ws.send("from the child")
        ws.join(60)
        try:
            connection.send("from the child")
        except syncws.ConnectionClosed as closed:
            assert (closed.code, closed.wasClean) == (1006, False)
        else:
            raise AssertionError("sent")
        for receive in (connection.recv, lambda: connection.recv(60)):
            try:
                receive()
            except syncws.ConnectionClosed as closed:
                assert closed.code == 1006
            else:
                raise AssertionError("received")

    def child(number):
        signal.alarm(60)
        look()
        if number % 50 == 0:
            with syncws.connect(url, **options) as own:
                own.send("own")
                assert own.recv(60) == "own"
        if number % 10 == 0:
            sys.exit(0)  # with the functions of atexit
        os._exit(0)

    counts = []
    threads = [threading.Thread(target=body) for body in (pull, push)]
    for thread in threads:
        thread.start()
    for number in range(forks):
        pid = os.fork()
        if pid == 0:
            try:
                child(number)
            except SystemExit:
                over.set()
                raise
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, (number, status)
    over.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert (ws.readyState, connection.readyState) == (ws.OPEN, connection.OPEN)
    connection.close(3000)
    ws.close(3000)
    ws.join(60)
    print(len(counts), min(counts) > 0)
"""


def run_program(program: str, *arguments: str) -> str:
    """What the program prints; it must print nothing to stderr."""
    return run_silently("-c", textwrap.dedent(program), *arguments, warnings="ignore::DeprecationWarning")


Case = tuple[bool, float]


def fork_in_traffic(case: Case, context: ssl.SSLContext, trusted: Path) -> None:
    secure, interval = case
    forks = FORKS if interval > 1e-3 else FORKS // 5  # changing threads all the time is slow
    server = Echo(context if secure else None)
    with server:
        assert run_program(TRAFFIC, server.url, str(trusted), str(forks), str(interval)) == "2 True\n"
    # The parent's two connections, which it closes itself, and the children's own: every end is an orderly
    # Close.
    assert sorted(map(str, server.ends)) == sorted(["3000", "3000", *["1000"] * len(range(0, forks, 50))])


CASES: list[Case] = turns([False, True], [0.005, 1e-6])


@pytest.fixture(scope="module")
def programs(
    server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, Future[None]]:
    """All of them, two at once, since each waits for its children."""
    trusted = tmp_path_factory.mktemp("trusted") / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    return all_at_once(
        {case: partial(fork_in_traffic, case, server_ssl_context, trusted) for case in CASES}, at_most=2
    )


@pytest.mark.parametrize(("secure", "interval"), CASES)
def test_forks_in_the_middle_of_traffic_disturb_nothing(
    secure: bool, interval: float, programs: dict[Case, Future[None]]
) -> None:
    programs[secure, interval].result()
