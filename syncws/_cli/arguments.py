"""The parser: the commands, and what a command line asks for.

Owns: nothing. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import argparse
import shutil
from typing import Any, NoReturn

from .._version import __version__
from . import hints
from .flags import FLAGS, GROUPS
from .statuses import MEANINGS

COMMANDS = {
    "demo": "a client and a server talk, event by event; needs nothing",
    "echo": "an echo server on this machine, for trying",
    "completion": "the completion for a shell: bash, zsh or fish",
}

_EXAMPLES = """\
examples:
  syncws demo
  syncws ws://localhost:8765/                       a conversation, line by line
  echo hello | syncws wss://chat.example.com/       one question, one answer
  syncws -m subscribe -n 5 wss://feed.example.com/ | jq .price
  syncws --check wss://chat.example.com/ || alarm"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors fit on two lines, and which knows our options' names in other programs."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as `argparse` does. The error for an unknown option names the one that is meant."""
        parsed, left = self.parse_known_args(args, namespace)
        if left:
            options = [given for given in left if given.startswith("-")]
            wanted = " and ".join(f"one {a.metavar or a.dest}" for a in self._actions if not a.option_strings)
            self.error(hints.unknown(options or left, self._option_string_actions, wanted or "no argument"))
        return parsed

    def error(self, message: str) -> NoReturn:
        # argparse takes the -1 of "-w -1" for the option --one.
        if message == "argument -w/--wait: expected one argument":
            message += ", a number of seconds or none, which waits for ever"
        self.exit(2, f"usage: {self.usage}\n{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser(prog: str = "syncws") -> Parser:
    """The parser for a URL. `main` looks for the other commands before it uses this parser."""
    parser = Parser(
        prog=prog,
        usage=f"{prog} [options] URL | {prog} {' | '.join(COMMANDS)}",
        description="Talk to a WebSocket server: lines of stdin become messages, messages go to stdout, "
        "everything else to stderr. After the end of stdin it waits for as many messages as lines were "
        "sent, at most --wait seconds.",
        epilog=_epilog(),
        formatter_class=_Formatter,
        add_help=False,
        allow_abbrev=False,  # An abbreviation in a script would break with the next option.
    )
    parser.add_argument("url", metavar="URL", help="ws: or wss:; or one of the commands below")
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    for flag in FLAGS:
        groups[flag.group].add_argument(*flag.names, **flag.settings)
    about = parser.add_argument_group("about")
    about.add_argument("-h", "--help", action="help", help="this text")
    about.add_argument("-V", "--version", action="version", version=f"syncws {__version__}")
    return parser


def direct_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that `connect` takes as they stand, without those that the command line does not have."""
    found = {}
    for flag in FLAGS:
        if flag.direct and (value := getattr(arguments, flag.keyword)) not in (None, False):
            found[flag.keyword] = value
        elif flag.direct and flag.settings.get("default") is not None:
            found[flag.keyword] = value  # The command line says "none", and that is not the default.
    return found


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Formats help as wide as the terminal, with names in one column and texts in another."""

    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns) - 2
        super().__init__(prog, max_help_position=30, width=width)

    def _format_text(self, text: str) -> str:
        # The description is one paragraph; the epilog has lines of its own.
        if "\n" in text:
            return super()._format_text(text)
        return argparse.HelpFormatter._fill_text(self, text, self._width, "") + "\n\n"


def _epilog() -> str:
    commands = "\n".join(f"  {name:<13}{text}" for name, text in COMMANDS.items())
    meanings = "\n".join(f"  {int(status):<5}{text}" for status, text in MEANINGS)
    return f"commands:\n{commands}\n\nexit status:\n{meanings}\n\n{_EXAMPLES}"
