"""The reader's loop by itself, with a pair of sockets, and with a clock and a writer that follow a script.

Time passes only while the loop waits, from one event of the script to the next. So a test says to the second
when something happens, takes no time, and has the same result on every machine.
"""

from __future__ import annotations

import heapq
import itertools
import math
import socket
from collections.abc import Callable
from typing import Any

from syncws._engine.consumer.inbox import Inbox
from syncws._engine.consumer.stream_calls import InboxEnded
from syncws._engine.options.options import Options
from syncws._engine.reading.open_link import OpenLink
from syncws._engine.reading.read_lease import ReadLease
from syncws._engine.reading.reader_notes import ReaderNotes
from syncws._engine.writing.pending_pings import PendingPings
from syncws._engine.writing.send_queue import SendQueue
from syncws._protocol.closing import Closing
from syncws._protocol.decoder import Decoder
from syncws._protocol.frames import CloseFrame, Opcode
from syncws._protocol.messages import Message
from syncws._transport.poller import Poller
from syncws._transport.stream import Stream
from syncws.testing.wire import frame_bytes

# More turns than any script takes: a loop that spins fails.
_MANY = 20_000

_BEGIN = 1000.0

# The attributes that others change while the loop runs and looks at them.
_LOOKED_AT = frozenset(
    ["close_called", "close_queued", "close_sent_at", "error", "ping_sent_at", "ping_position", "unsent"]
).union(["abort_error", "failure", "released", "cuts"])


class StuckError(AssertionError):
    """The loop waits for something that the script does not bring."""


class ScriptedStream(Stream):
    """One end of the pair, whose counts of what was sent are the script's.

    Attributes:
        held: how many bytes the kernel still holds; None if it cannot be asked.
        reads: how many bytes each read asked for.
        rooms: how large the places were that bytes were read into.
        raw: how many bytes the next reads take that are not whole yet, as half a TLS record is.
        error: the exception of the next read.
        was_reset, was_closed: how it ended.
    """

    is_lendable = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.held: int | None = 0
        self.reads: list[int] = []
        self.rooms: list[int] = []
        self.raw: list[int] = []
        self.error: OSError | None = None
        self.was_reset = self.was_closed = False

    def unacknowledged(self) -> int | None:
        return self.held

    def recv(self, size: int) -> bytes | None:
        self.reads.append(size)
        if len(self.reads) > _MANY:
            raise StuckError("the loop spins")
        if self.error is not None:
            raise self.error
        data = super().recv(size)
        if data is None and self.raw:
            self.received += self.raw.pop(0)
        return data

    def recv_into(self, room: memoryview) -> int | None:
        self.rooms.append(len(room))
        if self.error is not None:
            raise self.error
        return super().recv_into(room)

    def reset(self) -> None:
        self.was_reset = True
        super().reset()

    def close(self) -> None:
        self.was_closed = True
        super().close()


