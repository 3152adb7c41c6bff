"""A message of 256 MiB passes both ways in flat memory; measured in a process of its own."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from syncws._protocol.frames import Opcode
from syncws.testing import LoopbackServer, Peer
from tests.support.memory import STATUS
from tests.support.programs import run_silently
from tests.support.servers import finish

MEBIBYTES = 256
# PyPy lets more garbage gather before it looks for it; a free-threaded build frees late what another thread
# may still look at.
FREES_LATE = sys.implementation.name == "pypy" or bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMIT_KB = (144 if FREES_LATE else 24) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="needs the /proc of Linux")
def test_a_message_of_256_mib_passes_both_ways_in_flat_memory() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(2):
            size = 0
            while not (frame := peer.recv_frame()).fin:
                size += len(frame.payload)
            sizes.append(size)
        for number in range(MEBIBYTES):
            peer.send_frame(Opcode.BINARY if number == 0 else 0, bytes(2**20), fin=number == MEBIBYTES - 1)
        finish(peer)

    sizes: list[int] = []
    with LoopbackServer(script) as server:
        out = run_silently("-m", "tests.connection.large_client", server.url, str(MEBIBYTES))
    assert sizes == [2**20, MEBIBYTES * 2**20]
    sent_rise, received_rise = map(int, out.split())
    assert sent_rise < LIMIT_KB
    assert received_rise < LIMIT_KB
