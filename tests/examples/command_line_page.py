"""The page about the command line: its text, and a shell in which its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.page_servers import Servers
from tests.support.programs import PROGRAM_SECONDS, ROOT

needs_shell = pytest.mark.skipif(os.name != "posix", reason="the page's commands are for a POSIX shell")

PAGE = (ROOT / "docs" / "command-line.md").read_text("utf-8")
RECIPES = re.findall(r"^```sh\n(.*?)^```$", PAGE.partition("## Recipes")[2], re.M | re.S)


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
