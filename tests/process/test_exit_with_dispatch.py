"""The end of the process, with `dispatch=`: handlers that no loop calls any more, and a loop that goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.stress import turns

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