class ScriptedOutput:
    """The writer as the reader knows it, which follows the script.

    Attributes:
        stands: whether nothing leaves: neither a ping nor a Close.
        told: the reader's calls, each with the seconds since the beginning.
        close_frame: the last one that was queued; `is_last` says that it ends the output.
    """

    def __init__(self, link: ScriptedLink) -> None:
        self.ping_sent_at = 0.0
        self.ping_position = 0
        self.close_sent_at: float | None = None
        self.error: BaseException | None = None
        self.close_called = False
        self.close_queued = False
        self.unsent = 0
        self.is_preparing = False
        self.stands = False
        self.told: list[tuple[float, str, object]] = []
        self.close_frame: CloseFrame | None = None
        self.is_last = False
        self._link = link

    def __getattribute__(self, name: str) -> Any:
        if name in _LOOKED_AT:
            object.__getattribute__(self, "_link").look()
        return object.__getattribute__(self, name)

    # The reader calls these.

    def open(self, *arguments: object) -> None:
        """The stream's write side is the script's."""

    def send_pong(self, payload: bytes) -> None:
        self._note("pong", payload)

    def send_ping(self, payload: bytes) -> None:
        self._note("ping", payload)
        if not self.stands:
            self.let_ping_go()

    def server_closed(self) -> None:
        self._note("server closed", None)

    def close(self, close: CloseFrame, last: bool = False) -> None:
        self._note("last close" if last else "close", close.code)
        self.close_frame, self.is_last = close, last
        if not self.stands:
            self.let_close_go()

    def flush_pending(self) -> None:
        self._note("flush", None)

    def stop(self) -> None:
        self._note("stop", None)

    # The script calls these.

    def call_close(self) -> None:
        """The application closes."""
        self.close_called = self.close_queued = True
        if not self.stands:
            self.let_close_go()
        self._link.notes.wake()

    def let_ping_go(self) -> None:
        self._link.stream.handed += 6
        self.ping_position = self._link.stream.handed
        self.ping_sent_at = self._link.clock()
        self._link.notes.wake()

    def let_close_go(self) -> None:
        self.close_sent_at = self._link.clock()
        self._link.notes.wake()

    def fail(self, error: BaseException) -> None:
        """The writer ends before its time."""
        self.error = error
        self._link.notes.wake()

    def _note(self, what: str, value: object) -> None:
        self.told.append((self._link.seconds, what, value))


class ScriptedNotes(ReaderNotes):
    """Notes whose readings the script counts."""

    def __init__(self, link: ScriptedLink) -> None:
        super().__init__()
        self._link = link

    def __getattribute__(self, name: str) -> Any:
        if name in _LOOKED_AT:
            object.__getattribute__(self, "_link").look()
        return object.__getattribute__(self, name)


class ScriptedPoller(Poller):
    """Waits by the script's clock.

    Attributes:
        waits: of each wait, when it began, whether it was for the socket, and its time-out.
    """

    def __init__(self, link: ScriptedLink) -> None:
        self.waits: list[tuple[float, bool, float | None]] = []
        self.woken = False
        self._link = link

    def wait(self, sock: socket.socket | None, events: int, timeout: float | None) -> bool:
        link = self._link
        self.waits.append((link.seconds, sock is not None, timeout))
        if len(self.waits) > _MANY:
            raise StuckError(f"the loop spins at {link.seconds}")
        until = math.inf if timeout is None else link.clock() + timeout
        while True:
            if sock is not None and link.is_readable():
                return True
            if self.woken:
                self.woken = False
                return False
            if not link.pass_to_next(until):
                return False

    def wake(self) -> None:
        self.woken = True

    def close(self) -> None:
        """There is nothing to free."""

    def after_fork(self) -> None:
        """There is nothing to free."""


