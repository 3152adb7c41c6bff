"""The three ways in which `multiprocessing` starts children: each child has connections of its own."""

from __future__ import annotations

import multiprocessing
import os
import textwrap
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from tests.process.forking import Echo
from tests.support.programs import ROOT, run_silently
from tests.support.threads import all_at_once

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# The parent's connection is open, and under way, while the pool works.
POOL = """
    import sys, threading
    from multiprocessing import get_context
    import syncws

    def work(number):
        with syncws.connect(sys.argv[1]) as connection:
            connection.send(f"{number}")
            answer = connection.recv(60)
        heard = []
        opened = threading.Event()
        ws = syncws.WebSocket(sys.argv[1], onopen=lambda event: opened.set(), onmessage=heard.append)
        with ws:
            assert opened.wait(60)
        return answer

    def talk():
        while not over.is_set():
            connection.send("parent")
            assert connection.recv(60) == "parent"

    if __name__ == "__main__":
        connection = syncws.connect(sys.argv[1])
        over = threading.Event()
        talker = threading.Thread(target=talk)
        talker.start()
        with get_context(sys.argv[2]).Pool(2) as pool:
            print(pool.map(work, range(20)) == [str(number) for number in range(20)])
            pool.close()
            pool.join()
        over.set()
        talker.join(60)
        connection.close()
"""


# Children that end without closing anything.
CHILD = """
    import sys, threading
    from multiprocessing import get_context
    import syncws

    kept = []

    def work():
        opened = threading.Event()
        connection = syncws.connect(sys.argv[1])
        ws = syncws.WebSocket(sys.argv[1], onopen=lambda event: opened.set())
        kept.extend([connection, ws])
        assert opened.wait(60)
        connection.send("last words")

    if __name__ == "__main__":
        kept.append(syncws.connect(sys.argv[1]))
        children = [get_context(sys.argv[2]).Process(target=work) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        kept[0].send("all over")
        assert kept[0].recv(60) == "all over"
        kept[0].close(3000)
        print([child.exitcode for child in children])
"""


def run_file(program: str, folder: Path, url: str, method: str) -> str:
    """What a program prints that is a file, as spawn and forkserver import it; nothing goes to stderr."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program))
    here = {"PYTHONPATH": str(ROOT)}
    return run_silently(str(path), url, method, warnings="ignore::DeprecationWarning", environment=here)


def say_goodbye(method: str, folder: Path) -> None:
    server = Echo()
    with server:
        assert run_file(CHILD, folder, server.url, method) == "[0, 0, 0]\n"
    assert sorted(map(str, server.ends)) == ["1001"] * 6 + ["3000"]


def have_their_own(method: str, folder: Path) -> None:
    server = Echo()
    with server:
        assert run_file(POOL, folder, server.url, method) == "True\n"
    assert server.ends == [1000] * 41


METHODS = multiprocessing.get_all_start_methods()
Programs = dict[tuple[str, str], Future[None]]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """All of them, some at once, since each waits for its children; by what they do and the method."""
    return all_at_once(
        {
            (what, method): partial(play, method, tmp_path_factory.mktemp("program"))
            for what, play in (("goodbye", say_goodbye), ("their own", have_their_own))
            for method in METHODS
        },
        at_most=3,
    )


@pytest.mark.parametrize("method", METHODS)
def test_children_of_multiprocessing_say_goodbye_at_their_end(method: str, programs: Programs) -> None:
    programs["goodbye", method].result()


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_multiprocessing_have_connections_of_their_own(method: str, programs: Programs) -> None:
    programs["their own", method].result()
