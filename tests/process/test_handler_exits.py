"""What a handler does that raises SystemExit, KeyboardInterrupt or another: on the worker, by `dispatch=`.
And handlers that nobody calls any more, as the process ends."""

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


END = """
import atexit, queue, sys, threading, time

def tell():
    print("soon" if time.monotonic() - ended[0] < 0.7 else "late", flush=True)

atexit.register(tell)  # before the package's own, so it is called after that
import syncws
from syncws.testing import LoopbackServer

def script(peer):
    peer.accept()
    peer.send("1")
    peer.recv()

def run():
    while True:
        tasks.get()()

tasks = queue.SimpleQueue()
told = threading.Event()
server = LoopbackServer(script)
server.__enter__()
ws = syncws.{name}(server.url, onmessage=lambda event: told.set(), dispatch=tasks.put,
                   onclose=lambda event: print("closed", flush=True))
if {goes_on}:
    threading.Thread(target=run, daemon=True).start()
while not told.wait(0 if not {goes_on} else None):
    tasks.get()()
{then}
ended = [time.monotonic()]
"""


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize(
    ("name", "then"), turns(["WebSocket", "ReconnectingWebSocket"], ["", "ws.close()", "ws.abort()"])
)
def test_the_end_of_the_process_waits_for_no_loop_that_has_ended(name: str, then: str, goes_on: bool) -> None:
    program = END.format(name=name, then=then, goes_on=goes_on)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("closed\nsoon\n" if goes_on else "soon\n")


SLOW = """
import queue, threading, time
import syncws
from syncws.testing import LoopbackServer

def script(peer):
    peer.accept()
    peer.send("1")
    peer.recv()

def run():
    while True:
        if told.is_set():
            time.sleep(0.3)  # what a loop does besides
        tasks.get()()

tasks = queue.SimpleQueue()
told = threading.Event()
server = LoopbackServer(script)
server.__enter__()
ws = syncws.WebSocket(server.url, onmessage=lambda event: told.set(), dispatch=tasks.put,
                      onclose=lambda event: print("closed", flush=True))
threading.Thread(target=run, daemon=True).start()
told.wait()
"""


def test_the_end_of_the_process_waits_for_a_loop_on_another_thread_that_is_slow() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
