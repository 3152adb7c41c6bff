"""One accepted connection, as a script sees it.

Owns: the server's end of a WebSocket, well behaved or not. Runs on: the script's thread, which every method
blocks; other threads may send. Must not import: anything of the client but the layout of frames, so that a
fault there cannot hide behind the same fault here.
"""

from __future__ import annotations

import contextlib
import http
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from .._protocol.frames import FIN, Buffer, CloseCode, CloseFrame, Opcode, header
from .assembler import Assembler, parse_close
from .deflate import Deflate
from .recording import RecordedConnection
from .stream import ByteStream
from .wire import (
    Frame,
    Pairs,
    Request,
    accept_key,
    answer_head,
    frame_bytes,
    parse_frame,
    parse_request,
)

_RSV1 = 0x40

_STATUSES = frozenset(http.HTTPStatus)

# How many seconds the client may take to answer the Close frame of a script that has returned.
_GOODBYE = 1.0


class PeerClosed(Exception):  # noqa: N818 - a kin of `ConnectionClosed`
    """The client sent a Close frame; ``code`` is None when the frame had no body."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(f"the client closed: {code} {reason}".rstrip())
        self.code: int | None = code
        self.reason: str = reason


class Peer(ByteStream):
    """One accepted connection, seen from the server; every method blocks the script's own thread only.

    Every method that reads raises EOFError when the stream ends too early. A script that lets `PeerClosed`,
    EOFError or ConnectionError out has not failed: the connection has ended.

    Attributes:
        recorded: what the test sees of this connection, see `RecordedConnection`.
        socket: the blocking socket, for what no method does.
        closing: set when the server stops; ``peer.closing.wait(seconds)`` is a sleep that this ends.
    """

    def __init__(
        self,
        connection: socket.socket,
        closing: threading.Event,
        recorded: RecordedConnection,
        *,
        protocols: Sequence[str] = (),
        compression: bool = False,
    ) -> None:
        super().__init__(connection, closing)
        self.recorded = recorded
        self._request: Request | None = None
        self._protocols = protocols
        self._compression = compression
        self._assembler = Assembler()
        self._answered = 0  # the status of the last answer; 0 before the first
        self._close_sent = False

    # The opening handshake.

    @property
    def request(self) -> Request:
        """The head of the client's request; it is read when it is first asked for."""
        return self._request or self.read_request()

    def read_request(self) -> Request:
        """Read a request up to its empty line; a second call reads a second request."""
        return self._read_request(None)

    def _read_request(self, deadline: float | None) -> Request:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill(deadline)
        self._request = parse_request(self.recv_exactly(end + 4)[:-4])
        self.recorded._add_request(self._request)
        return self._request

    def accept(
        self,
        *,
        protocol: str | None = None,
        extensions: str | None = None,
        headers: Mapping[str, str] | Pairs = (),
        glued: bytes = b"",
        **fields: str,
    ) -> Request:
        """Answer the request with 101 and return it.

        Args:
            protocol: the subprotocol to select; None selects the first of the client's that the server was
                given as ``protocols``, if any.
            extensions: the ``Sec-WebSocket-Extensions`` to answer, as it is; None answers what the server's
                ``compression`` says.
            headers: further fields, a mapping or pairs.
            glued: bytes that go out in the same send, right behind the answer.
            fields: further fields by name: ``Set_Cookie="a=b"`` is ``Set-Cookie: a=b``.

        Raises:
            RuntimeError: it was accepted before.
            ValueError: the request is no opening handshake.
        """
        if self._answered == 101:
            raise RuntimeError("the script has called accept() before")
        request = self.request
        if (key := request.headers.get("Sec-WebSocket-Key")) is None:
            raise ValueError(f"the request has no Sec-WebSocket-Key: {request}")
        answer = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
        if protocol is None:
            offered = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
            protocol = next((one for one in offered if one in self._protocols), None)
        if protocol is not None:
            answer["Sec-WebSocket-Protocol"] = protocol
        if extensions is None and self._compression:
            deflate = Deflate.from_offer(request.headers.get("Sec-WebSocket-Extensions", ""))
            if deflate is not None:
                self._assembler.deflate, extensions = deflate, deflate.answer
        if extensions is not None:
            answer["Sec-WebSocket-Extensions"] = extensions
        named = ((name.replace("_", "-"), value) for name, value in fields.items())
        self._answer(101, "Switching Protocols", [*answer.items(), *_pairs(headers), *named], glued)
        return request

    def refuse(
        self,
        status: int = 403,
        headers: Mapping[str, str] | Pairs = (),
        body: bytes | str = b"",
        *,
        reason: str | None = None,
    ) -> None:
        """Answer the request with plain HTTP; the script may go on and read a second request.

        Args:
            status: the status of the answer, 403 by default.
            headers: its fields, a mapping or pairs; ``Content-Length`` is added unless they say how long the
                body is.
            body: what follows the head; a `str` goes out as UTF-8.
            reason: the words behind the status; None takes those of RFC 9110.

        Raises:
            RuntimeError: it was accepted before.
        """
        if self._answered == 101:
            raise RuntimeError("the script has called accept() before: what is open can only be closed")
        body = body.encode() if isinstance(body, str) else body
        pairs = _pairs(headers)
        told = {name.lower() for name, _ in pairs}
        if not told & {"content-length", "transfer-encoding"}:
            pairs = [("Content-Length", str(len(body))), *pairs]
        if reason is None:
            reason = http.HTTPStatus(status).phrase if status in _STATUSES else ""
        _ = self.request  # The request must be read before it is answered.
        self._answer(status, reason, pairs, body)

    def redirect(self, location: str, status: int = 302) -> None:
        """Answer the request with a redirect to another URL."""
        self.refuse(status, {"Location": location})

    def _answer(self, status: int, reason: str, headers: Pairs, rest: bytes) -> None:
        self._answered = status
        self.send_bytes(answer_head(status, reason, headers) + rest)

    def _check_open(self) -> None:
        """Tell a script that has forgotten the opening handshake, unless it has written an answer by hand."""
        if not self._has_sent:
            raise RuntimeError("the request is not answered: the script must call accept() first")

    # Messages.

    def recv(self, timeout: float | None = None) -> str | bytes:
        """The next message, its fragments joined; answers pings on the way.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            PeerClosed: the client sent a Close frame; a script that lets this out has the server answer it.
            RuntimeError: the request is not answered yet.
            TimeoutError: no message came in time; none is lost by that.
            ValueError: the client sent what no client may send.
        """
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            opcode, payload = self._assembler.add(self._recv_frame(deadline))
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                message = payload.decode() if opcode == Opcode.TEXT else payload
                self.recorded._add_message(message)
                return message
            if opcode == Opcode.CLOSE:
                raise self._see_close(payload)
            if opcode == Opcode.PING:
                self.pong(payload)

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages up to the client's Close frame, which is answered with the same code and reason."""
        while True:
            try:
                message = self.recv()
            except PeerClosed as closed:
                self._answer_close(closed)
                return
            yield message

    def echo(self) -> None:
        """Send back every message, a pong for each ping, a Close for the Close: one send for one read."""
        self._check_open()
        while not self._close_sent:
            out: list[bytes] = []
            at = 0
            while not self._close_sent and (found := parse_frame(self._buffer, at)) is not None:
                frame, at = found
                opcode, payload = self._assembler.add(frame)
                if opcode in (Opcode.TEXT, Opcode.BINARY):
                    self._record(opcode, payload)
                    out += self._message(opcode, payload)
                elif opcode == Opcode.PING:
                    out += (header(FIN | Opcode.PONG, len(payload), 0), payload)
                elif opcode == Opcode.CLOSE:
                    self._see_close(payload)
                    out += (header(FIN | opcode, len(payload), 0), payload)
                    self._close_sent = True
            del self._buffer[:at]
            if out:
                self.send_bytes(b"".join(out))
            else:
                self._fill()

    def _record(self, opcode: int, payload: bytes) -> None:
        if self.recorded._keeps:
            self.recorded._add_message(payload.decode() if opcode == Opcode.TEXT else payload)
        else:
            self.recorded._leave_out()

    def _message(self, opcode: int, payload: bytes) -> tuple[bytes, bytes]:
        first = FIN | opcode
        if self._assembler.deflate is not None:
            payload, first = self._assembler.deflate.compress(payload), first | _RSV1
        return header(first, len(payload), 0), payload

    def send(self, data: str | Buffer) -> None:
        """Send one message: text for a `str`, binary for anything else."""
        self._check_open()
        text = isinstance(data, str)
        try:
            # bytes() accepts an int or a list, too, which no script can have meant.
            payload = data.encode() if isinstance(data, str) else bytes(memoryview(data))
        except TypeError as error:
            kind = type(data).__name__
            hint = "json.dumps makes a str of what is JSON"
            raise TypeError(f"data must be a str or a bytes-like object, not {kind} ({hint})") from error
        with self._sending:  # Compressed messages must leave in the order of compression.
            self.socket.sendall(b"".join(self._message(Opcode.TEXT if text else Opcode.BINARY, payload)))

    def ping(self, data: bytes = b"") -> None:
        """Send a Ping frame, and do not wait for its pong."""
        self._check_open()
        self.send_frame(Opcode.PING, data)

    def pong(self, data: bytes = b"") -> None:
        """Send a Pong frame; `recv` and `echo` answer pings by themselves."""
        self._check_open()
        self.send_frame(Opcode.PONG, data)

    def close(self, code: int | None = 1000, reason: str = "", timeout: float = 5) -> None:
        """Send a Close frame, and read until the client's own: messages that come before it are recorded.

        Args:
            code: None sends a Close frame without a code.
            reason: at most 123 bytes of UTF-8.
            timeout: seconds to wait for each thing that the client sends.

        Raises:
            ValueError: no Close frame can hold these; `send_frame` sends one that no server may send.
            TimeoutError: the client did not answer in time.
        """
        if not self._close_sent:
            self.send_close(code, reason)
        while True:
            try:
                self.recv(timeout)
            except PeerClosed:
                return

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close frame and go on, as no good server does: `close` waits for the client's."""
        self._check_open()
        wrong = ""
        if code is None and reason:
            wrong = "without a code there can be no reason"
        elif code is not None and not 0 <= code < 1 << 16:
            wrong = f"a close code has two bytes, which {code} does not fit into"
        elif (size := len(reason.encode())) > 123:
            wrong = f"a close reason has 123 bytes at most, and this one {size}"
        if wrong:
            raise ValueError(f"{wrong} (send_frame(8, payload) sends any)")
        self.send_frame(Opcode.CLOSE, CloseFrame(code, reason).payload)

    def _answer_close(self, closed: PeerClosed) -> None:
        if not self._close_sent:
            self.send_close(closed.code, closed.reason)

    def _finish(self, code: int, reason: str) -> None:
        """Close in good order for a script that has returned, unless it has ended the connection itself."""
        if self._answered != 101 or self._close_sent or not self._reads or self.socket.fileno() < 0:
            return
        deadline = time.monotonic() + _GOODBYE
        if (theirs := self.recorded.close_code) is not None:
            self.send_close(
                None if theirs == CloseCode.NO_STATUS else theirs, self.recorded.close_reason or ""
            )
            return
        self.send_close(code, reason)
        with contextlib.suppress(TimeoutError):
            while (frame := self._recv_frame(deadline)).opcode != Opcode.CLOSE:
                pass
            self._see_close(frame.payload)

    def _tell_failure(self, error: BaseException) -> None:
        """Let the client know why its connection ends: that is where a test looks first."""
        text = f"{type(error).__name__} in the server's script: {error}".rstrip(": ").partition("\n")[0]
        with contextlib.suppress(OSError, EOFError, ValueError):
            if not self._has_sent and self._reads:
                self._refuse_late(text)
            else:
                # RFC 6455 5.5: 125 bytes at most, two of which are the code; no half of a character.
                self._finish(CloseCode.INTERNAL_ERROR, text.encode()[:123].decode(errors="ignore"))

    def _tell_unanswered(self) -> None:
        """Answer a client for a script that has returned without an answer, and has not ended TCP either."""
        if self._has_sent or not self._reads or self.socket.fileno() < 0 or self.closing.is_set():
            return
        with contextlib.suppress(OSError, EOFError, ValueError):
            self._refuse_late("the server's script returned without accept() or refuse()")

    def _refuse_late(self, text: str) -> None:
        if self._request is None:  # A client that still sends it would see no answer.
            self._read_request(time.monotonic() + _GOODBYE)
        self.refuse(500, body=text)

    def _see_close(self, payload: bytes) -> PeerClosed:
        code, reason = parse_close(payload)
        self.recorded._add_close(CloseCode.NO_STATUS if code is None else code, reason)
        return PeerClosed(code, reason)

    # Frames.

    def send_frame(
        self, opcode: int, payload: Buffer = b"", *, fin: bool = True, rsv: int = 0, key: bytes | None = None
    ) -> None:
        """Send one frame, whether RFC 6455 allows it or not; the arguments are those of `frame_bytes`."""
        self._close_sent = self._close_sent or opcode == Opcode.CLOSE
        self.send_bytes(frame_bytes(opcode, payload, fin=fin, rsv=rsv, key=key))

    def recv_frame(self) -> Frame:
        """The next frame, whatever it is: nothing is checked, answered or recorded."""
        return self._recv_frame(None)

    def _recv_frame(self, deadline: float | None) -> Frame:
        while (found := parse_frame(self._buffer, 0)) is None:
            self._fill(deadline)
        del self._buffer[: found[1]]
        return found[0]


def _pairs(headers: Mapping[str, str] | Pairs) -> list[tuple[str, str]]:
    return [*(headers.items() if isinstance(headers, Mapping) else headers)]