class ScriptedLink:
    """The loop with all its parts, and the script.

    Attributes:
        server: the other end of the pair.
        looks: how often the loop has looked at attributes that others may change.
    """

    def __init__(self, inbox: Inbox | None = None, rest: bytes = b"", **options: Any) -> None:
        """`rest`: the bytes after the answer to the opening handshake."""
        self._now = _BEGIN
        self._script: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._act: tuple[int, Callable[[], object]] = (-1, bool)
        self.looks = 0
        self.options = Options.from_keywords(**{"ping_interval": None, **options})
        ours, self.server = socket.socketpair()
        ours.setblocking(False)
        self.stream = ScriptedStream(ours)
        self.output = ScriptedOutput(self)
        self.inbox = inbox or Inbox(self.options.max_queue)
        self.notes = ScriptedNotes(self)
        self.poller = ScriptedPoller(self)
        self.notes.poller = self.poller
        self.inbox.on_room = self.notes.wake
        self.pings = PendingPings()
        self.closing = Closing("ws://test/", self.options.close_timeout)
        self.closing.opened()
        self.decoder = Decoder(self.options.max_size)
        self.rest = rest
        self.lease = ReadLease(SendQueue(None), self.inbox.leaf)
        self.link = OpenLink(
            self.closing,
            self.inbox,
            self.output,
            self.pings,
            self.notes,
            self.poller,
            self.stream,
            self.decoder,
            self.options,
            self.lease,
            self.clock,
        )

    def __enter__(self) -> ScriptedLink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stream.close()
        self.server.close()

    # Between two looks.

    def before_look(self, number: int, act: Callable[[], object]) -> None:
        """Let `act` happen before this look of the loop at attributes that others may change."""
        self._act = number, act

    def look(self) -> None:
        number, act = self._act
        if self.looks == number:
            self._act = (-1, bool)
            act()
        self.looks += 1

    # Time.

    def clock(self) -> float:
        return self._now

    @property
    def seconds(self) -> float:
        """The seconds since the beginning."""
        return round(self._now - _BEGIN, 6)

    def at(self, seconds: float, call: Callable[..., object], *arguments: Any) -> None:
        """Make this call so many seconds after the beginning."""
        heapq.heappush(self._script, (_BEGIN + seconds, next(self._numbers), lambda: call(*arguments)))

    def every(self, step: float, until: float, call: Callable[..., object], *arguments: Any) -> None:
        """Make this call every `step` seconds, up to `until`."""
        for number in range(1, int(until / step + 0.5) + 1):
            self.at(number * step, call, *arguments)

    def pass_to_next(self, until: float) -> bool:
        """Let the next event happen, if one comes in time. Returns False when the time is over first."""
        if self._script and self._script[0][0] <= until:
            at, _, call = heapq.heappop(self._script)
            self._now = max(self._now, at)
            call()
            return True
        if until == math.inf:
            raise StuckError(f"at {self.seconds} the loop waits for good, in the state {self.closing.state}")
        self._now = max(self._now, until)
        return False

    def sleep(self, seconds: float) -> None:
        """The process stands still for so long."""
        self._now += seconds

    def is_readable(self) -> bool:
        try:
            self.stream.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    # The server.

    def serve(self, opcode: int, payload: bytes = b"", fin: bool = True) -> None:
        self.server.sendall(frame_bytes(opcode, payload, fin=fin))

    def serve_text(self, text: str) -> None:
        self.serve(Opcode.TEXT, text.encode())

    def pour(self, wire: bytearray) -> None:
        """Send everything, as fast as it is read, and empty `wire`."""
        self.server.setblocking(False)
        while wire:
            try:
                del wire[: self.server.send(wire)]
            except BlockingIOError:
                self.at(self.seconds + 0.001, self.pour, wire)
                return

    def serve_close(self, code: int = 1000, reason: str = "") -> None:
        self.serve(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode())

    def end(self) -> None:
        self.server.shutdown(socket.SHUT_WR)

    # The application.

    def take(self) -> Message:
        """Take a message that has arrived."""
        return self.inbox.receive(0)

    def come_back(self) -> None:
        """The application wants the next message, which is not there."""
        try:
            raise AssertionError(f"there was a message: {self.inbox.receive(0)!r}")
        except (TimeoutError, InboxEnded):
            pass

    def leave(self, **notes: object) -> None:
        """Leave notes for the reader, and wake it."""
        for name, value in notes.items():
            setattr(self.notes, name, value)
        self.notes.wake()

    # The run.

    def run(self) -> float:
        """Let the loop run to the end; the seconds that took."""
        rest, self.rest = self.rest, b""
        self.link.run(rest)
        return self.seconds

    def run_until(self, seconds: float) -> None:
        """Let the loop run until then."""
        self.at(seconds, _stop)
        try:
            self.run()
        except _StoppedError:
            return
        raise AssertionError(f"it ended at {self.seconds}: {self.closing.outcome}")

    @property
    def ended(self) -> tuple[int, str, bool, str]:
        """The outcome: code, reason, whether it was clean, and the error's class."""
        outcome = self.closing.outcome
        assert outcome is not None
        error = "" if outcome.error is None else type(outcome.error).__name__
        return outcome.code, outcome.reason, outcome.was_clean, error

    def told(self, *kinds: str) -> list[tuple[float, str, object]]:
        """The reader's calls of the writer, of these kinds."""
        return [told for told in self.output.told if told[1] in kinds]


class _StoppedError(BaseException):
    pass


def _stop() -> None:
    raise _StoppedError
