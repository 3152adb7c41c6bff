"""A duplex stream of bytes over one connected socket, without TLS. `tls` has the stream with TLS.

Owns: the socket. Runs on: `recv` on one thread at a time, `send`, `flush` and `end_output` on one thread at a
time, which may be another; `close` when no other thread is in a call; `shutdown`, `reset` and
`unacknowledged` on any thread. Must not import: the engine.

The socket never blocks. A thread that waits to receive does so in `poller`; only `send` waits here, and
`shutdown` and `reset` free it.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._handler_errors import pass_on
from .poller import ForkedError

if TYPE_CHECKING:
    from .._protocol.frames import Buffer

# This import stands here, since `unacknowledged` runs on a thread that must import nothing.
if sys.platform != "win32":
    import fcntl
    import termios

# How long a blocked send sleeps at a time. Where a selector sees shutdown(), that wakes it at once; elsewhere
# (Windows) the blocked send notices it after this time.
POLL_SECONDS = 1.0

# macOS: the bytes in a socket's send buffer, <sys/socket.h>.
_SO_NWRITE = 0x1024
# SO_LINGER, on for 0 s: its struct has two shorts on Windows, two ints elsewhere.
_LINGER_NOT_AT_ALL = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Stream:
    """A plain TCP connection.

    Attributes:
        received: bytes read from the network so far, those of TLS itself included. It may grow in a `recv`
            that returns None, since half a TLS record is a sign of life, too.
        handed: bytes handed to the kernel so far, those of TLS itself included.
        progress_at: when the kernel last took a byte, on the clock of `time.monotonic`.
        drained: whether the last `recv` left nothing to read.
        wait_writable: how `send` waits for the network while the connection is being opened; it may raise.
            None once the connection is open: `send` then waits by itself.
    """

    #: Whether callers may read and write in the place of our threads: by `recv`, the socket and `encrypt`.
    is_lendable = True
    #: Whether what is sent and received is encrypted.
    is_tls = False
    #: Whether the layer below has bytes to send that only the writer may send (TLS).
    output_pending = False
    #: Whether the next `recv` returns the end or raises an error without another look at the network (TLS).
    is_over = False
    #: Whether a `send` waits for the network, or for the other side.
    is_held_up = False

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = 0
        self.handed = 0
        self.progress_at = time.monotonic()
        self.drained = True
        self.wait_writable: Callable[[], object] | None = None
        self._down = False
        self._reset = False
        self._blocked = False  # whether a `send` waits, or is about to wait

    def recv(self, size: int) -> bytes | None:
        """The bytes that have arrived, about `size` at most; ``b""`` at the end, None if there are none yet.

        Raises `OSError` when the connection was lost.
        """
        try:
            data = self.socket.recv(size)
        except BlockingIOError as error:
            pass_on(error)
            self.drained = True
            return None
        self.received += len(data)
        self.drained = len(data) < size
        return data

    def recv_into(self, room: memoryview) -> int | None:
        """Do the same, but put the bytes into `room`, which holds at least one; return their number, 0 at the
        end."""
        try:
            count = self.socket.recv_into(room)
        except BlockingIOError as error:
            pass_on(error)
            self.drained = True
            return None
        self.received += count
        self.drained = count < len(room)
        return count

    def send(self, data: Buffer) -> None:
        """Hand all of `data` to the network, waiting as long as that takes or until `shutdown`.

        Raises `OSError` when the connection was lost or shut down.
        """
        self.send_raw(data)

    def is_usable_here(self) -> bool:
        """Whether the caller may read and write in the place of our threads: with TLS not in the thread in
        which Python runs signal handlers."""
        return not self.is_tls or threading.get_ident() != threading.main_thread().ident

    def encrypt(self, data: bytes) -> bytes | None:
        """The bytes to send for `data`, which must fit one record of TLS; the caller sends them before
        anything else. None if encrypting would wait, or fails: then `send` raises the error."""
        return data

    def flush(self) -> None:
        """Send what the layer below has pending (TLS)."""

    def unacknowledged(self) -> int | None:
        """How many of the bytes in `handed` the kernel still holds: the other side has not acknowledged them.

        While the other side takes data, `handed` minus this number grows. None where the system cannot tell.
        """
        try:
            if sys.platform == "win32":
                return None
            if sys.platform == "darwin":
                return self.socket.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
            answer = fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, bytes(struct.calcsize("i")))
        except (AttributeError, OSError, ValueError) as error:
            pass_on(error)
            return None  # There is no such request, or the descriptor is closed.
        held: int = struct.unpack("i", answer)[0]
        return held

    def end_output(self) -> None:
        """End the sending direction: the other side reads an end of file after all that was sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # The other side has ended the connection already.
            pass_on(error)

    def shutdown(self) -> None:
        """End both directions now. A blocked `send` raises, and `recv` returns the end of the stream."""
        self._down = True
        if not self._reset:
            self._shut_down()

    def reset(self) -> None:
        """Make `close` reset TCP: the other side gets no end of file, and the kernel drops its unsent data.

        Nothing more is sent, and a blocked `send` raises. Any thread may call this.
        """
        self._reset = self._down = True
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
        except OSError as error:  # The connection is gone already.
            pass_on(error)
        # Ending the output now would send the other side an end of file, so it is ended only to free a
        # blocked send: there the end of file waits behind the data in the kernel, and the reset drops both.
        # The sender sets _blocked before it looks at _down, so one of the two threads sees what the other has
        # set.
        if self._blocked:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:  # The connection is gone already.
            pass_on(error)

    def close(self) -> None:
        """End the output as far as that is possible without waiting, and free the descriptor.

        No other thread may be in a call.
        """
        self._down = True
        if not self._reset:
            self.end_output()
        self.socket.close()

    def send_raw(self, data: Buffer) -> None:
        """Send bytes that are ready for the network, such as those of `encrypt`; otherwise like `send`."""
        sock = self.socket
        total = len(data)
        try:
            sent = sock.send(data)
        except BlockingIOError as error:
            pass_on(error)
            sent = 0
        if sent:
            self.handed += sent
            self.progress_at = time.monotonic()
        if sent == total:
            return
        with memoryview(data) as view:
            while sent < total:
                self._blocked = self.is_held_up = True
                try:
                    self._block_until_writable()
                finally:
                    self._blocked = self.is_held_up = False
                try:
                    taken = sock.send(view[sent:])
                except BlockingIOError as error:
                    pass_on(error)
                    continue
                sent += taken
                self.handed += taken
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
                    # Only a fork can have closed the socket while a thread sends.
                    raise ForkedError
                if ready:
                    return
