"""TLS over a `Stream`: one `SSLObject` between two `MemoryBIO`s (RFC 6455 4.1, item 5).

Owns: the TLS state of one connection, under one short lock. Runs on: the threads that `stream` names. Must
not import: the engine.

What can happen at once. One thread reads and another one writes, and with TLS each of them does both: reading
may have to answer (a key update, an alert), and writing looks at what has arrived. OpenSSL states that two
threads must not use one SSL object at the same time, and CPython's `ssl` does not take care of that. Before
3.13 it has no lock. 3.13.6 held a lock during calls that block, so a thread in `recv` kept every other thread
from sending, and the next release removed that lock. The harm is real: one thread in `SSLSocket.recv` and one
in `SSLSocket.send`, started together right after a TLS 1.3 handshake (session tickets are on their way then),
crashed the process each time on CPython 3.10, 3.12 and 3.13 with OpenSSL 3.0, soon after the start. A test
that only sends both ways for a while does not show it; tests/transport/test_tls_two_threads.py does.

Why this is right. Every call of OpenSSL is made under `_lock`, and none of them blocks, since the `SSLObject`
reads and writes memory only: `_incoming` holds what was received and not decrypted, `_outgoing` what was
encrypted and not sent. The socket itself is read and written outside the lock, so neither direction waits for
the other. The order of the ciphertext is kept because only one thread at a time sends: what reading makes
OpenSSL want to send stays in `_outgoing` (`output_pending` says so) until the sending thread flushes it. The
reading thread never sends, or two peers that both do so could wait for each other for ever.

OpenSSL lists the errors of a thread, and CPython 3.14 and 3.15 leave some there: of a send on another
connection that was reset, of a hash that is not known. `SSLObject.read`, where it wants more bytes, then
raises what is last in the list, in 3.14 again and again. Here OpenSSL sees no network, only memory, so an
error that is not TLS's own does not come from this connection. The beginning of a handshake clears the list,
so `_forget_errors` begins one.

What was tried and rejected. With a lock around each call of a blocking `SSLSocket`, a `recv` that waits for
data keeps `send` out. A non-blocking `SSLSocket` under a lock is safe too, and some per cent faster, but then
each direction must be able to wait until the socket is ready for the other one, `select` does not see what
OpenSSL has decrypted already, and TLS inside TLS (a proxy over TLS) is not possible. Two locks, one for each
direction, do not keep two threads out of one SSL object: that is the crash above. To read once more after
each error, whatever it is: a connection that a fatal alert has ended wants more then, and the alert is lost.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._handler_errors import pass_on
from .stream import Stream

if TYPE_CHECKING:
    import socket

    from .._protocol.frames import Buffer

# The largest content of a record, in bytes. OpenSSL returns one record at a time, however much is asked for.
RECORD_SIZE = 16 * 1024

# How many bytes are read from the network at once: at least for a place that is smaller, and at most. OpenSSL
# keeps the memory for as many as it once got, as long as the connection lives.
LEAST_RAW = 64 * 1024
LARGEST_RAW = 256 * 1024

# The reasons of OpenSSL 3.0 and 3.6 for a record that was not made with a key of this connection.
_BROKEN_RECORD = ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "RECORD_LAYER_FAILURE")


def with_text(error: ssl.SSLError, text: str) -> ssl.SSLError:
    """A copy of a TLS error, of the same class, with another text."""
    copy = type(error)(error.errno, text)
    for name in ("library", "reason", "verify_code", "verify_message"):
        if hasattr(error, name):
            setattr(copy, name, getattr(error, name))
    return copy


def _is_of_tls(error: OSError) -> bool:
    """Whether TLS itself has failed, or wants more. The head of the module says where others come from."""
    # PyPy's errors name no library, and its connections leave none behind.
    return isinstance(error, ssl.SSLError) and (getattr(error, "library", None) or "SSL") == "SSL"


def _forget_errors() -> None:
    """Empty this thread's list of errors, as each handshake does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    other = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLError):
        other.do_handshake()


