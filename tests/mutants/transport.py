"""Faults of `syncws._transport`: from a name to a stream of bytes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_transport"

DIALER = ("transport/test_dialer.py",)
RESOLVER = ("transport/test_resolver.py",)
POLLER = ("transport/test_poller.py", "transport/test_poller_wakes.py")
STREAM = ("transport/test_stream.py",)
CERTIFICATES = ("transport/test_tls_certificates.py",)
TRUST = ("reach/test_trust.py",)
IN_TLS = ("transport/test_tls_in_tls.py",)
BROKEN_ENDS = ("transport/test_tls_broken_ends.py",)

MUTANTS = (
    Mutant(
        "an address that does not answer is waited for alone",
        "limit = max(0.0, next_at - now) if waiting else None",
        "limit = None",
        DIALER,
    ),
    Mutant(
        "the families do not take turns",
        "for pair in zip(first, others, strict=False) for address in pair",
        "for pair in () for address in pair",
        DIALER,
    ),
    Mutant(
        "a failure does not bring the next address forward",
        "                next_at = now  # RFC 8305 5: a failure starts the next one\n",
        "",
        DIALER,
    ),
    Mutant(
        "the addresses of a name use up all descriptors",
        "if len(self._pending) >= MAX_PENDING:",
        "if False:",
        DIALER,
    ),
    Mutant(
        "the errors of earlier addresses are lost",
        "        described.__context__ = self._failures[-1] if self._failures else None\n",
        "",
        DIALER,
    ),
    Mutant(
        "a thousand errors are kept",
        "        if len(self._failures) == MAX_TOLD:",
        "        if False:",
        DIALER,
    ),
    Mutant(
        "sockets that lost the race are left open",
        "        for sock in self._pending:\n            sock.close()",
        "        return",
        DIALER,
    ),
    Mutant(
        "the options of the caller come before ours",
        "        for level, name, value in self.options:\n            sock.setsockopt(level, name, value)\n",
        "",
        DIALER,
    ),
    Mutant("the source is not bound", "            sock.bind(self.source)", "            pass", DIALER),
    Mutant(
        "an address is looked up by the system",
        "    if (numeric := _numeric(host, port)) is not None:",
        "    if (numeric := None) is not None:",
        RESOLVER,
    ),
    Mutant(
        "a look-up that has ended wakes nobody",
        "        answers.append(_look_up(host, port, family))\n        deadline.wake()",
        "        answers.append(_look_up(host, port, family))",
        RESOLVER,
    ),
    Mutant(
        "a name is encoded by the idna codec",
        "socket.getaddrinfo(host.encode(), port",
        "socket.getaddrinfo(host, port",
        RESOLVER,
    ),
    Mutant(
        "a wake-up is met again by the next wait",
        "                os.eventfd_read(self._eventfd)",
        "                pass",
        POLLER,
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
        "certificates are not checked by default",
        "ssl.create_default_context(cafile=None if folder else ca, capath=ca if folder else None)",
        "ssl._create_unverified_context()",
        CERTIFICATES,
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
    # Trust.
    Mutant("HTTP/1.1 is not offered", '    context.set_alpn_protocols(["http/1.1"])\n', "", TRUST),
    Mutant("a change of the environment goes unnoticed", " or _default_context[0] != environment", "", TRUST),
    Mutant("OpenSSL asks for the password of a key", ", password=_no_password", "", TRUST),
    Mutant(
        "a private authority is not told what helps",
        "    if code in _UNKNOWN_ISSUER:",
        "    if False:",
        TRUST,
    ),
    # TLS in TLS.
    Mutant(
        "TLS in TLS forgets what the outer one has to send",
        "        super().flush()\n        self._outer.flush()",
        "        super().flush()",
        IN_TLS,
    ),
    Mutant(
        "TLS in TLS reads past the outer one",
        "        data = self._outer.recv(size)\n",
        "        data = Stream.recv(self, size)\n",
        IN_TLS,
    ),
)
