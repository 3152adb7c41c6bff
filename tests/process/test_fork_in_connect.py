"""fork in the middle of `connect()`, on its own thread: the child's call ends, the parent's goes on.

The forks happen in programs of their own, since a test run is no place to fork.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import LoopbackServer
from tests.process.test_fork import run_program

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.implementation.name == "pypy",
    reason="the system has no fork, or the reader opens the connection",
)

# Each step begins with a call of such a function, on the caller's thread.
AT_EACH_STEP = """
    def connect(step):
        children = []

        def profile(frame, event, argument):
            if event == "call" and frame.f_code.co_name == step and not children:
                children.append(os.fork())

        sys.setprofile(profile)
        try:
            connection = syncws.connect(url, **options)
        except syncws.WebSocketError as error:
            assert children == [0] and "forked" in str(error), (children, error)
            os._exit(0)
        finally:
            sys.setprofile(None)
        if children == [0]:
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0, step
        return connection

    steps = ["_resolve", "_dial", "_keep", *["handshake_step", "negotiated"] * len(options)]
    steps += ["request", "read_head", "check_response"]
    for step in steps:
        with connect(step) as connection:
            round_trip(connection)
"""


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_fork_at_any_step_ends_the_child_s_call_and_the_parent_s_connection_opens(
    secure: bool, server_ssl_context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer(tls=server_ssl_context if secure else False) as server:
        run_program(AT_EACH_STEP, server.url, authority, tmp_path)
    # A child may have begun a connection of its own. It has asked for nothing.
    codes = [connection.close_code for connection in server.connections]
    assert codes.count(1000) == (8 if secure else 6)


IN_A_HANDLER = """
    children = 0
    for number in range(60):
        child = []

        def fork(number, frame):
            inside = frame
            while inside is not None:
                if inside.f_code.co_filename == threading.__file__:
                    return  # in Thread.start(), which would wait in the child for a thread that is not there
                inside = inside.f_back
            child.append(os.fork())

        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.00002 * (number + 1))
        try:
            connection = syncws.connect(url, **options)
        except syncws.WebSocketError as error:
            os._exit(0 if child == [0] and "forked" in str(error) else 1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if child == [0]:
            # The fork came when the connection was open already, or before its first step.
            if connection.readyState == connection.CLOSED:
                closed(connection.recv)
            os._exit(0)
        with connection:
            round_trip(connection)
        for pid in child:
            children += 1
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert children
"""


def test_a_fork_in_a_signal_handler_leaves_the_parent_s_connection_alone(
    authority: trustme.CA, tmp_path: Path
) -> None:
    with LoopbackServer() as server:
        run_program(IN_A_HANDLER, server.url, authority, tmp_path)
