"""What shells do to the streams: stdin, stdout and stderr may be closed, empty, or on a disk that is full."""

from __future__ import annotations

import os
import sys

import pytest

from syncws.testing import LoopbackServer
from tests.cli.scripts import Recorder, say
from tests.cli.shell import shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell's ways with streams are POSIX")


def test_a_closed_stderr_is_no_trouble() -> None:
    with LoopbackServer(say("hello", code=4001)) as server:
        done = shell("syncws --listen $url 2>&-", server.url)
        assert (done.returncode, done.stdout) == (1, b"hello\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed_are_taken_for_empty_ones(closed: str) -> None:
    with LoopbackServer(say("hello")) as server:
        done = shell(f"syncws $url {closed} </dev/null".replace("<&- </dev/null", "<&-"), server.url)
    assert done.returncode == 0
    assert done.stdout == (b"" if ">&-" in closed.split() else b"hello\n")


def test_dev_null_is_an_empty_stdin() -> None:
    script = Recorder()
    with LoopbackServer(script) as server:
        done = shell("syncws $url </dev/null", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert script.close_codes == [1000]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_is_told() -> None:
    with LoopbackServer(say("hello")) as server:
        done = shell("syncws --listen $url >/dev/full", server.url)
    assert (done.returncode, done.stderr) == (
        2,
        b"syncws: stdout cannot be written: No space left on device\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_an_answer_that_a_full_disk_does_not_take_is_told_on_one_line() -> None:
    with LoopbackServer() as server:
        done = shell("echo hello | syncws $url >/dev/full", server.url)
    assert (done.returncode, done.stderr) == (
        2,
        b"syncws: stdout cannot be written: No space left on device\n",
    )