class TLSStream(Stream):
    """TLS over a connected socket; `handshake_step` must be driven to its end before anything else."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        # This is also a condition, for the rare write that needs the other side's next bytes (renegotiation).
        self._lock = threading.Condition(threading.Lock())
        self._ended = False
        self._undecrypted = False  # whether OpenSSL may have more for `recv` though nothing more has come
        self._error: ssl.SSLError | None = None

    is_tls = True
    #: What came first in the handshake, which may show that the peer does not speak TLS.
    first_bytes = b""

    @property
    def output_pending(self) -> bool:  # type: ignore[override]
        with self._lock:
            return self._outgoing.pending > 0

    @property
    def is_over(self) -> bool:  # type: ignore[override]
        return self._ended or self._error is not None

    def handshake_step(self) -> bool:
        """Go on with the handshake; True when it is done, False when more bytes must be received first.

        Raises `ssl.SSLError` when the handshake failed, after it has flushed what is pending (an alert).
        """
        done = True
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            try:
                self.flush()
            except OSError as error:  # The handshake's own error is the one to raise.
                pass_on(error)
            raise
        self.flush()
        return done

    def receive_handshake(self) -> bool | None:
        """Take raw bytes in for the handshake; None when there are none yet, False at the end of TCP."""
        data = self._receive_raw(16 * 1024)
        if data:
            self.first_bytes = self.first_bytes or data[:64]
            self._incoming.write(data)
        return None if data is None else bool(data)

    def negotiated(self) -> tuple[str, str, str | None, dict[str, Any]]:
        """The version, the cipher, ALPN's protocol and the peer's certificate, as `ssl.SSLSocket.getpeercert`
        has it, which is empty when the certificate was not verified."""
        cipher = self._tls.cipher()
        certificate: dict[str, Any] = dict(self._tls.getpeercert() or {})
        version = self._tls.version() or ""
        return version, cipher[0] if cipher else "", self._tls.selected_alpn_protocol(), certificate

    def untrusted_issuer(self) -> str:
        """The issuer that the peer's last certificate names, and that is to be trusted; ``""`` if unknown."""
        # Before CPython 3.13 there is no public call for this, and on PyPy none at all.
        chain = getattr(getattr(self._tls, "_sslobj", None), "get_unverified_chain", lambda: None)() or [None]
        info: dict[str, Any] = getattr(chain[-1], "get_info", dict)()
        names = dict(pair for part in info.get("issuer", ()) for pair in part)
        wanted = ("commonName", "organizationName", "organizationalUnitName")
        return ", ".join(str(names[kind]) for kind in wanted if kind in names)

    def _receive_raw(self, size: int) -> bytes | None:
        """Read encrypted bytes, as `recv` of a plain stream does."""
        return super().recv(size)

    def recv(self, size: int) -> bytes | None:
        parts: list[bytes] = []

        def read() -> int:
            part = self._tls.read(RECORD_SIZE)
            parts.append(part)
            return len(part)

        is_over = self._receive(min(size, LARGEST_RAW), read)
        # Records may hold no application data (tickets, half a record): that is not the end.
        return b"".join(parts) or (b"" if is_over else None)

    def recv_into(self, room: memoryview) -> int | None:
        filled = 0

        def read() -> int | None:
            nonlocal filled
            if filled == len(room):
                return None
            with room[filled:] as left:
                count = self._read_into(left)
            filled += count
            return count

        is_over = self._receive(max(LEAST_RAW, min(len(room), LARGEST_RAW)), read)
        return filled or (0 if is_over else None)

    if sys.implementation.name == "pypy":  # PyPy's SSLObject cannot read into a BytesIO.

        def _read_into(self, room: memoryview) -> int:
            part = self._tls.read(min(len(room), RECORD_SIZE))
            room[: len(part)] = part
            return len(part)

    else:

        def _read_into(self, room: memoryview) -> int:
            count: int = self._tls.read(len(room), room)  # type: ignore[assignment]  # with a buffer
            return count

    def _receive(self, size: int, read: Callable[[], int | None]) -> bool:
        """Take bytes from the network, and call `read` to take their content from OpenSSL.

        `read` returns how many bytes it took, None when it has no room for more. This returns True at the end
        of the stream, when nothing is left.
        """
        if self._ended:
            return True
        if self._error is not None:
            raise self._error
        raw = self._receive_raw(size)
        if raw is None and not self._undecrypted:
            return False
        with self._lock:
            if raw == b"" and not self._undecrypted:
                # An end without close_notify counts the same: the Close frames show whether the end was
                # orderly. OpenSSL does not learn of it, or it would send an alert, not our close_notify.
                self._ended = True
            else:
                if raw:
                    self._incoming.write(raw)
                self._decrypt(read)
            self._lock.notify_all()
        if self._ended or self._error is not None or self._undecrypted:
            # The next call returns something, so no thread should wait for the socket first.
            self.drained = False
        return self._ended

    def _decrypt(self, read: Callable[[], int | None]) -> None:
        incoming, pending = self._incoming, self._tls.pending
        self._undecrypted = False
        total = 0
        try:
            # Asking OpenSSL once more when it has nothing would cost more than a small message.
            while incoming.pending or pending():
                try:
                    count = read()
                except OSError as error:
                    if _is_of_tls(error):
                        raise
                    pass_on(error)
                    _forget_errors()
                    count = read()
                if count is None:
                    self._undecrypted = True
                    return
                if not count:
                    self._ended = True
                    return
                total += count
        except ssl.SSLWantReadError:
            pass  # Everything has been read.
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            # On PyPy only the text has the reason.
            reason = error.reason or str(error).partition("] ")[2].replace(" ", "_").upper()
            if reason in _BROKEN_RECORD:
                error = with_text(error, f"a TLS record arrived broken ({reason})")
            if not total:
                raise error
            self._error = error  # The next call raises it; this one returns the data that came before.

    def send(self, data: Buffer) -> None:
        left = memoryview(data)
        while left:
            stalled = False
            with self._lock:
                try:
                    left = left[self._tls.write(left) :]
                except ssl.SSLWantReadError:
                    # This is a renegotiation: send its bytes now. The reading thread gets the answer.
                    stalled = True
                ciphertext = self._outgoing.read()
            self.send_raw(ciphertext)
            if stalled:
                with self._lock:
                    if self._down or self._ended:
                        raise BrokenPipeError("the connection was shut down")
                    self.is_held_up = True
                    self._lock.wait(1.0)
                    self.is_held_up = False

    def encrypt(self, data: bytes) -> bytes | None:
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._tls.write(data)
            return self._outgoing.read()
        except OSError as error:
            pass_on(error)
            return None
        finally:
            self._lock.release()

    def flush(self) -> None:
        with self._lock:
            ciphertext = self._outgoing.read()
        if ciphertext:
            self.send_raw(ciphertext)

    def end_output(self) -> None:
        self._end_tls()
        super().end_output()

    def _end_tls(self) -> None:
        """Send our close_notify, unless that would wait."""
        try:
            with self._lock:
                try:
                    self._tls.unwrap()
                except OSError as error:
                    # OpenSSL wants the other side's close_notify; ours is in the outgoing BIO by now.
                    pass_on(error)
            self.flush()
        except OSError as error:  # The connection is gone already.
            pass_on(error)


