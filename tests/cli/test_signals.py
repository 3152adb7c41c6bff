"""Ctrl-C, SIGTERM and SIGHUP end it quietly, at any time, with a Close where there is a connection."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from syncws.testing import LoopbackServer, Peer
from tests.cli.command import finish_all, start, syncws
from tests.cli.scripts import Recorder, say
from tests.support.programs import PROGRAM_SECONDS, ROOT
from tests.support.waiting import AT_ONCE, SECONDS, wait_for, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "status"), [*SIGNALS, (getattr(signal, "SIGHUP", None), 129)])
def test_a_signal_ends_it_with_a_close_and_without_a_word(number: signal.Signals, status: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("ignored here, as by nohup, and so by the program")
    script = Recorder(echo=True)
    with LoopbackServer(script) as server, start(server.url) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b"hello\n")
        assert process.stdout.read(6) == b"hello\n"
        process.send_signal(number)
        assert process.wait(AT_ONCE) == status
        assert process.stderr.read() == b""
    assert script.close_codes == [1001]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_the_wait_for_an_answer(number: signal.Signals, status: int) -> None:
    got = threading.Event()

    def mute(peer: Peer) -> None:
        peer.accept()
        peer.recv()
        got.set()
        peer.recv()

    with LoopbackServer(mute) as server, start(server.url, "--wait", "none") as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"hello\n")
        process.stdin.close()
        wait_for(got)
        process.send_signal(number)
        assert process.wait(AT_ONCE) == status
        assert process.stderr.read() == b""


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_the_connecting(number: signal.Signals, status: int) -> None:
    got = threading.Event()

    def stall(peer: Peer) -> None:
        peer.read_request()
        got.set()
        peer.wait_eof(SECONDS)

    with LoopbackServer(stall) as server, start(server.url) as process:
        assert process.stderr is not None
        wait_for(got)
        process.send_signal(number)
        assert process.wait(AT_ONCE) == status
        assert process.stderr.read() == b""


# A signal, and a wait that it does not interrupt: between two calls that `map` makes CPython runs no handler.
COMES_BEFORE_THE_WAIT = """
import ctypes, functools, sys, threading
from syncws._cli.signals import Stopped, stopping
lock = threading.Lock()
lock.acquire()
come = functools.partial(ctypes.CDLL(None)["raise"], int(sys.argv[1]))
wait = functools.partial(lock.acquire, True, 60)
try:
    with stopping():
        print(list(map(functools.partial.__call__, [come, wait])))
except (Stopped, KeyboardInterrupt):
    print("noticed", threading.active_count())
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="elsewhere it cannot be made to come there")
@pytest.mark.parametrize("number", [number for number, _ in SIGNALS])
def test_a_signal_is_noticed_that_comes_just_before_a_wait(number: signal.Signals) -> None:
    program = [sys.executable, "-c", COMES_BEFORE_THE_WAIT, str(int(number))]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    assert (done.stdout, done.stderr, done.returncode) == ("noticed 1\n", "", 0)


@pytest.mark.xfail(
    sys.implementation.name == "pypy", reason="it does not know what was ignored before it began"
)
def test_what_nohup_ignores_stays_ignored() -> None:
    script = Recorder(echo=True)
    with LoopbackServer(script) as server:
        process = subprocess.Popen(
            ["nohup", sys.executable, "-m", "syncws", server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        with process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"one\n")
            assert process.stdout.read(4) == b"one\n"
            process.send_signal(signal.SIGHUP)
            process.stdin.write(b"two\n")
            assert process.stdout.read(4) == b"two\n"
            process.stdin.close()
            assert process.wait(SECONDS) == 0


def test_the_time_is_up_though_the_server_goes_on() -> None:
    with LoopbackServer(say("tick")) as server:
        listening, done = finish_all(
            start(server.url, "--listen", "--timeout", "0.3"),
            start(server.url, "--timeout", "0.3", "-n", "2"),
        )
        assert (listening.status, listening.out, listening.err) == (0, b"tick\n", "")
        assert (done.status, done.out) == (6, b"tick\n")
        assert done.err == "syncws: 1 of 2 messages came when --timeout was over\n"


def test_an_echo_server_is_ended_by_ctrl_c() -> None:
    with start("echo", "--port", "0") as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline().decode()
        url = line.split()[2]
        assert syncws(url, given=b"hello\n").out == b"hello\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(AT_ONCE) == 130
        assert process.stderr.read() == b""
    wait_until(lambda: process.returncode == 130)
