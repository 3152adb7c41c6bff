"""Faults of `syncws._transport`: from a name to a stream of bytes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_transport"

DIALER = ("transport/test_dialer.py",)
RESOLVER = ("transport/test_resolver.py",)
POLLER = ("transport/test_poller.py", "transport/test_poller_wakes.py")
STREAM = ("transport/test_stream.py",)
CERTIFICATES = ("transport/test_tls_certificates.py",)
BROKEN_ENDS = ("transport/test_tls_broken_ends.py",)

MUTANTS = (
    Mutant(
        "an address is looked up by the system",
        "    if (numeric := _numeric(host, port)) is not None:",
        "    if (numeric := None) is not None:",
        RESOLVER,
    ),
    Mutant(
        "a name is encoded by the idna codec",
        "socket.getaddrinfo(host.encode(), port",
        "socket.getaddrinfo(host, port",
        RESOLVER,
    ),
    Mutant(
        "a wake-up counts as a socket that is ready",
        "            if key.fileobj is sock:",
        "            if True:",
        POLLER,
    ),
    Mutant(
        "a wait whose poller a fork has closed goes on",
        "            raise ForkedError\n        return ready",
        "            return False\n        return ready",
        POLLER,
    ),
    Mutant(
        "a blocked send is not freed by a reset",
        "        if self._blocked:\n            self._shut_down()",
        "        if False:\n            self._shut_down()",
        STREAM,
    ),
    Mutant(
        "a reset is announced by an end of file",
        "        if not self._reset:\n            self.end_output()",
        "        self.end_output()",
        STREAM,
    ),
    Mutant(
        "close after reset ends in an orderly way",
        "            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)",
        "            pass",
        STREAM,
    ),
    Mutant(
        "bytes that a blocked send hands over later are not counted",
        "                self.handed += taken",
        "                pass",
        STREAM,
    ),
    Mutant(
        "a TLS stream waits for the socket before it tells its end",
        "            self.drained = False",
        "            pass",
        STREAM,
    ),
    Mutant(
        "an error of TLS loses the data before it",
        "            if not parts:\n                raise error",
        "            raise error",
        STREAM,
    ),
    Mutant(
        "half a TLS record is no sign of life",
        "        self.received += len(data)",
        "        pass",
        STREAM,
    ),
    Mutant(
        "the error of a failed handshake is that of the flush",
        "            with contextlib.suppress(OSError):  # the handshake's own error is the one to raise\n"
        "                self.flush()",
        "            self.flush()",
        BROKEN_ENDS,
    ),
    Mutant(
        "no close_notify is sent",
        "                    self._tls.unwrap()",
        "                    pass",
        BROKEN_ENDS,
    ),
)