class NestedTLSStream(TLSStream):
    """TLS inside the TLS of another stream, as a ``wss:`` connection through a proxy over TLS is.

    The outer stream counts for both and acts on the socket for both; each has its own lock.
    """

    is_lendable = False

    def __init__(self, outer: TLSStream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._outer = outer
        super().__init__(outer.socket, context, server_hostname)

    # These are the outer stream's counts. `Stream` sets them to 0 when it begins; here they go on.

    @property
    def received(self) -> int:
        return self._outer.received

    @received.setter
    def received(self, _: int) -> None: ...

    @property
    def handed(self) -> int:
        return self._outer.handed

    @handed.setter
    def handed(self, _: int) -> None: ...

    @property
    def progress_at(self) -> float:
        return self._outer.progress_at

    @progress_at.setter
    def progress_at(self, _: float) -> None: ...

    @property
    def wait_writable(self) -> Callable[[], object] | None:
        return self._outer.wait_writable

    @wait_writable.setter
    def wait_writable(self, wait: Callable[[], object] | None) -> None:
        self._outer.wait_writable = wait

    @property
    def is_held_up(self) -> bool:
        return self._outer.is_held_up

    @is_held_up.setter
    def is_held_up(self, is_held_up: bool) -> None:
        self._outer.is_held_up = is_held_up

    @property
    def output_pending(self) -> bool:  # type: ignore[override]
        return super().output_pending or self._outer.output_pending

    def flush(self) -> None:
        super().flush()
        self._outer.flush()

    def end_output(self) -> None:
        self._end_tls()
        self._outer.end_output()

    def shutdown(self) -> None:
        self._down = True
        self._outer.shutdown()

    def reset(self) -> None:
        self._reset = self._down = True
        self._outer.reset()

    def _receive_raw(self, size: int) -> bytes | None:
        data = self._outer.recv(size)
        self.drained = self._outer.drained
        return data

    def send_raw(self, data: Buffer) -> None:
        self._outer.send(data)
