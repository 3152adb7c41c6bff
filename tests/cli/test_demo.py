"""The first thing that a newcomer runs: the demo, the echo server, a conversation between them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from syncws import connect
from syncws.testing import LoopbackServer
from tests.cli.command import finish, start, syncws
from tests.support.waiting import SECONDS

ROW = re.compile(r" *\d+\.\d  ( *)(\S.*?)(?:  +(\S.*))?")


@pytest.mark.parametrize("flags", [(), ("-S",)], ids=["installed", "nothing installed"])
def test_the_demo_shows_each_event_once_and_in_order(flags: tuple[str, ...]) -> None:
    done = finish(start("demo", flags=flags))
    rows = [found for line in done.lines if (found := ROW.fullmatch(line))]
    told = [row[2] for row in rows if row[2].startswith(("WebSocket", "on", "send", "close"))]
    assert (done.status, done.err) == (0, "")
    assert told[0] == "WebSocket(url)"
    assert [each for each in told if each.startswith("on")] == [
        "onopen",
        "onmessage text 16 B",
        "onmessage 64 KiB",
        "onclose 1000",
    ]
    assert [each for each in told if each.startswith(("send", "close"))] == [
        "send(text 16 B)",
        "send(64 KiB)",
        "close(1000)",
    ]
    steps = [row[2] for row in rows if row[2] not in told]
    assert [step for step in steps if step in ("connected", "request", "response")] == [
        *("connected", "request", "response")
    ]
    sizes = [step[2:] for step in steps if step.endswith(" B")]  # frames: two messages and a Close, both ways
    assert sorted(sizes) == sorted(["16 B", "65536 B", "18 B"] * 2)
    assert max(map(len, done.lines)) <= 80
    assert b"\x1b" not in done.out


def test_the_demo_works_without_a_certificate_and_without_unicode() -> None:
    environment = {"PATH": "", "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = finish(start("demo", flags=("-S",), environment=environment))
    assert (done.status, done.err) == (0, "")
    assert "(without TLS: neither trustme nor openssl is here to make a certificate)" in done.lines
    assert any("onclose 1000" in line for line in done.lines)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_the_demo_ends_quietly_when_its_reader_does() -> None:
    with start("demo") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="one process cannot press Ctrl-C for another there")
@pytest.mark.parametrize("tls", [False, True])
def test_a_conversation_with_the_echo_server_over_ws_and_wss(tls: bool) -> None:
    with start("echo", "--port", "0", *(["--tls"] if tls else [])) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        trying = line.rpartition("python -m syncws ")[2].split()
        assert line.startswith("echoing on wss://localhost:" if tls else "echoing on ws://127.0.0.1:")
        done = syncws(*trying, given=b"hello\n")
        process.terminate()
    assert (done.status, done.out, done.err) == (0, b"hello\n", "")


def test_an_echo_server_on_a_port_that_is_taken_says_so() -> None:
    with LoopbackServer() as server:
        done = finish(start("echo", "--port", str(server.port), stdin=subprocess.DEVNULL))
    assert (done.status, done.out) == (3, b"")
    assert f"cannot listen on port {server.port}" in done.err


@pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux tells it")
def test_the_echo_server_keeps_no_messages() -> None:
    """It runs for as long as one likes: what it has received is nobody's to look at."""
    with start("echo", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[-1]

        def resident() -> int:
            (line,) = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.M)
            return int(line) >> 10

        def talk(rounds: int) -> None:
            with connect(url) as connection:
                for _ in range(rounds):
                    connection.send(bytes(1 << 20))
                    connection.recv(SECONDS)

        talk(3)
        before = resident()
        talk(50)
        grown = resident() - before
        process.terminate()
    assert grown < 25
