"""What the values of the command line's options mean: seconds, sizes, counts, headers.

Owns: nothing. Runs on: the main thread. Must not import: the connection.
"""

from __future__ import annotations

import argparse
import math
import re

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def seconds(text: str) -> float | None:
    """A number of seconds of 0 and more; "none" means without end."""
    if text.lower() in ("none", "inf"):
        return None
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds or none is wanted, not {text!r}")
    return value


def size(text: str) -> int | None:
    """A number of bytes with k, M or G; "none" means without limit."""
    if text.lower() in ("none", "inf"):
        return None
    found = re.fullmatch(r"(\d+)([kmg]?)(i?b)?", text.lower())
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"a number of bytes (such as 16M) or none is wanted, not {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def count(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number of 0 and more is wanted, not {text!r}")
    return int(text)


def port(text: str) -> int:
    """A port to listen on; 0 for a free one."""
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a number from 0 to 65535 is wanted, not {text!r}")
    return int(text)


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def headers(text: str) -> list[tuple[str, str]]:
    """``Name: value``, or ``@file`` with one in each line; a value is never quoted in an error."""
    if not text.startswith("@"):
        return [_header(text, "a header")]
    try:
        with open(text[1:], encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise argparse.ArgumentTypeError(f"{text[1:]} cannot be read: {reason}") from None
    return [
        _header(line, f"line {number} of {text[1:]}") for number, line in enumerate(lines, 1) if line.strip()
    ]


def _header(text: str, where: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{where} must have the form 'Name: value'")
    return name.strip(), value.strip()


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port``, ``[::1]:port``."""
    host, _, port = text.rpartition(":")
    if not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, not {text!r}")
    return host.strip("[]"), int(port)


def resolution(text: str) -> tuple[str, int, str]:
    """``host:port:address``, as curl has it."""
    found = re.fullmatch(r"\[?([^\[\]]+?)\]?:(\d+):\[?([^\[\]]+)\]?", text)
    if not found or not 0 < int(found[2]) < 65536:
        raise argparse.ArgumentTypeError(f"HOST:PORT:ADDRESS is wanted, not {text!r}")
    return found[1], int(found[2]), found[3]
