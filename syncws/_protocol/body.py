"""The body of an answer other than 101, and where it ends (RFC 9112 6 and 7).

Owns: the bytes of one body, up to a limit. Runs on: the thread that opens the connection. Must not import:
anything with I/O or threads.

The body of a refusal only explains it. So a malformed part ends the body, and never hides the refusal.
"""

from __future__ import annotations

from .http11 import Response, get_list

#: The largest body that an error carries. It holds any page and any JSON object that explains a refusal.
MAX_BODY = 64 * 1024

# The longest line of a chunked body: a chunk's extensions, or a trailer field.
_MAX_LINE = 4096


class BodyParser:
    """Takes the bytes after an answer's head, and knows when the body is whole.

    Attributes:
        body: the bytes of the body that have come, without chunk headers.
        framed: whether the head says where the body ends; otherwise it ends with the connection.
        done: whether the body is complete, or as large as the limit.
    """

    def __init__(self, response: Response) -> None:
        self.body = b""
        codings = get_list(response.headers.get_all("Transfer-Encoding"))
        self._chunked = "chunked" in [coding.lower() for coding in codings[-1:]]
        self._left = None if codings else _content_length(response)
        self.framed = self._chunked or self._left is not None
        self.done = response.status in (204, 304) or self._left == 0
        self._buffer = bytearray()  # the bytes of a chunked body that are not parsed yet
        self._in_trailer = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.done:
            return
        if self._chunked:
            self._buffer += data
            while not self.done and self._parse_chunked():
                pass
            return
        self._keep(data)

    def _keep(self, data: bytes | bytearray) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.body += data[: MAX_BODY - len(self.body)]
        if len(self.body) == MAX_BODY or (self._left == 0 and not self._chunked):
            self.done = True

    def _parse_chunked(self) -> bool:
        """Parse one element of the buffer. Returns False when more bytes must come first."""
        if self._left:
            data = self._buffer[: self._left]
            del self._buffer[: len(data)]
            self._keep(data)
            return bool(data)
        end = self._buffer.find(b"\n")
        if end < 0:
            self.done = len(self._buffer) > _MAX_LINE
            return False
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        if self._in_trailer:
            self.done = not line
        elif self._left == 0:  # This is the line end after a chunk's data.
            self._left = None
            self.done = bool(line)
        else:
            size = _chunk_size(line)
            self._left = size or 0
            self.done = size is None
            self._in_trailer = self._left == 0
        return True


def _chunk_size(line: bytes) -> int | None:
    """The size of a chunk, without its extensions (RFC 9112 7.1).

    Returns None if it is malformed, or has more than 16 digits.
    """
    digits = line.partition(b";")[0].strip(b" \t")
    if not 0 < len(digits) <= 16 or digits.strip(b"0123456789ABCDEFabcdef"):
        return None
    return int(digits, 16)


def _content_length(response: Response) -> int | None:
    """The length of the body; None when the head has none, or no valid one (RFC 9112 6.3)."""
    lengths = set(get_list(response.headers.get_all("Content-Length")))
    if len(lengths) != 1:
        return None
    length = lengths.pop()
    # A longer number is over the limit in any case, and int() would refuse very long ones.
    return int(length[:19]) if length.isascii() and length.isdecimal() else None
