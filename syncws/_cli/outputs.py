"""How messages are printed.

Owns: the forms: as they are, hexadecimal, base64, JSON Lines, files. Runs on: the receiving thread; `sending`
on the main thread too. Must not import: the connection.

In a pipe a message is its bytes and a line end. On a terminal control characters are written out, and binary
messages are hexadecimal.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from .connecting import UsageError
from .escapes import escape, escape_json, escape_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .console import Console

# How many bytes of a binary message a person sees without asking for all of it.
SHOWN_BYTES = 256


class SaveFailed(Exception):  # noqa: N818 - named for what happened
    """A file of --save cannot be written."""


def make_folder(path: str | None) -> None:
    """Make the folder of --save, if it is not there, before anything is sent. Raises `UsageError`."""
    try:
        if path is not None:
            os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save: {path} cannot be made: {error.strerror}") from None


class Printer:
    """Prints what happens on stdout, in the form that the command line asks for."""

    def __init__(
        self,
        console: Console,
        *,
        encoding: str | None = None,
        null: bool = False,
        pretty: bool = False,
        jsonl: bool = False,
        save: str | None = None,
        marks: bool = False,
    ) -> None:
        """With `marks`, lines begin with a mark, as in a conversation on a terminal."""
        self._console = console
        self._encoding = encoding
        self._end = b"\0" if null else b"\n"
        self._pretty = pretty
        self._jsonl = jsonl
        self._folder = save
        self._number = 0
        self._one_event = threading.RLock()  # The main thread prints what was sent, the receiver what came.
        self._mark = console.paint("<", "received") + " " if marks else ""

    def received(self, message: str | bytes) -> None:
        """Print a message that came."""
        if self._folder is not None:
            name = self._save(message)
            self._event("message", **_describe(message), file=name) if self._jsonl else self._text(name)
        elif self._jsonl:
            self._event("message", **_describe(message), **_data(message))
        elif self._console.out_is_terminal:
            self._console.put_line(self._mark + self._shown(message))
        elif isinstance(message, bytes) and self._encoding in ("hex", "base64"):
            self._console.put(self._spelt(message).encode() + self._end)
        elif isinstance(message, bytes):
            self._console.put(message + self._end)
        else:
            self._console.put(self._pretty_text(message).encode("utf-8") + self._end)

    @contextlib.contextmanager
    def sending(self, message: str | bytes) -> Iterator[None]:
        """Print that a message was sent within, if the options ask for that, and before any answer to it."""
        if not self._jsonl:
            yield
            return
        with self._one_event:
            yield
            self._event("sent", **_describe(message), **_data(message))

    def event(self, kind: str, **fields: Any) -> None:
        """Print an event other than a message, if the options ask for that."""
        if self._jsonl:
            self._event(kind, **fields)

    def _event(self, kind: str, **fields: Any) -> None:
        with self._one_event:
            record = {"time": round(time.time(), 6), "kind": kind, **fields}
            text = escape_json(json.dumps(record, ensure_ascii=False))
            if self._console.out_is_terminal:
                self._console.put_line(text)
            else:
                self._console.put(text.encode("utf-8") + b"\n")

    def _text(self, text: str) -> None:
        if self._console.out_is_terminal:
            self._console.put_line(self._mark + escape(text))
        else:
            self._console.put(os.fsencode(text) + self._end)

    def _shown(self, message: str | bytes) -> str:
        if isinstance(message, str):
            pretty = self._pretty_text(message)
            if pretty is not message:
                return escape_lines(pretty).replace("\n", "\n" + " " * (2 if self._mark else 0))
            return escape(message)
        if self._encoding in ("hex", "base64"):
            return self._spelt(message)
        digits = message[:SHOWN_BYTES].hex(" ")
        more = " …" if len(message) > SHOWN_BYTES else ""
        return f"(binary, {len(message)} bytes) {digits}{more}".rstrip()

    def _spelt(self, message: bytes) -> str:
        return message.hex() if self._encoding == "hex" else base64.b64encode(message).decode()

    def _pretty_text(self, message: str) -> str:
        if self._pretty:
            try:
                value = json.loads(message)
            except (ValueError, RecursionError):
                return message
            if isinstance(value, (dict, list)):
                return json.dumps(value, ensure_ascii=False, indent=2)
        return message

    def _save(self, message: str | bytes) -> str:
        assert self._folder is not None
        binary = isinstance(message, bytes)
        try:
            while True:
                self._number += 1
                path = os.path.join(self._folder, f"{self._number:05}.{'bin' if binary else 'txt'}")
                try:
                    with open(path, "xb") as file:  # The "x" spares files of an earlier run.
                        file.write(message if isinstance(message, bytes) else message.encode("utf-8"))
                    return path
                except FileExistsError:
                    continue
        except OSError as error:
            raise SaveFailed(f"{self._folder}: a message cannot be saved: {error.strerror}") from error


def _describe(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, str):
        return {"type": "text", "size": len(message.encode("utf-8"))}
    return {"type": "binary", "size": len(message)}


def _data(message: str | bytes) -> dict[str, str]:
    if isinstance(message, str):
        return {"data": message}
    return {"encoding": "base64", "data": base64.b64encode(message).decode()}
