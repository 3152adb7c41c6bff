"""Faults of `syncws.testing`: a test server that is wrong makes wrong tests."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FOLDER = "testing"

TESTS = ("testing",)

MUTANTS = (
    Mutant(
        "every frame of the client is its message's last",
        "return Frame(first >= FIN, ",
        "return Frame(True, ",
        TESTS,
    ),
    Mutant(
        "a payload is not unmasked",
        "payload = mask(data[start:end], bytes(data[start - 4 : start])) if masked else data[start:end]",
        "payload = data[start:end]",
        TESTS,
    ),
    Mutant(
        "a long length is read from two bytes",
        "start += 2 if length == 126 else 8",
        "start += 2",
        TESTS,
    ),
    Mutant(
        "a client may begin a message inside another one",
        "mixed = frame.opcode < 8 and (frame.opcode == 0) != (self._opcode > 0)",
        "mixed = False",
        TESTS,
    ),
    Mutant(
        "a server may listen on an interface that is not loopback",
        '        if not host.startswith("127."):',
        "        if False:",
        TESTS,
    ),
    Mutant(
        "a reset is an orderly end",
        'self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))',
        "pass",
        TESTS,
    ),
)
