"""A duplex stream of bytes over one connected TCP socket: the plain one. `_tls` has the other.

Owns: the socket. Runs on: `recv` and `close` on the reader thread only, `send` and `end_output` on one
thread at a time (the reader's while the connection is being opened, then the writer's), `shutdown` on
any thread. Must not import: the protocol or the threads.

The socket never blocks. Waiting is the reader's business (`poller`); only `send` waits here, and
`shutdown` frees it.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

from .._protocol.frames import Buffer
from .poller import ForkedError

# How long a blocked send sleeps at a time. shutdown() wakes it at once where the system says so to
# a selector; elsewhere (Windows) this bounds how long it goes unnoticed.
POLL_SECONDS = 1.0


class Stream:
    """A plain TCP connection.

    Attributes:
        progress_at: when the network last took a byte, on the clock of `time.monotonic`.
        drained: whether the last `recv` took all that there was.
        wait_writable: how `send` waits for the network while the connection is being opened; it may raise.
            None once the connection is open: `send` then waits by itself.
    """

    #: Whether the layer below has bytes to send that only the writer may send (TLS).
    output_pending = False

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.progress_at = time.monotonic()
        self.drained = True
        self.wait_writable: Callable[[], object] | None = None
        self._down = False

    def recv(self, size: int) -> bytes | None:
        """What has arrived, about `size` bytes at most; ``b""`` at the end, None when there is nothing yet.

        Raises `OSError` when the connection was lost.
        """
        try:
            data = self.socket.recv(size)
        except (BlockingIOError, InterruptedError):
            self.drained = True
            return None
        self.drained = len(data) < size
        return data

    def send(self, data: Buffer) -> None:
        """Hand all of `data` to the network, waiting as long as that takes or until `shutdown`.

        Raises `OSError` when the connection was lost or shut down.
        """
        self._send_raw(data)

    def flush(self) -> None:
        """Send what the layer below has pending (TLS)."""

    def end_output(self) -> None:
        """Say that nothing more will be sent: the other side reads an end of file after what was sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already ended by the other side, which is all that was wanted

    def shutdown(self) -> None:
        """End both directions at once; frees a blocked `send` and makes `recv` see the end."""
        self._down = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected any more, which is all that was wanted

    def close(self) -> None:
        """End the output as far as that takes no waiting, and free the descriptor.

        No other thread may be in a call.
        """
        self._down = True
        self.end_output()
        self.socket.close()

    def _send_raw(self, data: Buffer) -> None:
        sock = self.socket
        total = len(data)
        try:
            sent = sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent:
            self.progress_at = time.monotonic()
        if sent == total:
            return
        with memoryview(data) as view:
            while sent < total:
                self._block_until_writable()
                try:
                    sent += sock.send(view[sent:])
                except (BlockingIOError, InterruptedError):
                    continue
                self.progress_at = time.monotonic()

    def _block_until_writable(self) -> None:
        with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
            selector.register(self.socket, selectors.EVENT_WRITE)
            while True:
                if self._down:
                    raise BrokenPipeError("the connection was shut down")
                if self.wait_writable is not None:
                    self.wait_writable()
                    return
                ready = selector.select(POLL_SECONDS)
                if self.socket.fileno() < 0:
                    # Only a fork closes the socket while a thread sends.
                    raise ForkedError
                if ready:
                    return
