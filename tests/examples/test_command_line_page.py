"""The first commands of the page about the command line, and its completion, do what it says, in a shell."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.examples.command_line_page import PAGE, Shell, needs_shell, recipe
from tests.support.page_blocks import keep
from tests.support.page_servers import serving
from tests.support.programs import PROGRAM_SECONDS
from tests.support.threads import all_at_once

if TYPE_CHECKING:
    import trustme

pytestmark = needs_shell


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_loads(shell: str, authority: trustme.CA, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    [line] = [line for line in recipe("completion").splitlines() if f"completion {shell}" in line]
    ahead = (
        "autoload -U compinit && compinit -D\n" if shell == "zsh" else "mkdir -p ~/.config/fish/completions\n"
    )
    with serving(keep, authority, tmp_path) as servers:
        there = Shell(servers, tmp_path)
        there.environment["HOME"] = str(tmp_path)
        assert there.run(ahead + line, shell) == ""


def serve_until_ctrl_c(shell: Shell, command: str) -> str:
    """What a server says first; then Ctrl-C ends it."""
    with subprocess.Popen(
        f"exec {command} --port 0".split()[1:],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(signal.SIGINT)
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PROGRAM_SECONDS)
            process.kill()
    return line


def test_the_first_commands_do_what_they_say(authority: trustme.CA, tmp_path: Path) -> None:
    """The third one, a conversation at a terminal, is tests/cli/test_terminal.py's."""
    demo, serve, talk, ask = (line.partition(" #")[0] for line in PAGE.split("```")[1].splitlines()[1:])
    assert talk == "syncws ws://127.0.0.1:8765/".ljust(len(talk))
    with serving(keep, authority, tmp_path) as servers:
        shell = Shell(servers, tmp_path)
        done = all_at_once(
            {
                "demo": partial(shell.run, demo),
                "ask": partial(shell.run, ask),
                "serve": partial(serve_until_ctrl_c, shell, serve),
            }
        )
    assert "onclose 1000" in done["demo"].result()
    assert done["ask"].result() == "hello\n"
    assert "ws://127.0.0.1:" in done["serve"].result()
