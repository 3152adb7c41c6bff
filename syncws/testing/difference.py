"""The difference of two messages, as lines for a failed test.

Owns: nothing. Runs on: any thread. Must not import: anything of the package.
"""

from __future__ import annotations

import difflib
import json
from itertools import islice, takewhile

Message = str | bytes
"""A message as the application sees it: text or binary."""

_WIDTH = 76
_LINES = 40
# How many lines are compared with each other: `difflib` takes minutes for some ten thousand lines.
_WINDOW = 400


def shorten(message: Message, width: int = _WIDTH) -> str:
    """The repr of a message on one line of bounded length."""
    text = repr(message[: width * 2])
    if len(text) <= width and len(message) <= width * 2:
        return text
    return f"{text[: width - 1]}… ({len(message)} {'characters' if isinstance(message, str) else 'bytes'})"


def are_equal(expected: Message, received: Message) -> bool:
    """Whether they are the same message, or two JSON texts of one value."""
    if expected == received:
        return True
    if not (isinstance(expected, str) and isinstance(received, str)):
        return False
    first, second = _pretty(expected), _pretty(received)
    return first is not None and first == second


def describe_difference(expected: Message, received: Message, names: tuple[str, str]) -> str:
    """Some lines that show where two messages differ; ``names`` says what each of them is."""
    if isinstance(expected, str) and isinstance(received, str):
        first, second = _pretty(expected), _pretty(received)
        if first is not None and second is not None:
            return _describe_lines(first, second, names)
    elif isinstance(expected, str) or isinstance(received, str):
        kinds = tuple("text" if isinstance(message, str) else "binary" for message in (expected, received))
        return _describe_pair(f"{kinds[0]} {shorten(expected)}", f"{kinds[1]} {shorten(received)}", names)
    at = next((i for i, (a, b) in enumerate(zip(expected, received, strict=False)) if a != b), None)
    at = min(len(expected), len(received)) if at is None else at
    start = max(0, at - 20)
    pair = _describe_pair(shorten(expected[start:]), shorten(received[start:]), names)
    unit = "character" if isinstance(expected, str) else "byte"
    return f"{pair}\n(from {unit} {start} on; they differ from {unit} {at} on)"


def _pretty(text: str) -> list[str] | None:
    """The lines of a JSON text, with sorted keys; None for a text that is no JSON object or array."""
    try:
        value = json.loads(text, parse_float=_parse_float)
        if not isinstance(value, dict | list):
            return None
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):  # A RecursionError is for a text that is nested too deeply.
        return None


def _parse_float(text: str) -> float:
    """The number; as an integer where it is one, since JSON and JavaScript do not tell 1.0 from 1."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _describe_lines(first: list[str], second: list[str], names: tuple[str, str]) -> str:
    start, is_cut = 0, max(len(first), len(second)) > _WINDOW
    if is_cut:
        pairs = enumerate(zip(first, second, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
        start = max(0, at - 2)
        first, second = first[start : start + _WINDOW], second[start : start + _WINDOW]
    lines = list(islice(difflib.unified_diff(first, second, *names, lineterm="", n=2), _LINES + 1))
    if is_cut:
        # The ends of the windows need not belong together, so a second hunk may show no true difference.
        lines = lines[:2] + list(takewhile(lambda line: not line.startswith("@@"), lines[3:]))
    if len(lines) > _LINES:
        lines[_LINES:] = ["…"]
    if is_cut:
        lines.append(f"(from line {start + 1} on)")
    return "\n".join(lines)


def _describe_pair(first: str, second: str, names: tuple[str, str]) -> str:
    width = max(map(len, names))
    return f"{names[0]:>{width}}: {first}\n{names[1]:>{width}}: {second}"
