"""The Tk example under a virtual screen: handlers run in Tk's thread, and closing either end closes both."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from syncws.testing import LoopbackServer, Peer, PeerClosed
from tests.support.programs import run, run_silently

pytestmark = [
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb, the virtual screen, is not installed"),
    pytest.mark.skipif(
        subprocess.run([sys.executable, "-c", "import tkinter"], capture_output=True).returncode != 0,
        reason="this Python was built without Tk",
    ),
]

# Drives the example's window as a user would, from inside Tk's main loop.
HEAD = """if True:
    import sys, threading, tkinter
    from examples import tk_chat

    main = threading.get_ident()

    def until(condition, then):
        if condition():
            then()
        else:
            root.after(10, until, condition, then)

    def type_in(text):
        chat.entry.insert(0, text)
        chat.entry.focus_force()
        chat.entry.event_generate("<Return>")

    root = tkinter.Tk()
    chat = tk_chat.Chat(root, sys.argv[1])
    # No worker of ours runs a callback: all of them find themselves in Tk's thread.
    for name in ("open", "message", "close"):
        chat.ws.addEventListener(name, lambda event: print(event.type, threading.get_ident() == main))
"""


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """The name of a virtual screen."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with open(reading) as names:
                yield f":{names.readline().strip()}"
        finally:
            server.terminate()


def run_chat(program: str, url: str, screen: str) -> tuple[str, str]:
    return run("-c", HEAD + program, url, environment={"DISPLAY": screen})


def test_what_is_typed_is_sent_and_what_arrives_is_shown(screen: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        try:
            for number in range(100):
                peer.send(f"line {number}")
            while True:
                peer.send(f"you said {peer.recv()!s}")
        except PeerClosed as closed:
            codes.append(closed.code)
            raise

    codes: list[int | None] = []
    program = """
    def finish():
        lines = chat.lines.get(0, "end")
        assert lines == (*(f"line {number}" for number in range(100)), "you said good morning"), lines
        # As the user's click on the window's own button.
        root.tk.call(*root.tk.splitlist(root.protocol("WM_DELETE_WINDOW")))

    until(lambda: chat.lines.size() == 100, lambda: type_in("good morning"))
    until(lambda: chat.lines.size() == 101, finish)
    root.mainloop()
    """
    with LoopbackServer(script) as server:
        out, err = run_chat(program, server.url, screen)
    assert err == ""
    assert out.split("\n") == ["open True", *["message True"] * 101, "close True", ""]
    assert codes == [1000]


def test_the_server_closes_and_the_window_goes(screen: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send_close(1000)
        with contextlib.suppress(PeerClosed):
            peer.recv()

    with LoopbackServer(script) as server:
        assert run_chat("\n    root.mainloop()", server.url, screen) == ("open True\nclose True\n", "")


def test_events_that_come_before_the_main_loop_wait_for_it(screen: str) -> None:
    program = """
    threading.Event().wait(1.5)  # as long as a slow program may take
    print("the main loop begins")
    until(lambda: chat.lines.size() == 1, chat.ws.close)
    root.mainloop()
    """

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send("early")
        peer.recv()

    with LoopbackServer(script) as server:
        out, err = run_chat(program, server.url, screen)
    assert err == ""
    assert out == "the main loop begins\nopen True\nmessage True\nclose True\n"


def test_the_example_runs_as_a_newcomer_would_run_it(screen: str) -> None:
    opened = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        opened.set()
        peer.send_close(1000)
        peer.recv()

    with LoopbackServer(script) as server:
        out = run_silently(
            "-m", "examples.tk_chat", server.url, warnings="default", environment={"DISPLAY": screen}
        )
    assert opened.is_set()
    assert out == ""
