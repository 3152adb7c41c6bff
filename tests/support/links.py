"""The sending half of a connection by itself: a send queue and a writer over one end of a pair of sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from syncws._engine.writing.fragmented_send import FragmentedSend
from syncws._engine.writing.pending_pings import PendingPings
from syncws._engine.writing.send_queue import SendQueue
from syncws._engine.writing.writer import Writer
from syncws._engine.writing.writer_pool import WriterPool
from syncws._exceptions import ConnectionClosed
from syncws._protocol.encoder import Encoder
from syncws._protocol.frames import FIN
from syncws._transport.stream import Stream
from tests.support.waiting import SECONDS

# How many bytes each of the kernel's buffers of a link is asked to hold, and more than all of them do.
BUFFER = 2**17
MUCH = 2**22


class Frame(NamedTuple):
    """A frame as the peer reads it."""

    opcode: int
    final: bool
    payload: bytes
    compressed: bool = False


class ScriptedSocket:
    """A socket whose `send` follows a script: how many bytes each call takes, or which error it raises.

    After the end of the script, and for every other method, the real socket is called.
    """

    def __init__(self, sock: socket.socket, *script: int | BaseException | Callable[[], None]) -> None:
        self._sock = sock
        self.script = list(script)
        self.sends = 0
        self.times_full = 0  # how often the network did not take everything

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        self.sends += 1
        step = self.script.pop(0) if self.script else len(data)
        if callable(step):
            step()
            step = len(data)
        if isinstance(step, BaseException):
            # The same error is raised many times, and would keep the frames of every time.
            raise step.with_traceback(None)
        taken = 0
        try:
            taken = self._sock.send(bytes(data)[:step])
        finally:
            self.times_full += taken < len(data)
        return taken


class Link:
    """The queue and the writer of one connection, and the other side's socket.

    Attributes:
        changes: how often the writer has told the reader of a change.
        told_error: the error and the close code with which a message in fragments failed the connection.
    """

    def __init__(
        self,
        pool: WriterPool | None = None,
        *script: int | BaseException | Callable[[], None],
        max_buffered: int | None = None,
        encoder: Encoder | None = None,
        number: int = 1,
        inline: bool = False,
    ) -> None:
        """Without a `pool`, only the test's own `writer.run()` sends; with `inline`, callers of `queue.send`
        do, too."""
        self.pool = WriterPool() if pool is None else pool
        self.queue = SendQueue(max_buffered)
        self.pings = PendingPings()
        self.writer = Writer(self.queue, self.pings, self.pool, f"syncws-{number}", {})
        self.queue.wake = self.pool.make_call(self.writer)
        self.changes = 0
        self.told_error: tuple[BaseException, int] | None = None
        self._received = b""
        if pool is not None:
            pool.register(self.writer.thread_name)
        ours, self.peer = socket.socketpair()
        for sock in (ours, self.peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        ours.setblocking(False)
        self.peer.settimeout(SECONDS)
        self.socket = ScriptedSocket(ours, *script)
        self.stream = Stream(self.socket)  # type: ignore[arg-type]
        self.writer.open(self.stream, encoder or Encoder(), self._changed)
        if not inline:
            self.queue.inline.stream = None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the writer, and free both sockets."""
        self.writer.stop()
        self.stream.close()
        self.peer.close()

    def fragments(self) -> FragmentedSend:
        """A call of `send` with an iterable, in this thread."""
        return FragmentedSend(self.queue, self._closed_error, self._fail)

    def read(self) -> Frame:
        """The next frame that the peer reads."""
        first, second = self._take(2)
        length = second & 127
        if length > 125:
            size = 2 if length == 126 else 8
            (length,) = struct.unpack(">H" if size == 2 else ">Q", self._take(size))
        assert second & 128, "a client masks each frame"
        key = self._take(4)
        masked = self._take(length)
        payload = int.from_bytes(masked, "big") ^ int.from_bytes((key * (length // 4 + 1))[:length], "big")
        return Frame(first & 15, bool(first & FIN), payload.to_bytes(length, "big"), bool(first & 64))

    def read_all(self) -> list[Frame]:
        """Every frame that was sent so far, by a writer on the test's own thread."""
        frames = []
        self.peer.setblocking(False)
        while self._received or self._has_more():
            frames.append(self.read())
        self.peer.settimeout(SECONDS)
        return frames

    def _has_more(self) -> bool:
        try:
            self._received += self.peer.recv(2**20)
        except BlockingIOError:
            return False
        return bool(self._received)

    def _take(self, size: int) -> bytes:
        chunks = [self._received]
        have = len(self._received)
        while have < size:
            chunk = self.peer.recv(2**20)
            if not chunk:
                raise EOFError
            chunks.append(chunk)
            have += len(chunk)
        data = b"".join(chunks)
        self._received = data[size:]
        return data[:size]

    def _changed(self) -> None:
        self.changes += 1

    def _fail(self, error: BaseException, close_code: int) -> None:
        self.told_error = error, close_code

    def _closed_error(self) -> ConnectionClosed:
        return ConnectionClosed(1006, "", False, unsent=self.queue.unsent)
