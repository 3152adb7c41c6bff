"""The exceptions: the caller's mistakes, and the faults of the network and of the server.

Owns: every exception class of the package. Runs on: any thread. Must not import: anything of the package but
`_headers` and `_quoting`.

The caller's mistakes (raised at the call, named as in `xml.dom`):

    DOMException
      SyntaxErr           also a ValueError
      SecurityErr
      InvalidAccessErr    also a ValueError
      InvalidStateErr     also a RuntimeError

The faults of others: the callback API hands them to `onerror` as `ErrorEvent.error`, the blocking API raises
them. What the operating system or the TLS library reports keeps its own class (`ConnectionRefusedError`,
`socket.gaierror`, `ssl.SSLCertVerificationError`, `TimeoutError`: all of them `OSError`); the rest is:

    WebSocketError
      HandshakeError      the answer to the opening handshake was refused or broken
      ProtocolError       the server broke RFC 6455 or RFC 7692, or passed a limit
      ConnectionLost      TCP ended without a Close frame; also a ConnectionError
      ThreadStartError    the system gives no more threads; also a RuntimeError and an OSError
      BufferFull          max_buffered would be passed (raised by `send`)
      ConnectionClosed    the connection is over (raised by the blocking API)
"""

from __future__ import annotations

from collections.abc import Iterable

from ._headers import Headers
from ._quoting import printable as printable


class DOMException(Exception):
    """An error that the interface itself raises, with the name and code of the Web IDL standard.

    Attributes:
        name: the standard's name, for example ``"SyntaxError"``.
        code: the legacy code, for example 12.
        message: what was wrong, naming the argument and the bad value.
    """

    name = "Error"
    code = 0

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class SyntaxErr(DOMException, ValueError):
    """An argument does not follow the grammar it must follow (a URL, a subprotocol, text)."""

    name = "SyntaxError"
    code = 12


class SecurityErr(DOMException):
    """The URL names a port that the Fetch standard blocks."""

    name = "SecurityError"
    code = 18


class InvalidAccessErr(DOMException, ValueError):
    """A close code that applications may not send."""

    name = "InvalidAccessError"
    code = 15


class InvalidStateErr(DOMException, RuntimeError):
    """The call is not possible in the object's present state."""

    name = "InvalidStateError"
    code = 11


class WebSocketError(Exception):
    """The base class of the errors of a connection, except those of the operating system and of TLS."""


class HandshakeError(WebSocketError):
    """The opening handshake failed: the server refused, or its answer is not a valid one.

    Attributes:
        status: the HTTP status, or None when no status line could be read.
        reason: the reason phrase beside the status, ``""`` when there was none.
        headers: the answer's headers, a case-insensitive mapping.
        body: the answer's body as HTTP frames it (chunks joined), at most 64 KiB of it. Of a body without a
            length, it is what came within a second.

    The error's text quotes only the beginning of the body.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers: Headers = Headers(headers)
        self.body = body


class ProtocolError(WebSocketError):
    """The server broke the protocol, or a message passed a limit.

    Attributes:
        close_code: the code that the Close frame sent in answer carries (RFC 6455 7.4.1).
    """

    def __init__(self, message: str, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class ConnectionLost(WebSocketError, ConnectionError):
    """TCP ended, or was reset, before the closing handshake was done."""


class ThreadStartError(WebSocketError, RuntimeError, OSError):
    """The system gives no more threads: an error like any other of its limits, such as that of open files."""


class BufferFull(WebSocketError):
    """With this message more bytes would wait than `max_buffered` allows; nothing was sent or counted."""


class ConnectionClosed(WebSocketError):
    """The connection is over; the cause, if it failed, is chained as ``__cause__``.

    Attributes:
        code: the close code: the server's, 1005 when its Close frame had none, 1006 after a failure.
        reason: the server's reason as it came, ``""`` when it gave none. The text of the error and its repr
            have ``...`` in the place of what this connection had sent as a credential.
        wasClean: True after an orderly close. `Connection.recv` raises as soon as the server's Close frame is
            here, when our answer may still be on its way: then it is False, and the next call says True.
        unsent: how many bytes ``send()`` took that were not handed to the network.
    """

    def __init__(
        self, code: int, reason: str, was_clean: bool, *, unsent: int = 0, shown: str | None = None
    ) -> None:
        """`shown` is the reason as texts show it, where it holds a secret."""
        self._shown = reason if shown is None else shown
        self._said = said = printable(f"{code} {self._shown}".rstrip())
        # 1006 is never sent over the network: it stands for a failure (RFC 6455 7.4.1).
        super().__init__(f"connection failed: {said}" if code == 1006 else f"connection closed: {said}")
        self.code = code
        self.reason = reason
        self.wasClean = was_clean
        self.unsent = unsent

    def __str__(self) -> str:
        cause = "" if self.__cause__ is None else f": {self.__cause__}"
        unsent = f"{self.unsent} bytes were not sent"
        # After a standstill the text of the cause already says how much was not sent.
        return super().__str__() + cause + (f" ({unsent})" if self.unsent and unsent not in cause else "")

    def __repr__(self) -> str:
        unsent = f", unsent={self.unsent}" if self.unsent else ""
        cause = "" if self.__cause__ is None else f", cause={self.__cause__!r}"
        clean = f"wasClean={self.wasClean}"
        return f"{type(self).__name__}(code={self.code}, reason={self._shown!r}, {clean}{unsent}{cause})"

    def __reduce__(self) -> tuple[object, ...]:
        # Without this, copying and unpickling would call the constructor with the text alone.
        return type(self), (self.code, self._shown, self.wasClean), self.__dict__
