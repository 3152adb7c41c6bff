"""`syncws.har`: a recorder of connections, whose file browsers and `syncws.testing` read.

Owns: the records, up to a bound, and the file. Runs on: the threads that call `trace`; `close` on any thread.
 Must not import: sockets, the reader, the two APIs.

A trace callable may be called anywhere, also in a signal handler, so it must never wait for a lock that the
interrupted frame may hold. So it leaves its record in a queue, and the thread that finds the lock free moves
the queue into the entries.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from ._engine.trace_record import TraceRecord  # noqa: TC001 - for typing.get_type_hints
from ._har_entry import Budget, Entry, as_json
from ._log import log
from ._version import __version__

__all__ = ["Recorder"]

# How many seconds `close` waits for another thread that is moving records.
_LOCK_SECONDS = 5.0


class Recorder:
    """Records connections as a HAR file: a callable for `trace=`, and a context manager.

        with syncws.har.Recorder("session.har") as recorder:
            with syncws.connect("wss://feed.example.com/", trace=recorder) as connection:
                ...

    The file is written at the end of the block, or by `close()`: first under another name, which is then
    changed, so that it appears as a whole. It is HAR 1.2 with the messages in ``_webSocketMessages``, as
    Chromium's DevTools write it, so the network panel of a browser opens it, and `syncws.testing` replays it.
    Any number of connections may be recorded at the same time or one after the other; each attempt is an
    entry. A connection that is still open is written as far as it came.

    Credentials in the heads are masked, as everywhere in a trace. Payloads are written as they are, so the
    file can be read by its owner alone.

    It records in the process that made it; a forked child neither adds to it nor writes the file.

    Args:
        path: of the file; one that is there is replaced at the end.
        max_bytes: how many bytes of payloads, as JSON writes them, are kept, in memory until the end.
            Messages beyond are listed without their payload, and when the list takes as much again, they are
            only counted. The log's ``comment`` says so.
        payloads: False lists all messages without their payloads.

    Raises:
        OSError: the folder is not there, or cannot be written to.
        TypeError, ValueError: for `max_bytes`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, max_bytes: int = 64 * 2**20, payloads: bool = True
    ) -> None:
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool):
            raise TypeError(f"max_bytes must be an int, not {max_bytes!r}")
        if max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative: {max_bytes}")
        self._path = os.path.abspath(os.fspath(path))
        self._check_path()
        self._max_bytes = max_bytes
        self._payloads = bool(payloads)
        self._budget = Budget(max_bytes)
        self._records: collections.deque[TraceRecord] = collections.deque()
        self._lock = threading.Lock()
        self._holder: int | None = None  # the thread that moves records into the entries
        self._entries: list[Entry] = []
        self._present: dict[int, Entry | None] = {}  # the entries of the connections that have not ended
        self._process = os.getpid()
        self._warned = False
        self._stopped = False
        self._written = False

    def __repr__(self) -> str:
        return f"<syncws.har.Recorder {self._path!r}>"

    def __call__(self, record: TraceRecord) -> None:
        """Record a step of a connection; after `close` this does nothing."""
        if self._stopped:
            return
        if self._process != os.getpid():
            self._warn_in_child()
            return
        self._records.append(record)
        while self._records and self._lock.acquire(blocking=False):
            try:
                self._holder = threading.get_ident()
                self._carry_over()
            finally:
                self._holder = None
                self._lock.release()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the file, also after an exception in the block."""
        self.close()

    def close(self) -> None:
        """Stop recording, and write the file. A second call does nothing, unless the first has failed.

        May be called from any thread and from signal handlers. Connections go on.

        Raises:
            OSError: the file cannot be written; what was there before is still there.
        """
        self._stopped = True
        if self._written or self._process != os.getpid():
            return
        with self._locked():
            self._write()
            self._written = True

    # Recording.

    def _warn_in_child(self) -> None:
        if not self._warned:
            self._warned = True
            text = "%r was made before the process forked and records nothing in the child; make one there"
            log(logging.WARNING, {}, text, self)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, with all records moved into the entries.

        A signal handler that has interrupted the holder on this very thread does not wait for it.
        """
        if self._holder == threading.get_ident() or not self._lock.acquire(timeout=_LOCK_SECONDS):
            yield
            return
        try:
            self._carry_over()
            yield
        finally:
            self._lock.release()

    def _carry_over(self) -> None:
        while self._records:
            record = self._records.popleft()
            entry = self._entry_for(record)
            if entry is not None:
                entry.add(record)
                if record.step in ("request", "response"):
                    self._budget.lines = max(0, self._budget.lines - entry.size)
            if record.step == "closed":
                self._present.pop(record.connection, None)

    def _entry_for(self, record: TraceRecord) -> Entry | None:
        """The entry for a step; None if its connection has ended, or there is no room."""
        if record.step == "retry":
            return None  # Its connection has ended.
        known = record.connection in self._present
        entry = self._present.get(record.connection)
        redirected = entry is not None and entry.is_answered and record.step in ("resolve", "request")
        if known and not redirected:
            return entry
        entry = Entry(record.connection, self._budget, payloads=self._payloads)
        kept = self._budget.take_line(entry.size)
        self._present[record.connection] = entry if kept else None
        if kept:
            self._entries.append(entry)
        return entry if kept else None

    # The file.

    def _check_path(self) -> None:
        """Raise at once the errors that would otherwise come at the end."""
        if _is_special(self._path):
            return
        folder = os.path.dirname(os.path.realpath(self._path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
        if os.path.isdir(self._path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    def _write(self) -> None:
        if _is_special(self._path):
            # This appends, since /dev/stdout may lead to a file with something in it.
            with open(os.open(self._path, os.O_WRONLY | os.O_APPEND), "wb") as file:
                file.writelines(self._pieces())
            return
        folder, name = os.path.split(os.path.realpath(self._path))
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with open(descriptor, "wb") as file:
                for piece in self._pieces():
                    file.write(piece)
            os.replace(temporary, os.path.join(folder, name))
        except BaseException:
            os.unlink(temporary)
            raise

    def _pieces(self) -> Iterator[bytes]:
        head: dict[str, object] = {
            "version": "1.2",
            "creator": {"name": "syncws", "version": __version__},
            "pages": [],
        }
        if comment := self._comment():
            head["comment"] = comment
        yield b'{"log": ' + as_json(head)[:-1] + b', "entries": ['
        now = time.time()
        for number, entry in enumerate(self._entries):
            yield b",\n" if number else b"\n"
            yield from entry.write(now)
        yield b"\n]}}\n"

    def _comment(self) -> str:
        budget, said = self._budget, []
        if not self._payloads:
            said.append("payloads are left out (payloads=False)")
        elif budget.without_payload:
            said.append(
                f"the payloads of {budget.without_payload} messages ({budget.payload_bytes} bytes) are left "
                f"out (max_bytes={self._max_bytes})"
            )
        if budget.unlisted:
            said.append(f"{budget.unlisted} messages and requests are not listed at all")
        return "; ".join(said)


def _is_special(path: str) -> bool:
    """Whether it is a device, a pipe, or what leads to one: no file may be put in its place."""
    if os.name == "posix" and path.startswith(("/dev/", "/proc/")):
        return os.path.exists(path) and not os.path.isdir(path)
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
