"""A file becomes one message.

Owns: the open file. Runs on: the main thread, in `send`. Must not import: the connection.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .connecting import UsageError
from .inputs import BadLine

_CHUNK = 65536


class Source:
    """A file that is to be sent, opened before anything is connected.

    Attributes:
        name: as it was given.
        total: its size in bytes; None for a file without one, such as a pipe.
    """

    def __init__(self, path: str, *, as_text: bool) -> None:
        """``-`` is stdin. Raises `UsageError` when it cannot be read."""
        self.name = "stdin" if path == "-" else path
        self._as_text = as_text
        try:
            # This is unbuffered, since Python would hold the buffer's lock while it waits for stdin.
            where = 0 if path == "-" else path
            self._file: BinaryIO = open(where, "rb", buffering=0, closefd=path != "-")  # noqa: SIM115 - see close
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise UsageError(f"{self.name} cannot be read: {error.strerror}") from None
        self.total = status.st_size if stat.S_ISREG(status.st_mode) else None

    def chunks(self, on_chunk: Callable[[int], None]) -> Iterator[str] | Iterator[bytes]:
        """The content in chunks. `on_chunk` is called with the size of each before it is yielded."""
        pieces = self._pieces(on_chunk)
        return self._decoded(pieces) if self._as_text else pieces

    def close(self) -> None:
        self._file.close()

    def _pieces(self, on_chunk: Callable[[int], None]) -> Iterator[bytes]:
        empty = True
        try:
            while piece := self._file.read(_CHUNK):
                empty = False
                on_chunk(len(piece))
                yield piece
        except OSError as error:
            raise BadLine(f"{self.name} cannot be read: {error.strerror}") from None
        if empty:
            yield b""  # An empty file is sent as an empty message.

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for piece in pieces:
                yield decoder.decode(piece)
            if rest := decoder.decode(b"", final=True):
                yield rest
        except UnicodeDecodeError:
            raise BadLine(
                f"{self.name} is not UTF-8, as text messages are; without --text it is sent as binary"
            ) from None
