"""What stdin says: bytes in, messages to send out.

Owns: the line that is not whole yet, and the count of lines. Runs on: the main thread. Must not import: the
connection.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator


class BadLine(Exception):  # noqa: N818 - it is the line that is bad
    """A line that cannot become a message; the text says which, and why."""


def decode_line(line: bytes, encoding: str | None) -> str | bytes:
    """The message that a line stands for; raises `ValueError` with the reason when it stands for none."""
    if encoding == "binary":
        return line
    if encoding == "hex":
        try:
            return bytes.fromhex(line.decode("ascii"))
        except ValueError:
            raise ValueError("it is not hexadecimal: pairs of digits are wanted") from None
    if encoding == "base64":
        try:
            return base64.b64decode(line.strip(), validate=True)
        except binascii.Error as error:
            raise ValueError(f"it is not base64: {error}") from None
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(
            f"it is not UTF-8 (0x{byte:02x} at byte {error.start + 1}), and text messages are; "
            "--binary sends such lines as binary messages, --file - the whole of stdin as one"
        ) from None


class Lines:
    """Cuts what is read into messages.

    A line ends with LF, or CR LF, which is no part of the message; with `null` it ends with a zero byte. The
    last one need not end. An empty line is an empty message.
    """

    def __init__(self, encoding: str | None = None, *, null: bool = False) -> None:
        self._encoding = encoding
        self._end = b"\0" if null else b"\n"
        self._pieces: list[bytes] = []
        self._number = 0

    def feed(self, data: bytes) -> Iterator[str | bytes]:
        """The messages that these bytes end; raises `BadLine` where one is none."""
        first, end, rest = data.partition(self._end)
        if not end:
            if data:
                self._pieces.append(data)  # The pieces are joined once, however many reads a line takes.
            return
        lines = [b"".join([*self._pieces, first]), *rest.split(self._end)]
        self._pieces = [last] if (last := lines.pop()) else []
        for line in lines:
            yield self._message(line)

    def finish(self) -> Iterator[str | bytes]:
        """The last line, when nothing ends it."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            yield self._message(b"".join(pieces))

    def _message(self, line: bytes) -> str | bytes:
        self._number += 1
        if self._end == b"\n" and self._encoding != "binary":
            line = line.removesuffix(b"\r")
        try:
            return decode_line(line, self._encoding)
        except ValueError as error:
            raise BadLine(f"line {self._number} of stdin was not sent: {error}") from None
