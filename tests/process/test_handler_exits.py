"""What a handler does that raises SystemExit, KeyboardInterrupt or another: on the worker, by `dispatch=`."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.support.stress import turns

PROGRAM = """
import queue, sys
import syncws
from syncws.testing import LoopbackServer

def on_message(event):
    print("got", event.data, flush=True)
    if event.data == "1":
        raise {kind}
    went_on.append(True)
    tasks.put(bool)

def script(peer):
    peer.accept()
    peer.send("1")
    peer.send("2")
    peer.recv()

tasks = queue.SimpleQueue()
went_on = []
with LoopbackServer(script) as server:
    ws = syncws.{name}(server.url, onmessage=on_message, dispatch={dispatch})
    while not went_on:
        tasks.get()()
    print("went on", flush=True)
    ws.close()
"""


def run(kind: str, name: str, dispatch: str) -> tuple[int, str, str]:
    program = textwrap.dedent(PROGRAM).format(kind=kind, name=name, dispatch=dispatch)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    turns(["SystemExit(7)", "KeyboardInterrupt", "ValueError"], ["WebSocket", "ReconnectingWebSocket"]),
)
def test_on_the_worker_it_is_logged_and_the_connection_goes_on(kind: str, name: str) -> None:
    status, out, err = run(kind, name, "None")
    assert (status, out) == (0, "got 1\ngot 2\nwent on\n")
    assert "a listener of 'message' raised" in err


@pytest.mark.parametrize("name", ["WebSocket", "ReconnectingWebSocket"])
def test_by_dispatch_on_the_main_thread_exit_ends_the_program(name: str) -> None:
    status, out, _ = run("SystemExit(7)", name, "tasks.put")
    assert status == 7
    assert "went on" not in out


@pytest.mark.parametrize("name", ["WebSocket", "ReconnectingWebSocket"])
def test_by_dispatch_on_the_main_thread_ctrl_c_does_too(name: str) -> None:
    status, out, err = run("KeyboardInterrupt", name, "tasks.put")
    assert status != 0 and "went on" not in out
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_by_dispatch_another_exception_is_logged_and_the_next_message_comes() -> None:
    status, out, err = run("ValueError", "WebSocket", "tasks.put")
    assert (status, out) == (0, "got 1\ngot 2\nwent on\n")
    assert "a listener of 'message' raised" in err
