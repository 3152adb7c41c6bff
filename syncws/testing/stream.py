"""The bytes of one accepted connection: TCP, and TLS where the server speaks it.

Owns: the socket, the bytes that were read and not yet taken, and every way in which a server can end TCP.
Runs on: the script's thread; other threads may send, and the server's shuts down. All sockets block, so that
a script reads like the exchange it plays. Must not import: anything that knows a WebSocket.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
import struct
import threading
import time

from .._protocol.frames import Buffer

# The errors by which a script learns that the client, or `LoopbackServer.stop()`, ended the connection under
# it.
ENDED = (EOFError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def has_ended(error: BaseException) -> bool:
    """Whether `error` says that the connection has ended. Over TLS PyPy has no class of its own for that."""
    is_end = isinstance(error, ssl.SSLError) and error.errno in (errno.EPIPE, errno.ECONNRESET)
    return is_end or isinstance(error, ENDED)


class ByteStream:
    """One accepted connection, as bytes.

    Attributes:
        socket: the blocking socket, for what no method does.
        closing: set when the server stops.
    """

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.socket: socket.socket | ssl.SSLSocket = connection
        self.closing = closing
        self._buffer = bytearray()
        self._reads = True
        self._has_sent = False
        # Another thread may shut down the socket: it must not find it half way into TLS, nor its descriptor
        # closed.
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    def _fill(self, deadline: float | None = None) -> None:
        if not self._reads:
            raise RuntimeError("the script has called stop_reading(), and reads all the same")
        if deadline is not None:
            self._wait_readable(deadline)
        if not (data := self.socket.recv(65536)):
            raise EOFError(f"the client ended the stream, {len(self._buffer)} bytes are left over")
        self._buffer += data

    def _wait_readable(self, deadline: float) -> None:
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return
        # Neither of the two selectors takes a descriptor, which may be scarce in a test.
        with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("the client sent nothing in time")

    def recv_bytes(self, limit: int = 65536) -> bytes:
        """What has come, at most ``limit`` bytes; ``b""`` when the client has ended the stream."""
        return self.recv_exactly(min(limit, len(self._buffer))) or self.socket.recv(limit)

    def recv_exactly(self, count: int) -> bytes:
        """The next ``count`` bytes; EOFError when the client ends the stream before."""
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def send_bytes(self, data: Buffer) -> None:
        """Send bytes as they are: half a frame, or none at all."""
        self._has_sent = True
        with self._sending:
            self.socket.sendall(data)

    def drip(self, data: Buffer, *, size: int = 1, interval: float = 0.01) -> None:
        """Send bytes as they are, ``size`` of them every ``interval`` seconds, until the server stops.

        ``peer.drip(frame_bytes(1, b"hello"))`` sends a message that comes a byte at a time.
        """
        self._has_sent = True
        with self._sending:
            for at in range(0, len(data), size):
                if at and self.closing.wait(interval):
                    return
                self.socket.sendall(data[at : at + size])

    def stall(self, seconds: float | None = None) -> None:
        """Do nothing, not even read, for so many seconds; None: until the server stops, which ends any."""
        self.closing.wait(seconds)

    def stop_reading(self) -> None:
        """Read nothing any more: soon the client's network is full, and its ``bufferedAmount`` grows.

        The script may go on sending. What it has read already is thrown away; to read is a RuntimeError.
        """
        self._reads = False
        self._buffer.clear()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def cut(self) -> None:
        """End TCP at once, without a Close frame, as a server does that falls over."""
        with self._lock:
            self.socket.close()

    def reset(self) -> None:
        """End TCP with RST: what was sent and not yet read by the client may be lost."""
        with self._lock:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()

    def half_close(self) -> None:
        """End the sending side with FIN and go on reading; under TLS without a close_notify."""
        self._shut(socket.SHUT_WR)

    def wait_eof(self, timeout: float = 5) -> bytes:
        """Read until the client ends the stream, by FIN or RST, and return what came; else TimeoutError."""
        deadline = time.monotonic() + timeout
        try:
            with contextlib.suppress(*ENDED):
                while True:
                    # With a time-out of 0 the socket would not block.
                    self.socket.settimeout(max(deadline - time.monotonic(), 1e-6))
                    self._fill()
        finally:
            self.socket.settimeout(None)
        return self.recv_exactly(len(self._buffer))

    def _shut(self, how: int) -> None:
        # The client has ended the connection already, or it is closed.
        with self._lock, contextlib.suppress(OSError):
            # SSLSocket.shutdown() is not used: it drops the TLS state that the script may be reading through.
            socket.socket.shutdown(self.socket, how)

    def _secure(self, context: ssl.SSLContext) -> None:
        with self._lock:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.socket.do_handshake()

    def _close(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            # This sends close_notify, but does not wait for the client's: hence the OSError. ValueError means
            # that there is no TLS.
            with contextlib.suppress(OSError, ValueError):
                self.socket.settimeout(0)
                self.socket.unwrap()
        with self._lock:
            self.socket.close()
