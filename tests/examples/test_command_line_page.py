"""The commands of the page about the command line do what it says, in a shell."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncws.testing import Peer, in_turn
from tests.support.page_blocks import echo, keep, push
from tests.support.page_servers import Servers, serving
from tests.support.programs import PROGRAM_SECONDS, ROOT

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the page's commands are for a POSIX shell")

PAGE = (ROOT / "docs" / "command-line.md").read_text("utf-8")
RECIPES = re.findall(r"^```sh\n(.*?)^```$", PAGE.partition("## Recipes")[2], re.M | re.S)


SUBSCRIBE = '{"op":"subscribe"}'


def priced(peer: Peer) -> None:
    peer.accept()
    peer.recv()
    peer.send('{"price": 3}')
    peer.echo()


def feed(peer: Peer) -> None:
    peer.accept()
    peer.send(f"news for {peer.recv()!r}")
    peer.close(1000)


def lose(peer: Peer) -> None:
    peer.accept()
    peer.send(f"news for {peer.recv()!r}")
    peer.cut()


def take(peer: Peer) -> None:
    peer.accept()
    assert [peer.recv(), peer.recv()] == ["one", "two"]
    peer.recv()


class Shell:
    """Runs commands in `folder`, where ``syncws`` is this checkout's."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers, self.folder = servers, folder
        programs = folder / "bin"
        programs.mkdir()
        command = programs / "syncws"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m syncws "$@"\n', "utf-8")
        command.chmod(0o755)
        self.environment = servers.environment | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def run(self, command: str, shell: str = "sh") -> str:
        """What a command prints; it must end with 0."""
        done = subprocess.run(
            [shell, "-c", self._servers.leading_here(command)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=PROGRAM_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def recipe(beginning: str) -> str:
    """The one recipe that holds this."""
    found: str
    [found] = [block for block in RECIPES if beginning in block]
    return found


def check_price(shell: Shell) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    assert shell.run(recipe("jq .price") + "echo $price") == "3\n"


def check_record(shell: Shell) -> None:
    shell.run(recipe("minute.jsonl"))
    kinds = re.findall('"kind": "(\\w+)"', (shell.folder / "minute.jsonl").read_text("utf-8"))
    assert kinds == ["open", "message", "close"]


def check_feed(shell: Shell) -> None:
    shell.run(recipe("feed.log"))
    assert (shell.folder / "feed.log").read_text("utf-8").splitlines() == [f"news for {SUBSCRIBE!r}"] * 2


def check_file(shell: Shell) -> None:
    shell.run(recipe("film.mkv"))
    [answer] = (shell.folder / "answers").iterdir()
    assert answer.read_bytes() == (shell.folder / "film.mkv").read_bytes()


def check_har(shell: Shell) -> None:
    shell.run(recipe("session.har"))
    assert "_webSocketMessages" in (shell.folder / "session.har").read_text("utf-8")


def prints(beginning: str, out: str, ahead: str = "") -> Callable[[Shell], None]:
    def check(shell: Shell) -> None:
        assert re.search(out, shell.run(ahead + recipe(beginning).replace("tail -f", "cat")))

    return check


CASES: dict[str, tuple[Callable[[Peer], object], Callable[[Shell], None]]] = {
    "jq .price": (priced, check_price),
    "until syncws": (keep, prints("until syncws", "^$")),
    "|| alarm": (keep, prints("|| alarm", "open in .* ping")),
    "minute.jsonl": (push, check_record),
    "feed.log": (in_turn(lose, feed), check_feed),
    "app.log": (take, prints("app.log", "^$")),
    "film.mkv": (keep, check_file),
    "token-header.txt": (keep, prints("token-header.txt", "^hi\n$", "echo hi | ")),
    "192.0.2.7": (keep, prints("192.0.2.7", "^hi\n$", "echo hi | ")),
    "me.pem": (keep, prints("me.pem", "^hi\n$", "echo hi | ")),
    "session.har": (echo, check_har),
}


@pytest.mark.parametrize("beginning", CASES)
def test_the_recipe_does_what_it_says(beginning: str, authority: trustme.CA, tmp_path: Path) -> None:
    script, check = CASES[beginning]
    with serving(script, authority, tmp_path) as servers:
        check(Shell(servers, tmp_path))


def test_each_recipe_has_a_test() -> None:
    assert [block for block in RECIPES if not any(known in block for known in CASES)] == [
        block for block in RECIPES if "completion" in block
    ]


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


def test_the_first_commands_do_what_they_say(authority: trustme.CA, tmp_path: Path) -> None:
    """The third one, a conversation at a terminal, is tests/cli/test_terminal.py's."""
    demo, serve, talk, ask = (line.partition(" #")[0] for line in PAGE.split("```")[1].splitlines()[1:])
    assert talk == "syncws ws://127.0.0.1:8765/".ljust(len(talk))
    with serving(keep, authority, tmp_path) as servers:
        shell = Shell(servers, tmp_path)
        assert "onclose 1000" in shell.run(demo)
        assert shell.run(ask) == "hello\n"
        with subprocess.Popen(
            f"exec {serve} --port 0".split()[1:],
            cwd=tmp_path,
            env=shell.environment,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            try:
                assert process.stdout is not None
                assert "ws://127.0.0.1:" in process.stdout.readline()
                process.send_signal(signal.SIGINT)
            finally:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PROGRAM_SECONDS)
                process.kill()
