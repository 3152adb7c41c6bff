"""Faults of `syncws._transport`: whom TLS trusts, TLS inside TLS, and the sockets of an opening."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "_transport"

DIALER = ("transport/test_dialer.py",)
TRUST = ("reach/test_trust.py",)
IN_TLS = ("transport/test_tls_in_tls.py",)

MUTANTS = (
    Mutant(
        "a thousand errors are kept",
        "        if len(self._failures) == MAX_TOLD:",
        "        if False:",
        DIALER,
    ),
    Mutant(
        "the options of the caller are left out",
        "        for level, name, value in self.options:\n            sock.setsockopt(level, name, value)\n",
        "",
        DIALER,
    ),
    Mutant(
        "the source is not bound", "                sock.bind(self.source)", "                pass", DIALER
    ),
    # Trust.
    Mutant("HTTP/1.1 is not offered", '    context.set_alpn_protocols(["http/1.1"])\n', "", TRUST),
    Mutant("a change of the environment goes unnoticed", " and found[0] == environment", "", TRUST),
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
