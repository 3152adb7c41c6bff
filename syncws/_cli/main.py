"""``syncws`` and ``python -m syncws``: from a command line to an exit status.

Owns: which of the commands runs. Runs on: the main thread. Must not import: the engine.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from .arguments import COMMANDS, build_parser
from .console import Console, OutputClosed, OutputFailed, open_missing_descriptors
from .signals import Stopped, stopping
from .statuses import Status

if TYPE_CHECKING:
    import argparse


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    open_missing_descriptors()
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A terminal need not know every character.
    try:
        with stopping():
            return _run(given)
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except Stopped as stopped:
        return stopped.status
    except OutputClosed:
        return Status.DONE
    except OutputFailed as error:
        Console().say(str(error))
        return Status.USAGE
    finally:
        _flush()


def _flush() -> None:
    """Write what argparse has printed; where nobody reads it, Python must not complain at its exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(given: list[str]) -> int:
    command = given[0] if given else ""
    if command in COMMANDS:
        return _run_command(command, given[1:])
    parser = build_parser(_program())
    parsed = parser.parse_args(given)
    _check_combinations(parser, parsed)
    console = Console(colour=parsed.color, quiet=parsed.quiet)
    from .run import run_url  # This import stands here, since --help and the demo do not need it.

    return run_url(parsed, parser, console)


def _program() -> str:
    """The words that started the program, for usage and errors."""
    # A program of the user's that was started with -m may call `main`, too.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return "python -m syncws" if getattr(spec, "name", None) == "syncws.__main__" else "syncws"


def _run_command(command: str, given: list[str]) -> int:
    # These imports stand here, since no command needs the modules of the others.
    if command == "demo":
        from .demo import run_demo

        return run_demo(given, _program())
    if command == "echo":
        from .echo import run_echo

        return run_echo(given, _program())
    from .completion import run_completion

    return run_completion(given, _program())


def _check_combinations(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    """Refuse what cannot go together, before anything is done."""
    sources = [name for name in ("message", "file", "listen", "check") if getattr(parsed, name)]
    if len(sources) > 1 and sources != ["message", "listen"]:
        parser.error(" and ".join(f"--{name}" for name in sources) + " cannot go together")
    idle = [name for name in ("count", "expect", "reconnect", "jsonl", "save") if _is_given(parsed, name)]
    if parsed.check and idle:
        parser.error(f"--check and --{idle[0]} cannot go together")
    if parsed.text and not parsed.file:
        parser.error("--text goes with --file: a line is sent as text without it")


def _is_given(parsed: argparse.Namespace, name: str) -> bool:
    value = getattr(parsed, name)
    return value is not None and value is not False  # The 0 of -n 0 is given, too.
