"""Text that a server chose, made safe to show.

Owns: the list of characters that a terminal may act upon. Runs on: any thread. Must not import: anything of
the package.

A terminal obeys control characters: they move the cursor, change the title, begin lines that look like
somebody else's. Direction marks reorder what is read. Both are shown as Python writes them: ``\\x1b``.
"""

from __future__ import annotations

# Direction marks and overrides, and the two separators that some viewers take for a line's end.
_OTHERS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), *_OTHERS)

_VISIBLE = {code: repr(chr(code))[1:-1] for code in _CONTROLS}
# JSON has these escapes too, so that what is shown stays JSON; json.dumps escapes the lower ones itself.
_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS}


def escape(text: str) -> str:
    """The text with every control character, line ends and tabs included, written out."""
    return text.translate(_VISIBLE)


def escape_json(text: str) -> str:
    """The same for JSON in one line: it means what it meant before."""
    return text.translate(_JSON)


def escape_lines(text: str) -> str:
    """The same for a text whose line ends are ours."""
    return "\n".join(escape(line) for line in text.split("\n"))
