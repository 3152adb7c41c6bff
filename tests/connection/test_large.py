"""A message of 256 MiB passes both ways in flat memory; measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing.loopback import LoopbackServer, Peer
from tests.hostile.memory_client import STATUS
from tests.support.servers import finish

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTES = 256
LIMIT_KB = 24 * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")
def test_a_message_of_256_mib_passes_both_ways_in_flat_memory() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(2):
            size = 0
            while not (frame := peer.read_frame()).fin:
                size += len(frame.payload)
            sizes.append(size)
        for number in range(MEBIBYTES):
            peer.send_frame(Opcode.BINARY if number == 0 else 0, bytes(2**20), fin=number == MEBIBYTES - 1)
        finish(peer)

    sizes: list[int] = []
    with LoopbackServer(script) as server:
        done = subprocess.run(
            [sys.executable, "-m", "tests.connection.large_client", server.url(), str(MEBIBYTES)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=55,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert sizes == [2**20, MEBIBYTES * 2**20]
    sent_rise, received_rise = map(int, done.stdout.split())
    assert sent_rise < LIMIT_KB
    assert received_rise < LIMIT_KB
